"""One map: a field in colour over the run's backdrop, and a histogram on its colour bar."""

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import SubFigure

from pipelines.soil_carbon.figures.backdrop import CLEAR, HEADROOM, MARGIN, MISSING, Backdrop, draw_frame, show
from pipelines.soil_carbon.figures.canvas import INK, WARNING
from pipelines.soil_carbon.results.overviews import Picture

HATCH, HATCHED = "//////", (0.78, 0.78, 0.78, 1.0)
BINS = 40
EXTENSION = 0.04
"""Length of the arrows of a colour bar, as a share of the bar."""


@dataclass(frozen=True)
class Scale:
    """Colours of a map.

    Attributes
    ----------
    low, high : float
        Values of the first and the last colour.
    colours : str
        Name of a matplotlib colour map.
    label : str
        Of the colour bar, with units.
    """

    low: float
    high: float
    colours: str
    label: str

    @property
    def norm(self) -> Normalize:
        """Scale from values to places on the colour map."""
        return Normalize(self.low, self.high)

    @property
    def colormap(self) -> Colormap:
        """The colour map."""
        return matplotlib.colormaps[self.colours]


def draw_map(
    figure: SubFigure,
    backdrop: Backdrop,
    field: Picture,
    scale: Scale,
    title: str,
    hatched: np.ndarray | None = None,
    mark: float | None = None,
) -> Axes:
    """Draw a map above its colour bar; the bars on it are the shares of the area per value.

    Parameters
    ----------
    figure : SubFigure
        To fill.
    backdrop : Backdrop
        Of the run.
    field : Picture
        On the backdrop's pixels.
    scale : Scale
        Colours; values beyond it take the outermost, and the colour bar's arrows.
    title : str
        Above the map.
    hatched : ndarray of bool, optional
        Pixels to hatch.
    mark : float, optional
        A value to mark on the colour bar.

    Returns
    -------
    Axes
        Of the map.
    """
    axes = figure.subplots()
    # As wide as the map whatever its shape, and of the same height under all maps.
    inch = 1 / (figure.bbox.height / figure.dpi - HEADROOM)
    histogram = axes.inset_axes((0, -0.54 * inch, 1, 0.3 * inch))
    bar = axes.inset_axes((0, -0.66 * inch, 1, 0.1 * inch))
    width = figure.bbox.width / figure.dpi - MARGIN
    show(axes, _painted(backdrop, field, scale, hatched), field.extent, width)
    if hatched is not None and hatched.any():
        _hatch(axes, hatched, field.extent)
    draw_frame(axes, backdrop, width, title)
    below, above = (bool(v) for v in _beyond(field.values, scale))
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    mappable = ScalarMappable(scale.norm, scale.colormap)
    figure.colorbar(mappable, cax=bar, orientation="horizontal", extend=extend, extendfrac=EXTENSION, label=scale.label)
    bar.tick_params(length=2)
    bar.xaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
    _histogram(histogram, field.values, scale, below, above)
    if mark is not None:
        histogram.axvline(mark, color=WARNING, linewidth=1)
        bar.axvline(mark, color=WARNING, linewidth=1)
    return axes


def _painted(backdrop: Backdrop, field: Picture, scale: Scale, hatched: np.ndarray | None) -> np.ndarray:
    """Paint the map as one image, shape (y, x, 4): two on top of each other take twice the time."""
    known = np.isfinite(field.values)
    image = np.full((*known.shape, 4), CLEAR)
    image[backdrop.inside] = MISSING
    image[known] = scale.colormap(scale.norm(field.values[known]))
    if hatched is not None:
        image[hatched] = HATCHED
    return image


def _hatch(axes: Axes, hatched: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    axes.contourf(
        np.pad(hatched.astype(float), 1), levels=[0.5, 2], extent=_wider(extent, hatched.shape), origin="upper",
        colors="none", hatches=[HATCH], zorder=3,
    )  # fmt: skip


def _wider(extent: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return the extent with a rim of one pixel."""
    left, right, bottom, top = extent
    dx, dy = (right - left) / shape[1], (top - bottom) / shape[0]
    return left - dx, right + dx, bottom - dy, top + dy


def _beyond(values: np.ndarray, scale: Scale) -> tuple[int, int]:
    return int((values < scale.low).sum()), int((values > scale.high).sum())


def _histogram(axes: Axes, values: np.ndarray, scale: Scale, below: bool, above: bool) -> None:
    """Draw shares of the area per value, over the colour bar and its arrows."""
    known = values[np.isfinite(values)]
    edges = np.linspace(scale.low, scale.high, BINS + 1)
    counts = np.histogram(known, edges)[0]
    colours = scale.colormap(scale.norm((edges[:-1] + edges[1:]) / 2))
    bars = [[(a, 0), (a, n), (b, n), (b, 0)] for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]
    # One artist: forty patches would take longer than the map.
    axes.add_collection(PolyCollection(bars, facecolors=colours, edgecolors=colours, linewidths=0.2))
    axes.stairs(counts, edges, color=INK, linewidth=0.4)
    arrow = EXTENSION * (scale.high - scale.low)
    axes.set_xlim(scale.low - arrow * below, scale.high + arrow * above)
    axes.axis("off")
