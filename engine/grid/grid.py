"""The target grid: a GeoBox over the domain's outline, its blocks, the cells inside and their areas."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
import shapely
from odc.geo import CRS, Geometry
from odc.geo.geobox import GeoBox, GeoboxTiles
from rasterio.features import rasterize

from engine.errors import Finding, InputError, Where
from engine.grid.chunking import best_chunk
from engine.grid.crs_name import named
from engine.polygons.repair import polygonal, valid

EQUAL_AREA_TOLERANCE = 1e-5
"""How far from 1 the areal scale of an equal-area CRS may come out: it is differentiated numerically."""
_FINEST = 2.0**-16
"""Resolutions are multiples of this, m, so that the coordinates of every cell are exact binary numbers, the same
whether they are counted from the corner of the grid or of a block."""
_SEAM = 1e-3
"""Distance, m, within which corners of two parts of an outline are the same."""
_MOST_CELLS = 1e12
"""Cells of a grid beyond which its resolution is taken for a mistake; the Earth at 30 m has half as many."""
_STEP = 1000.0
"""Side, m, of the squares on which areas are compared."""


@dataclass(frozen=True)
class Block:
    """One block of the grid: the unit of reading, computing and writing.

    Attributes
    ----------
    index : (int, int)
        Row and column of the block in the grid's tiling.
    rows, cols : slice
        The cells of the grid that the block covers.
    geobox : GeoBox
        Their georeference.
    """

    index: tuple[int, int]
    rows: slice
    cols: slice
    geobox: GeoBox

    @property
    def roi(self) -> tuple[slice, slice]:
        """The block's place in an array of the whole grid, dims (y, x)."""
        return self.rows, self.cols


@dataclass(frozen=True)
class Grid:
    """A regular grid in a projected CRS, cut into square blocks, with the outline of the domain.

    Attributes
    ----------
    geobox : GeoBox
        The whole grid. Its cells are aligned to multiples of the resolution.
    chunk : int
        Cells per block side.
    outline : Geometry
        The domain's outline, in the grid's CRS. A cell is inside if its centre is.
    """

    geobox: GeoBox
    chunk: int
    outline: Geometry

    @classmethod
    def from_outline(cls, outline: Geometry, crs: str, resolution: float, chunk: int | None = None) -> "Grid":
        """Lay a grid over an outline.

        Parameters
        ----------
        outline : Geometry
            The domain in any CRS, e.g. degrees in EPSG:4326.
        crs : str
            A projected CRS, as EPSG code or PROJ string. Equal-area is best; others are weighted by true cell area.
        resolution : float
            Cell side, m.
        chunk : int, optional
            Cells per block side; by default what suits the size of the grid (`chunking.best_chunk`).

        Raises
        ------
        InputError
            If the CRS is unknown or not projected in metres, the outline does not project into it, or the resolution is
            absurdly fine for it.
        """
        target = parse_crs(crs, "domain.crs")
        if not target.projected or not math.isclose(_metres_per_unit(target), 1.0):
            raise InputError(
                Finding(
                    f"{crs!r} is not a projected CRS in metres; `resolution` is in metres. "
                    "Use an equal-area CRS such as EPSG:6931 (north polar) or EPSG:6933 (global).",
                    "domain.crs",
                )
            )
        _require_cells(outline.to_crs(target), resolution)
        target = named(target)
        # A straight edge in degrees is a curve on the grid: keep points along it about ten cells apart.
        step = resolution * 10 if outline.crs and outline.crs.projected else resolution * 10 / 111_000
        projected = outline.segmented(step).to_crs(target)
        if projected.is_empty or not np.isfinite(projected.boundingbox.bbox).all():
            raise InputError(
                Finding(f"the outline cannot be projected into {crs!r}; is it in that CRS's area of use?", "domain")
            )
        projected = _valid(projected)
        exact = max(1, round(resolution / _FINEST)) * _FINEST
        geobox = GeoBox.from_bbox(projected.boundingbox, crs=target, resolution=exact, anchor="edge")
        return cls(geobox, chunk or best_chunk(geobox.shape.yx), projected)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.geobox.shape.yx

    @cached_property
    def _tiles(self) -> GeoboxTiles:
        return GeoboxTiles(self.geobox, (self.chunk, self.chunk))

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        ny, nx = self._tiles.shape.yx
        return ny * nx

    def blocks(self, *, mixed: bool = False) -> Iterator[Block]:
        """Yield every block, row by row or mixed: full and empty ones alternate, so that a rate predicts the rest."""
        shape = self._tiles.shape.yx
        order = np.random.default_rng(0).permutation(self.n_blocks) if mixed else np.arange(self.n_blocks)
        for place in order:
            row, col = (int(i) for i in np.unravel_index(place, shape))
            rows, cols = self._tiles.roi[row, col]
            yield Block((row, col), rows, cols, self.geobox[rows, cols])

    def inside(self, block: Block) -> np.ndarray:
        """Return which cells of a block have their centre inside the domain's outline.

        Returns
        -------
        ndarray of bool, dims (y, x)
        """
        a = block.geobox.affine
        place = {"out_shape": block.geobox.shape.yx, "transform": a, "dtype": "uint8"}
        inside = rasterize([self.outline.geom], **place).astype(bool)
        # GDAL rounds by the block's corner: cells that the outline passes through are judged by their exact centres.
        rows, cols = np.nonzero(rasterize([self.outline.geom.boundary], all_touched=True, **place))
        x, y = a.c + (cols + 0.5) * a.a, a.f + (rows + 0.5) * a.e
        inside[rows, cols] = shapely.contains_xy(self.outline.geom, x, y)
        return inside

    @cached_property
    def is_equal_area(self) -> bool:
        """Whether one cell area serves the whole grid, judged on 33 × 33 points spread over it."""
        xs = np.linspace(*self.geobox.boundingbox.range_x, 33)
        ys = np.linspace(*self.geobox.boundingbox.range_y, 33)
        scale = _areal_scale(crs_of(self.geobox), *np.meshgrid(xs, ys))
        known = np.isfinite(scale)
        return bool(known.any() and np.all(np.abs(scale[known] - 1) < EQUAL_AREA_TOLERANCE))

    @property
    def nominal_cell_area(self) -> float:
        """Area of a cell on the projected plane, km²."""
        return abs(self.geobox.affine.determinant) / 1e6

    def cell_areas(self, block: Block) -> np.ndarray:
        """Return the true area of every cell of a block on the ellipsoid of WGS 84.

        Returns
        -------
        ndarray of float64, dims (y, x), km²
        """
        if self.is_equal_area:
            return np.full(block.geobox.shape.yx, self.nominal_cell_area)
        ys, xs = (block.geobox.coordinates[d].values for d in block.geobox.dimensions)
        return self.nominal_cell_area / _areal_scale(crs_of(self.geobox), *np.meshgrid(xs, ys))


def _valid(outline: Geometry) -> Geometry:
    """Repair rings that cross or touch themselves; parts that meet, as at ±180°, become one."""
    if outline.is_valid:
        return outline
    parts = [valid(polygon) for polygon in shapely.get_parts(outline.geom)]
    whole = parts[0] if len(parts) == 1 else polygonal(shapely.union_all(parts, grid_size=_SEAM))
    return Geometry(whole, outline.crs)


def _require_cells(outline: Geometry, resolution: float) -> None:
    box = outline.boundingbox
    cells = box.span_x * box.span_y / resolution**2
    if np.isfinite(cells) and cells > _MOST_CELLS:
        raise InputError(
            Finding(
                f"cells of {resolution:g} m make a grid of {cells:.1e} cells over "
                f"{box.span_x / 1000:,.0f} × {box.span_y / 1000:,.0f} km; expected a cell side in metres, not "
                "in degrees",
                "domain.resolution",
            )
        )


def parse_crs(text: str, key: str) -> CRS:
    """Parse a CRS from an EPSG code, PROJ string or WKT; `key` names it in the error."""
    try:
        return CRS(text)
    except Exception as error:
        raise InputError(
            Finding(f"{text!r} is not a CRS that PROJ knows ({error}); expected e.g. EPSG:6931.", key)
        ) from error


def require_place(crs: CRS, where: Where) -> CRS:
    """Return the same CRS if its coordinates are places on Earth; else raise.

    Raises
    ------
    InputError
        If no way leads from it to longitudes and latitudes: local ("engineering") systems, heights, other planets.
    """
    try:
        pyproj.Transformer.from_crs(crs.proj, "EPSG:4326", always_xy=True)
        on_a_plane = crs.geographic or crs.projected
    except (pyproj.exceptions.ProjError, RuntimeError):
        on_a_plane = False
    if not on_a_plane:
        raise InputError(
            where.problem(
                f"its CRS, {crs.proj.name!r}, is of the kind {crs.proj.type_name}, whose coordinates are not "
                "places on Earth; if you know the right one, add e.g. `crs: EPSG:4326` to the entry"
            )
        )
    return crs


def source_crs(given: str | None, declared: str, key: str, where: Where) -> CRS:
    """Return the CRS of a source: what its entry gives, else what the file declares.

    Parameters
    ----------
    given, declared : str
        EPSG code, PROJ string or WKT; None or "" where there is none.
    key : str
        Of the entry, for errors.
    where : Where
        The file, for errors.

    Raises
    ------
    InputError
        If there is none, or it leads nowhere.
    """
    if given:
        return require_place(parse_crs(given, key), Where(key, repr(given)))
    if not declared:
        raise InputError(where.problem("declares no CRS; if you know it, add e.g. `crs: EPSG:4326` to the entry"))
    try:
        crs = CRS(declared)
    except (pyproj.exceptions.ProjError, ValueError) as error:
        raise InputError(
            where.problem(
                f"declares a CRS that PROJ does not know ({error}); if you know it, add e.g. `crs: EPSG:4326` to "
                "the entry"
            )
        ) from error
    return require_place(crs, where)


def centres(geobox: GeoBox, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates of the centres of a grid's cells, the same whatever other cells are asked for."""
    x, y = geobox.pix2wld(cols + 0.5, rows + 0.5)
    return np.asarray(x), np.asarray(y)


def crs_of(geobox: GeoBox) -> CRS:
    """Return the CRS of a GeoBox; every GeoBox here has one."""
    assert geobox.crs is not None
    return geobox.crs


def _metres_per_unit(crs: CRS) -> float:
    return crs.proj.axis_info[0].unit_conversion_factor


def _areal_scale(crs: CRS, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Return projected area over true area at points of the plane; NaN beyond the projection.

    The true area is that of a small square of the plane on the ellipsoid of WGS 84, whatever sphere the projection
    is defined on: the cross product of the square's sides in space, which no pole disturbs.
    """
    to_degrees = pyproj.Transformer.from_crs(crs.proj, "EPSG:4326", always_xy=True)
    to_space = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)

    def side(dx: float, dy: float) -> np.ndarray:
        first, last = (
            np.stack(to_space.transform(*to_degrees.transform(xs + s * dx, ys + s * dy), np.zeros_like(xs)))
            for s in (-0.5, 0.5)
        )
        return (last - first) / _STEP

    with np.errstate(invalid="ignore"):
        scale = 1 / np.linalg.norm(np.cross(side(_STEP, 0), side(0, _STEP), axis=0), axis=0)
    return np.where(scale > 0, scale, np.nan)
