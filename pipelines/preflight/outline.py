"""The domain's outline, and the box in degrees that holds it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from odc.geo import Geometry
from odc.geo.geom import box
from pyproj import Transformer

from engine.errors import Finding, InputError
from engine.polygons.antimeridian import bounds_on_the_circle
from engine.remote.files import exists, place_of
from engine.remote.retry import RemoteError
from engine.sources.polygons import read_polygons
from pipelines.runfile.reader import Domain

Bounds = tuple[float, float, float, float]
DEGREES = "EPSG:4326"
_POINTS = 2000
"""Points along an outline whose longitudes and latitudes are looked at."""
_OPEN = 5.0
"""Degrees of longitude without a point of the outline that count as outside of it."""


@dataclass(frozen=True)
class Outline:
    """The outline of the domain in the CRS that it is given in, and what had to be changed to have it."""

    geometry: Geometry
    notes: tuple[str, ...] = ()


def read_outline(domain: Domain, base: Path) -> Outline:
    """Read the domain's outline; `base` is where relative paths start.

    Raises
    ------
    InputError
        If the boundary cannot be read, or holds anything but polygons.
    """
    if domain.bounds:
        return Outline(box(*domain.bounds, DEGREES))
    assert domain.boundary is not None
    path = place_of(domain.boundary, base)
    try:
        if not exists(path):
            raise InputError(Finding(f"no such file: {path}", "domain.boundary"))
    except RemoteError as error:
        raise InputError(Finding(f"cannot be reached: {error}", "domain.boundary")) from error
    polygons = read_polygons(path, None, None, None, "domain.boundary")
    return Outline(Geometry(polygons.frame.union_all(), polygons.frame.crs.to_wkt()), polygons.notes)


def box_in_degrees(outline: Geometry) -> Bounds:
    """Return west, south, east and north of an outline, degrees; west > east if it crosses the 180° line."""
    assert outline.crs is not None
    if outline.crs.geographic:
        degrees = outline if outline.crs.epsg == 4326 else outline.to_crs(DEGREES)
        west, south, east, north = degrees.boundingbox.bbox
        if west > -180 or east < 180:
            return west, south, east, north
        lon = shapely.get_coordinates(shapely.segmentize(degrees.geom, _OPEN / 2))[:, 0]
        return _across(lon, south, north, west, east)
    step = outline.geom.length / _POINTS
    xy = shapely.get_coordinates(shapely.segmentize(outline.geom, step))
    lon, lat = Transformer.from_crs(outline.crs.proj, DEGREES, always_xy=True).transform(*xy.T)
    known = np.isfinite(lon) & np.isfinite(lat)
    south, north = float(np.min(lat[known], initial=90)), float(np.max(lat[known], initial=-90))
    poles = [pole for pole in (90.0, -90.0) if _holds_pole(outline, pole)]
    if poles or not known.any():
        return -180.0, min(south, *poles, 90.0), 180.0, max(north, *poles, -90.0)
    return _across(lon[known], south, north, float(lon[known].min()), float(lon[known].max()))


def bounds_in_degrees(outline: Geometry) -> Bounds:
    """Return bounds as `box_in_degrees`, with west < east: all longitudes if the outline crosses the 180° line."""
    west, south, east, north = box_in_degrees(outline)
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def _across(lon: np.ndarray, south: float, north: float, west: float, east: float) -> Bounds:
    """Return the arc that holds all longitudes if it crosses 180°, else their range."""
    first, last = bounds_on_the_circle(lon)
    if first <= last:
        return west, south, east, north
    if (first - last) < _OPEN:
        return -180.0, south, 180.0, north
    return first, south, last, north


def _holds_pole(outline: Geometry, latitude: float) -> bool:
    assert outline.crs is not None
    x, y = Transformer.from_crs(DEGREES, outline.crs.proj, always_xy=True).transform(0.0, latitude)
    return bool(np.isfinite(x) and np.isfinite(y) and shapely.contains_xy(outline.geom, x, y))
