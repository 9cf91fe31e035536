"""Monthly temperature and precipitation: one NetCDF file a year, integers whose scale only the documentation tells."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr
from rasterio.transform import array_bounds

from pipelines.virtual.fields import interpolate
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.raw.geotiff import degree_grid
from pipelines.virtual.raw.layout import ANOMALIES, NOTE, YEARS, RawFile, Size, pixel_positions

SCALE = 0.1
"""Stored integers are tenths of a degree and of a millimetre; the files do not say so."""

FILL = -32768

RAIN_BY_MONTH = np.array([0.01, 0.012, 0.02, 0.05, 0.09, 0.16, 0.27, 0.21, 0.1, 0.045, 0.02, 0.013])
"""Share of the year's precipitation: a summer monsoon."""

SEASON = -np.cos(2 * np.pi * (np.arange(12) - 0.4) / 12)
"""The year's course of temperature: coldest in January, and 0 on average."""

WARM_YEAR, WET_YEAR = 0.4, 0.12
"""SD of a year's mean temperature (°C) and of its precipitation (share)."""


def write_climate(landscape: Landscape, size: Size, folder: Path) -> list[RawFile]:
    """Write `tmp_YEAR.nc` and `pre_YEAR.nc`: int16, dims time, lat, lon.

    Their means over the years are the landscape's.
    """
    transform, shape = degree_grid(size.degrees)
    position = pixel_positions(landscape.plane, transform, shape, "EPSG:4326")
    fields = ("mat", "map", "weather_mat", "weather_map")
    mat, rain, warm, wet = (interpolate(landscape.fields[name], position) for name in fields)
    lon = transform.c + transform.a * (np.arange(shape[1]) + 0.5)
    lat = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
    # Winters are deepest where the year is coldest.
    swing = 21 - 0.7 * mat
    bounds = array_bounds(*shape, transform)
    files = []
    for year, anomaly in zip(YEARS, ANOMALIES, strict=True):
        temperature = mat + anomaly * WARM_YEAR * warm
        precipitation = rain * (1 + anomaly * WET_YEAR * wet)
        tmp = _stored(temperature + season * swing for season in SEASON)
        pre = _stored(precipitation * share for share in RAIN_BY_MONTH)
        for variable, covariate, stored in (("tmp", "mat", tmp), ("pre", "map", pre)):
            path = folder / f"{variable}_{year}.nc"
            _write(path, variable, stored, year, lat, lon)
            files.append(RawFile(covariate, path, "EPSG:4326", bounds, (year, year), "int16"))
    return files


def _stored(months: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack([np.rint(month / SCALE).astype("int16") for month in months])


def _write(path: Path, variable: str, stored: np.ndarray, year: int, lat: np.ndarray, lon: np.ndarray) -> None:
    months = np.arange(f"{year}-01", f"{year + 1}-01", dtype="datetime64[M]").astype("datetime64[D]")
    days = (months - np.datetime64(f"{year}-01-01")).astype("int32")
    names = {"tmp": "monthly mean temperature", "pre": "monthly precipitation"}
    dataset = xr.Dataset(
        {variable: (("time", "lat", "lon"), stored, {"long_name": names[variable]})},
        coords={
            "time": ("time", days, {"units": f"days since {year}-01-01", "calendar": "standard"}),
            "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
        },
        attrs={"Conventions": "CF-1.8", "comment": NOTE},
    )
    chunks = (1, min(256, len(lat)), min(256, len(lon)))
    packing = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, "_FillValue": np.int16(FILL)}
    plain = {name: {"_FillValue": None} for name in ("time", "lat", "lon")}
    dataset.to_netcdf(path, engine="h5netcdf", encoding={variable: packing, **plain})
