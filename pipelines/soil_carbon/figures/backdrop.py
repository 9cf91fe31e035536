"""Backdrop of every map of a run: the domain and its outline, the graticule, the scale bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from odc.geo import CRS
from scipy.ndimage import gaussian_filter

from pipelines.soil_carbon.figures.canvas import DPI, INK
from pipelines.soil_carbon.figures.graticule import draw_graticule, draw_scale_bar
from pipelines.soil_carbon.results.overviews import Picture

MISSING = (0.86, 0.86, 0.86, 1.0)
"""Cells of the domain without a value."""
CLEAR = (1.0, 1.0, 1.0, 0.0)

TINT = 0.42
"""How much of a class's colour is on the map, so that points of the same colour stand out."""

LINES_APART = 400
"""Along a side of a map, outlines closer than one in so many run together."""

HEADROOM = 1.4
"""Inches that the colour bar, its histogram and the title take beside the map."""
MARGIN = 0.5
"""Inches left of a map for its labels."""


@dataclass(frozen=True)
class Backdrop:
    """Backdrop of every map of a run.

    Attributes
    ----------
    crs : CRS
        Of the grid.
    domain : Picture
        Share of each pixel's cells that are in the domain.
    frame : (float, float, float, float)
        Left, right, bottom, top that the maps show, m.
    """

    crs: CRS
    domain: Picture
    frame: tuple[float, float, float, float]

    @property
    def aspect(self) -> float:
        """Height over width."""
        return (self.frame[3] - self.frame[2]) / (self.frame[1] - self.frame[0])

    @property
    def inside(self) -> np.ndarray:
        """Pixels of the domain."""
        return self.domain.values >= 0.5

    @cached_property
    def outline(self) -> list[np.ndarray]:
        """The domain's outline, each line of shape (points, 2), m."""
        return contours(self.inside, self.domain.extent)

    def size(self, width: float) -> tuple[float, float]:
        """Return the size in inches of a figure with one map and its colour bar."""
        return width, (width - MARGIN) * self.aspect + HEADROOM


def contours(inside: np.ndarray, extent: tuple[float, float, float, float]) -> list[np.ndarray]:
    """Return the outline of some pixels of a picture, each line of shape (points, 2), m."""
    # Smoothed to what can be told apart on the map, and with a rim of cells outside, so that the outline closes
    # where they touch the edge of the grid.
    shares = gaussian_filter(np.pad(inside.astype(np.float32), 1), max(inside.shape) / LINES_APART)
    left, right, bottom, top = extent
    height, width = inside.shape
    dx, dy = (right - left) / width, (bottom - top) / height
    x, y = left + dx * (np.arange(-1, width + 1) + 0.5), top + dy * (np.arange(-1, height + 1) + 0.5)
    # Of the kind of lines that are arrays of points.
    return [np.asarray(line) for line in contour_generator(x, y, shares, line_type="Separate").lines(0.5)]


def draw_classes(axes: Axes, backdrop: Backdrop, codes: Picture, colours: Sequence[str], width: float) -> set[str]:
    """Draw a map of classes in tints of their colours.

    Parameters
    ----------
    axes : Axes
        To fill.
    backdrop : Backdrop
        Of the run.
    codes : Picture
        1, 2, … on the backdrop's pixels, NaN where missing; without classes all NaN.
    colours : sequence of str
        Of the classes.
    width : float
        Of the axes, inches.

    Returns
    -------
    set of str
        Sides of the map with labels.
    """
    image = np.full((*codes.values.shape, 4), CLEAR)
    image[backdrop.inside] = MISSING
    for code, colour in enumerate(colours, start=1):
        image[backdrop.inside & (codes.values == code)] = 1 - TINT * (1 - np.array(to_rgba(colour)))
    image[backdrop.inside, 3] = 1
    show(axes, image, codes.extent, width)
    return draw_frame(axes, backdrop, width, "")


def show(axes: Axes, image: np.ndarray, extent: tuple[float, float, float, float], width: float) -> None:
    """Show an image on axes of a width in inches: cell by cell if the print can resolve that, else smoothed."""
    fits = image.shape[1] <= width * DPI
    axes.imshow(image, extent=extent, interpolation="none" if fits else "auto", zorder=1)


def draw_frame(axes: Axes, backdrop: Backdrop, width: float, title: str) -> set[str]:
    """Draw outline, graticule, scale bar and title of a map of a width in inches; return its sides with labels."""
    axes.add_collection(LineCollection(backdrop.outline, colors=INK, linewidths=0.5, zorder=4), autolim=False)
    axes.set(xlim=backdrop.frame[:2], ylim=backdrop.frame[2:], aspect="equal", xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    labelled = draw_graticule(axes, backdrop.crs, backdrop.frame, width)
    draw_scale_bar(axes, backdrop.crs, backdrop.frame)
    axes.set_title(title, pad=15 if "top" in labelled else 6)
    return labelled
