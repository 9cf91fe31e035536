"""The study's Figure 4, and beyond: the ensemble's uncertainty, prediction intervals, their coverage, applicability."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.backdrop import Backdrop
from pipelines.soil_carbon.figures.canvas import FAINT, GROUPS, letter, marker_of, panels
from pipelines.soil_carbon.figures.density import columns_of
from pipelines.soil_carbon.figures.maps import Scale, draw_map
from pipelines.soil_carbon.formatting import depth_text, named
from pipelines.soil_carbon.results.overviews import Picture, distance_limits, limits

COLOURS = "magma_r"
DISTANCE = "YlGnBu"
Z95 = 1.96


def uncertainty_size(backdrop: Backdrop, depths: int) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    columns, width = columns_of(depths)
    return columns * width, 2 * -(-depths // columns) * backdrop.size(width)[1]


def draw_uncertainty(
    figure: Figure,
    backdrop: Backdrop,
    relative: Mapping[str, Picture],
    widths: Mapping[str, Picture],
    level: str,
    units: str = "kg C/m²",
) -> None:
    """Draw maps of the uncertainty of Eq. 8, and under them of the width of the prediction interval.

    Parameters
    ----------
    figure : Figure
        To fill, of `uncertainty_size`.
    backdrop : Backdrop
        Of the run.
    relative : mapping
        Depth → width of the interval of Eq. 7 over the mean, %.
    widths : mapping
        Depth → width of the prediction interval, kg C/m².
    level : str
        Of the prediction interval, e.g. `95 %`.
    units : str
        Of the widths.
    """
    columns, _ = columns_of(len(relative))
    kinds = ((relative, "uncertainty (Eq. 8), %"), (widths, f"width of the {level} PI, {units}"))
    number = 0
    for half, (fields, label) in zip(figure.subfigures(2, 1, squeeze=False)[:, 0], kinds, strict=True):
        places = half.subfigures(-(-len(fields) // columns), columns, squeeze=False).ravel()
        for place, (depth, field) in zip(places, fields.items(), strict=False):
            scale = Scale(*limits(field.values), COLOURS, label)
            draw_map(place, backdrop, field, scale, f"{letter(number)}   {depth_text(depth)}")
            number += 1


def draw_coverage(figure: Figure, coverage: pd.DataFrame, repeats: int, colours: Mapping[str, str]) -> None:
    """Draw measured against nominal coverage; the band is where chance alone would leave an honest interval.

    Parameters
    ----------
    figure : Figure
        To fill.
    coverage : DataFrame
        `scheme, depth, nominal, measured, n`.
    repeats : int
        Repeats that n counts the observations in.
    colours : mapping
        Scheme → colour.
    """
    depths = list(dict.fromkeys(coverage["depth"]))
    for number, (axes, depth) in enumerate(zip(panels(figure, len(depths), sharey=True), depths, strict=True)):
        rows = coverage[coverage["depth"] == depth]
        level = np.linspace(0.4, 1, 100)
        # Repeats hold out the same sites again: they add no observations.
        chance = Z95 * np.sqrt(level * (1 - level) / (rows["n"].max() / repeats))
        axes.fill_between(100 * level, 100 * (level - chance), 100 * (level + chance), color="#e4e4e4", linewidth=0)
        axes.plot([40, 100], [40, 100], color=FAINT, linewidth=0.8, linestyle="--")
        for scheme, marker in marker_of(list(colours)).items():
            line = rows[rows["scheme"] == scheme].sort_values("nominal")
            style: dict[str, Any] = {"color": colours[scheme], "marker": marker, "markersize": 4, "linewidth": 1}
            axes.plot(100 * line["nominal"], 100 * line["measured"], label=named(scheme), **style)
        axes.set(xlim=(45, 100), ylim=(max(0, min(45, 100 * coverage["measured"].min() - 5)), 101))
        axes.set(xlabel="nominal coverage, %", box_aspect=1, xticks=100 * rows["nominal"].unique())
        axes.set_title(f"{letter(number)}   {depth_text(depth)}")
        if number == 0:
            axes.set_ylabel("measured coverage, %")
            axes.legend(loc="lower right", title="folds")


@dataclass(frozen=True)
class OfSites:
    """How far training sites vouch for the map.

    Attributes
    ----------
    distance : Picture
        Dissimilarity.
    density : Picture
        Local point density.
    error : Picture
        Expected error, in `units`; missing outside the area of applicability.
    outside : ndarray of bool
        Pixels mostly outside that area.
    threshold : float
        Dissimilarity at its edge.
    depth : str
        That the error is of.
    units : str
        Of the error.
    """

    distance: Picture
    density: Picture
    error: Picture
    outside: np.ndarray
    threshold: float
    depth: str
    units: str


def applicability_size(backdrop: Backdrop, width: float) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    return width, backdrop.size(width / 3)[1]


def draw_applicability(figure: Figure, backdrop: Backdrop, of: OfSites) -> None:
    """Draw dissimilarity, local point density and expected error; outside the area of applicability is hatched.

    Parameters
    ----------
    figure : Figure
        To fill, of `applicability_size`.
    backdrop : Backdrop
        Of the run.
    of : OfSites
        What is drawn.
    """
    low, high = distance_limits(*limits(of.distance.values), of.threshold)
    scales = (
        Scale(low, high, DISTANCE, "dissimilarity; red: threshold"),
        Scale(0, max(limits(of.density.values)[1], 1), DISTANCE, "training sites like the cell"),
        Scale(0, limits(of.error.values)[1], COLOURS, f"RMSE, {of.units}"),
    )
    titles = ("Dissimilarity", "Local point density", f"Expected error, {depth_text(of.depth)}")
    fields, marks = (of.distance, of.density, of.error), (of.threshold, None, None)
    places = figure.subfigures(1, 3, squeeze=False)[0]
    for number, (place, field, scale, title, mark) in enumerate(
        zip(places, fields, scales, titles, marks, strict=True)
    ):
        draw_map(place, backdrop, field, scale, f"{letter(number)}   {title}", of.outside, mark)


def scheme_colours(schemes: list[str]) -> dict[str, str]:
    """Return a colour per scheme of the validation, the same in all figures."""
    colours = cycle(GROUPS[place] for place in (3, 4, 1, 0, 5, 2))
    return dict(zip(schemes, colours, strict=False))
