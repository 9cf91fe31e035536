"""Bring a source's native pixels onto a part of the target grid, the same whatever the part.

Blocks equal the whole to the bit: every cell's value follows from its own coordinates, with a kernel of fixed size.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from engine.grid.grid import crs_of
from engine.sources.resampling import Resampling
from engine.sources.vrt import resample

Window = tuple[slice, slice]
Read = Callable[[Window], np.ndarray]
_PADDING = 4
"""Pixels around a window: enough for the kernel of a cubic interpolation."""
_SAMPLES = 33
_POINTS = (4, 8)
"""Fewest and most points a side on which the pixels under a cell are counted."""
MOST_POINTS = 2**22
"""Points that are held at a time."""
STRIPS_KEPT = 4
"""So many times `MOST_POINTS` places of pixels are kept for the covariates that follow."""
_MOST_PIXELS = 2**24
"""Pixels of a source that are read at a time, as long as the target can be cut up."""
_FEWEST_CELLS = 8
"""Cells a side down to which the target is cut up."""
_DEGREE = 55_660.0
"""Metres in a degree of longitude at 60° north."""


def warp(read: Read, source: GeoBox, target: GeoBox, resampling: Resampling, missing: float) -> np.ndarray:
    """Resample what a source holds under a part of the target grid.

    Parameters
    ----------
    read : callable
        Window of the native grid → values, dims (y, x); only the window under the target is asked for.
    source, target : GeoBox
        The whole native grid, north up; the part of the target grid.
    resampling : Resampling
        Missing pixels take no part in a mean or interpolation. `bilinear` and `cubic` interpolate between the nearest
        pixels whatever their size. `average` and `mode` count the pixels under 4 × 4 to 8 × 8 points of the cell:
        GDAL's own take the box between two opposite corners, which is a sliver where the grids are at an angle.
    missing : float
        Value of a missing pixel, NaN or a code.

    Returns
    -------
    ndarray, dims (y, x) of `target`
    """
    read, source = _round_the_globe(read, source, missing)
    return _warp(read, source, target, Resampling(resampling), missing)


def _warp(read: Read, source: GeoBox, target: GeoBox, resampling: Resampling, missing: float) -> np.ndarray:
    """Warp part by part, where the source has more pixels under the target than fit in memory."""
    window = source_window(source, target)
    if window is None:
        return np.full(target.shape.yx, missing, _dtype(missing))
    height, width = target.shape.yx
    if math.prod(s.stop - s.start for s in window) > _MOST_PIXELS and max(height, width) > _FEWEST_CELLS:
        down = height >= width
        middle = (height if down else width) // 2
        parts = (target[:middle, :], target[middle:, :]) if down else (target[:, :middle], target[:, middle:])
        return np.concatenate([_warp(read, source, p, resampling, missing) for p in parts], axis=0 if down else 1)
    pixels = read(window)
    if not resampling.counts:
        corner = (window[0].start, window[1].start)
        return resample(pixels, corner, source, target, resampling, missing, _stride(source, target))
    known = np.append(pixels.ravel(), pixels.dtype.type(missing))  # the last is that of points without a pixel
    side = _points_per_side(source, target)
    strips, rows = [], max(1, MOST_POINTS // (width * side**2))
    for start in range(0, height, rows):
        strip = target[start : min(start + rows, height), :]
        finer = strip.zoom_to((strip.shape.y * side, width * side))
        nearest = _nearest_pixels(source, finer, (window[0].start, window[1].start), pixels.shape)
        points = known[nearest].reshape(-1, side, width, side)
        strips.append(_mean(points) if resampling is Resampling.AVERAGE else _most_frequent(points, int(missing)))
    return np.concatenate(strips)


@lru_cache(maxsize=STRIPS_KEPT)
def _nearest_pixels(source: GeoBox, target: GeoBox, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return the place of the pixel nearest to each point in a window of the source, int32; -1 where there is none.

    Kept for the covariates that come next, which often have the same pixels: to transform so many points takes longer
    than all else.
    """
    places = np.arange(math.prod(shape), dtype="int32").reshape(shape)
    return resample(places, corner, source, target, Resampling.NEAREST, -1, _stride(source, target))


def _mean(points: np.ndarray) -> np.ndarray:
    known = np.isfinite(points)
    total = np.where(known, points, 0).sum(axis=3, dtype="float64").sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (total / known.sum(axis=(1, 3))).astype("float32")


def _most_frequent(points: np.ndarray, missing: int) -> np.ndarray:
    """Return the most frequent code of the points that have one; of two as frequent, the smaller."""
    codes = np.setdiff1d(points, missing)
    if codes.size == 0:
        return np.full((points.shape[0], points.shape[2]), missing, points.dtype)
    counts = np.stack([(points == code).sum(axis=(1, 3)) for code in codes])
    return np.where(counts.any(axis=0), codes[counts.argmax(axis=0)], missing).astype(points.dtype)


def _points_per_side(source: GeoBox, target: GeoBox) -> int:
    """Return two points a pixel, within bounds; the same for all parts of a grid."""
    pixel = abs(source.resolution.x) * (_DEGREE if crs_of(source).geographic else 1)
    return int(np.clip(math.ceil(2 * abs(target.resolution.x) / pixel), *_POINTS))


def _round_the_globe(read: Read, source: GeoBox, missing: float) -> tuple[Read, GeoBox]:
    """Shift longitudes that run past 180°, or all the way round, to a circle that overlaps itself at the antimeridian.

    Longitudes are asked for within ±180°, wherever the source starts to count; and the pixels on either side of the
    antimeridian are neighbours.
    """
    step, columns = source.resolution.x, source.shape.x
    circle, box = round(360 / step), source.boundingbox
    if not crs_of(source).geographic or (columns < circle and box.left >= -180 and box.right <= 180):
        return read, source
    first = math.floor((-180 - box.left) / step) - _PADDING

    def read_circle(window: Window) -> np.ndarray:
        rows, cols = window
        stored = np.arange(cols.start + first, cols.stop + first) % circle
        values = np.full((rows.stop - rows.start, stored.size), missing, _dtype(missing))
        for run in np.split(np.arange(stored.size), np.flatnonzero(np.diff(stored) != 1) + 1):
            known = run[stored[run] < columns]
            if known.size:
                values[:, known] = read((rows, slice(int(stored[known[0]]), int(stored[known[-1]]) + 1)))
        return values

    whole = (source.shape.y, circle + 2 * _PADDING + 1)
    return read_circle, GeoBox(whole, source.affine @ Affine.translation(first, 0), source.crs)


def _dtype(missing: float) -> str:
    return "float32" if math.isnan(missing) else "uint8"


def pixels_per_cell(source: GeoBox, grid: GeoBox) -> float:
    """Return the number of native pixels per cell of the grid: the median over points spread over the grid."""
    xs = np.linspace(*grid.boundingbox.range_x, 2 * 9 + 1)[1::2]
    ys = np.linspace(*grid.boundingbox.range_y, 2 * 9 + 1)[1::2]
    x, y = np.meshgrid(xs, ys)
    half_x, half_y = (abs(r) / 2 for r in grid.resolution.xy)
    right, left = _to_pixels(source, grid, x + half_x, y), _to_pixels(source, grid, x - half_x, y)
    top, bottom = _to_pixels(source, grid, x, y + half_y), _to_pixels(source, grid, x, y - half_y)
    (ax, ay), (bx, by) = np.subtract(right, left), np.subtract(top, bottom)
    area = np.abs(ax * by - ay * bx)
    area = area[np.isfinite(area)]
    return float(np.median(area)) if area.size else 1.0


def source_window(source: GeoBox, target: GeoBox) -> Window | None:
    """Return the native pixels under a part of the grid, with a margin for the kernel; None if there are none."""
    cols, rows = _mesh(source, target)
    height, width = source.shape.yx
    known = np.isfinite(cols) & np.isfinite(rows)
    if not known.any():
        return None
    # Between two samples a curved edge can bulge by a fraction of their distance.
    pad_c, pad_r = (_PADDING + _largest_step(v) / 4 for v in (cols, rows))
    c0, c1, r0, r1 = cols[known].min(), cols[known].max(), rows[known].min(), rows[known].max()
    if crs_of(source).geographic:
        for pole in (90.0, -90.0):
            if _holds_pole(target, pole, crs_of(source)):
                row = (~source.affine @ (0.0, pole))[1]
                r0, r1, c0, c1 = min(r0, row), max(r1, row), 0, width
    first = max(0, math.floor(r0 - pad_r)), max(0, math.floor(c0 - pad_c))
    last = min(height, math.ceil(r1 + pad_r)), min(width, math.ceil(c1 + pad_c))
    if first[0] >= last[0] or first[1] >= last[1]:
        return None
    return slice(first[0], last[0]), slice(first[1], last[1])


def _mesh(source: GeoBox, target: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows in the source of 33 × 33 points spread over the target."""
    box = target.boundingbox
    x, y = np.meshgrid(np.linspace(*box.range_x, _SAMPLES), np.linspace(*box.range_y, _SAMPLES))
    return _to_pixels(source, target, x, y)


def _stride(source: GeoBox, target: GeoBox) -> float:
    """Return the most pixels between neighbours of such points; inf where the projection does not reach them all."""
    mesh = _mesh(source, target)
    return max(map(_largest_step, mesh)) if np.isfinite(mesh).all() else math.inf


@lru_cache(maxsize=64)
def _transformer(source: CRS, target: CRS) -> Transformer:
    """Cache transformers: PROJ's search for the way from one CRS to another takes longer than a small block."""
    return Transformer.from_crs(source.proj, target.proj, always_xy=True)


def _to_pixels(source: GeoBox, target: GeoBox, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows in the source of points in the target's CRS; NaN beyond the projection."""
    sx, sy = _transformer(crs_of(target), crs_of(source)).transform(x, y)
    cols, rows = ~source.affine @ (np.asarray(sx), np.asarray(sy))
    return np.where(np.isfinite(cols), cols, np.nan), np.where(np.isfinite(rows), rows, np.nan)


def _largest_step(values: np.ndarray) -> float:
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    known = [s[np.isfinite(s)] for s in steps]
    return max((float(s.max()) for s in known if s.size), default=0.0)


def _holds_pole(target: GeoBox, latitude: float, source: CRS) -> bool:
    """Return whether the target holds a pole of the source's longitudes, which may be a rotated one."""
    x, y = _transformer(source, crs_of(target)).transform(0.0, latitude)
    box = target.boundingbox
    return bool(box.left <= x <= box.right and box.bottom <= y <= box.top)
