"""Small made-up rasters with known values, and their files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

LAEA = "+proj=laea +lat_0=50 +lon_0=123 +datum=WGS84"
ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lon_0=105 +datum=WGS84"
SINUSOIDAL = "+proj=sinu +R=6371007.181"


def north_up(left: float, top: float, step: float, width: int, height: int, crs: str = "EPSG:4326") -> GeoBox:
    return GeoBox((height, width), Affine(step, 0, left, 0, -step, top), crs)


def centres(geobox: GeoBox, crs: str = "EPSG:4326") -> tuple[np.ndarray, np.ndarray]:
    """x and y (longitude and latitude) of the cell centres in some CRS."""
    height, width = geobox.shape.yx
    x, y = geobox.affine @ tuple(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5))
    return Transformer.from_crs(geobox.crs.proj, crs, always_xy=True).transform(x, y)


def rois(geobox: GeoBox, chunk: int) -> Iterator[tuple[slice, slice]]:
    height, width = geobox.shape.yx
    for row in range(0, height, chunk):
        for col in range(0, width, chunk):
            yield slice(row, min(row + chunk, height)), slice(col, min(col + chunk, width))


def write_tif(path: Path, values: np.ndarray, geobox: GeoBox, crs: str | None = "its own", **profile) -> Path:
    """One GeoTIFF; `values` of dims (y, x) or (band, y, x)."""
    bands = np.atleast_3d(values.T).T if values.ndim == 2 else values
    scales, offsets = profile.pop("scales", None), profile.pop("offsets", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    wkt = geobox.crs.to_wkt() if crs == "its own" else crs
    with rasterio.open(
        path, "w", driver="GTiff", height=geobox.shape.y, width=geobox.shape.x, count=len(bands),
        dtype=bands.dtype, crs=wkt, transform=geobox.affine, **profile,
    ) as file:  # fmt: skip
        file.write(bands)
        if scales:
            file.scales = scales
        if offsets:
            file.offsets = offsets
    return path


def write_nc(
    path: Path,
    values: np.ndarray,
    lon: np.ndarray,
    lat: np.ndarray,
    *,
    time: tuple[np.ndarray, dict] | None = None,
    names: tuple[str, str] = ("lon", "lat"),
    engine: str = "h5netcdf",
    attrs: dict | None = None,
    name: str = "v",
    others: dict | None = None,
) -> Path:
    """One NetCDF file whose stored values and attributes are exactly these; dims (y, x) or (time, y, x)."""
    dims = ("time", names[1], names[0])[3 - values.ndim :]
    coords = {names[0]: lon, names[1]: lat}
    if time is not None:
        coords["time"] = ("time", time[0], time[1])
    dataset = xr.Dataset({name: (dims, values, attrs or {}), **(others or {})}, coords)
    # A fill value of xarray's own would be one that the file declares.
    encoding = {v: {"_FillValue": None} for v in dataset.variables if "_FillValue" not in dataset[v].attrs}
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_netcdf(path, engine=engine, encoding=encoding)
    return path


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, dtype and missing values included."""
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
