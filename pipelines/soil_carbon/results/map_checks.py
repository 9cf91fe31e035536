"""Densities that no soil has, in cells of the finished map: below zero, or less than a part of the same soil holds."""

from collections.abc import Sequence

from engine.errors import Finding
from engine.mapping.map_sample import CellSample
from pipelines.runfile.target import CARBON_DENSITY, Target

CAUSE = Finding.warning(
    "such cells come from a depth regression with an intercept below zero, or from a family that extrapolates in "
    "straight lines beyond its sites; do not use the maps there, or choose other families or depths."
)


def impossible_densities(
    cells: CellSample, depths: Sequence[tuple[float, float]], labels: Sequence[str], target: Target = CARBON_DENSITY
) -> list[Finding]:
    """Count such cells depth by depth.

    Parameters
    ----------
    cells : CellSample
        Mean densities of the depths, kg C/m².
    depths : sequence of (top, bottom)
        cm.
    labels : sequence of str
        Their names, as in the maps.
    target : Target
        What is mapped: of what is not a density, a depth may well have less than a part of it.

    Returns
    -------
    list of Finding
        A warning for each depth, and each pair of a depth and a part of it, that has such cells, and what they come
        of; empty if there are none.
    """
    total = f"{len(cells.lon):,} {'mapped cells' if cells.is_whole else 'cells drawn at random'}"
    notes = [
        Finding.warning(f"{label} cm: the mean {target.noun} is below zero in {below:,} of {total}.")
        for label, density in zip(labels, cells.values, strict=True)
        if (below := int((density < 0).sum()))
    ]
    for whole, (top, bottom) in enumerate(depths):
        for part, (upper, lower) in enumerate(depths):
            if part == whole or not target.has_stocks or upper < top or lower > bottom:
                continue
            if less := int((cells.values[whole] < cells.values[part]).sum()):
                notes.append(
                    Finding.warning(
                        f"{labels[whole]} cm holds less than its part {labels[part]} cm in {less:,} of {total}."
                    )
                )
    return [*notes, CAUSE] if notes else []
