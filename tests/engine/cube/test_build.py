"""The covariate cube: equal to the sources on the whole grid, whatever the blocks."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (the accessor)
import shapely
import xarray as xr
from odc.geo.geom import polygon
from pyproj import Transformer
from rasters import LAEA, SINUSOIDAL, centres, north_up, same, write_nc, write_tif

from engine.cube.build import CubePlan, DomainMask, build_cube, is_known
from engine.cube.sampling import cell_of, random_cells, sample
from engine.errors import InputError
from engine.execution.ledger import key_of
from engine.grid.grid import Grid
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.storage.zarr_store import Layer, array, create, open_dataset

OUTLINE = polygon([(120.5, 48.5), (126, 48), (125.5, 52), (122, 51.5), (120.5, 48.5)], "EPSG:4326")
SPECS = {
    "mat": source_spec(href="tmp.nc", scale=0.1, units="degC", group="climate", label="Mean annual temperature"),
    "ai": source_spec(href="ai.tif", scale=1e-4, nodata=-9999, group="climate"),
    "npp": source_spec(href="npp_{year}.h*.tif", valid_range=(0, 32700), scale=1e-4, group="vegetation"),
    "vegetation": source_spec(
        href="vegetation.gpkg", attribute="code", group="vegetation",
        classes={"forest": (1,), "wet grassland": (2, 3), "wetland": (4,)},
    ),
    "soil": source_spec(href="soil.tif", classes={"sand": (10,), "clay": (20,)}, group="soil"),
}  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Files of every kind around the outline."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    lon, lat = np.arange(118.25, 129, 0.5), np.arange(54.75, 46, -0.5)
    months = rng.integers(-100, 100, (12, lat.size, lon.size)).astype("int16")
    write_nc(folder / "tmp.nc", months, lon, lat)
    degrees = north_up(118, 55, 0.03, 366, 300)
    ai = rng.integers(3000, 9000, degrees.shape).astype("int16")
    ai[rng.random(ai.shape) < 0.02] = -9999
    write_tif(folder / "ai.tif", ai, degrees)
    x, y = (v.round(-3) for v in centres(north_up(118, 54, 8, 2, 2), SINUSOIDAL))
    tiles = north_up(x.min() - 5e5, y.max() + 3e5, 5000, 320, 240, SINUSOIDAL)
    for year in (2000, 2001):
        npp = rng.integers(0, 9000, tiles.shape).astype("int16")
        npp[npp > 8800] = 32766
        for part, cols in enumerate((slice(0, 150), slice(150, 320))):
            write_tif(folder / f"npp_{year}.h{part}.tif", npp[:, cols], tiles[:, cols])
    boxes = [shapely.box(a, b, a + 1, b + 1) for a in range(118, 129) for b in range(46, 55)]
    codes = rng.integers(1, 6, len(boxes))
    gpd.GeoDataFrame({"code": codes}, geometry=boxes, crs=4326).to_file(folder / "vegetation.gpkg")
    soil = (10 * rng.integers(1, 3, degrees.shape)).astype("uint8")
    soil[:100] = 10
    write_tif(folder / "soil.tif", soil, degrees, compress="deflate")
    return folder


def a_plan(raw: Path, chunk: int = 32, mask: DomainMask | None = None, specs=SPECS) -> CubePlan:
    grid = Grid.from_outline(OUTLINE, LAEA, 5000, chunk)
    return CubePlan.make(grid, {name: open_source(name, spec, raw) for name, spec in specs.items()}, mask)


def whole(plan: CubePlan) -> dict[str, np.ndarray]:
    """Every source on the whole grid at once, blank outside the domain."""
    inside = np.zeros(plan.grid.shape, bool)
    for block in plan.grid.blocks():
        inside[block.roi] = plan.grid.inside(block)
    values = {name: source.on_grid(plan.grid.geobox, plan.resampling[name]) for name, source in plan.sources.items()}
    if plan.mask:
        inside &= plan.mask.holds(values[plan.mask.covariate])
    blank = {
        name: np.where(inside, v, np.nan if v.dtype.kind == "f" else 0).astype(v.dtype) for name, v in values.items()
    }
    return {"domain": inside.astype("uint8"), **blank}


def build(client, plan: CubePlan, path: Path):
    specs = {name: source.spec.model_dump(mode="json") for name, source in plan.sources.items()}
    return build_cube(client, plan, path, {"title": "made up"}, key=key_of(plan.grid.chunk, specs, repr(plan.mask)))


@pytest.fixture(scope="module")
def cube(client, raw, tmp_path_factory):
    path = tmp_path_factory.mktemp("cube") / "cube.zarr"
    plan = a_plan(raw)
    return path, plan, build(client, plan, path)


def test_equals_the_sources_on_the_whole_grid(cube):
    path, plan, _ = cube
    assert plan.grid.n_blocks > 6
    assert plan.resampling == {
        "mat": "bilinear", "ai": "average", "npp": "bilinear", "vegetation": "mode", "soil": "mode"
    }  # fmt: skip
    dataset = open_dataset(path)
    for name, expected in whole(plan).items():
        assert same(dataset[name].values, expected), name
    assert set(dataset.data_vars) == {"domain", *SPECS}


def test_other_blocks_make_the_same_cube(client, raw, cube, tmp_path):
    path, _, counts = cube
    expected = open_dataset(path).load()
    for chunk in (23, 512):
        again = build(client, a_plan(raw, chunk), tmp_path / f"{chunk}.zarr")
        dataset = open_dataset(tmp_path / f"{chunk}.zarr")
        assert all(same(dataset[name].values, expected[name].values) for name in expected.data_vars)
        assert again == counts


def test_counts(cube):
    path, _, counts = cube
    dataset = open_dataset(path)
    known = {name: is_known(dataset[name].values) for name in SPECS}
    assert counts.inside == dataset["domain"].values.sum() > 1000
    assert counts.known == {name: values.sum() for name, values in known.items()}
    assert counts.complete == np.logical_and.reduce(list(known.values())).sum()
    assert 0 < counts.known["vegetation"] < counts.inside  # code 5 is not listed


def test_cells_outside_are_missing(cube):
    path, *_ = cube
    dataset = open_dataset(path)
    outside = dataset["domain"].values == 0
    assert 0.2 < outside.mean() < 0.8
    for name in SPECS:
        assert not is_known(dataset[name].values[outside]).any()


def test_the_store_says_what_it_holds(cube):
    path, plan, _ = cube
    dataset = xr.open_zarr(path, consolidated=False, decode_coords="all", chunks=None)
    assert dataset.rio.crs == dataset["mat"].rio.crs == plan.grid.geobox.crs.proj
    assert dataset.odc.geobox == plan.grid.geobox
    assert dataset["mat"].attrs["long_name"] == "Mean annual temperature"
    assert (dataset["mat"].attrs["units"], dataset["mat"].attrs["group"]) == ("degC", "climate")
    assert dataset["ai"].attrs["long_name"] == "ai"
    vegetation = dataset["vegetation"]
    assert vegetation.dtype == np.uint8
    assert vegetation.attrs["flag_values"] == [1, 2, 3]
    assert vegetation.attrs["flag_meanings"] == "forest wet_grassland wetland"
    assert dataset.attrs["title"] == "made up"


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        (DomainMask("mat", high=0.0), lambda v: v["mat"] <= 0),
        (
            DomainMask("ai", low=0.55, high=0.65),
            lambda v: (v["ai"] >= np.float32(0.55)) & (v["ai"] <= np.float32(0.65)),
        ),
        (DomainMask("vegetation", classes=(1, 3)), lambda v: np.isin(v["vegetation"], (1, 3))),
    ],
    ids=["at most", "range", "classes"],
)
def test_a_covariate_narrows_the_domain(client, raw, cube, tmp_path, mask, kept):
    unmasked = open_dataset(cube[0]).load()
    counts = build(client, a_plan(raw, 64, mask), tmp_path / "cube.zarr")
    dataset = open_dataset(tmp_path / "cube.zarr").load()
    expected = kept({name: unmasked[name].values for name in SPECS})
    assert 0 < expected.sum() < unmasked["domain"].values.sum()
    assert np.array_equal(dataset["domain"].values, expected)
    assert counts.inside == expected.sum()
    for name in SPECS:
        blank = np.nan if name in ("mat", "ai", "npp") else 0
        assert np.array_equal(
            dataset[name].values, np.where(expected, unmasked[name].values, blank), equal_nan=blank != 0
        )


def test_a_covariate_that_covers_nothing_is_named(client, raw, tmp_path):
    write_tif(tmp_path / "far.tif", np.ones((10, 10), "float32"), north_up(10, 50, 0.1, 10, 10))
    specs = {
        "mat": SPECS["mat"],
        "far": source_spec(href=str(tmp_path / "far.tif")),
        "ai": SPECS["ai"].model_copy(update={"valid_range": (-5, -1)}),
    }
    with pytest.raises(InputError) as error:
        build(client, a_plan(raw, 64, specs=specs), tmp_path / "cube.zarr")
    problems = list(map(str, error.value.problems))
    assert [p.split(":")[0] for p in problems] == ["covariates.far", "covariates.ai"]
    assert all("covers none of the domain's" in p for p in problems)
    assert not (tmp_path / "cube.zarr").exists()


def test_covariates_that_nowhere_meet(client, raw, tmp_path):
    specs = {
        "west": SPECS["soil"].model_copy(update={"classes": {"sand": (10,)}, "resampling": "nearest"}),
        "east": SPECS["soil"].model_copy(update={"classes": {"clay": (20,)}, "resampling": "nearest"}),
    }
    with pytest.raises(InputError, match=r"no cell of the domain has every covariate.*west \d+\.\d%, east \d+\.\d%"):
        build(client, a_plan(raw, 64, specs=specs), tmp_path / "cube.zarr")
    with pytest.raises(InputError, match="domain: no cell of the grid lies inside the outline and the mask"):
        build(client, a_plan(raw, 64, DomainMask("mat", low=1000)), tmp_path / "cube.zarr")


def test_an_error_in_one_block_leaves_what_was_there(client, raw, tmp_path, monkeypatch):
    """Damage in the middle of a file that is met only when its block is read. The sound blocks are kept aside."""
    monkeypatch.setattr("engine.cube.build.WAITS", ())
    before = build(client, a_plan(raw, 32, specs={"ai": SPECS["ai"]}), tmp_path / "cube.zarr")
    damaged = tmp_path / "soil.tif"
    content = bytearray((raw / "soil.tif").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    damaged.write_bytes(content)
    specs = {"ai": SPECS["ai"], "soil": SPECS["soil"].model_copy(update={"href": str(damaged)})}
    for name in ("cube.zarr", "new.zarr"):
        with pytest.raises(InputError, match=rf"{damaged}: cannot be read .*Is the file whole"):
            build(client, a_plan(raw, 32, specs=specs), tmp_path / name)
    assert {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")} == {"cube.zarr", "soil.tif"}
    assert is_known(open_dataset(tmp_path / "cube.zarr")["ai"].values).sum() == before.known["ai"]
    (kept,) = tmp_path.glob(".new.zarr.*.partial")
    damaged.write_bytes((raw / "soil.tif").read_bytes())
    counts = build(client, a_plan(raw, 32, specs=specs), tmp_path / "new.zarr")
    assert counts == build(client, a_plan(raw, 32, specs=specs), tmp_path / "whole.zarr")
    ours, whole = open_dataset(tmp_path / "new.zarr").load(), open_dataset(tmp_path / "whole.zarr").load()
    assert all(same(ours[name].values, whole[name].values) for name in whole.data_vars)
    assert not kept.exists()


def test_values_at_points_are_those_of_the_cells(cube):
    path, plan, _ = cube
    dataset = open_dataset(path).load()
    rows, cols = np.nonzero(dataset["domain"].values)
    chosen = np.random.default_rng(1).permutation(rows.size)[:60]
    rows, cols = rows[chosen], cols[chosen]
    lon, lat = (v[rows, cols] for v in centres(plan.grid.geobox))
    table = sample(path, lon, lat, list(SPECS))
    assert list(table) == list(SPECS)
    for name in SPECS:
        assert same(table[name].to_numpy(), dataset[name].values[rows, cols])
    assert table["mat"].dtype == np.float32 and table["vegetation"].dtype == np.uint8


def test_points_off_the_grid_are_missing(tmp_path):
    grid = Grid.from_outline(OUTLINE, LAEA, 5000, 64)
    create(tmp_path / "full.zarr", grid, {"mat": Layer("float32", {}), "soil": Layer("uint8", {})}, {}, {})
    for name in ("mat", "soil"):
        array(tmp_path / "full.zarr", name, "r+")[:] = 7
    lon, lat = np.array([0.0, 123.0, -57.0, np.nan]), np.array([0.0, 50.0, -50.0, 50.0])  # the third: the antipode
    table = sample(tmp_path / "full.zarr", lon, lat, ["mat", "soil"])
    assert table["mat"].tolist() == pytest.approx([np.nan, 7, np.nan, np.nan], nan_ok=True)
    assert table["soil"].tolist() == [0, 7, 0, 0]
    none = sample(tmp_path / "full.zarr", lon[:0], lat[:0], ["mat"])
    pd.testing.assert_frame_equal(none, table[["mat"]][:0], check_index_type=False)


def test_the_cell_of_a_point():
    geobox = north_up(0, 3000, 1000, 4, 3, LAEA)
    x, y = np.array([0.1, 999.9, 1000.1, 3999.9, 4000.1, -0.1]), np.array([2999.9, 0.1, 2000.1, 3000.1, 1500.0, 1500.0])
    lon, lat = Transformer.from_crs(LAEA, "EPSG:4326", always_xy=True).transform(x, y)
    rows, cols, on_grid = cell_of(geobox, lon, lat)
    assert on_grid.tolist() == [True, True, True, False, False, False]
    assert rows[:2].tolist() == [0, 2] and cols[:2].tolist() == [0, 0]
    assert (rows[~on_grid] == 0).all() and (cols[~on_grid] == 0).all()


def test_random_cells_are_of_the_domain(cube):
    path, plan, counts = cube
    lon, lat = random_cells(path, "domain", 500, np.random.default_rng(3))
    rows, cols, on_grid = cell_of(plan.grid.geobox, lon, lat)
    assert on_grid.all()
    domain = open_dataset(path)["domain"].values
    assert (domain[rows, cols] == 1).all()
    # Spread as the cells are: the share in the northern half is that of the domain, within four standard errors.
    half = domain.shape[0] // 2
    assert np.mean(rows < half) == pytest.approx(domain[:half].sum() / counts.inside, abs=4 * 0.5 / np.sqrt(500))
    again = random_cells(path, "domain", 500, np.random.default_rng(3))
    assert np.array_equal(again[0], lon) and np.array_equal(again[1], lat)
