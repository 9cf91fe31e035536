"""Which sites train the model, with which values, and what becomes of the others."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_run
from small_run import SmallRun

from engine.sources.entry import source_spec
from pipelines.soil_carbon.model.training_table import LEFT_OUT, unseen_classes


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The observations."""
    return small_run.profiles()


@pytest.fixture
def profiles(finished: Path) -> pd.DataFrame:
    return pd.read_parquet(finished / "profiles.parquet")


@pytest.fixture
def training(finished: Path) -> pd.DataFrame:
    return pd.read_parquet(finished / "ensemble" / "training.parquet").set_index("site")


def test_exclusions_are_flagged_at_every_depth(profiles: pd.DataFrame):
    reasons = profiles.groupby("site")[LEFT_OUT].unique().map(list)
    assert reasons["S00"] == reasons["S01"] == ["outside the domain"]
    assert reasons["S02"] == ["without a value of vegetation"]
    assert reasons["S03"] == [""]


def test_the_others_train(profiles: pd.DataFrame, training: pd.DataFrame):
    used = profiles.loc[profiles[LEFT_OUT] == "", "site"].unique()
    assert list(training.index) == list(used)
    assert len(training) == profiles["site"].nunique() - profiles.loc[profiles[LEFT_OUT] != "", "site"].nunique()


def test_the_target_is_the_first_depth(profiles: pd.DataFrame, training: pd.DataFrame, table: pd.DataFrame):
    density = profiles[profiles["depth"] == "0-10"].set_index("site")["socd"]
    np.testing.assert_allclose(training["y"], density[training.index])
    top = table[(table["site"] == "S03") & (table["top"] == 0)].iloc[0]
    by_hand = top["soc"] * top["bulk_density"] * 10 * (1 - top["coarse_fragments"] / 100) * 0.01  # Eq. 1
    assert training.loc["S03", "y"] == pytest.approx(by_hand)


def test_measured_values_replace_the_rasters(training: pd.DataFrame, table: pd.DataFrame):
    sites = table.drop_duplicates("site").set_index("site").loc[training.index]
    measured = sites["tn"].notna()
    assert 5 < measured.sum() < len(sites) - 5
    np.testing.assert_array_equal(training["tn"][measured], sites["tn"][measured].astype("float32"))
    # Elsewhere the raster's value of the cell, which is smoother than 0.3 g/kg within a cell.
    expected = small_run._nitrogen(sites["lon"], sites["lat"])
    assert np.abs(training["tn"] - expected)[~measured].max() < 0.3
    assert training["tn"][~measured].notna().all()


def test_bootstrap_is_kept(finished: Path, training: pd.DataFrame):
    rows = np.load(finished / "ensemble" / "bootstrap.npy")
    held_out = np.load(finished / "ensemble" / "out_of_bag.npy")
    assert rows.shape == held_out.shape == (8, len(training))
    drawn = np.zeros_like(held_out, dtype=bool)
    np.put_along_axis(drawn, rows, True, axis=1)
    np.testing.assert_array_equal(np.isnan(held_out), drawn)


@pytest.mark.parametrize("grid", [{}, {"n_neighbors": [30, 31]}], ids=["fixed", "tuned"])
def test_a_family_that_cannot_be_fitted_is_left_out_and_named(run: SmallRun, gelisol, on_scheduler, grid):
    """32 neighbours are there to try with, but some sites have no covariates: 28 train a fold."""
    near = {"name": "near", "estimator": "sklearn.neighbors.KNeighborsRegressor", "parameters": {"n_neighbors": 30}}
    fixed = {"name": "xgboost", "parameters": {"n_estimators": 20}, "grid": {}}
    run.set("model.families", [{**near, "grid": grid} if grid else {**near, "grid": {}}, fixed])
    result = gelisol("run", run.path, "--until", "train", *on_scheduler)
    assert result.exit_code == 0, result.output
    assert "warning: near" in result.stderr and "it is left out" in " ".join(result.stderr.split())
    assert set(pd.read_csv(run.out / "validation.csv")["family"]) == {"xgboost"}
    record = json.loads((run.out / "provenance.json").read_text())
    assert list(record["stages"]["train"]["failed"]) == ["near"]


def test_a_family_that_is_asked_for_must_be_fitted(run: SmallRun, gelisol, on_scheduler):
    near = {"name": "near", "estimator": "sklearn.neighbors.KNeighborsRegressor", "parameters": {"n_neighbors": 30}}
    run.set("model.families", [{**near, "grid": {}}, {"name": "xgboost", "grid": {}}])
    result = gelisol("run", run.path, "--until", "train", *on_scheduler, "--set", "model.mapped=near")
    assert result.exit_code == 3, result.output
    assert "near cannot be fitted to 28 sites: Expected n_neighbors <= n_samples_fit" in result.stderr


def test_deep_profiles_too_few_for_the_bootstrap_are_told_first(run: SmallRun, gelisol, on_scheduler):
    run.edit_profiles(lambda t: t[(t["top"] == 0) | t["site"].isin(["S05", "S06", "S07", "S08"])])
    result = gelisol("run", run.path, *on_scheduler)
    assert result.exit_code == 1, result.output
    assert re.search(r"in every bootstrap sample: only \d of 35 training sites have both", result.stderr)
    assert "tune" not in result.stderr


def test_a_class_recorded_at_a_site_replaces_the_maps(run: SmallRun, gelisol, on_scheduler):
    """The site in the lake, which has no class on the map, is of use now; its cell has the other covariates."""

    def change(table: pd.DataFrame) -> None:
        table["vegetation"] = np.where(table["site"] == "S02", "Grassland", None)

    run.edit_profiles(change)
    run.set("observations.at_site", {"tn": "tn", "vegetation": "vegetation"})
    result = gelisol("run", run.path, "--until", "train", *on_scheduler)
    assert result.exit_code == 0, result.output
    assert "vegetation: recorded at 1 of 40 sites, else from the map." in result.stderr
    training = pd.read_parquet(run.out / "ensemble" / "training.parquet").set_index("site")
    assert training.loc["S02", "vegetation"] == 2 and training.loc["S02", "zone"] == ""
    assert set(training["vegetation"]) == {1, 2}


def test_too_few_sites_within_the_domain(run: SmallRun, gelisol, on_scheduler):
    """What no header tells: the mask leaves hardly a site."""
    run.set("domain.mask", {"covariate": "tn", "min": 5.3})
    result = gelisol("run", run.path, *on_scheduler)
    assert result.exit_code == 1, result.output
    assert "model.validation.folds: 5 folds need at least 5 sites" in result.stderr
    assert "outside the domain" in result.stderr
    assert not (run.out / "ensemble").exists()


def test_a_class_without_a_site_is_named():
    specs = {"cover": source_spec(href="x.tif", classes={"forest": (1,), "bare": (2,), "ice": (3,)})}
    (note,) = unseen_classes(pd.DataFrame({"cover": [1, 1, 3]}), specs)
    assert str(note).startswith("warning: cover: no site is in bare;")
    assert unseen_classes(pd.DataFrame({"cover": [1, 2, 3]}), specs) == []
