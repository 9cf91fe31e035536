"""Points at which `check` inspects values: all over the domain, in patches of true cells, and at the sites."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from engine.cube.sampling import cell_of
from engine.grid.grid import Grid, crs_of
from engine.sources.align import source_window
from engine.sources.base import Source
from engine.sources.composite import Composite
from engine.sources.raster import Patchwork
from engine.sources.raster_base import GriddedSource
from engine.sources.resampling import Choice, Resampling, changed

SIDE = 8
"""Cells on a side of a patch."""
MOST_POINTS = 2**16
"""Points, at most, at which the whole domain is looked at; a grid of no more cells is looked at cell by cell."""
_MOST_PIXELS = 2**24
"""Pixels of a source, times its steps, up to which it is read whole."""
_TILE = 128
"""Cells on a side of the squares in which sites are read together."""
_MOST_READS = 400
"""Times that a source's steps are read, at most, for the sites."""


@dataclass(frozen=True)
class Sites:
    """Profiles with a density.

    Attributes
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees, WGS 84.
    measured : dict
        Covariate → which sites have a value of their own, shape (n,).
    """

    lon: np.ndarray
    lat: np.ndarray
    measured: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame | None, density: str, at_site: Mapping[str, str]) -> "Sites":
        """Select rows of `Profiles.wide` that have the density."""
        if table is None:
            return cls(np.array([]), np.array([]))
        rows = table[table[density].notna()] if density in table else table
        measured = {name: rows[column].notna().to_numpy() for name, column in at_site.items() if column in rows}
        return cls(rows["lon"].to_numpy(float), rows["lat"].to_numpy(float), measured)

    def __len__(self) -> int:
        return len(self.lon)


@dataclass(frozen=True)
class Lattice:
    """Points spread evenly over the domain: the grid's own cells if they are few.

    Attributes
    ----------
    geobox : GeoBox
        Whose cells' centres the points are.
    inside : ndarray of bool, dims (y, x)
        Which lie inside the domain's outline.
    exact : bool
        Whether the points are the cells of the grid.
    """

    geobox: GeoBox
    inside: np.ndarray
    exact: bool

    @classmethod
    def over(cls, grid: Grid) -> "Lattice":
        """Lay as many points over the grid as allowed."""
        height, width = grid.shape
        times = math.sqrt(height * width / MOST_POINTS)
        exact = times <= 1
        box = grid.geobox if exact else grid.geobox.zoom_to((math.ceil(height / times), math.ceil(width / times)))
        whole = Grid(box, max(box.shape.yx), grid.outline)
        return cls(box, whole.inside(next(whole.blocks())), exact)

    def degrees(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of every point, dims (y, x)."""
        height, width = self.geobox.shape.yx
        x, y = self.geobox.affine @ tuple(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5))
        return Transformer.from_crs(crs_of(self.geobox).proj, "EPSG:4326", always_xy=True).transform(x, y)

    def method(self, resampling: Choice) -> Choice:
        """Return the resampling at points: that of the map, or the point itself if that counts shares of a cell."""
        return resampling if self.exact else changed(resampling, lambda r: Resampling.NEAREST if r.counts else r)


def is_small(source: Source, grid: Grid) -> bool:
    """Return whether a source is on this machine and so small that its part under the domain is read whole."""
    return not source.summary().is_remote and _pixels(source, grid) <= _MOST_PIXELS


def _pixels(source: Source, grid: Grid) -> float:
    if isinstance(source, (Composite, Patchwork)):
        parts = source.parts.values() if isinstance(source, Composite) else source.parts
        return sum(_pixels(part, grid) for part in parts)
    if not isinstance(source, GriddedSource):
        return 0.0
    window = source_window(source.geobox, grid.geobox)
    return math.prod(s.stop - s.start for s in window) * _steps(source) if window else 0.0


def _steps(source: Source) -> int:
    if isinstance(source, (Composite, Patchwork)):
        parts = source.parts.values() if isinstance(source, Composite) else source.parts
        return sum(_steps(part) for part in parts)
    return len(set(source.steps())) if isinstance(source, GriddedSource) else 1


def spread_out(candidates: np.ndarray, n: int) -> np.ndarray:
    """Choose points as far from each other as possible; shape (n or fewer, 2)."""
    if not len(candidates):
        return candidates
    chosen = [candidates[len(candidates) // 2]]
    distances = np.hypot(*(candidates - chosen[0]).T)
    while len(chosen) < min(n, len(candidates)):
        chosen.append(candidates[int(distances.argmax())])
        distances = np.minimum(distances, np.hypot(*(candidates - chosen[-1]).T))
    return np.array(chosen)


def patch(grid: Grid, row: float, col: float) -> GeoBox:
    """Return the part of the grid around a cell."""
    height, width = grid.shape
    top, left = (int(np.clip(int(v) - SIDE // 2, 0, max(0, n - SIDE))) for v, n in ((row, height), (col, width)))
    return grid.geobox[top : min(top + SIDE, height), left : min(left + SIDE, width)]


def patches(grid: Grid, n: int, lattice: Lattice, wanted: np.ndarray) -> list[GeoBox]:
    """Return patches around some of the wanted points of a lattice, as far from each other as possible."""
    points = np.argwhere(wanted)
    scale = np.array(grid.shape) / np.array(lattice.geobox.shape.yx)
    return [patch(grid, *((point + 0.5) * scale)) for point in spread_out(points, n)]


def inside(grid: Grid, part: GeoBox) -> np.ndarray:
    """Return which cells of a part of the grid lie inside the outline, dims (y, x)."""
    whole = Grid(part, max(part.shape.yx), grid.outline)
    return whole.inside(next(whole.blocks()))


@dataclass(frozen=True)
class SiteCells:
    """The cells that hold the sites, in squares that are read at a time.

    Attributes
    ----------
    on_grid : ndarray of bool, shape (n,)
        Which sites lie on the grid and inside the outline.
    """

    grid: Grid
    rows: np.ndarray
    cols: np.ndarray
    on_grid: np.ndarray

    @classmethod
    def of(cls, grid: Grid, sites: Sites) -> "SiteCells":
        """Locate the sites on the grid."""
        rows, cols, on_grid = cell_of(grid.geobox, sites.lon, sites.lat)
        a = grid.geobox.affine
        within = shapely.contains_xy(grid.outline.geom, a.c + (cols + 0.5) * a.a, a.f + (rows + 0.5) * a.e)
        return cls(grid, rows, cols, on_grid & within)

    def read(self, source: Source, method: Choice) -> tuple[np.ndarray, np.ndarray]:
        """Read a source's values in the sites' cells, with the sites that were read; the others are too many."""
        tiles: dict[tuple[int, int], list[int]] = {}
        for i in np.flatnonzero(self.on_grid):
            tiles.setdefault((int(self.rows[i]) // _TILE, int(self.cols[i]) // _TILE), []).append(int(i))
        most = max(1, _MOST_READS // _steps(source))
        step = math.ceil(len(tiles) / most) if tiles else 1
        values, read = np.full(len(self.rows), np.nan), np.zeros(len(self.rows), bool)
        for place in sorted(tiles)[::step]:
            members = np.array(tiles[place])
            rows, cols = self.rows[members], self.cols[members]
            part = self.grid.geobox[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
            values[members] = source.on_grid(part, method)[rows - rows.min(), cols - cols.min()]
            read[members] = True
        return values, read
