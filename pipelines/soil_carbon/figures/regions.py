"""The study's Figure 6: density and stock of the run beside those of other permafrost regions."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.canvas import FAINT, LINE, POINT, WIDTH, letter
from pipelines.soil_carbon.formatting import depth_text, number
from pipelines.soil_carbon.results.published_stocks import AS_PRINTED, THIS_RUN


def regions_size(regions: int) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    return WIDTH, 0.8 + 0.26 * regions


def draw_regions(figure: Figure, regions: pd.DataFrame) -> None:
    """Draw panel A: densities with their intervals; panel B: stocks, on a logarithmic scale.

    Parameters
    ----------
    figure : Figure
        To fill, of `regions_size`.
    regions : DataFrame
        As `compare_regions` returns it, with rows.
    """
    density, stock = figure.subplots(1, 2, sharey=True)
    rows = regions.iloc[::-1]
    own = (rows["citation"] == THIS_RUN).to_numpy()
    _points(density, rows, own, "socd", "socd_lower", "socd_upper")
    _points(stock, rows, own, "stock_pg", "stock_lower_pg", "stock_upper_pg")
    names = [THIS_RUN if row.citation == THIS_RUN else f"{row.region} ({row.citation})" for row in rows.itertuples()]
    for tick, mine in zip(density.set_yticks(range(len(rows)), names), own, strict=True):
        tick.label1.set_fontweight("bold" if mine else "normal")
    density.set(xlabel=f"SOCD, {depth_text(rows['depth'].iloc[0])}, kg C/m²", xlim=(0, None))
    stock.set(xlabel="stock, Pg C (logarithmic)", xscale="log")
    stock.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    # Room for the numbers beside the points.
    low, high = stock.get_xlim()
    stock.set_xlim(low / 1.3, high * 2)
    density.set_xlim(right=1.15 * density.get_xlim()[1])
    for i, axes in enumerate((density, stock)):
        axes.set_title(letter(i))
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e4e4e4", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.axhline(len(rows) - 1.5, color=FAINT, linewidth=0.5)


def _points(axes: Axes, rows: pd.DataFrame, own: np.ndarray, value: str, lower: str, upper: str) -> None:
    printed = rows[value + AS_PRINTED]
    for y, (x, low, high, text, mine) in enumerate(
        zip(rows[value], rows[lower], rows[upper], printed, own, strict=True)
    ):
        colour, marker = (LINE, "D") if mine else (POINT, "o")
        if np.isfinite([low, high]).all():
            axes.plot([low, high], [y, y], color=colour, linewidth=1.2)
        axes.plot(x, y, marker, color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.4)
        end = high if np.isfinite(high) else x
        axes.annotate(
            number(x) if mine else text, (end, y), (5, 0), textcoords="offset points", va="center", fontsize=7
        )
