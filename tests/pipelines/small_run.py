"""A tiny made-up run, files and all: 40 × 50 cells of 5 km, four covariates, 40 sites of two layers, 8 replicates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
import xarray as xr
from pyproj import Transformer
from rasterio.transform import from_origin
from ruamel.yaml import YAML

CRS = "+proj=laea +lat_0=51 +lon_0=121.5 +datum=WGS84 +units=m"
WEST, SOUTH, EAST, NORTH = 119.0, 49.5, 124.0, 52.5
HALF_WIDTH, HALF_HEIGHT = 125_000.0, 100_000.0
SITES = 40
DEPTHS = ("0-10", "0-30")
ZONES = ("forest", "grassland")


def settings() -> dict[str, Any]:
    """The run file as a mapping, fresh each time."""
    return {
        "name": "small",
        "data": "data",
        "domain": {"boundary": "boundary.geojson", "crs": CRS, "resolution": 5000, "chunk": 32},
        "covariates": {
            "mat": {
                "href": "mat_*.nc",
                "variable": "tmp",
                "scale": 0.1,
                "period": [2001, 2002],
                "units": "degC",
                "group": "climate",
            },
            "ai": {"href": "ai.tif", "scale": 0.0001, "group": "climate"},
            "tn": {"href": "tn.tif", "units": "g/kg", "group": "soil", "label": "Total nitrogen"},
            "vegetation": {
                "href": "vegetation.gpkg",
                "attribute": "code",
                "classes": {"forest": [1, 2], "grassland": [3]},
                "group": "vegetation",
            },
        },
        "observations": {"table": "profiles.csv", "at_site": {"tn": "tn"}},
        "depths": [[0, 10], [0, 30]],
        "selection": {"screen": False},
        "model": {
            "families": [{"name": "xgboost", "parameters": {"n_estimators": 40}, "grid": {}}],
            "validation": {"folds": 5, "repeats": 2, "schemes": ["random"], "coverage": 0},
            "replicates": 8,
            "seed": 7,
        },
        "zones": "vegetation",
        "cluster": {"kind": "local", "workers": 1},
        "output": {"dir": "out"},
    }


def write(directory: Path) -> Path:
    """Write run file and data; return the path of the run file."""
    data = directory / "data"
    data.mkdir(parents=True)
    save(directory / "run.yaml", settings())
    write_boundary(directory / "boundary.geojson")
    write_temperature(data)
    write_geotiff(data / "ai.tif", 0.1, 10_000 * _aridity(*_grid(0.1)), "int16", nodata=-1)
    write_geotiff(data / "tn.tif", 0.05, _nitrogen(*_grid(0.05)), "float32", nodata=-9999)
    write_vegetation(data / "vegetation.gpkg")
    profiles().to_csv(data / "profiles.csv", index=False)
    return directory / "run.yaml"


def save(path: Path, document: dict[str, Any]) -> None:
    """Write a mapping as YAML, in its order."""
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="rt", pure=True).dump(document, file)


def write_boundary(path: Path) -> None:
    """An octagon that fills the grid but for its corners."""
    x, y, cut = HALF_WIDTH, HALF_HEIGHT, 40_000.0
    octagon = shapely.box(-x, -y, x, y).intersection(
        shapely.Polygon([(-x - y + cut, 0), (0, -x - y + cut), (x + y - cut, 0), (0, x + y - cut)])
    )
    gpd.GeoDataFrame(geometry=[octagon], crs=CRS).segmentize(10_000).to_crs(4326).to_file(path, driver="GeoJSON")


def write_temperature(data: Path) -> None:
    """Monthly temperature in tenths of a degree, one NetCDF file a year, latitude ascending."""
    lon, lat = _grid(0.25)
    season = np.array([-22, -18, -9, 2, 10, 16, 19, 16, 9, 1, -11, -19.0])
    for year in (2001, 2002):
        celsius = season[:, None, None] + 0.5 * (year - 2001.5) - 0.8 * (lat - 51) + 0.2 * (lon - 121.5)
        time = pd.date_range(f"{year}-01-01", periods=12, freq="MS")
        coords = {"time": time, "lat": lat[:, 0], "lon": lon[0]}
        tenths = np.round(10 * celsius).astype("int16")
        dataset = xr.Dataset({"tmp": (("time", "lat", "lon"), tenths, {"missing_value": np.int16(-9999)})}, coords)
        dataset.sortby("lat").to_netcdf(data / f"mat_{year}.nc", engine="h5netcdf")


def write_geotiff(
    path: Path, pixel: float, values: np.ndarray, dtype: str, nodata: float, crs: str | None = "EPSG:4326"
) -> None:
    """A GeoTIFF in degrees over the region, north up."""
    height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=1,
        dtype=dtype,
        crs=crs,
        transform=from_origin(WEST, NORTH, pixel, pixel),
        nodata=nodata,
    ) as file:
        file.write(values.astype(dtype), 1)


def write_vegetation(path: Path) -> None:
    """Forest (two codes) in the east, grassland in the west, and a lake that is neither."""
    polygons = {
        3: shapely.box(WEST, SOUTH, 121.0, NORTH),
        1: shapely.box(121.0, SOUTH, EAST, 51.0),
        2: shapely.box(121.0, 51.0, EAST, NORTH),
        9: shapely.box(121.3, 51.2, 121.6, 51.4),
    }
    frame = gpd.GeoDataFrame({"code": list(polygons)}, geometry=list(polygons.values()), crs=4326)
    frame.to_file(path, driver="GPKG")


def profiles() -> pd.DataFrame:
    """Two layers a site, with carbon that follows nitrogen; some lack bulk density or nitrogen."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-0.65, 0.65, SITES) * HALF_WIDTH
    y = rng.uniform(-0.65, 0.65, SITES) * HALF_HEIGHT
    x[:2] = -2 * HALF_WIDTH  # outside the boundary
    x[2], y[2] = Transformer.from_crs(4326, CRS, always_xy=True).transform(121.45, 51.3)  # in the lake
    lon, lat = Transformer.from_crs(CRS, 4326, always_xy=True).transform(x, y)
    carbon = 8 * _nitrogen(lon, lat) * rng.lognormal(0, 0.15, SITES)
    rows = []
    for i in range(SITES):
        for top, bottom, share in ((0, 10, 1.0), (10, 30, 0.6)):
            soc = carbon[i] * share * rng.lognormal(0, 0.05)
            rows.append(
                {
                    "site": f"S{i:02d}",
                    "lon": lon[i].round(5),
                    "lat": lat[i].round(5),
                    "top": top,
                    "bottom": bottom,
                    "soc": soc.round(2),
                    "bulk_density": np.nan if i % 5 == 4 else (1.4 * np.exp(-0.006 * soc)).round(3),
                    "coarse_fragments": float(i % 4),
                    "vegetation": "forest" if lon[i] > 121 else "grassland",
                    "soil_type": "cambisol",
                    "tn": np.nan if i % 3 else _nitrogen(lon[i], lat[i]).round(3),
                    "source": "made up",
                }
            )
    return pd.DataFrame(rows)


def _grid(pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of pixel centres, north up."""
    lon = np.arange(WEST + pixel / 2, EAST, pixel)
    lat = np.arange(NORTH - pixel / 2, SOUTH, -pixel)
    lons, lats = np.meshgrid(lon, lat)
    return lons, lats


def _nitrogen(lon: Any, lat: Any) -> Any:
    """g/kg, 2 to 6."""
    return 4 + 1.5 * np.sin(2.5 * (lon - 121)) * np.cos(3 * (lat - 51)) + 0.2 * (lon - 121.5)


def _aridity(lon: Any, lat: Any) -> Any:
    return 0.6 + 0.06 * (lon - 121.5) - 0.05 * (lat - 51)


class SmallRun:
    """A copy of the run that a test may spoil."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.path = directory / "run.yaml"
        self.data = directory / "data"
        self.out = directory / "out"

    def set(self, key: str, value: Any) -> None:
        """Replace the value at a dotted key of the run file."""
        document = YAML(typ="safe", pure=True).load(self.path)
        *parents, last = key.split(".")
        node = document
        for parent in parents:
            node = node[parent]
        node[last] = value
        save(self.path, document)

    def edit_text(self, old: str, new: str) -> int:
        """Replace a piece of the run file's text; return its line."""
        text = self.path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the run file"
        self.path.write_text(text.replace(old, new), encoding="utf-8")
        return text[: text.index(old)].count("\n") + 1

    def edit_profiles(self, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
        """Change the table of profiles, in place or by returning another."""
        table = pd.read_csv(self.data / "profiles.csv")
        changed = change(table)
        (table if changed is None else changed).to_csv(self.data / "profiles.csv", index=False)
