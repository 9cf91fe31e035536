"""Cells of a map drawn at random, for statistics that need places and cannot be had block by block."""

from dataclasses import dataclass

import numpy as np
from pyproj import Transformer
from scipy.spatial import cKDTree

from engine.grid.grid import Block, Grid, crs_of
from engine.grid.sphere import EARTH_RADIUS_KM, to_sphere
from engine.storage.paths import OutPath
from engine.storage.zarr_store import array


@dataclass(frozen=True)
class CellSample:
    """Mapped cells, each drawn with the same chance, without replacement, in the order of the grid.

    Attributes
    ----------
    lon, lat : ndarray, shape (n,)
        Centres, degrees, WGS 84.
    area_km2 : ndarray, shape (n,)
    zone : ndarray of uint8, shape (n,)
        Zone code 1, 2, …; 0 without a zone.
    values : ndarray of float32, shape (outputs, n)
    mapped : int
        Mapped cells that the sample was drawn from.
    """

    lon: np.ndarray
    lat: np.ndarray
    area_km2: np.ndarray
    zone: np.ndarray
    values: np.ndarray
    mapped: int

    @property
    def is_whole(self) -> bool:
        """Whether it holds every mapped cell."""
        return len(self.lon) == self.mapped


def draw_cells(
    grid: Grid, maps: OutPath, variable: str, cube: OutPath, zones: str | None, most: int, rng: np.random.Generator
) -> CellSample:
    """Draw cells of a map; the same ones whatever the chunks.

    Every cell of the grid gets a random number, and the mapped cells with the lowest are taken. The grid is read in
    strips of whole rows, so that memory is bounded by a strip and by the sample.

    Parameters
    ----------
    maps, variable
        Store and variable, dims (output, y, x); NaN where a cell is not mapped.
    cube, zones
        Store and variable of zone codes, dims (y, x).
    most : int
        Cells to draw; all mapped cells if they are fewer.
    """
    layers = array(maps, variable)
    codes = array(cube, zones) if zones else None
    height, width = grid.shape
    kept = _Lowest.none(most, layers.shape[0])
    for start in range(0, height, grid.chunk):
        rows = slice(start, min(start + grid.chunk, height))
        strip = np.asarray(layers[:, rows])
        found = np.flatnonzero(np.isfinite(strip).all(axis=0))
        number = rng.random(strip.shape[1:]).ravel()[found]
        zone = np.zeros(found.size, "uint8") if codes is None else np.asarray(codes[rows]).ravel()[found]
        block = Block((start // grid.chunk, 0), rows, slice(0, width), grid.geobox[rows, :])
        area = grid.cell_areas(block).ravel()[found]
        values = strip.reshape(len(strip), -1)[:, found]
        kept = kept.and_these(_Lowest(most, found.size, number, found + start * width, zone, area, values))
    order = np.argsort(kept.cell)
    row, col = np.divmod(kept.cell[order], width)
    x, y = grid.geobox.pix2wld(col + 0.5, row + 0.5)
    lon, lat = Transformer.from_crs(crs_of(grid.geobox).proj, "EPSG:4326", always_xy=True).transform(x, y)
    return CellSample(lon, lat, kept.area[order], kept.zone[order], kept.values[:, order], kept.seen)


@dataclass(frozen=True)
class _Lowest:
    """The cells with the lowest random numbers among those seen so far."""

    most: int
    seen: int
    number: np.ndarray
    cell: np.ndarray
    zone: np.ndarray
    area: np.ndarray
    values: np.ndarray

    @classmethod
    def none(cls, most: int, outputs: int) -> "_Lowest":
        empty = np.empty(0)
        return cls(
            most, 0, empty, empty.astype("int64"), empty.astype("uint8"), empty, np.empty((outputs, 0), "float32")
        )

    def and_these(self, other: "_Lowest") -> "_Lowest":
        number = np.concatenate([self.number, other.number])
        keep = np.arange(number.size)
        if number.size > self.most:
            keep = np.argpartition(number, self.most)[: self.most]
        joined = (
            np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)[..., keep]
            for name in ("cell", "zone", "area", "values")
        )
        return _Lowest(self.most, self.seen + other.seen, number[keep], *joined)


def thin(lon: np.ndarray, lat: np.ndarray, apart_km: float, rng: np.random.Generator) -> np.ndarray:
    """Thin points to a least distance: each is taken in random order unless it is too near one already taken.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees.
    apart_km : float
        Great-circle distance; 0 keeps all.

    Returns
    -------
    ndarray of int
        Rows of the points taken, ascending. No further point would fit between them.
    """
    if apart_km <= 0:
        return np.arange(len(lon))
    points = to_sphere(lon, lat)
    tree = cKDTree(points)
    chord = 2 * EARTH_RADIUS_KM * np.sin(min(apart_km / (2 * EARTH_RADIUS_KM), np.pi / 2))
    free = np.ones(len(points), bool)
    taken = []
    for row in rng.permutation(len(points)):
        if free[row]:
            taken.append(row)
            free[tree.query_ball_point(points[row], chord)] = False
    return np.sort(np.array(taken, int))
