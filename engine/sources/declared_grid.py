"""Comparison of a raster's grid with the one that its catalogue declares, trusted before the file is opened."""

import math
from functools import lru_cache

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from engine.errors import InputError, Where
from engine.grid.grid import crs_of

_ELSEWHERE = 0.25
"""Pixels by which a file may lie beside the place that a catalogue says."""
_REMEDY = "if the file is right, give its `crs` in the entry: then every file is asked for its grid"


def require_told_grid(dataset: DatasetReader, told: GeoBox, where: Where) -> None:
    """Require that a file has the pixels, in the place, that a catalogue declares.

    Raises
    ------
    InputError
        If their number, their place or their CRS is another.
    """
    if dataset.shape != told.shape.yx:
        raise InputError(
            where.problem(
                f"has {dataset.height} × {dataset.width} pixels, the catalogue says {told.shape.y} × {told.shape.x}"
            )
        )
    if dataset.transform.is_identity:
        return  # it does not say where it is
    if _pixels_off(dataset.transform, told) > _ELSEWHERE:
        raise InputError(
            where.problem(
                f"its grid begins at {_grid(dataset.transform)}, the catalogue says {_grid(told.affine)}; {_REMEDY}"
            )
        )
    own, there = _wkt(dataset), crs_of(told)
    if _distance(own, there.to_wkt(), told.boundingbox.bbox) > _ELSEWHERE * abs(told.resolution.y):
        raise InputError(where.problem(f"its CRS is {CRS(own).name}, the catalogue says {there.proj.name}; {_REMEDY}"))


def _pixels_off(own: Affine, told: GeoBox) -> float:
    """Return the largest distance, in pixels, between a corner of the file and the catalogue's."""
    height, width = told.shape.yx
    corners = np.array([own @ (col, row) for col in (0, width) for row in (0, height)])
    there = np.array([~told.affine @ (x, y) for x, y in corners])
    return float(np.abs(there - [(col, row) for col in (0, width) for row in (0, height)]).max())


def _grid(affine: Affine) -> str:
    return f"{affine.c:.10g}, {affine.f:.10g} with pixels of {affine.a:.6g} × {abs(affine.e):.6g}"


def _wkt(dataset: DatasetReader) -> str:
    try:
        return str(dataset.crs.to_wkt()) if dataset.crs else ""
    except CRSError:
        return ""


@lru_cache(maxsize=256)
def _distance(own: str, told: str, box: tuple[float, float, float, float]) -> float:
    """Return the distance between the centres of a box in two CRSs, in units of the catalogue's; 0 if unknown."""
    if own in ("", told):
        return 0.0
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    try:
        across, up = Transformer.from_crs(own, told, always_xy=True).transform(x, y)
    except ProjError:
        return 0.0  # a local system, of which only the catalogue knows where it is
    return math.hypot(across - x, up - y) if math.isfinite(across) and math.isfinite(up) else 0.0
