import json
import socket
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import xarray as xr
from odc.geo import Geometry
from odc.geo.geom import box
from pyproj import CRS

from engine.errors import InputError
from engine.grid.grid import Grid
from engine.sources.opening import open_source
from engine.storage.zarr_store import open_dataset
from pipelines.runfile.reader import RunFile, load
from pipelines.virtual import make
from pipelines.virtual.covariates import RANGES
from pipelines.virtual.outline import REGION_CRS, write_boundary
from pipelines.virtual.raw.layout import SIZES
from pipelines.virtual.raw.modis import SINUSOIDAL, TILE, tiles
from pipelines.virtual.truth import region_grid


@pytest.fixture(scope="module")
def run(region: Path) -> RunFile:
    return load(region / "run.yaml")[0]


@pytest.fixture(scope="module")
def grid(region: Path, run: RunFile) -> Grid:
    """The grid as a run lays it: from the boundary file."""
    boundary = gpd.read_file(region / str(run.domain.boundary))
    outline = Geometry(boundary.union_all(), boundary.crs.to_wkt())
    return Grid.from_outline(outline, run.domain.crs, run.domain.resolution, run.domain.chunk)


@pytest.fixture(scope="module")
def inside(grid: Grid) -> np.ndarray:
    cells = np.zeros(grid.shape, bool)
    for block in grid.blocks():
        cells[block.roi] = grid.inside(block)
    return cells


def test_run_file_loads_with_the_covariates_of_the_study(run: RunFile):
    assert run.synthetic and run.truth == "truth.zarr" and "made-up" in str(run.title)
    assert set(run.covariates) == {*RANGES, "vegetation"}
    assert run.covariates["vegetation"].class_names == ("forest", "grassland", "wetland")
    groups = {name: spec.group for name, spec in run.covariates.items()}
    assert [name for name, group in groups.items() if group == "climate"] == ["mat", "map", "ai"]
    assert [name for name, group in groups.items() if group == "soil"] == ["clay_silt", "tn", "ph"]
    assert run.zones == "vegetation" and run.observations.at_site == {"tn": "tn"}
    assert run.depth_labels == ("0-10", "0-30", "0-50") and run.model.replicates == 100
    assert run.output.dir == ".."


def test_run_file_names_no_absolute_path(region: Path):
    assert str(region) not in (region / "run.yaml").read_text(encoding="utf-8")
    covariates = load(region / "run.yaml")[0].covariates.values()
    assert not any(href.startswith("/") for spec in covariates for href in spec.hrefs)


def test_boundary_has_the_area_of_the_study(region: Path):
    boundary = gpd.read_file(region / "boundary.geojson")
    assert boundary.crs == CRS("EPSG:4326")
    assert boundary.to_crs(REGION_CRS).area.sum() / 1e6 == pytest.approx(5.6e5, rel=1e-4)
    west, south, east, north = boundary.total_bounds
    # The study's extent, 117.5–129.4° E and 47.6–53.45° N, and up to a degree around it.
    assert (west, south, east, north) == pytest.approx((117.5, 47.6, 129.4, 53.45), abs=1.1)


def test_full_size_has_the_cells_of_the_study(tmp_path: Path):
    grid = region_grid(write_boundary(tmp_path / "boundary.geojson"), SIZES["full"])
    assert grid.is_equal_area and grid.nominal_cell_area == 1
    assert sum(grid.inside(block).sum() for block in grid.blocks()) == pytest.approx(560_000, rel=0.001)


@pytest.mark.parametrize("variable", ["tmp", "pre"])
def test_climate_is_monthly_integers_without_a_declared_scale(region: Path, variable: str):
    paths = sorted((region / "raw/climate").glob(f"{variable}_*.nc"))
    west, south, east, north = gpd.read_file(region / "boundary.geojson").total_bounds
    assert [p.name for p in paths] == [f"{variable}_{year}.nc" for year in (2018, 2019, 2020)]
    for path in paths:
        with xr.open_dataset(path, mask_and_scale=False) as dataset:
            values = dataset[variable]
            assert values.dtype == "int16" and values.dims == ("time", "lat", "lon")
            assert "scale_factor" not in values.attrs and "_FillValue" in values.attrs
            assert list(dataset["time"].dt.month.values) == list(range(1, 13))
            assert set(dataset["time"].dt.year.values) == {int(path.stem[-4:])}
            assert dataset["lon"].min() < west and east < dataset["lon"].max()
            assert dataset["lat"].min() < south and north < dataset["lat"].max()
            assert "made-up" in dataset.attrs["comment"]
            by_month = values.mean(("lat", "lon"))
            assert int(by_month.argmax()) == 6 and int(by_month.argmin()) == 0


def test_winters_freeze_and_summers_do_not(region: Path):
    with xr.open_dataset(region / "raw/climate/tmp_2019.nc") as dataset:
        january, july = (dataset["tmp"].isel(time=month) * 0.1 for month in (0, 6))
        assert january.mean() < -15 and july.mean() > 12


def test_aridity_is_an_integer_raster_in_degrees(region: Path):
    with rasterio.open(region / "raw/climate/aridity_index.tif") as file:
        values = file.read(1)
        assert file.crs.to_epsg() == 4326 and file.dtypes == ("int16",)
        assert file.scales == (1.0,) and file.nodata is None
        assert file.profile["compress"] == "deflate" and file.profile["tiled"]
        assert "made-up" in file.tags()["NOTE"]
    assert values.min() >= 3000 and values.max() <= 10000


@pytest.mark.parametrize(
    "pattern, nodata, fill, pixels",
    [
        ("MOD13A3_NDVI", -3000, {-3000}, 240),
        ("MOD13A3_EVI", None, {-3000}, 240),
        ("MOD17A3HGF_NPP", None, {32766, 32767}, 480),
    ],
)
def test_sinusoidal_tiles(region: Path, pattern: str, nodata: int | None, fill: set[int], pixels: int):
    paths = sorted((region / "raw/vegetation").glob(f"{pattern}.*.tif"))
    assert len(paths) == 3 * len(tiles())
    codes: set[int] = set()
    for path in paths:
        h, v = int(path.stem[-5:-3]), int(path.stem[-2:])
        with rasterio.open(path) as file:
            values = file.read(1)
            assert CRS(file.crs.to_wkt()).coordinate_operation.method_name == "Sinusoidal"
            assert file.dtypes == ("int16",) and file.nodata == nodata and file.scales == (1.0,)
            assert file.shape == (pixels, pixels) and file.res == pytest.approx((TILE / pixels,) * 2)
            assert file.bounds[0] == pytest.approx((h - 18) * TILE)
            assert file.bounds[3] == pytest.approx((9 - v) * TILE)
        data = (values > 0) & (values <= 10000)
        assert data.any()
        codes |= set(np.unique(values[~data]).tolist())
    assert codes == fill


def test_full_size_pixels_are_those_of_the_products():
    assert TILE / SIZES["full"].vegetation_pixels == pytest.approx(926.625, abs=0.01)
    assert TILE / SIZES["full"].productivity_pixels == pytest.approx(463.313, abs=0.01)


def test_tiles_cover_the_region(grid: Grid):
    outline = grid.outline.to_crs(SINUSOIDAL)
    covered = 0.0
    for h, v in tiles():
        west, north = (h - 18) * TILE, (9 - v) * TILE
        covered += outline.intersection(box(west, north - TILE, west + TILE, north, outline.crs)).area
    assert covered == pytest.approx(outline.area)


@pytest.mark.parametrize("name, scale", [("tn_0-10cm", 0.01), ("ph_0-30cm", 0.01), ("clay_silt_0-30cm", 0.1)])
def test_soil_declares_scale_and_nodata(region: Path, name: str, scale: float):
    with rasterio.open(region / f"raw/soil/{name}.tif") as file:
        assert file.dtypes == ("int16",) and file.scales == (scale,) and file.nodata == -32768
        assert CRS(file.crs.to_wkt()).coordinate_operation.method_name == "Albers Equal Area"
        assert (file.read(1) == -32768).any()


def test_vegetation_polygons_fill_the_region_with_codes(region: Path, run: RunFile):
    polygons = gpd.read_file(region / "raw/vegetation/vegetation.gpkg")
    assert polygons.crs == CRS("EPSG:4326") and (polygons.geom_type == "Polygon").all()
    assert polygons.is_valid.all()
    assert set(polygons["VEG_CODE"]) == {1, 2, 3, 4, 5, 6, 99}
    assert len(polygons) > 100
    boundary = gpd.read_file(region / "boundary.geojson").to_crs(REGION_CRS)
    cut = polygons.to_crs(REGION_CRS).clip(boundary)
    area = cut.area.groupby(cut["VEG_CODE"]).sum() / 5.6e11
    assert area.sum() == pytest.approx(1, abs=1e-3)
    shares = [area[list(codes)].sum() for codes in (run.covariates["vegetation"].classes or {}).values()]
    assert shares == pytest.approx([0.62, 0.29, 0.09], abs=0.01)
    assert area[99] < 0.01


def test_catalog_is_valid_self_contained_and_leads_to_every_file(region: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("validation must not need the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    catalog = pystac.Catalog.from_file(region / "stac/catalog.json")
    catalog.validate()
    items = list(catalog.get_items(recursive=True))
    assert catalog.validate_all() == len(items)
    assert {child.id for child in catalog.get_children()} == {*RANGES, "vegetation"}
    for path in (region / "stac").rglob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        links = [*document["links"], *document.get("assets", {}).values()]
        assert all(link["href"].startswith(".") for link in links), path
        assert "made-up" in document.get("description", document.get("properties", {}).get("description", ""))
    hrefs = {Path(item.make_asset_hrefs_absolute().assets["data"].href).resolve() for item in items}
    raw = {path.resolve() for path in (region / "raw").rglob("*") if path.is_file()}
    assert hrefs == raw


def test_truth_is_on_the_grid_of_the_run(region: Path, grid: Grid, inside: np.ndarray):
    truth = open_dataset(region / "truth.zarr")
    assert truth.odc.geobox == grid.geobox
    socd = truth["socd"]
    assert socd.dims == ("depth", "y", "x") and socd.dtype == "float32"
    assert list(socd["depth"].values) == ["0-10", "0-30", "0-50"]
    known = np.isfinite(socd.values)
    assert not known[:, ~inside].any()
    assert 0.99 < known[:, inside].mean() < 1, "all but the lakes is known"
    assert socd.mean(("y", "x")).values == pytest.approx([4.2, 9.8, 12.7], abs=0.1)
    assert socd.std(("y", "x")).values == pytest.approx([1.1, 2.5, 2.9], rel=0.08)
    assert (np.diff(socd.values, axis=0)[:, known[0]] > 0).all()
    assert "made-up" in truth.attrs["comment"]


@pytest.mark.parametrize("name", [*RANGES, "vegetation"])
def test_raw_files_give_the_truth_back(region: Path, run: RunFile, grid: Grid, inside: np.ndarray, name: str):
    source = open_source(name, run.covariates[name], region)
    how = source.choose_resampling(grid.geobox)
    values = np.empty(grid.shape)
    for block in grid.blocks():
        values[block.roi] = source.on_grid(block.geobox, how)
    truth = open_dataset(region / "truth.zarr")[name].values.astype(float)
    if name == "vegetation":
        known = inside & (values > 0) & (truth > 0)
        assert (values[known] == truth[known]).mean() > 0.99
    else:
        known = inside & np.isfinite(values) & np.isfinite(truth)
        difference = (values - truth)[known]
        assert abs(difference.mean()) < 0.01 * truth[known].std()
        assert difference.std() < 0.1 * truth[known].std()
    assert known.sum() / inside.sum() > 0.985


def test_profiles_lie_inside_and_have_the_default_columns(region: Path):
    profiles = pd.read_csv(region / "profiles.csv")
    boundary = gpd.read_file(region / "boundary.geojson").union_all()
    assert len(profiles) == 440 and profiles["site"].nunique() == 147
    assert gpd.points_from_xy(profiles["lon"], profiles["lat"]).within(boundary).all()


def test_same_seed_same_data(region: Path, tmp_path: Path):
    steps: list[str] = []
    again = make(tmp_path / "again", "small", on_step=steps.append).parent
    assert steps[0] == "landscape" and steps[-1] == "truth" and len(steps) == 8

    def listing(folder: Path) -> list[Path]:
        return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())

    assert listing(again) == listing(region)
    for name in listing(region):
        one, other = region / name, again / name
        if name.suffix == ".nc":
            xr.testing.assert_identical(xr.load_dataset(one), xr.load_dataset(other))
        elif name.suffix == ".gpkg":
            assert gpd.read_file(one).equals(gpd.read_file(other))
        else:
            assert one.read_bytes() == other.read_bytes(), name


def test_a_second_region_replaces_the_first(tmp_path: Path):
    first = pd.read_csv(make(tmp_path, "small", seed=1).parent / "profiles.csv")
    run = make(tmp_path, "small", seed=2)
    second = pd.read_csv(run.parent / "profiles.csv")
    assert not first["lon"].equals(second["lon"])
    assert load(run)[0].model.seed == 2
    assert "seed 2;" in (tmp_path / "README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "size, seed, message", [("medium", 1, "'medium' is not a size"), ("small", -1, "-1 is negative")]
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, size: str, seed: int, message: str):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "new", size, seed)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        make(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
