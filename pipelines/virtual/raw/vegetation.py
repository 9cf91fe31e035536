"""The vegetation map: polygons with class codes in a GeoPackage."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from contourpy import FillType, contour_generator
from shapely.geometry.base import BaseGeometry

from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS
from pipelines.virtual.raw.layout import NOTE, RawFile

WATER = 99
"""Code of water, which no class of the run file lists."""

UNITS = {
    1: "cold-temperate larch forest",
    2: "mixed coniferous and broadleaved forest",
    3: "broadleaved forest",
    4: "meadow steppe",
    5: "typical steppe",
    6: "marsh and bog",
    WATER: "water",
}
"""Mapping units by code."""

CLASSES = {"forest": (1, 2, 3), "grassland": (4, 5), "wetland": (6,)}
"""Units of each class of `covariates.CLASSES`."""

_FOREST_BY_MAT = (-2.0, -0.5)
"""MAT (°C) at which larch gives way to mixed forest, and this to broadleaved forest."""
_MEADOW_BY_AI = 0.52
"""Aridity index above which grassland is meadow steppe."""


def write_vegetation(landscape: Landscape, folder: Path) -> list[RawFile]:
    """Write `vegetation.gpkg`: column VEG_CODE (`UNITS`), one polygon per patch, in degrees, whatever the size."""
    mat, ai = (landscape.fields[name] for name in ("mat", "ai"))
    area = _where(landscape, np.ones_like(mat))
    water = _where(landscape, -landscape.fields["shore"])
    wetland = _where(landscape, landscape.fields["wetland"]) - water
    grassland = _where(landscape, landscape.fields["grassland"]) - wetland - water
    forest = area - grassland - wetland - water
    larch, broadleaved = _where(landscape, _FOREST_BY_MAT[0] - mat), _where(landscape, mat - _FOREST_BY_MAT[1])
    meadow = _where(landscape, ai - _MEADOW_BY_AI)
    shapes = {
        1: forest & larch,
        2: forest - larch - broadleaved,
        3: forest & broadleaved,
        4: grassland & meadow,
        5: grassland - meadow,
        6: wetland,
        WATER: water,
    }
    units = gpd.GeoDataFrame(
        {"VEG_CODE": list(shapes), "VEG_UNIT": [UNITS[code] for code in shapes], "NOTE": NOTE},
        geometry=list(shapes.values()),
        crs=REGION_CRS,
    )
    patches = units.to_crs("EPSG:4326")
    patches.geometry = patches.make_valid()
    # Twice: where a made-valid patch is polygons and lines, its parts are multi-part again.
    patches = patches.explode().explode(ignore_index=True)
    patches = patches[patches.geom_type == "Polygon"]
    path = folder / "vegetation.gpkg"
    patches.to_file(path, layer="vegetation", driver="GPKG")
    west, south, east, north = (float(v) for v in patches.total_bounds)
    return [RawFile("vegetation", path, "EPSG:4326", (west, south, east, north), (2007, 2007), "int64")]


def _where(landscape: Landscape, field: np.ndarray) -> BaseGeometry:
    """Return the ground on which a field is positive."""
    generator = contour_generator(
        landscape.plane.x, landscape.plane.y, np.minimum(field, 1), fill_type=FillType.OuterOffset
    )
    polygons = []
    for points, offsets in zip(*generator.filled(0, 2), strict=True):
        rings = np.split(points, offsets[1:-1])
        polygons.append(shapely.Polygon(rings[0], rings[1:]))
    return shapely.make_valid(shapely.union_all(polygons))
