"""Parts of charts of points: clouds, the diagonal, notes in a corner."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from pipelines.soil_carbon.figures.canvas import FAINT, LINE, POINT

__all__ = ["LINE", "POINT", "cloud", "hexagons", "note", "one_to_one"]

CROWDED = 1500
"""Points above which their density is drawn instead."""
TICKS = 6
"""Intervals of axes that are equal, at most."""


def cloud(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw points or, if they are too many to distinguish, their density."""
    if x.size > CROWDED:
        hexagons(axes, x, y)
    else:
        axes.scatter(x, y, s=12, color=POINT, alpha=0.65, linewidths=0)


def hexagons(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw counts of points in hexagons, on a logarithmic scale."""
    if x.size:
        axes.hexbin(x, y, gridsize=45, mincnt=1, cmap="viridis_r", norm=LogNorm(), linewidths=0.1)


def one_to_one(axes: Axes, room: float = 0.03) -> None:
    """Make axes equal and square around all points with a margin, and draw the diagonal."""
    low = min(axes.dataLim.x0, axes.dataLim.y0, 0.0)
    high = max(axes.dataLim.x1, axes.dataLim.y1)
    high += room * (high - low)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=0.8, linestyle="--", zorder=3)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(TICKS))


def note(axes: Axes, *lines: str, low: bool = False) -> None:
    """Write lines of text in the upper left corner, or the lower right one."""
    x, y, ha, va = (0.98, 0.03, "right", "bottom") if low else (0.03, 0.97, "left", "top")
    # No box behind it, which would veil points.
    text = "\n".join(lines)
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, fontsize=7, linespacing=1.3, zorder=6)
