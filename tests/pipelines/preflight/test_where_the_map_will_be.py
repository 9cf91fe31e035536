"""`check` looks inside outline and mask and at the sites, and says what each covariate costs, and where."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import small_run
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import SmallRun
from web import serving

from engine.cube.sampling import cell_of
from pipelines.preflight import sample_points as places
from pipelines.preflight import sampled_values as looking
from pipelines.preflight.inspection import Inspection
from pipelines.preflight.missing_cells import place_of_gap
from pipelines.preflight.prepare import open_run, survey

LON, LAT = small_run._grid(0.05)


def layer(run: SmallRun, name: str, values: np.ndarray, **entry) -> None:
    """A covariate of 0.05°; NaN is missing."""
    small_run.write_geotiff(run.data / f"{name}.tif", 0.05, np.where(np.isnan(values), -9999, values), "float32", -9999)
    run.set(f"covariates.{name}", {"href": f"{name}.tif", **entry})


def where(condition: np.ndarray, values: np.ndarray | float = 1.0) -> np.ndarray:
    return np.where(condition, values, np.nan)


def inspected(run: SmallRun) -> Inspection:
    inspection = Inspection()
    open_run(run.path, inspect=inspection)
    return inspection


def problems(run: SmallRun) -> list[str]:
    return list(map(str, survey(run.path, inspect=Inspection()).problems.found))


@pytest.fixture(params=["cells", "points", "patches"])
def way(request, monkeypatch):
    """All cells, points all over the domain, or patches."""
    if request.param == "points":
        monkeypatch.setattr(places, "MOST_POINTS", 1200)
    if request.param == "patches":
        monkeypatch.setattr(places, "_MOST_PIXELS", -1)
    return request.param


def test_the_table_respects_the_mask_and_the_outline(run: SmallRun, way):
    layer(run, "north", LAT)
    run.edit_text("  resolution:", "  mask: {covariate: north, min: 51}\n  resolution:")
    seen = inspected(run)
    assert seen.spread["north"][0] >= 51 and seen.spread["north"][2] > 51.5
    assert seen.spread["mat"][2] < 3.6  # colder northwards; 5 in the south
    assert seen.extent["ai"].endswith("patches") == (way == "patches")


def test_a_layer_that_fills_a_part_of_a_box_is_seen(run: SmallRun, way):
    """Where the data fill a corner of the domain, values are looked at there."""
    corner = (LON > 122) & (LAT > 51)
    for name in ("ai", "tn"):
        layer(run, name, where(corner))
    layer(run, "elevation", where(corner, 22_000.0), units="m")
    run.set("covariates.mat", {"href": "elevation.tif", "scale": 0.001})
    run.set("covariates.vegetation", {"href": "ai.tif", "classes": {"forest": [1], "grassland": [2]}})
    found = problems(run)
    assert len(found) == 1
    assert found[0].startswith(
        "covariates.elevation: values from 22000 to 22000 (median 22000) m are not what is expected"
    )


def test_what_each_covariate_costs(run: SmallRun):
    layer(run, "ndvi", where(LAT < 51.2))
    seen = inspected(run)
    note = seen.gaps["ndvi"]
    grid = open_run(run.path).grid
    lattice = places.Lattice.over(grid)
    assert lattice.exact
    _, lat = lattice.degrees()
    share = (lat[lattice.inside] > 51.2).mean()
    assert f"missing on {share:.0%} of the domain, alone costs " in note
    assert "(north of 51.2° N)" in note
    rows, cols, _ = cell_of(grid.geobox, *small_run.profiles().drop_duplicates("site")[["lon", "lat"]].to_numpy()[2:].T)
    sources = open_run(run.path).plan.sources
    whole = {n: s.on_grid(grid.geobox, s.choose_resampling(grid.geobox))[rows, cols] for n, s in sources.items()}
    alone = np.isnan(whole["ndvi"]) & (whole["vegetation"] > 0)
    assert 5 < alone.sum() < 20
    assert note.endswith(f" and {alone.sum()} of 38 sites")


def test_measured_values_stand_in_for_the_map_at_sites(run: SmallRun):
    layer(run, "tn", where(LAT < 0))
    run.edit_profiles(lambda t: t.assign(tn=3.0))
    layer(run, "dry", where(LON < 122))
    found = problems(run)
    assert found == [
        "covariates.tn: has no value anywhere in the domain, so that no cell would be mapped; check its CRS, extent, "
        "`nodata`, `valid_range`, `classes` or `expression`"
    ]


@pytest.mark.parametrize("expression", ["log(-ai)", "ai / 0", "sqrt(mat - 500)"])
def test_a_formula_that_leaves_no_cell(run: SmallRun, expression):
    run.set("covariates.none", {"expression": expression})
    (problem,) = problems(run)
    assert problem.startswith("covariates.none: has no value anywhere in the domain")


def test_a_mask_that_leaves_no_cell(run: SmallRun, way):
    run.edit_text("  resolution:", "  mask: {covariate: mat, max: -30}\n  resolution:")
    found = problems(run)
    assert len(found) == 1 and found[0].startswith("domain")
    if way != "patches":
        assert "domain.mask: no cell of the domain is kept: `mat` is from" in found[0]
        assert found[0].endswith("the mask keeps -inf to -30")


def test_layers_that_have_no_cell_in_common(run: SmallRun, gelisol):
    layer(run, "west", where(LON < 121.3))
    layer(run, "east", where(LON > 121.7))
    (problem,) = problems(run)
    assert problem.startswith("domain: no cell has every covariate")
    assert gelisol("check", run.path).exit_code == 1


def test_nothing_known_anywhere_is_a_problem(run: SmallRun, way):
    for name in ("ai", "tn", "mat", "vegetation"):
        layer(run, name, where(LAT < 0))
    run.set("covariates.vegetation.classes", {"forest": [1], "grassland": [2]})
    (problem,) = problems(run)
    assert problem.startswith("domain: known 0%: none of the covariates has a value in the domain")


def test_overlapping_polygons_are_noted(run: SmallRun, gelisol):
    file = run.data / "vegetation.gpkg"
    halves = [shapely.box(119, 49.5, 122, 52.5), shapely.box(121, 49.5, 124, 52.5)]
    gpd.GeoDataFrame({"code": [1, 3]}, geometry=halves, crs=4326).to_file(file)
    out = gelisol("check", run.path).stdout
    assert "vegetation: polygons of different classes overlap on 1" in out and "the later in the file counts" in out


def test_over_a_network_a_few_patches_are_read(run: SmallRun):
    layer(run, "ndvi", where(LAT < 51.2))
    with serving(folder=run.data) as web:
        run.set("covariates.ndvi.href", f"{web.url}/ndvi.tif")
        seen = inspected(run)
    assert seen.extent["ndvi"] == f"{looking.REMOTE_PATCHES} patches" and 0 < seen.known["ndvi"] < 1
    assert seen.gaps["ndvi"].startswith("missing on about ")


def test_a_source_that_cannot_be_read_is_one_problem(run: SmallRun):
    with rasterio.open(run.data / "ai.tif", "r+") as file:
        file.write(np.full((30, 50), -1, "int16"), 1)
    (problem,) = problems(run)
    assert problem.startswith("covariates.ai: has no value anywhere in the domain")


@settings(max_examples=40, deadline=None)
@given(st.floats(50.5, 79.5), st.sampled_from(["north", "south"]), st.integers(0, 5))
def test_the_parallel_is_found(parallel, side, seed):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, 4000), rng.uniform(50, 80, 4000)
    gap = lat > parallel if side == "north" else lat < parallel
    words = place_of_gap(lon, lat, gap, np.ones(4000, bool))
    assert words.startswith(f"{side} of ") and abs(float(words.split()[2][:-1]) - parallel) < 0.11
    few = gap | (rng.uniform(size=4000) < 0.02)
    assert f"{side} of " in place_of_gap(lon, lat, few, np.ones(4000, bool))


def test_a_box_is_named_and_scattered_gaps_are_not():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(100, 140, 20_000), rng.uniform(40, 60, 20_000)
    box = (lon > 110) & (lon < 120) & (lat > 45) & (lat < 50)
    assert place_of_gap(lon, lat, box, np.ones(20_000, bool)) == "110.1° E to 119.9° E, 45.1° N to 50.0° N"
    assert place_of_gap(lon, lat, rng.uniform(size=20_000) < 0.1, np.ones(20_000, bool)) == ""
