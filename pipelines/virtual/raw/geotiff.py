"""GeoTIFFs of integers: the aridity index in degrees, the soil grids in Albers' projection."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo import CRS, Geometry
from rasterio.transform import array_bounds, from_origin

from pipelines.virtual.fields import interpolate
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS, region_outline
from pipelines.virtual.raw.layout import NOTE, RawFile, Size, pixel_positions

SOIL_CRS = "+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84 +units=m +no_defs"
"""Albers' equal-area projection in the parameters that are usual for China."""

SOIL_FILES = {"tn": ("tn_0-10cm.tif", 0.01), "ph": ("ph_0-30cm.tif", 0.01), "clay_silt": ("clay_silt_0-30cm.tif", 0.1)}
"""Name of each soil raster and its scale, which the file declares."""

SOIL_NODATA = -32768
ARIDITY_SCALE = 1e-4
"""Known from the documentation of the index only: the file does not declare it."""


def write_geotiff(
    path: Path,
    values: np.ndarray,
    transform: Affine,
    crs: str,
    *,
    nodata: int | None = None,
    scale: float | None = None,
    **tags: str,
) -> None:
    """Write a band of int16, tiled and deflated; nodata and scale only where the source would declare them."""
    height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=1,
        dtype="int16",
        crs=crs,
        transform=transform,
        nodata=nodata,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=2,
    ) as file:
        if scale is not None:
            file.scales = (scale,)
        file.update_tags(NOTE=NOTE, **tags)
        file.write(values, 1)


def degree_grid(degrees: float) -> tuple[Affine, tuple[int, int]]:
    """Transform and shape of a raster in degrees over the outline and a quarter of a degree around it."""
    west, south, east, north = _outline_in("EPSG:4326", margin=0.25, step=0.25)
    shape = (round((north - south) / degrees), round((east - west) / degrees))
    return from_origin(west, north, degrees, degrees), shape


def write_aridity(landscape: Landscape, size: Size, folder: Path) -> list[RawFile]:
    """Write the aridity index: one global-style raster in degrees, integers × 10⁻⁴."""
    transform, shape = degree_grid(size.degrees)
    position = pixel_positions(landscape.plane, transform, shape, "EPSG:4326")
    index = interpolate(landscape.fields["ai"], position)
    path = folder / "aridity_index.tif"
    write_geotiff(path, _stored(index, ARIDITY_SCALE), transform, "EPSG:4326", title="Aridity index")
    return [RawFile("ai", path, "EPSG:4326", array_bounds(*shape, transform), (2022, 2022), "int16")]


def write_soil(landscape: Landscape, size: Size, folder: Path) -> list[RawFile]:
    """Write TN, pH and clay + silt with declared scale and nodata; lakes and land beyond the landscape are nodata."""
    west, south, east, north = _outline_in(SOIL_CRS, margin=20_000, step=size.resolution)
    shape = (round((north - south) / size.resolution), round((east - west) / size.resolution))
    transform = from_origin(west, north, size.resolution, size.resolution)
    position = pixel_positions(landscape.plane, transform, shape, SOIL_CRS)
    missing = (interpolate(landscape.fields["shore"], position) < 0) | ~landscape.plane.contains(position)
    files = []
    for name, (file_name, scale) in SOIL_FILES.items():
        stored = _stored(interpolate(landscape.fields[name], position), scale)
        stored[missing] = SOIL_NODATA
        path = folder / file_name
        write_geotiff(path, stored, transform, SOIL_CRS, nodata=SOIL_NODATA, scale=scale, title=name)
        files.append(RawFile(name, path, SOIL_CRS, array_bounds(*shape, transform), (2022, 2022), "int16"))
    return files


def _stored(values: np.ndarray, scale: float) -> np.ndarray:
    return np.rint(values / scale).astype("int16")


def _outline_in(crs: str, margin: float, step: float) -> tuple[float, float, float, float]:
    """Return bounds of the outline in a CRS with a margin, moved outward to multiples of a step."""
    projected = Geometry(region_outline(), REGION_CRS).to_crs(CRS(crs)).boundingbox
    west, south, east, north = np.array(projected.bbox) + margin * np.array([-1, -1, 1, 1])
    return (
        float(np.floor(west / step) * step),
        float(np.floor(south / step) * step),
        float(np.ceil(east / step) * step),
        float(np.ceil(north / step) * step),
    )
