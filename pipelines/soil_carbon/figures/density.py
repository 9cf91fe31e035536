"""The study's Figure 3: maps of the density, and density and stock of the zones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from pipelines.soil_carbon.figures.backdrop import Backdrop
from pipelines.soil_carbon.figures.canvas import INK, WIDTH, letter
from pipelines.soil_carbon.figures.maps import Scale, draw_map
from pipelines.soil_carbon.formatting import depth_text
from pipelines.soil_carbon.results.overviews import Picture, limits
from pipelines.soil_carbon.results.stocks import TOTAL

COLUMNS = 3
LONE = 4.6
"""Inches: the widest that a map gets."""
COLOURS = "viridis_r"
NOT_TESTED = "n.t."


@dataclass(frozen=True)
class ZoneBars:
    """Data of the zones' bars.

    Attributes
    ----------
    stocks : DataFrame
        The stock table of the run.
    letters : mapping
        Depth → zone → compact letters; a zone without letters was not tested.
    colours : mapping
        Zone → colour; empty where the run has no zones.
    unit : str
        Of stocks, e.g. `Pg C`.
    factor : float
        From Pg to it.
    label : str
        What is mapped, with its units.
    has_stocks : bool
        Whether there is a second row of bars, of stocks.
    """

    stocks: pd.DataFrame
    letters: Mapping[str, Mapping[str, str]]
    colours: Mapping[str, str]
    unit: str
    factor: float
    label: str = "SOCD, kg C/m²"
    has_stocks: bool = True

    @property
    def height(self) -> float:
        """Inches that the bars of a row of maps take."""
        return self.panels * (0.62 + 0.17 * len(self.colours)) if self.colours else 0.0

    @property
    def panels(self) -> int:
        """Rows of bars."""
        return 2 if self.has_stocks else 1

    def rows(self, depth: str) -> pd.DataFrame:
        """Select rows of one depth, in the order of the zones."""
        rows = self.stocks[(self.stocks["depth"] == depth) & (self.stocks["zone"] != TOTAL)]
        return rows.set_index("zone").reindex(list(self.colours))


def columns_of(depths: int) -> tuple[int, float]:
    """Return the number of maps in a row, and the width of one in inches."""
    columns = min(depths, COLUMNS)
    return columns, min(WIDTH / columns, LONE)


def densities_size(backdrop: Backdrop, depths: int, bars: ZoneBars) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    columns, width = columns_of(depths)
    return columns * width, -(-depths // columns) * (backdrop.size(width)[1] + bars.height)


def draw_densities(figure: Figure, backdrop: Backdrop, maps: Mapping[str, Picture], bars: ZoneBars) -> None:
    """Draw a column per depth: the map, under it density and stock of the zones.

    Parameters
    ----------
    figure : Figure
        To fill, of `densities_size`.
    backdrop : Backdrop
        Of the run.
    maps : mapping
        Depth → mean of the replicates, kg C/m².
    bars : ZoneBars
        Of the run.
    """
    columns, width = columns_of(len(maps))
    heights = [backdrop.size(width)[1], *([bars.height] if bars.height else [])]
    depths = list(maps)
    bands = figure.subfigures(-(-len(depths) // columns), 1, squeeze=False)[:, 0]
    for i, band in enumerate(bands):
        here = depths[i * columns : (i + 1) * columns]
        parts = band.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        letters = [letter(number) for number in range(i * columns, i * columns + len(here))]
        for place, depth, name in zip(parts[0].subfigures(1, columns, squeeze=False)[0], here, letters, strict=False):
            field = maps[depth]
            scale = Scale(*limits(field.values), COLOURS, bars.label)
            draw_map(place, backdrop, field, scale, f"{name}   {depth_text(depth)}")
        if bars.height:
            _bars(parts[1], here, bars, columns, len(depths) + i * columns)


def _bars(figure: SubFigure, depths: Sequence[str], bars: ZoneBars, columns: int, first: int) -> None:
    grid = figure.subplots(bars.panels, columns, squeeze=False, sharey=True)
    for axes in grid[:, len(depths) :].ravel():
        axes.set_visible(False)
    y = np.arange(len(bars.colours))[::-1]
    style: dict[str, Any] = {
        "height": 0.72, "color": list(bars.colours.values()), "ecolor": INK, "capsize": 2,
        "error_kw": {"linewidth": 0.8, "capthick": 0.8},
    }  # fmt: skip
    for column, depth in enumerate(depths):
        rows = bars.rows(depth)
        density = grid[0, column]
        density.barh(y, rows["socd_mean"], xerr=rows["socd_spatial_sd"], **style)
        letters = [bars.letters[depth].get(zone, NOT_TESTED) for zone in bars.colours]
        _letters(density, y, (rows["socd_mean"] + rows["socd_spatial_sd"]).to_numpy(), letters)
        density.set(xlabel=bars.label)
        if bars.has_stocks:
            _stock_bars(grid[1, column], rows, bars, y, style)
        for row, axes in enumerate(grid[:, column]):
            axes.set_yticks(y, list(bars.colours))
            axes.locator_params(axis="x", nbins=5)
            axes.tick_params(axis="y", length=0)
            axes.set_title(letter(first + row * columns + column))


def _stock_bars(axes: Axes, rows: pd.DataFrame, bars: ZoneBars, y: np.ndarray, style: dict[str, Any]) -> None:
    value, lower, upper = (
        rows[name].to_numpy() * bars.factor for name in ("stock_pg", "stock_lower_pg", "stock_upper_pg")
    )
    axes.barh(y, value, xerr=np.clip([value - lower, upper - value], 0, None), **style)
    axes.set(xlabel=f"stock, {bars.unit}", xlim=(0, None))


def _letters(axes: Axes, y: np.ndarray, ends: np.ndarray, letters: Sequence[str]) -> None:
    """Write compact letters beside the bars, with room for them."""
    for place, end, text in zip(y, ends, letters, strict=True):
        if np.isfinite(end):
            axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_xlim(0, 1.18 * np.nanmax(ends))
