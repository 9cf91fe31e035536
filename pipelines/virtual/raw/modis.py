"""Yearly vegetation indices and productivity as sinusoidal tiles with their products' scale and fill codes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo import CRS, Geometry
from odc.geo.geom import box
from rasterio.transform import array_bounds, from_origin

from pipelines.virtual.fields import interpolate
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS, region_outline
from pipelines.virtual.raw.geotiff import write_geotiff
from pipelines.virtual.raw.layout import ANOMALIES, YEARS, RawFile, Size, pixel_positions

RADIUS = 6371007.181
SINUSOIDAL = f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={RADIUS} +units=m +no_defs"
TILE = np.radians(10) * RADIUS
"""Side of a tile, m: 36 by 18 tiles span the globe."""

SCALE = 1e-4
INDEX_FILL = -3000
"""Fill of the vegetation indices, also on water. The NDVI files declare it, the EVI files do not."""

NPP_VALID = (-30000, 32700)
"""Stored values of NPP that are measurements."""
NPP_FILL, NPP_WATER = 32767, 32766
"""Fill codes of NPP: nothing there, and water. The files declare neither."""

GREEN_YEAR = 0.06
"""SD of a year's greenness and productivity, as a share."""


def write_vegetation_indices(landscape: Landscape, size: Size, folder: Path) -> list[RawFile]:
    """Write `MOD13A3_NDVI.YEAR.hHHvVV.tif` and `MOD13A3_EVI.…`: int16 × 10⁻⁴, some 1 km."""
    files = []
    for tile in tiles():
        pixels = _Pixels(landscape, tile, size.vegetation_pixels)
        for name, nodata in (("ndvi", INDEX_FILL), ("evi", None)):
            for year, stored in pixels.years(name, empty=INDEX_FILL, water=INDEX_FILL):
                path = folder / f"MOD13A3_{name.upper()}.{year}.{tile_name(tile)}.tif"
                files.append(pixels.write(path, stored, name, year, nodata))
    return files


def write_productivity(landscape: Landscape, size: Size, folder: Path) -> list[RawFile]:
    """Write `MOD17A3HGF_NPP.YEAR.hHHvVV.tif`: int16 × 10⁻⁴ kg C/m², some 500 m."""
    files = []
    for tile in tiles():
        pixels = _Pixels(landscape, tile, size.productivity_pixels)
        for year, stored in pixels.years("npp", empty=NPP_FILL, water=NPP_WATER):
            path = folder / f"MOD17A3HGF_NPP.{year}.{tile_name(tile)}.tif"
            files.append(pixels.write(path, stored, "npp", year, None))
    return files


def tiles() -> list[tuple[int, int]]:
    """Return horizontal and vertical numbers of the tiles that the outline touches."""
    outline = Geometry(region_outline(), REGION_CRS).to_crs(CRS(SINUSOIDAL))
    bounds = outline.boundingbox
    columns = range(int(18 + bounds.left // TILE), int(18 + bounds.right // TILE) + 1)
    rows = range(int(9 - bounds.top // TILE) - 1, int(9 - bounds.bottom // TILE))
    return [(h, v) for v in rows for h in columns if outline.intersects(box(*_tile_bounds((h, v)), outline.crs))]


def tile_name(tile: tuple[int, int]) -> str:
    """Return the name of a tile: `h25v03`."""
    return f"h{tile[0]:02d}v{tile[1]:02d}"


def _tile_bounds(tile: tuple[int, int]) -> tuple[float, float, float, float]:
    west, north = (tile[0] - 18) * TILE, (9 - tile[1]) * TILE
    return west, north - TILE, west + TILE, north


class _Pixels:
    """The pixels of a tile: where they lie in the landscape, and which are land."""

    def __init__(self, landscape: Landscape, tile: tuple[int, int], pixels: int):
        west, _, _, north = _tile_bounds(tile)
        self.shape = (pixels, pixels)
        self.transform: Affine = from_origin(west, north, TILE / pixels, TILE / pixels)
        self.fields = landscape.fields
        position = pixel_positions(landscape.plane, self.transform, self.shape, SINUSOIDAL)
        self.known = landscape.plane.contains(position)
        self.position = position[:, self.known]
        self.water = interpolate(self.fields["shore"], self.position) < 0

    def years(self, name: str, *, empty: int, water: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield stored values of every year, whose mean is the landscape's."""
        mean = interpolate(self.fields[name], self.position)
        pattern = interpolate(self.fields["weather_green"], self.position)
        for year, anomaly in zip(YEARS, ANOMALIES, strict=True):
            values = mean * (1 + anomaly * GREEN_YEAR * pattern)
            stored = np.full(self.shape, empty, "int16")
            stored[self.known] = np.where(self.water, water, np.rint(values / SCALE))
            yield year, stored

    def write(self, path: Path, stored: np.ndarray, name: str, year: int, nodata: int | None) -> RawFile:
        write_geotiff(path, stored, self.transform, SINUSOIDAL, nodata=nodata, title=f"{name.upper()} {year}")
        return RawFile(name, path, SINUSOIDAL, array_bounds(*self.shape, self.transform), (year, year), "int16")
