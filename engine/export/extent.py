"""Extent of a domain's cells on Earth: a bounding box and an outline in degrees, across 180° and around a pole."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyproj
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from engine.export.footprint import crs_of, tidy

SIDE = 2000
"""Most cells along a side that are looked at; of a larger grid, squares of cells count as one."""
CELLS_ACROSS = 160
"""Into so many cells of longitude and latitude the longer side of a bounding box is divided for the outline."""
FULL_TURN = 360.0
_CLOSE = 1e-9
_NEAR = 1e-3
_SLIVER = 8.0
"""Degrees that the rest of a cell beyond the antimeridian may span and not count."""
"""Degrees from a pole at which projections still tell the directions apart."""


@dataclass(frozen=True)
class Extent:
    """Extent on Earth: bounding box and outline.

    Attributes
    ----------
    outline : Polygon or MultiPolygon
        Degrees, cut at ±180° (RFC 7946, 3.1.9).
    bbox : (float, float, float, float)
        West, south, east, north; west is greater than east if it crosses the antimeridian.
    """

    outline: BaseGeometry
    bbox: tuple[float, float, float, float]


def extent_of(layer: xr.DataArray, side: int = SIDE) -> Extent | None:
    """Compute the extent of the cells of a layer that are not 0, read strip by strip.

    Parameters
    ----------
    layer : DataArray, dims (y, x)
        A mask on a grid.
    side : int
        Most cells along a side that are looked at; coarser squares widen the extent by less than one of them.

    Returns
    -------
    Extent or None
        None if no cell is set.
    """
    factor = -(-max(layer.shape) // side)
    chunk = layer.encoding.get("preferred_chunks", {}).get(layer.dims[0], layer.shape[0])
    rows = factor * -(-chunk // factor)
    strips = [_any(layer[top : top + rows].values != 0, factor) for top in range(0, layer.shape[0], rows)]
    inside = np.concatenate(strips)
    return extent_of_cells(layer.odc.geobox.zoom_out(factor) if factor > 1 else layer.odc.geobox, inside)


def extent_of_cells(geobox: GeoBox, inside: np.ndarray) -> Extent | None:
    """Compute the extent of the cells of a grid that are inside.

    Parameters
    ----------
    geobox : GeoBox
        The grid, in any CRS.
    inside : ndarray of bool, dims (y, x)
        Its cells; may be a little larger than the grid at the lower and right edge.

    Returns
    -------
    Extent or None
        None if no cell is inside, or none of them has a place on Earth.
    """
    if not inside.any():
        return None
    place = _Place(geobox, inside)
    south, north = place.latitudes()
    span = place.longitudes()
    if span is None:
        return None
    west, width = span
    left, bottom, right = _wrapped(west, width, south)
    # Adding 0 takes the sign off a zero.
    return Extent(place.outline(west, south, width, north), (left + 0.0, bottom + 0.0, right + 0.0, north + 0.0))


def _wrapped(west: float, width: float, south: float) -> tuple[float, float, float]:
    """Return west, south and east within ±180°."""
    if width >= FULL_TURN - _CLOSE:
        return -180.0, south, 180.0
    east = west + width
    return west, south, east if east <= 180 + _CLOSE else east - FULL_TURN


def _without_slivers(west: float, width: float, sliver: float) -> tuple[float, float]:
    """Cut a span at the antimeridian if only a cell or two lies beyond it."""
    beyond = west + width - 180
    if 0 < beyond < sliver < width:
        return west, width - beyond
    if 0 < 180 - west < sliver < width and beyond > 0:
        return -180.0, width - (180 - west)
    return west, width


class _Place:
    """A mask on a grid, and the ways between its plane and degrees."""

    def __init__(self, geobox: GeoBox, inside: np.ndarray):
        self.affine, self.inside = geobox.affine, inside
        crs = crs_of(geobox).proj
        self._to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        self._to_plane = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        padded = np.pad(inside, 1)
        neighbours = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        self.rows, self.cols = np.nonzero(inside & ~neighbours)
        self.lon, self.lat = self._corners()

    def _corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners of cells at the edge in degrees, shape (cells, 4); NaN beyond the projection."""
        cols = self.cols[:, None] + np.array([0, 1, 1, 0])
        rows = self.rows[:, None] + np.array([0, 0, 1, 1])
        lon, lat = self._to_degrees.transform(*(self.affine @ (cols, rows)))
        known = np.isfinite(lon) & np.isfinite(lat)
        # A pole has no longitude.
        has_longitude = known & (np.abs(lat) < 90 - _CLOSE)
        return np.where(has_longitude, lon, np.nan), np.where(known, lat, np.nan)

    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the plane coordinates of the centres of cells at the edge."""
        a = self.affine
        x, y = self.cols + 0.5, self.rows + 0.5
        return a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f

    def holds(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Return whether points lie in a cell that is inside."""
        x, y = self._to_plane.transform(lon, lat)
        known = np.isfinite(x) & np.isfinite(y)
        col, row = ~self.affine @ (np.where(known, x, 0.0), np.where(known, y, 0.0))
        row, col = np.floor(row).astype(np.int64), np.floor(col).astype(np.int64)
        height, width = self.inside.shape
        known &= (row >= 0) & (row < height) & (col >= 0) & (col < width)
        return known & self.inside[np.clip(row, 0, height - 1), np.clip(col, 0, width - 1)]

    def _around(self, pole: int) -> np.ndarray:
        """Return which of the directions around a pole (1 north, −1 south) are inside."""
        lon = np.linspace(-180, 180, 16, endpoint=False) + 1
        return self.holds(lon, np.full(lon.size, pole * (90 - _NEAR)))

    def latitudes(self) -> tuple[float, float]:
        """Return south and north."""
        south = -90.0 if self._around(-1).any() else float(np.nanmin(self.lat, initial=90))
        return south, 90.0 if self._around(1).any() else float(np.nanmax(self.lat, initial=-90))

    def longitudes(self) -> tuple[float, float] | None:
        """Return west (from −180° to 180°) and the degrees from there to the east: all but the widest gap."""
        if self._around(1).all() or self._around(-1).all():
            return -180.0, FULL_TURN
        lon = self.lon[np.isfinite(self.lon).sum(axis=1) > 1]
        if not lon.size:
            return None
        # A cell's corners are less than half a turn apart, unless it holds a pole.
        first = np.take_along_axis(lon, np.isfinite(lon).argmax(axis=1)[:, None], axis=1)
        around = first + (lon - first + 180) % FULL_TURN - 180
        starts, ends = np.nanmin(around, axis=1), np.nanmax(around, axis=1)
        order = np.argsort(starts % FULL_TURN)
        starts, widths = (starts % FULL_TURN)[order], (ends - starts)[order]
        reach = np.maximum.accumulate(starts + widths)
        if reach[-1] - starts[0] >= FULL_TURN:
            # What comes round again covers the beginning.
            reach = np.maximum(reach, reach[-1] - FULL_TURN)
        gaps = np.append(starts[1:], starts[0] + FULL_TURN) - reach
        widest = int(gaps.argmax())
        if gaps[widest] <= _CLOSE:
            return -180.0, FULL_TURN
        west = float((starts[(widest + 1) % len(starts)] + 180) % FULL_TURN - 180)
        return _without_slivers(west, float(FULL_TURN - gaps[widest]), min(_SLIVER, 2 * float(np.median(widths))))

    def outline(self, west: float, south: float, width: float, north: float) -> BaseGeometry:
        """Join the cells of longitude and latitude that hold any of the cells inside."""
        step = max(width, north - south) / CELLS_ACROSS
        columns, rows = (max(1, round(side / step)) for side in (width, north - south))
        lons, lats = np.linspace(west, west + width, columns + 1), np.linspace(south, north, rows + 1)
        filled = self._sampled(lons, lats) | self._counted(lons, lats)
        boxes = [
            shapely.box(lons[first], lats[row], lons[last], lats[row + 1])
            for row in range(rows)
            for first, last in _runs(filled[row])
        ]
        whole = shapely.union_all(boxes)
        beyond = translate(whole & shapely.box(180, -90, 540, 90), xoff=-FULL_TURN)
        pieces = [whole & shapely.box(-180, -90, 180, 90), beyond]
        return tidy(part for piece in pieces for part in shapely.get_parts(piece))

    def _sampled(self, lons: np.ndarray, lats: np.ndarray) -> np.ndarray:
        """Return which cells of degrees have one of nine points inside."""
        filled = np.zeros((lats.size - 1, lons.size - 1), bool)
        for right in (1 / 6, 1 / 2, 5 / 6):
            for up in (1 / 6, 1 / 2, 5 / 6):
                x = lons[:-1] + right * np.diff(lons)
                y = lats[:-1] + up * np.diff(lats)
                filled |= self.holds(*np.meshgrid(x, y))
        return filled

    def _counted(self, lons: np.ndarray, lats: np.ndarray) -> np.ndarray:
        """Return which cells of degrees hold the centre of a cell at the edge, however small."""
        lon, lat = self._to_degrees.transform(*self._centres())
        known = np.isfinite(lon) & np.isfinite(lat)
        lon = lons[0] + (lon[known] - lons[0]) % FULL_TURN
        filled = np.histogram2d(lat[known], lon, bins=(lats, lons))[0] > 0
        return np.asarray(filled)


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last + 1 of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return list(pairwise(edges.tolist()))[::2]


def _any(cells: np.ndarray, factor: int) -> np.ndarray:
    """Return whether any cell of each square is set; squares at the edge may be cut off."""
    if factor == 1:
        return cells
    starts = [np.arange(0, n, factor) for n in cells.shape]
    rows = np.logical_or.reduceat(cells, starts[0], axis=0)
    return np.asarray(np.logical_or.reduceat(rows, starts[1], axis=1))
