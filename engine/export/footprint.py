"""Footprint of a grid: its outline in longitude and latitude, cut as GeoJSON requires."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pyproj
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

POINTS_PER_SIDE = 64
"""A straight side of the grid is a curve in degrees; so many points follow it."""

FULL_TURN = 360.0


def footprint(geobox: GeoBox) -> BaseGeometry:
    """Return the outline of a grid in EPSG:4326.

    The outline's longitudes are unrolled into one continuous curve. A curve that does not close goes round a pole
    and is closed along it; whatever reaches beyond ±180° is cut there and put on the other side (RFC 7946, 3.1.9).

    Parameters
    ----------
    geobox : GeoBox
        A grid in any projected or geographic CRS.

    Returns
    -------
    Polygon or MultiPolygon
        Degrees, exterior rings counter-clockwise.

    Raises
    ------
    ValueError
        If the grid has no CRS, or its outline no place on Earth in it.
    """
    lon, lat = _outline(geobox)
    lon = np.unwrap(lon, period=FULL_TURN)
    if abs(lon[-1] - lon[0]) > FULL_TURN / 2:
        pole = 90.0 if _contains(geobox, 90.0) else -90.0
        lon, lat = np.r_[lon, lon[-1], lon[0]], np.r_[lat, pole, pole]
    unrolled = shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))
    turns = range(int(np.floor((lon.min() + 180) / FULL_TURN)), int(np.ceil((lon.max() + 180) / FULL_TURN)))
    pieces = [
        translate(unrolled & shapely.box(-180 + shift, -90, 180 + shift, 90), xoff=-shift)
        for shift in (FULL_TURN * turn for turn in turns)
    ]
    return tidy(part for piece in pieces for part in shapely.get_parts(piece))


def tidy(parts: Iterable[BaseGeometry]) -> BaseGeometry:
    """Prepare polygons for GeoJSON: joined, rounded to a millionth of a degree, exterior rings counter-clockwise."""
    whole = shapely.union_all([part for part in parts if part.area > 0])
    found = shapely.get_parts(shapely.orient_polygons(shapely.set_precision(whole, 1e-6)))
    return found[0] if len(found) == 1 else shapely.MultiPolygon(list(found))


def bounding_box(outline: BaseGeometry) -> list[float]:
    """Return west, south, east and north of a footprint; west > east if it crosses the antimeridian.

    Parameters
    ----------
    outline : Polygon or MultiPolygon
        What `footprint` returns.

    Returns
    -------
    list of float
        Degrees (RFC 7946, section 5.2).
    """
    west, south, east, north = outline.bounds
    wests, _, easts, _ = shapely.bounds(shapely.get_parts(outline)).T
    goes_round = np.any((wests == -180) & (easts == 180))
    if west == -180 and east == 180 and not goes_round:
        west, east = wests[wests > -180].min(), easts[easts < 180].max()
    return [float(v) for v in (west, south, east, north)]


def crs_of(geobox: GeoBox) -> CRS:
    """Return the CRS of a grid, which must have one."""
    if geobox.crs is None:
        raise ValueError(f"the grid {geobox.shape} at {geobox.affine} has no CRS")
    return geobox.crs


def _outline(geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes along the grid's closed outline, without corners beyond the projection's rim."""
    sides = np.asarray(geobox.extent.exterior.coords)
    along = np.linspace(0, 1, POINTS_PER_SIDE, endpoint=False)[:, None]
    points = np.concatenate([a + (b - a) * along for a, b in pairwise(sides)])
    to_degrees = pyproj.Transformer.from_crs(crs_of(geobox).proj, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(points[:, 0], points[:, 1])
    real = np.isfinite(lon) & np.isfinite(lat)
    if real.sum() < 4:
        raise ValueError(f"the outline {sides.tolist()} has no longitudes and latitudes in {crs_of(geobox)}")
    lon, lat = lon[real], lat[real]
    # A pole on the outline has no longitude: stand there with the one before it, then with the one after it.
    poles = np.flatnonzero(np.isclose(np.abs(lat), 90.0, rtol=0, atol=1e-9))
    after = lon[(poles + 1) % lon.size]
    lon[poles] = lon[poles - 1]
    lon, lat = np.insert(lon, poles + 1, after), np.insert(lat, poles + 1, lat[poles])
    return np.r_[lon, lon[0]], np.r_[lat, lat[0]]


def _contains(geobox: GeoBox, latitude: float) -> bool:
    """Return whether a pole lies in the grid."""
    to_plane = pyproj.Transformer.from_crs("EPSG:4326", crs_of(geobox).proj, always_xy=True)
    x, y = to_plane.transform(0.0, latitude)
    return bool(np.isfinite([x, y]).all() and shapely.intersects_xy(geobox.extent.geom, x, y))
