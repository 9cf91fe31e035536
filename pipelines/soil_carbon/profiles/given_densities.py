"""Carbon densities that the table itself gives, one row per site, as `socd_0-30`, `socd_0-100` and so on."""

from collections.abc import Collection
from itertools import permutations

import pandas as pd

from engine.errors import Finding
from engine.formatting import doing
from pipelines.runfile.depth_intervals import Depths, depth_label
from pipelines.soil_carbon.profile_table.checks import DENSEST, SHOWN, Problems, check_ranges
from pipelines.soil_carbon.profiles.density import FLAGS


def check_densities(frame: pd.DataFrame, depths: Depths, problems: Problems, explained: Collection[str] = ()) -> None:
    """Add sites listed twice, impossible densities, and less carbon in an interval than in a part of it.

    Parameters
    ----------
    frame : DataFrame
        One row per site with `site` and `socd_TOP-BOTTOM` (kg C/m²) for each depth.
    depths : tuple of (top, bottom)
        cm.
    problems : Problems
        Takes what is wrong.
    explained : collection of str
        Columns whose range need not be checked, since all of it is in another unit.
    """
    named = frame[frame["site"].notna()]
    first = {site: row for row, site in zip(named.index[::-1], named["site"][::-1], strict=True)}
    problems.add_rows(
        "sites listed twice",
        named[named["site"].duplicated()],
        lambda row: (
            f"is listed in {problems.table.counted} {first[row['site']]} already; a table of densities has one row "
            "per site"
        ),
    )
    check_ranges(frame, [f"socd_{depth_label(depth)}" for depth in depths], problems, explained)
    for part, whole in permutations(depths, 2):
        if whole[0] <= part[0] and part[1] <= whole[1]:
            _check_nested(frame, depth_label(part), depth_label(whole), problems)


def dense(frame: pd.DataFrame, depths: Depths) -> list[Finding]:
    """Warn of densities above what compact peat holds in so thick a layer: they look like another unit."""
    notes = []
    for depth in depths:
        label, most = depth_label(depth), DENSEST * (depth[1] - depth[0]) / 100
        high = frame[frame[f"socd_{label}"] > most]
        if len(high):
            sites = ", ".join(high["site"].astype(str).head(SHOWN))
            notes.append(
                Finding.warning(
                    f"{doing(len(high), 'site', 'holds')} more than {most:g} kg C/m² in {label} cm, more "
                    "than compact peat "
                    f"does; if the table is in t/ha, divide by 10: {sites}."
                )
            )
    return notes


def given_densities(frame: pd.DataFrame, depth: tuple[float, float]) -> pd.DataFrame:
    """Return densities of one depth in the form of `pipelines.soil_carbon.profiles.density.profile_densities`."""
    socd = frame[f"socd_{depth_label(depth)}"]
    result = pd.DataFrame({"site": frame["site"], "socd": socd, **dict.fromkeys((*FLAGS, "layers_split"), 0)})
    return result.assign(
        excluded=socd.isna().map({True: f"no {depth_label(depth)} cm density in the table", False: ""}),
        kind=socd.isna().map({True: "have no density in the table", False: ""}),
    )


def _check_nested(frame: pd.DataFrame, part: str, whole: str, problems: Problems) -> None:
    inner, outer = f"socd_{part}", f"socd_{whole}"
    problems.add_rows(
        f"more carbon in {part} than in {whole} cm",
        frame[frame[inner] > frame[outer] * (1 + 1e-6)],
        lambda row: (
            f"{inner} is {row[inner]:g} but {outer} is {row[outer]:g} kg C/m²; the deeper interval contains the "
            "shallower, so it holds at least as much"
        ),
    )
