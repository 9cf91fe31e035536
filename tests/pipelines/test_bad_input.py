"""Bad input through the command line: exit code 1, every problem with file, key and row, and nothing written."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import small_run
from small_run import SmallRun
from typer.testing import Result


@pytest.fixture
def rejected(run: SmallRun, gelisol: Callable[..., Result]) -> Callable[..., str]:
    """Run and check, expect both to say the same, and to leave nothing behind; returns the message."""

    def reject(*settings: str) -> str:
        result = gelisol("run", run.path, *settings)
        assert result.exit_code == 1, result.output
        assert not run.out.exists()
        assert "Traceback" not in result.output
        assert gelisol("check", run.path, *settings).stderr == result.stderr
        return result.stderr

    return reject


def problems(message: str) -> list[str]:
    """The problems of a message, one each."""
    count, *found = message.splitlines()
    assert count.startswith(f"{len(found)} problem"), message
    return [line.removeprefix("• ") for line in found]


def only(message: str) -> str:
    """The one problem of a message."""
    found = problems(message)
    assert len(found) == 1, message
    return found[0]


# The run file


def test_unknown_key_lists_the_valid_ones(run, rejected):
    line = run.edit_text("    units: degC\n", "    units: degC\n    colour: red\n") + 1
    problem = only(rejected())
    assert problem.startswith(f"{run.path}, line {line}: unknown key `covariates.mat.colour`; valid here: href,")


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("replicates: 8", "replicats: 8", "model.replicats"),
        ("resolution: 5000", "resolutoin: 5000", "domain.resolutoin"),
        ("zones: vegetation", "zone: vegetation", "zone"),
        ("repeats: 2", "repeat: 2", "model.validation.repeat"),
    ],
)
def test_misspelt_key_names_the_nearest(run, rejected, right, wrong, key):
    line = run.edit_text(right, wrong)
    intended = right.partition(":")[0]
    assert only(rejected()) == f"{run.path}, line {line}: unknown key `{key}`; did you mean `{intended}`?"


def test_duplicate_key(run, rejected):
    run.edit_text("zones: vegetation\n", "zones: vegetation\nzones: mat\n")
    problem = only(rejected())
    assert f"{run.path}, line" in problem
    assert "zones" in problem and "duplicate" in problem


def test_wrong_type_says_what_was_expected(run, rejected):
    line = run.edit_text("replicates: 8", "replicates: many")
    problem = only(rejected())
    assert problem.startswith(f"{run.path}, line {line}: `model.replicates`: expected a whole number")
    assert "'many'" in problem


def test_no_mapping_and_no_file(run, gelisol):
    run.path.write_text("- just\n- a list\n")
    result = gelisol("check", run.path)
    assert result.exit_code == 1
    assert "expected keys such as `name:`" in result.stderr
    for text, says in (
        ("", "found an empty file"),
        ("name: x\x00", "not valid YAML: unacceptable character #x0000"),
    ):
        run.path.write_text(text)
        result = gelisol("check", run.path)
        assert result.exit_code == 1
        assert says in only(result.stderr)
    missing = gelisol("run", run.directory / "nowhere.yaml")
    assert missing.exit_code == 1
    assert "nowhere.yaml: no such run file" in missing.stderr


def test_zones_must_be_a_category(run, rejected):
    line = run.edit_text("zones: vegetation", "zones: tn")
    assert only(rejected()).startswith(f"{run.path}, line {line}: `zones`: 'tn' is a number, not a category")


def test_zones_must_exist(run, rejected):
    run.edit_text("zones: vegetation", "zones: vegetaton")
    assert only(rejected()).endswith("'vegetaton' is not among the covariates; did you mean `vegetation`?")


def test_source_of_zones_needs_classes(run, rejected):
    run.set("zones", {"href": "ai.tif"})
    assert "`zones`: a source of zones needs `classes`" in only(rejected())


def test_misspelt_key_in_a_source_of_zones(run, rejected):
    run.set("zones", {"href": "ai.tif", "clases": {"dry": [1]}})
    assert "unknown key `zones.clases`; did you mean `classes`?" in only(rejected())


def test_mask_by_an_unknown_covariate(run, rejected):
    run.set("domain.mask", {"covariate": "temperature", "max": 0})
    assert "`domain.mask.covariate`: 'temperature' is not among the covariates" in only(rejected())


def test_mask_that_no_value_passes(run, rejected):
    run.edit_text("  resolution:", "  mask: {covariate: mat, min: 5, max: -5}\n  resolution:")
    assert only(rejected()).endswith("`domain.mask`: `min` 5 is above `max` -5, so that no cell would be mapped")


def test_selection_of_an_unknown_covariate(run, rejected):
    run.set("selection", {"screen": True, "keep": ["tn"], "drop": ["tm"]})
    assert "`selection.drop`: 'tm' is not among the covariates; valid here: mat, ai, tn, vegetation" in only(rejected())


def test_unknown_hyperparameter(run, rejected):
    run.set("model.families", [{"name": "xgboost", "parameters": {"max_dept": 3}}])
    problem = only(rejected())
    assert f"{run.path}, line" in problem
    assert "`model.families.0`" in problem
    assert "'max_dept'; did you mean `max_depth`?" in problem


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ({"name": "xgboost", "parameters": {"subsample": 7}, "grid": {}}, "subsample exceed bound"),
        ({"name": "iso", "estimator": "sklearn.isotonic.IsotonicRegression"}, "2d array with 1 feature"),
        ({"name": "near", "estimator": "sklearn.neighbors.KNeighborsRegressor", "grid": {"n_neighbors": [5, 39]}},
         "n_neighbors = 39, n_samples_fit = 32"),
    ],
)  # fmt: skip
def test_family_that_cannot_be_fitted(run, rejected, family, says):
    run.set("model.families", [family])
    problem = only(rejected())
    assert problem.startswith(f"model.families: {family['name']} with {{") and says in problem


def test_zone_that_tables_take_for_the_whole_region(run, rejected):
    run.set("covariates.vegetation.classes", {"total": [1, 2], "grassland": [3]})
    assert "`covariates.vegetation.classes`: a zone cannot be called 'total'" in only(rejected())


def test_resolution_in_degrees(run, rejected):
    run.set("domain.resolution", 0.05)
    assert only(rejected()).startswith("domain.resolution: cells of 0.05 m make a grid of 2.0e+13 cells")


# Files


@pytest.mark.parametrize(
    ("key", "href"), [("ai", "nowhere.tif"), ("mat", "nowhere_*.nc"), ("vegetation", "nowhere.gpkg")]
)
def test_missing_covariate_file(run, rejected, key, href):
    run.set(f"covariates.{key}.href", href)
    problem = only(rejected())
    assert problem.startswith(f"covariates.{key}.href: no")
    assert str(run.data / href) in problem


def test_missing_table(run, rejected):
    (run.data / "profiles.csv").unlink()
    problem = only(rejected())
    assert f"{run.data / 'profiles.csv'}: no such file" in problem
    assert "observations.table" in problem


def test_raster_without_crs(run, rejected):
    small_run.write_geotiff(run.data / "ai.tif", 0.1, np.ones((30, 50)), "int16", nodata=-1, crs=None)
    problem = only(rejected())
    assert problem.startswith(f"covariates.ai: {run.data / 'ai.tif'}: declares no CRS")
    assert "`crs: EPSG:4326`" in problem


def test_truncated_geotiff(run, rejected):
    file = run.data / "tn.tif"
    os.truncate(file, file.stat().st_size // 2)
    problem = only(rejected())
    assert problem.startswith(f"covariates.tn: {file}")
    assert "truncated" in problem


def test_truncated_netcdf(run, rejected):
    file = run.data / "mat_2002.nc"
    os.truncate(file, file.stat().st_size // 2)
    problem = only(rejected())
    assert problem.startswith(f"covariates.mat: {file}")
    assert "whole" in problem


def test_unreadable_boundary(run, rejected):
    (run.directory / "boundary.geojson").write_text('{"type": "FeatureColl')
    problem = only(rejected())
    assert problem.startswith("domain.boundary:")
    assert "boundary.geojson" in problem


def test_covariate_that_covers_none_of_the_domain(run, rejected):
    with rasterio.open(run.data / "ai.tif", "r+") as file:
        file.transform = rasterio.transform.from_origin(-60, 10, 0.1, 0.1)
    problem = only(rejected())
    assert problem.startswith("covariates.ai: covers none of the domain (ai.tif: -60,")


def test_covariate_that_covers_none_of_the_sites(run, rejected):
    """Its extent is a strip in the east of the domain; the sites are moved to the west."""
    with rasterio.open(run.data / "ai.tif", "r+") as file:
        file.transform = rasterio.transform.from_origin(122.8, 52.5, 0.02, 0.1)

    def westward(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["lon"] < 122.5]

    run.edit_profiles(westward)
    assert only(rejected()).startswith("covariates.ai: covers none of the sites (ai.tif: 122.8,")


# Profiles


def in_table(run: SmallRun, line: int, site: str, problem: str) -> bool:
    return problem.startswith(f"{run.data / 'profiles.csv'}, line {line}: site {site}: ")


def test_swapped_longitude_and_latitude(run, rejected):
    run.edit_profiles(lambda table: table.rename(columns={"lon": "lat", "lat": "lon"}))
    problem = only(rejected())
    assert "profiles.csv: lon and lat look swapped: 38 of 40 sites" in problem
    assert "Swap the two columns" in problem


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("soc", -3.2, "`soc` is -3.2; expected 0 to 700 g/kg"),
        ("soc", 32_000, "in mg/kg it would be 32 g/kg"),
        ("bulk_density", 1300, "in kg/m³ it would be 1.3 g/cm³"),
        ("bulk_density", 0, "`bulk_density` is 0; expected above 0"),
        ("coarse_fragments", 120, "`coarse_fragments` is 120; expected 0 to 100 volume %"),
    ],
)
def test_impossible_measurement(run, rejected, column, value, says):
    def spoil(table: pd.DataFrame) -> None:
        table.loc[6, column] = value

    run.edit_profiles(spoil)
    problem = only(rejected())
    assert in_table(run, 8, "S03", problem), problem
    assert says in problem


def test_depth_that_no_profile_reaches(run, rejected):
    run.set("depths", [[0, 10], [0, 100]])
    assert only(rejected()).startswith("depth 0-100 cannot be regressed on depth 0-10: 0 profiles have both")


def test_class_recorded_at_a_site_that_the_map_lacks(run, rejected):
    run.set("observations.at_site", {"vegetation": "vegetation"})

    def spoil(table: pd.DataFrame) -> None:
        table.loc[6, "vegetation"] = "larch bog"

    run.edit_profiles(spoil)
    problem = only(rejected())
    assert in_table(run, 8, "S03", problem), problem
    assert "not a class of covariates.vegetation; valid here: forest, grassland" in problem


def test_overlapping_layers(run, rejected):
    def spoil(table: pd.DataFrame) -> None:
        table.loc[3, "top"] = 5

    run.edit_profiles(spoil)
    problem = only(rejected())
    assert in_table(run, 5, "S01", problem), problem
    assert "layer 5–30 cm overlaps layer 0–10 cm of line 4" in problem


def test_site_at_two_places(run, rejected):
    def spoil(table: pd.DataFrame) -> None:
        table.loc[table["site"] == "S21", "site"] = "S20"

    run.edit_profiles(spoil)
    found = problems(rejected())
    assert any("site S20" in problem and "two" in problem for problem in found)


def test_site_listed_twice_in_a_table_of_densities(run, rejected):
    def densities(table: pd.DataFrame) -> pd.DataFrame:
        sites = table.drop_duplicates("site")[["site", "lon", "lat", "tn"]]
        sites = sites.assign(**{"socd_0-10": 4.0, "socd_0-30": 9.0})
        return pd.concat([sites, sites.iloc[[5]]])

    run.edit_profiles(densities)
    problem = only(rejected())
    assert in_table(run, 42, "S05", problem), problem
    assert "is listed in line 7 already" in problem


def test_fewer_sites_than_folds(run, rejected):
    run.edit_profiles(lambda table: table[table["site"].isin(["S05", "S06", "S07"])])
    problem = only(rejected())
    assert problem.startswith("model.validation.folds: 5 folds need at least 5 sites")
    assert "has 3" in problem


# Several at once, and what comes later


def test_all_problems_are_reported_together(run, rejected):
    """Of the run file's form, of what it refers to, of files and of rows; each once."""
    run.edit_text("replicates: 8", "replicats: 8")
    run.edit_text("zones: vegetation", "zones: tn")
    run.edit_text("href: ai.tif", "href: nowhere.tif")
    run.edit_text("period:", "perod:")
    (run.directory / "boundary.geojson").unlink()
    os.truncate(run.data / "tn.tif", 700)

    def spoil(table: pd.DataFrame) -> None:
        table.loc[6, "soc"] = -3.2
        table.loc[3, "top"] = 5

    run.edit_profiles(spoil)
    found = problems(rejected())
    for expected in (
        "unknown key `model.replicats`; did you mean `replicates`?",
        "unknown key `covariates.mat.perod`; did you mean `period`?",
        "`zones`: 'tn' is a number",
        "domain.boundary: no such file",
        "covariates.ai.href: no such file",
        "covariates.tn:",
        "line 8: site S03: `soc` is -3.2",
        "line 5: site S01: layer 5–30 cm overlaps",
    ):
        assert sum(expected in problem for problem in found) == 1, (expected, found)
    assert len(found) == 8


def test_a_covariate_with_a_problem_is_still_known_by_name(run, rejected):
    """What refers to a covariate whose entry is wrong is not reported as well."""
    run.edit_text("    classes:\n", "    clases:\n")
    assert "unknown key `covariates.vegetation.clases`; did you mean `classes`?" in only(rejected())


def test_nobody_at_the_cluster_address(run, rejected):
    run.set("cluster", {"kind": "address", "address": "tcp://127.0.0.1:9"})
    started = time.monotonic()
    problem = only(rejected())
    assert problem.startswith("cluster.address: no scheduler answers at tcp://127.0.0.1:9")
    assert time.monotonic() - started < 30  # and not after the 60 s that a cluster gets to start


def test_what_is_listed_twice(run, rejected):
    """Parts that are unsound are not looked at any further."""
    problem = only(rejected("--set", "depths=[[0, 10], [0, 10]]"))
    assert problem.endswith("`depths`: an interval is listed twice in [[0.0, 10.0], [0.0, 10.0]]")
    problem = only(rejected("--set", "model.validation.schemes=[random, block, random]"))
    assert problem.endswith("`model.validation.schemes`: random is listed twice")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("selection.drop=[mat, ai, tn, vegetation]", "`selection.drop`: no covariate is left; a model needs one"),
        ("selection={keep: [mat, ai], drop: [ai]}", "`keep` and `drop` both list ai; a covariate stays or goes"),
        ("covariates.ai.scale=0", "0 makes every value the same; leave it out to take the file's own"),
        ("covariates.sum={expression: mat + rain}", "'rain' is neither in `of` nor among the covariates"),
        ("zones={href: nowhere.gpkg, attribute: code, classes: {a: [1]}}", "data/nowhere.gpkg"),
        ("cluster={kind: local, memory: lots}", "'lots' is not an amount of memory; expected e.g. 2GB or 1500MiB"),
        ("cluster={kind: os.system}", "'os.system' is not a Dask cluster class, but <built-in function system>"),
    ],
)  # fmt: skip
def test_settings_that_contradict_or_name_nothing(run, rejected, setting, says):
    """Each is told once, by the key that the user wrote."""
    problem = only(rejected("--set", setting))
    assert problem.endswith(says)
    assert not problem.startswith("covariates.zone")


def test_results_beside_the_run_file(run, gelisol):
    """The resolved run file of the results would replace the one that a person wrote; in results it is the same."""
    written = run.path.read_text()
    for out in (".", ""):
        for verb in ("run", "check"):
            result = gelisol(verb, run.path, "--set", f"output.dir='{out}'")
            assert result.exit_code == 1, result.output
            assert "which the results' own run.yaml would replace" in only(result.stderr)
    assert run.path.read_text() == written


@pytest.mark.parametrize("below", ["", "/deeper/out"])
def test_results_where_a_file_is(run, gelisol, below):
    file = run.directory / "taken"
    file.write_text("not to be lost")
    for verb in ("run", "check"):
        result = gelisol(verb, run.path, "--out", f"{file}{below}")
        assert result.exit_code == 1, result.output
        assert only(result.stderr) == (
            f"{file}{below}: {file} is a file, where a folder is needed; give another `output.dir`"
        )
    assert file.read_text() == "not to be lost"


def test_malformed_setting(rejected):
    assert only(rejected("--set", "model.replicates")).startswith("--set model.replicates: expected key.subkey=value")


def test_problem_found_while_running_leaves_nothing_half_written(run, gelisol, on_scheduler):
    """No header tells that every pixel is missing; the cube does."""
    small_run.write_geotiff(run.data / "ai.tif", 0.1, np.full((30, 50), -1), "int16", nodata=-1)
    result = gelisol("run", run.path, *on_scheduler)
    assert result.exit_code == 1
    assert only(result.stderr[result.stderr.index("1 problem") :]).startswith(
        "covariates.ai: covers none of the domain's"
    )
    assert not (run.out / "cube.zarr").exists()
    assert not [path for path in run.out.rglob("*") if ".partial" in path.name]


def test_earlier_results_stay_as_they_were(run, finished, tmp_path, gelisol):
    finished = Path(shutil.copytree(finished, tmp_path / "finished"))
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    run.edit_text("zones: vegetation", "zones: tn")
    assert gelisol("run", run.path, "--out", finished).exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_formula_of_what_is_not_sound_is_not_told_of(run, rejected):
    problem = only(rejected("--set", "covariates.ai.scale=0", "--set", "covariates.sum={expression: mat + ai}"))
    assert "`covariates.ai.scale`" in problem


def test_a_description_or_a_truth_that_is_not_there(run, rejected):
    settings = ("--set", "covariates.mat.about=none.json", "--set", "synthetic=true", "--set", "truth=none.zarr")
    zones = "zones={href: vegetation.gpkg, attribute: code, classes: {a: [1]}, about: none.json}"
    assert any(text.startswith("zones.about: no such file: ") for text in problems(rejected("--set", zones)))
    about, truth = problems(rejected(*settings))
    assert about == f"covariates.mat.about: no such file: {run.path.parent / 'none.json'}"
    assert truth == f"truth: no such Zarr store: {run.path.parent / 'none.zarr'}"
