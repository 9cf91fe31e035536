"""Stale is what would have other numbers: words redo the report, repeats the scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_run import SmallRun

from engine.ensemble.trained import Ensemble
from engine.execution.ledger import Ledger, digest_of
from engine.storage.zarr_store import open_dataset
from pipelines import STAGES
from pipelines.commands.verify import check_results
from pipelines.preflight.prepare import open_run
from pipelines.run.execute import update_words
from pipelines.run.stage_keys import stage_states
from pipelines.runfile.decisions import DECISIONS, Role
from pipelines.runfile.reader import load

WORDS = {
    "name": "elsewhere",
    "title": "Elsewhere",
    "covariates.mat.label": "Temperature",
    "covariates.mat.units": "K",
    "covariates.mat.group": "weather",
    "covariates.mat.expected": [-50, 50],
    "covariates.mat.about": "about.json",
    "observations.sure_of": ["soc"],
    "cluster": {"kind": "local", "workers": 1, "memory": "2GB"},
    "output.dir": "elsewhere",
    "output.licence": "CC-BY-4.0",
    "output.providers": [{"name": "Somebody"}],
    "output.period": [1991, 2020],
    "figures.permafrost": "none",
    "target.label": "carbon",
}
"""A value for each key that decides over no number."""
NUMBERS = ("stocks.csv", "replicate_totals.csv", "zone_differences.csv", "validation.csv", "selection.csv", "cog")


def _without_numbers() -> set[str]:
    harmless = {Role.NOTHING, Role.REPORT, Role.CONTENT}
    return {key.replace("*", "mat") for key, roles in DECISIONS.items() if set(roles) <= harmless}


@pytest.fixture
def reworded(run: SmallRun) -> SmallRun:
    run.set("figures", {})
    run.set("target", {})
    for key, value in WORDS.items():
        run.set(key, value)
    collection = {"type": "Collection", "id": "x", "stac_version": "1.0.0", "description": "x", "license": "CC0-1.0",
                  "title": "x", "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                  "temporal": {"interval": [[None, None]]}}, "providers": [{"name": "x"}]}  # fmt: skip
    (run.directory / "about.json").write_text(json.dumps(collection))
    return run


def test_every_word_is_tried():
    """But for files, which count by their content, folders, and how assets are unlocked."""
    files = {key.replace("*", "mat") for key, roles in DECISIONS.items() if Role.CONTENT in roles} - set(WORDS)
    others = {
        "data",
        "covariates.mat.stac.sign",
        "model.validation.independent",
    }  # the report tries the map at the last
    assert _without_numbers() - files - others == set(WORDS)


def test_words_change_no_number(reworded: SmallRun, finished: Path, gelisol, on_scheduler):
    """A whole run with other words, beside one without."""
    out = reworded.directory / "fresh"
    result = gelisol("run", reworded.path, "--out", out, "--until", "map", *on_scheduler)
    assert result.exit_code == 0, result.output
    for name in NUMBERS:
        assert digest_of(out / name) == digest_of(finished / name), name
    assert Ensemble(out / "ensemble").hash == Ensemble(finished / "ensemble").hash
    for name in ("maps.zarr", "cube.zarr"):
        ours, theirs = open_dataset(out / name).load(), open_dataset(finished / name).load()
        for variable in theirs.variables:
            np.testing.assert_array_equal(ours[variable].values, theirs[variable].values, err_msg=variable)


def test_words_are_written_into_results_that_are_kept(reworded: SmallRun, finished: Path, tmp_path: Path):
    out = Path(shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2))
    config, _ = load(reworded.path)
    before = pd.read_csv(out / "importance.csv")
    chunks = {p: p.stat().st_mtime_ns for name in ("cube.zarr", "maps.zarr") for p in (out / name).rglob("c/**/*")}
    update_words(config, out, Ledger(out))
    cube, maps = open_dataset(out / "cube.zarr"), open_dataset(out / "maps.zarr")
    assert (cube.attrs["title"], maps.attrs["title"]) == (
        "Elsewhere: covariates", "Elsewhere: soil organic carbon density",
    )  # fmt: skip
    assert {k: cube["mat"].attrs[k] for k in ("long_name", "units", "group")} == {
        "long_name": "Temperature", "units": "K", "group": "weather",
    }  # fmt: skip
    assert {p: p.stat().st_mtime_ns for p in chunks} == chunks
    feature = next(f for f in Ensemble(out / "ensemble").features.columns if f.name == "mat")
    assert (feature.label, feature.units, feature.group) == ("Temperature", "K", "weather")
    after = pd.read_csv(out / "importance.csv")
    of_covariates = [t[t["kind"] == "covariate"].set_index("covariate") for t in (before, after)]
    numbers = ["gain_percent", "gain_sd", "permutation_rmse", "permutation_sd"]
    np.testing.assert_array_equal(*(t[numbers].to_numpy() for t in of_covariates))
    assert of_covariates[1].loc["mat", "label"] == "Temperature"
    assert set(after.loc[after["kind"] == "group", "group"]) == {"weather", "climate", "soil", "vegetation"}
    _require_undamaged(reworded, out)
    update_words(load(finished / "run.yaml")[0], out, Ledger(out))
    assert (out / "importance.csv").read_bytes() == (finished / "importance.csv").read_bytes()
    assert digest_of(out / "ensemble") == digest_of(finished / "ensemble")


def _require_undamaged(run: SmallRun, out: Path) -> None:
    from rich.console import Console

    check_results(open_run(run.path, (), out), Console(quiet=True))
    assert Ledger(out).entry("train")


def test_only_a_label_leaves_the_numbers_as_they_are_written(run: SmallRun, finished: Path, tmp_path: Path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    run.set("covariates.tn.label", "Nitrogen, total")
    update_words(load(run.path)[0], out, Ledger(out))
    before, after = ((p / "importance.csv").read_text() for p in (finished, out))
    assert after == before.replace("Total nitrogen", '"Nitrogen, total"')


def test_more_repeats_are_added_and_the_map_stays(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler
):
    out = Path(shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2))
    settings = (
        "model.validation.repeats=3",
        "model.validation.schemes=[random, block, random]".replace(", random]", "]"),
    )
    states = stage_states(open_run(pristine / "run.yaml", settings[:1], out))
    assert states["map"] == "done; again if the ensemble or the area of applicability becomes another"
    kept = {p: p.stat() for p in (out / "maps.zarr").rglob("*") if p.is_file()}
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--progress", "json"]
    result = gelisol(*arguments, "--set", settings[0])
    assert result.exit_code == 0, result.output
    events = list(map(json.loads, result.stdout.splitlines()))
    steps = {e["step"]: e for e in events if e["event"] == "step_done"}
    assert (steps["xgboost"]["done_before"], steps["xgboost"]["total"]) == (2, 3)
    assert steps["train"]["done_before"] == steps["train"]["total"] == 8
    assert "map" not in steps
    assert "map: the ensemble and the area of applicability have not changed; kept" in result.stdout
    assert {p: p.stat() for p in kept}.keys() == kept.keys()
    assert all(p.stat().st_ino == stat.st_ino and p.stat().st_mtime_ns == stat.st_mtime_ns for p, stat in kept.items())
    assert (
        set(pd.read_csv(out / "validation.csv")["repeat"]) == {0, 1, 2} or len(pd.read_csv(out / "validation.csv")) == 3
    )
    done = stage_states(open_run(pristine / "run.yaml", settings[:1], out))
    assert [done[stage] for stage in STAGES[:-1]] == ["done"] * 5


def test_another_area_of_applicability_makes_another_map(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler
):
    """The last scheme sets the threshold; the ensemble is that of before, and its replicates stay."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--progress", "json"]
    result = gelisol(*arguments, "--set", "model.validation.schemes=[random, block]")
    assert result.exit_code == 0, result.output
    steps = {e["step"]: e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "step_done"}
    assert steps["train"]["done_before"] == 8 and steps["map"]["done_before"] == 0
    assert (steps["xgboost"]["done_before"], steps["xgboost"]["total"]) == (2, 4)
    assert digest_of(out / "ensemble") == digest_of(finished / "ensemble")
    assert digest_of(out / "applicability.npz") != digest_of(finished / "applicability.npz")


def test_tables_are_made_again_and_blocks_are_kept(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler
):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--progress", "json"]
    result = gelisol(*arguments, "--set", "synthetic=true")
    steps = {e["step"]: e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "step_done"}
    assert steps["map"]["done_before"] == steps["map"]["total"] and steps["cog"]["done_before"] == 0
    assert "Made-up data" in open_dataset(out / "maps.zarr").attrs["comment"]


def test_without_the_joint_model_blocks_are_made_again_and_nothing_of_it_stays(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler
):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    assert "cell_mean" in open_dataset(out / "maps.zarr") and (out / "cog" / "socd_0-10_cell_mean.tif").exists()
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--progress", "json"]
    result = gelisol(*arguments, "--set", "model.residual_error=false")
    assert result.exit_code == 0, result.output
    steps = {e["step"]: e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "step_done"}
    assert steps["map"]["done_before"] == 0
    assert steps["train"]["done_before"] == steps["train"]["total"]  # no replicate is trained again
    maps, before = open_dataset(out / "maps.zarr"), open_dataset(finished / "maps.zarr")
    assert not set(maps) & {"cell_mean", "cell_lower", "cell_upper"} and not (out / "error_model.npz").exists()
    assert not list((out / "cog").glob("*cell_*"))
    for name in set(maps) - {"pi_lower", "pi_upper"}:
        np.testing.assert_array_equal(maps[name].values, before[name].values)
    inside = np.isfinite(maps["mean"].values)
    for name in ("pi_lower", "pi_upper"):  # jackknife+
        assert (maps[name].values != before[name].values)[inside].mean() > 0.5
    stocks = pd.read_csv(out / "stocks.csv").set_index(["zone", "depth"]).loc[("total", "0-10")]
    density = maps["mean"].values[0].astype(float)
    assert stocks["stock_pg"] == pytest.approx(np.nansum(density) * 25e-6, rel=1e-6)  # the study's
