"""Maps small enough to draw: block averages, read strip by strip."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

SIDE = 1000
"""Most pixels along a side of a picture: 300 a printed inch in a map of half a page's width."""

LEAST_SPAN = 0.1
"""What a colour scale spans at the least, as a share of its middle."""


@dataclass(frozen=True)
class Picture:
    """A map for drawing.

    Attributes
    ----------
    values : ndarray of float, dims (y, x)
        North up, NaN where missing.
    extent : (float, float, float, float)
        Left, right, bottom, top of the pixels in the grid's CRS, m.
    """

    values: np.ndarray
    extent: tuple[float, float, float, float]

    def where(self, shown: np.ndarray) -> "Picture":
        """Return the same map, missing elsewhere."""
        return Picture(np.where(shown, self.values, np.nan), self.extent)


def picture(
    layer: xr.DataArray, side: int = SIDE, of: Callable[[np.ndarray], np.ndarray] = lambda values: values
) -> Picture:
    """Average a map down to a size that can be drawn, holding one strip of it at a time.

    Parameters
    ----------
    layer : DataArray, dims (y, x)
        Lazy, on a north-up grid.
    side : int
        Most pixels along a side.
    of : callable
        What of the cells' values is averaged.

    Returns
    -------
    Picture
        Means over the known cells of each square of cells; NaN where there are none.
    """
    factor = _factor(layer, side)
    return _picture(layer, factor, [_averages(of(strip), factor) for strip in _strips(layer, factor)])


def class_picture(layer: xr.DataArray, side: int = SIDE) -> Picture:
    """Draw class codes as `picture` does, 0 where missing: the code of the cell in the middle of each square."""
    factor = _factor(layer, side)
    middle = slice((factor - 1) // 2, None, factor)
    strips = [_middles(strip, factor)[middle, middle].astype(np.float32) for strip in _strips(layer, factor)]
    return _picture(layer, factor, [np.where(strip > 0, strip, np.nan) for strip in strips])


def _factor(layer: xr.DataArray, side: int) -> int:
    return -(-max(layer.shape) // side)


def share_of_cells(layer: xr.DataArray, least: float) -> float:
    """Return the share of cells with `least` or more among those with 0 or more, holding one strip at a time."""
    counts = [[np.count_nonzero(strip >= value) for value in (0, least)] for strip in _strips(layer, 1)]
    known, enough = np.sum(counts, axis=0)
    return float(enough / known) if known else np.nan


def _strips(layer: xr.DataArray, factor: int) -> Iterator[np.ndarray]:
    """Yield rows of whole squares and, if the store allows, of whole chunks."""
    height = layer.shape[0]
    chunk = layer.encoding.get("preferred_chunks", {}).get(layer.dims[0], height)
    rows = factor * -(-chunk // factor)
    for top in range(0, height, rows):
        yield layer[top : top + rows].values


def _picture(layer: xr.DataArray, factor: int, strips: list[np.ndarray]) -> Picture:
    geobox: GeoBox = layer.odc.geobox
    values = np.concatenate(strips)
    ny, nx = values.shape
    left, top = geobox.affine @ (0, 0)
    right, bottom = geobox.affine @ (nx * factor, ny * factor)
    return Picture(values, (left, right, bottom, top))


def _middles(strip: np.ndarray, factor: int) -> np.ndarray:
    """Fill squares that are cut off at the edge, so that each has a middle."""
    height, width = strip.shape
    return np.pad(strip, ((0, -height % factor), (0, -width % factor)), mode="edge")


def _averages(strip: np.ndarray, factor: int) -> np.ndarray:
    """Return means of squares of cells; those on the last row and column may be cut off."""
    strip = strip.astype(np.float32)
    if factor == 1:
        return strip
    known = np.isfinite(strip)
    starts = [np.arange(0, n, factor) for n in strip.shape]

    def sums(cells: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(cells, starts[0], axis=0), starts[1], axis=1)

    count = sums(known.astype(np.int32))
    total = sums(np.where(known, strip, np.float32(0)))
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))


def limits(*maps: np.ndarray) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of all known values: a colour scale that outliers do not squeeze.

    Maps that hardly vary get a wider one, so that rounding and trifles do not look like a pattern.
    """
    known = np.concatenate([m[np.isfinite(m)] for m in maps])
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, [2, 98])
    least = max(LEAST_SPAN * abs(low + high) / 2, 1e-6)
    margin = max(least - (high - low), 0.0) / 2
    return float(low - margin), float(high + margin)


def distance_limits(low: float, high: float, threshold: float) -> tuple[float, float]:
    """Return the limits of a colour scale of the dissimilarity: 0, and beyond the threshold of applicability."""
    return min(low, 0.0), max(high, 1.05 * threshold)
