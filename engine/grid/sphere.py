"""Places on the sphere: distances that are right from one valley to the whole circumpolar North."""

import numpy as np
from scipy.spatial import cKDTree

from engine.errors import InputError

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG). Distances on this sphere are within 0.6 % of those on the ellipsoid."""

_SAME_PLACE_KM = 1e-6
_NAMED_ROWS = 5


def to_sphere(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return Cartesian coordinates on the sphere: without poles or a date line, and with chords that order as arcs do.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees; longitudes in -180…180 or 0…360.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        km from the Earth's centre, the third axis through the North Pole, the first through 0° N 0° E.

    Raises
    ------
    InputError
        If a coordinate is missing or out of range.
    """
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    problems = [
        _out_of_range(name, values, low, high)
        for name, values, low, high in (("longitude", lon, -180, 360), ("latitude", lat, -90, 90))
        if not ((values >= low) & (values <= high)).all()
    ]
    if problems:
        raise InputError(problems)
    lam, phi = np.radians(lon), np.radians(lat)
    unit = np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    return EARTH_RADIUS_KM * unit


def _out_of_range(name: str, values: np.ndarray, low: int, high: int) -> str:
    rows = np.flatnonzero(~((values >= low) & (values <= high)))
    found = ", ".join(f"{values[row]:g} in row {row}" for row in rows[:_NAMED_ROWS])
    more = f" and {len(rows) - _NAMED_ROWS} more" if len(rows) > _NAMED_ROWS else ""
    return f"{name}: expected degrees from {low} to {high}; found {found}{more} (first row: 0)."


def places(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct places among points; points less than about a millimetre apart share one.

    Returns
    -------
    ndarray, shape (p, 3)
        km, in an order that does not depend on that of the points.
    ndarray of int, shape (n,)
        The place of each point.
    """
    rounded, place = np.unique(np.round(xyz / _SAME_PLACE_KM), axis=0, return_inverse=True)
    return rounded * _SAME_PLACE_KM, place.ravel()


def arc(chord: np.ndarray) -> np.ndarray:
    """Convert chords through the Earth to great-circle distances, both in km."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS_KM), 1))


def nearest(points: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Return the great-circle distance, km, from each point to the nearest site; both of shape (…, 3)."""
    return arc(cKDTree(sites).query(points)[0])


def nearest_other(sites: np.ndarray) -> np.ndarray:
    """Return the great-circle distance, km, from each site to the nearest other; 0 where two share a place."""
    return arc(cKDTree(sites).query(sites, k=2)[0][:, 1])


def nearest_outside(sites: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the great-circle distance, km, from each site to the nearest one in another fold."""
    distance = np.empty(len(sites))
    for fold in np.unique(folds):
        held_out = folds == fold
        distance[held_out] = nearest(sites[held_out], sites[~held_out])
    return distance
