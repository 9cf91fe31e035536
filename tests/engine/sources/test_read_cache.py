"""What several sources are made of is read once a block, and not kept longer than it is needed."""

from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasters import LAEA, north_up, same, write_nc, write_tif

from engine.cube.build import CubePlan, write_block
from engine.grid.grid import Grid
from engine.sources.base import Context
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.raster_base import GriddedSource
from engine.sources.read_cache import Readings
from engine.sources.vector import VectorSource
from engine.storage.zarr_store import Layer, array, create

NATIVE, COARSE = north_up(120, 52, 0.05, 60, 40), north_up(119, 53, 0.25, 20, 16)
TARGET = north_up(-150_000, 150_000, 8000, 30, 30, LAEA)
RNG = np.random.default_rng(0)
SPECS = {
    "clay": source_spec(href="clay.tif", units="%"),
    "silt": source_spec(href="silt.nc", units="%"),
    "fine": source_spec(expression="clay + silt"),
    "ratio": source_spec(expression="clay / fine"),  # a formula of a formula
    "deep": source_spec(layers={"0-10": "clay.tif", "10-30": "deep.tif"}, units="%"),
    "again": source_spec(expression="deeper - clay", of={"deeper": {"href": "deep.tif", "units": "%"}}),
    "cover": source_spec(href="cover.gpkg", attribute="code", classes={"west": (1,), "east": (2,)}),
    "zone": source_spec(href="cover.gpkg", attribute="code", classes={"west": (1,), "east": (2,)}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    for name in ("clay", "deep"):
        values = RNG.uniform(10, 40, NATIVE.shape).astype("float32")
        values[5:8, 5:8] = np.nan
        write_tif(folder / f"{name}.tif", values, NATIVE, nodata=np.nan)
    lon, lat = np.arange(119.125, 124, 0.25), np.arange(52.875, 49, -0.25)
    silt = RNG.uniform(10, 40, COARSE.shape).astype("float32")
    write_nc(folder / "silt.nc", silt, lon, lat, attrs={"_FillValue": np.float32(np.nan)})
    halves = [shapely.box(119, 49, 121.5, 53), shapely.box(121.5, 49, 124, 53)]
    gpd.GeoDataFrame({"code": [1, 2]}, geometry=halves, crs=4326).to_file(folder / "cover.gpkg")
    return folder


@pytest.fixture
def sources(folder):
    return {name: open_source(name, spec, folder, Context(others=SPECS)) for name, spec in SPECS.items()}


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """How often each file is brought onto the grid."""
    counted: Counter = Counter()
    for kind in (GriddedSource, VectorSource):

        def on_grid(self, *arguments, plain=kind.on_grid):
            counted[self.summary().files[0].name] += 1
            return plain(self, *arguments)

        monkeypatch.setattr(kind, "on_grid", on_grid)
    return counted


def test_each_source_is_read_once_a_block(sources, reads, tmp_path):
    grid = Grid(TARGET, 16, TARGET.extent)
    plan = CubePlan.make(grid, sources)
    assert plan.resampling["ratio"] == ("average", ("average", "bilinear"))
    layers = {name: Layer("uint8" if s.spec.is_categorical else "float32", {}) for name, s in sources.items()}
    create(tmp_path / "cube.zarr", grid, {"domain": Layer("uint8", {}), **layers}, {}, {})
    blocks = list(grid.blocks())
    for block in blocks:
        write_block(block, plan, tmp_path / "cube.zarr")
    assert reads == dict.fromkeys(("clay.tif", "silt.nc", "deep.tif", "cover.gpkg"), len(blocks)) and len(blocks) == 4
    for name, source in sources.items():  # as if each were alone
        expected = source.on_grid(TARGET, plan.resampling[name])
        assert same(array(tmp_path / "cube.zarr", name)[:], expected), name
        assert 0 < np.isfinite(expected).sum() < expected.size or source.spec.is_categorical


def test_nothing_is_kept_after_its_last_use(sources):
    resampling = {name: source.choose_resampling(TARGET) for name, source in sources.items()}
    readings = Readings(sources, resampling, TARGET)
    assert len(readings) == 4
    kept = []
    for name in sources:
        readings.values(name)
        kept.append(sum(reading.values is not None for reading in readings._readings))
    assert kept == [1, 2, 2, 1, 2, 0, 1, 0]


def test_sources_that_differ_in_anything_but_their_name_are_read_apart(folder):
    specs = [
        source_spec(href="clay.tif"), source_spec(href="clay.tif", scale=2), source_spec(href="clay.tif", nodata=12.0),
        source_spec(href="deep.tif"), source_spec(href="clay.tif", resampling="nearest"), source_spec(href="clay.tif"),
    ]  # fmt: skip
    sources = {str(i): open_source(str(i), spec, folder) for i, spec in enumerate(specs)}
    resampling = {name: source.choose_resampling(TARGET) for name, source in sources.items()}
    assert len(Readings(sources, resampling, TARGET)) == 5
