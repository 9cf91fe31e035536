"""`gelisol search` against a real STAC API, and what it prints in a run; a run whose input comes over a network."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_run import SmallRun
from web import serving, stac_api

from engine.remote.retry import RetryPolicy, using
from engine.sources.entry import source_spec
from engine.storage.zarr_store import open_dataset
from pipelines.preflight.prepare import open_run
from pipelines.runfile.reader import load

sys.path.insert(0, str(Path(__file__).parents[2] / "engine" / "sources"))
import stac_region as region


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    (folder / "files").mkdir()
    with serving(folder=folder / "files") as files:
        collection, items = region.make(folder / "files", files.url)
        with stac_api(folder, collection, [i for i in items if "_2001" in i["id"]]) as web:
            yield web


def test_without_a_collection_they_are_listed(api, gelisol):
    result = gelisol("search", api.url)
    assert (result.exit_code, result.stdout) == (0, "plane\n")


def test_the_entry_is_ready_to_paste(api, gelisol, run: SmallRun):
    box = "119,49.5,124,52.5"
    result = gelisol("search", api.url, "--collection", "plane", "--bbox", box, "--period", "2001-2001")
    assert result.exit_code == 0, result.output
    assert "60 items, 2001-01-01 to 2001-12-01" in result.stderr
    assert "values: image/tiff" in result.stderr and "picture" in result.stderr
    (entry,) = YAML(typ="safe", pure=True).load(result.stdout).items()
    assert entry == (
        "values",
        {
            "stac": {"api": api.url, "collection": "plane", "asset": "values"},
            "period": [2001, 2001],
            "reduce": "mean",
            "scale": region.SCALE,
            "offset": region.OFFSET,
            "nodata": region.NODATA,
            "units": "degC",
        },
    )
    assert source_spec(**entry[1]).stac.asset == "values"
    run.set("covariates.values", entry[1])
    prepared = open_run(run.path)
    assert prepared.summaries["values"].steps == 12
    assert (run.out / "items" / "values.json").exists()
    api.fail("/", *[500] * 50)
    assert open_run(run.path).summaries["values"].fingerprint == prepared.summaries["values"].fingerprint
    api.forget()


def test_queries_and_assets(api, gelisol):
    find = ("search", api.url, "--collection", "plane")
    some = gelisol(*find, "--query", "cloud=3", "--asset", "values")
    assert "6 items" in some.stderr and "query: {cloud: 3}" in some.stdout
    for arguments, message in (
        (("--asset", "valeus"), "--asset: 'valeus' is not among values, picture"),
        (("--bbox", "1,2,3"), "--bbox 1,2,3: expected west,south,east,north"),
        (("--period", "lately"), "--period lately: expected the first and the last year"),
        (("--query", "cloud"), "--query cloud: expected KEY=VALUE"),
        (("--bbox", "0,0,1,1"), "has no item in this box, period and query"),
    ):
        result = gelisol(*find, *arguments)
        assert result.exit_code == 1 and message in result.stderr
    assert "has no collection 'plain'; it has plane" in gelisol("search", api.url, "--collection", "plain").stderr


def test_an_api_that_does_not_answer(gelisol):
    with using(RetryPolicy(first_wait_s=0.01)):
        result = gelisol("search", "http://127.0.0.1:9/v1", "--collection", "c")
    assert result.exit_code == 1 and "API: cannot be reached" in result.stderr


def test_a_run_whose_input_is_all_behind_addresses(run: SmallRun, gelisol, on_scheduler):
    """Boundary, profiles and covariates of every kind over HTTP: the cube is the same."""
    assert gelisol("run", run.path, "--until", "cube", *on_scheduler).exit_code == 0
    local = open_dataset(run.out / "cube.zarr").load()
    with serving(folder=run.directory) as web:
        for name, file in (("ai", "ai.tif"), ("tn", "tn.tif"), ("vegetation", "vegetation.gpkg")):
            run.set(f"covariates.{name}.href", f"{web.url}/data/{file}")
        run.set("covariates.mat.href", [f"{web.url}/data/mat_{year}.nc" for year in (2001, 2002)])
        run.set("domain.boundary", f"{web.url}/boundary.geojson")
        run.set("observations.table", f"{web.url}/data/profiles.csv")
        web.fail("tn.tif", 503)
        result = gelisol("check", run.path)
        assert result.exit_code == 0, result.output
        assert "remote" in result.stdout and "about" in result.stdout
        result = gelisol("run", run.path, "--until", "cube", "--out", run.directory / "far", *on_scheduler)
        assert result.exit_code == 0, result.output
        far = open_dataset(run.directory / "far" / "cube.zarr").load()
        assert far.drop_attrs().identical(local.drop_attrs())
        assert f"{web.url}/data/tn.tif" in (run.directory / "far" / "run.yaml").read_text()
        run.set("observations.table", f"{web.url}/data/none.csv")
        run.set("domain.boundary", f"{web.url}/none.geojson")
        problems = gelisol("check", run.path).stderr
        assert f"observations.table: no such file: {web.url}/data/none.csv" in problems
        assert f"domain.boundary: no such file: {web.url}/none.geojson" in problems


def test_a_formula_in_a_run(run: SmallRun, gelisol, on_scheduler):
    run.set("covariates.twice", {"expression": "tn + tn"})
    run.set("covariates.mix", {"expression": "tn + ai"})
    result = gelisol("check", run.path)
    assert result.exit_code == 1
    assert "`covariates.mix.expression`: 'tn + ai' adds or compares 1 and g/kg" in result.stderr
    run.set("covariates.mix", {"expression": "tn * moisture", "of": {"moisture": {"href": "ai.tif", "scale": 0.0001}}})
    assert gelisol("run", run.path, "--until", "cube", *on_scheduler).exit_code == 0
    cube = open_dataset(run.out / "cube.zarr").load()
    assert cube["twice"].attrs["units"] == "g/kg"
    assert float(abs(cube["twice"] - 2 * cube["tn"]).max()) < 1e-5
    assert float(abs(cube["mix"] - cube["tn"] * cube["ai"]).max()) < 1e-4
    again, _ = load(run.out / "run.yaml")
    assert again.covariates["mix"].of["moisture"].href.endswith("data/ai.tif")
