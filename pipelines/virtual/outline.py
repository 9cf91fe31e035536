"""The outline of the virtual region and its lakes: closed curves that wander about a plain shape."""

import json
from pathlib import Path

import numpy as np
from odc.geo import Geometry
from pyproj import Transformer
from shapely import Polygon
from shapely.affinity import scale

REGION_CRS = "+proj=laea +lat_0=50.5 +lon_0=123.5 +datum=WGS84 +units=m +no_defs"
"""Lambert's equal-area plane about the middle of Northeast China: the CRS of the run's grid and of the landscape."""

REGION_AREA = 5.6e5
"""Area within the outline, km² (the study's region)."""

_ASPECT = 1.27
"""Width over height of the study's extent, 117.5–129.4° E by 47.6–53.45° N."""

_ANGLES = np.linspace(0, 2 * np.pi, 2400, endpoint=False)


def _wander(angles: np.ndarray, amplitude: float, number: int) -> np.ndarray:
    """Return the relative deviation of a curve from its plain shape: harmonics whose amplitudes fall with their order.

    `number` tells the curves apart; a curve is the same for every seed of the landscape, so that runs share one grid.
    """
    rng = np.random.default_rng(np.random.SeedSequence(number))
    order = np.arange(2, 240)[:, None]
    phases = rng.uniform(0, 2 * np.pi, order.shape)
    sizes = rng.rayleigh(size=order.shape) * order**-1.25
    return amplitude * (sizes * np.sin(order * angles + phases)).sum(axis=0)


def region_outline() -> Polygon:
    """Return the region on the plane of `REGION_CRS`, m.

    The study gives 5.6 × 10⁵ km² and an extent of degrees that holds 5.4 × 10⁵ km² as a full box. The outline keeps the
    area and the centre, and so reaches about half a degree beyond that extent.
    """
    blunt = 1 / 2.8  # a superellipse, between an ellipse and a box
    bulge = 1 + _wander(_ANGLES, 0.12, number=10)
    x = np.sign(np.cos(_ANGLES)) * np.abs(np.cos(_ANGLES)) ** (2 * blunt) * bulge * _ASPECT
    y = np.sign(np.sin(_ANGLES)) * np.abs(np.sin(_ANGLES)) ** (2 * blunt) * bulge
    shape = Polygon(np.column_stack([x, y]))
    side = np.sqrt(REGION_AREA * 1e6 / shape.area)
    return scale(shape, side, side, origin=(0, 0))


LAKES = (
    # centre x and y (km on the plane), radius (km), elongation, bearing of the long axis (radians)
    (-250.0, -150.0, 20.0, 1.7, 0.9),
    (196.0, 58.0, 10.0, 1.4, 2.2),
    (424.0, -118.0, 13.0, 1.3, 0.3),
)
"""Lakes without soil; the third lies across the eastern margin."""


def lake_shore(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the field of lakes: negative on water, positive on land, zero on the shore.

    Parameters
    ----------
    x, y : ndarray
        Places on the plane of `REGION_CRS`, m.

    Returns
    -------
    ndarray of float64
        Distance from the nearest lake's centre over the lake's radius in that direction, less one.
    """
    shore = np.full(np.broadcast(x, y).shape, np.inf)
    for number, (east, north, radius, elongation, bearing) in enumerate(LAKES):
        dx, dy = x / 1000 - east, y / 1000 - north
        along = (dx * np.cos(bearing) + dy * np.sin(bearing)) / np.sqrt(elongation)
        across = (dy * np.cos(bearing) - dx * np.sin(bearing)) * np.sqrt(elongation)
        near = np.hypot(along, across) < 2 * radius
        reach = radius * (1 + _wander(np.arctan2(across[near], along[near]), 0.25, number))
        ratio = np.hypot(along, across) / radius
        ratio[near] = np.hypot(along, across)[near] / reach
        shore = np.minimum(shore, ratio - 1)
    return shore


def write_boundary(path: Path) -> Geometry:
    """Write the outline as GeoJSON in degrees, and return it as read back: coordinates to 10⁻⁶ degrees."""
    x, y = np.asarray(region_outline().exterior.coords).T
    degrees = Transformer.from_crs(REGION_CRS, "EPSG:4326", always_xy=True).transform(x, y)
    ring = np.column_stack(degrees).round(6)
    feature = {
        "type": "Feature",
        "properties": {"name": "Virtual permafrost region", "note": "made-up data: no such region exists"},
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}) + "\n", encoding="utf-8")
    return Geometry(Polygon(ring), "EPSG:4326")
