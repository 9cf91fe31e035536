"""The maps of a virtual region beside its truth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.backdrop import Backdrop
from pipelines.soil_carbon.figures.canvas import letter, panels
from pipelines.soil_carbon.figures.charts import hexagons, note, one_to_one
from pipelines.soil_carbon.figures.density import COLOURS
from pipelines.soil_carbon.figures.maps import Scale, draw_map
from pipelines.soil_carbon.formatting import depth_text, fixed, signed
from pipelines.soil_carbon.results.overviews import Picture, limits
from pipelines.soil_carbon.results.truth import Agreement

DIFFERENCE = "RdBu"


def truth_size(backdrop: Backdrop, width: float, depths: int) -> tuple[float, float]:
    """Return width and height in inches of the figure of maps."""
    return width, depths * backdrop.size(width / 3)[1]


def draw_truth_maps(
    figure: Figure, backdrop: Backdrop, estimates: Mapping[str, Picture], truths: Mapping[str, Picture]
) -> None:
    """Draw a row per depth: truth, estimate and their difference.

    Parameters
    ----------
    figure : Figure
        To fill, of `truth_size`.
    backdrop : Backdrop
        Of the run.
    estimates, truths : mapping
        Depth → map, kg C/m².
    """
    grid = figure.subfigures(len(truths), 3, squeeze=False)
    for row, (places, (depth, truth)) in enumerate(zip(grid, truths.items(), strict=True)):
        estimate = estimates[depth]
        difference = Picture(estimate.values - truth.values, truth.extent)
        both = Scale(*limits(truth.values, estimate.values), COLOURS, "SOCD, kg C/m²")
        most = limits(np.abs(difference.values))[1]
        apart = Scale(-most, most, DIFFERENCE, "estimate − truth, kg C/m²")
        names = [f"{letter(3 * row + i)}   " for i in range(3)]
        draw_map(places[0], backdrop, truth, both, f"{names[0]}Truth, {depth_text(depth)}")
        draw_map(places[1], backdrop, estimate, both, f"{names[1]}Estimate")
        draw_map(places[2], backdrop, difference, apart, f"{names[2]}Difference")


def draw_truth_scatter(
    figure: Figure, estimates: Mapping[str, Picture], truths: Mapping[str, Picture], agreements: Sequence[Agreement]
) -> None:
    """Draw the mapped mean against the truth, one panel per depth, cells counted in hexagons.

    Parameters
    ----------
    figure : Figure
        To fill.
    estimates, truths : mapping
        Depth → map, kg C/m².
    agreements : sequence of Agreement
        One per depth.
    """
    for number, (axes, agreement) in enumerate(zip(panels(figure, len(agreements)), agreements, strict=True)):
        estimate, truth = estimates[agreement.depth].values, truths[agreement.depth].values
        known = np.isfinite(estimate) & np.isfinite(truth)
        hexagons(axes, truth[known], estimate[known])
        one_to_one(axes)
        note(
            axes,
            f"r = {fixed(agreement.correlation)}",
            f"bias = {signed(agreement.bias)}",
            f"RMSE = {fixed(agreement.rmse)}",
        )
        axes.set(xlabel="truth, kg C/m²", ylabel="estimate, kg C/m²")
        axes.set_title(f"{letter(number)}   {depth_text(agreement.depth)}")
