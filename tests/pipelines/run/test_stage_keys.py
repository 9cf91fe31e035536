"""What a change of the run file makes stale, and what it does not."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import small_run

from engine.grid.chunking import best_chunk
from pipelines import STAGES
from pipelines.preflight.prepare import open_run
from pipelines.run import stage_keys as stage_keys_module
from pipelines.run.execute import execute
from pipelines.run.stage_keys import CODE, Parts, RunKeys, stage_states

STALE = {
    "model.replicates=9": (("train", "map"), "stale: model.replicates changed"),
    "model.interval=0.9": (("map",), "stale: model.interval changed"),
    "model.prediction_interval=jackknife_plus": (("train", "map"), "stale: model.prediction_interval changed"),
    "model.residual_error=false": (("train", "map"), "stale: model.residual_error changed"),
    "model.thresholds=[5]": (("map",), "stale: model.thresholds changed"),
    "model.quantiles=[0.05]": (("map",), "stale: model.quantiles changed"),
    "model.mapped=xgboost": (("train", "map"), "stale: model.mapped changed"),
    "model.validation.repeats=3": (("train",), "stale: model.validation changed"),
    "model.validation.schemes=[random, block]": (("train",), "stale: model.validation changed"),
    "model.validation.coverage=1": (("train",), "stale: model.validation changed"),
    "selection.drop=[ai]": (("select", "train", "map"), "stale: selection changed"),
    "domain.resolution=4000": (("cube", "select", "train", "map"), "stale: domain changed"),
    "domain.chunk=16": (("cube", "map"), "stale: domain.chunk changed"),
    "covariates.ai.scale=0.001": (("cube", "select", "train", "map"), "stale: covariates.ai changed"),
    "depths=[[0, 10], [0, 20]]": (("profiles", "select", "train", "map"), "stale: depths changed"),
    "observations.errors=false": (("profiles", "select", "train", "map"), "stale: observations changed"),
    "title=Elsewhere": ((), ""),
    "name=elsewhere": ((), ""),
    "covariates.ai.label=Aridity": ((), ""),
    "covariates.ai.group=soil": ((), ""),
    "covariates.ai.units=mm": ((), ""),
    "covariates.ai.expected=[0, 2]": ((), ""),
    "cluster.workers=2": ((), ""),
    "output.dir=elsewhere": ((), ""),
}


@pytest.mark.parametrize("setting", STALE)
def test_a_setting_makes_stale_what_depends_on_it(pristine: Path, finished: Path, setting: str):
    stale, reason = STALE[setting]
    states = stage_states(open_run(pristine / "run.yaml", (setting,), finished))
    for stage in STAGES[:-1]:
        assert states[stage].startswith("stale" if stage in stale else "done"), stage
    if stale:
        assert states[stale[0]] == reason
        for before, after in pairwise(stale):
            if setting.split("=")[0] not in states[after]:
                assert states[after] == f"stale: follows {before}", after


def test_the_order_of_covariates_and_of_classes_counts(pristine: Path, run):
    """Columns come in the order of the covariates, codes in that of the classes."""
    before = RunKeys(open_run(pristine / "run.yaml")).parts()
    covariates = small_run.settings()["covariates"]
    run.set("covariates", dict(reversed(covariates.items())))
    after = RunKeys(open_run(run.path)).parts()
    assert _changed(before, after) == {"select": {"the order of the covariates"}}
    vegetation = covariates["vegetation"]
    run.set("covariates", covariates | {"vegetation": vegetation | {"classes": {"grassland": [3], "forest": [1, 2]}}})
    assert _changed(before, RunKeys(open_run(run.path)).parts())["cube"] == {"covariates.vegetation"}


def _changed(before: dict[str, Parts], after: dict[str, Parts]) -> dict[str, set[str]]:
    """Per stage, the parts of its own that differ; those of the files of copies do."""
    own = {
        stage: {name for name in parts if parts[name] != before[stage].get(name) and not name.startswith("stage ")}
        for stage, parts in after.items()
    }
    return {stage: names for stage, names in own.items() if names}


def test_the_block_size_follows_from_the_grid_unless_it_is_given(pristine: Path):
    chosen = open_run(pristine / "run.yaml", ("domain.chunk=null",))
    assert chosen.grid.chunk == best_chunk(chosen.grid.shape)
    given = open_run(pristine / "run.yaml", (f"domain.chunk={chosen.grid.chunk}",))
    other = open_run(pristine / "run.yaml", ("domain.chunk=16",))
    assert other.grid.chunk == 16 != chosen.grid.chunk
    assert RunKeys(given).parts() == RunKeys(chosen).parts() != RunKeys(other).parts()


def test_a_new_version_of_a_stage_makes_it_stale(pristine: Path, finished: Path, monkeypatch):
    monkeypatch.setitem(CODE, "map", 99)
    states = stage_states(open_run(pristine / "run.yaml", (), finished))
    assert states["map"] == "stale: its code changed" and states["train"] == "done"


def test_files_that_change_are_noticed(run, finished: Path):
    before = RunKeys(open_run(run.path)).parts()
    (run.data / "tn.tif").touch()
    (run.data / "ai.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    (run.directory / "boundary.geojson").write_text((run.directory / "boundary.geojson").read_text() + "\n")
    run.edit_profiles(lambda table: table.assign(soc=table["soc"] + 1))
    after = RunKeys(open_run(run.path)).parts()
    changed = {
        stage: {name for name in parts if parts[name] != before[stage].get(name)} for stage, parts in after.items()
    }
    assert changed["profiles"] == {"the profile table"}
    assert changed["cube"] == {"files of tn", "files of ai", "the boundary's file"}
    assert changed["select"] == {"stage profiles", "stage cube"}


def test_what_is_missing_is_named(pristine: Path, finished: Path, tmp_path: Path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "stocks.csv").unlink()
    assert stage_states(open_run(pristine / "run.yaml", (), out))["map"] == "incomplete: stocks.csv is gone"


def test_more_replicates_keep_those_that_are_there(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler: list[str]
):
    """Nor is the cross-validation done again."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "train", *on_scheduler]
    result = gelisol(*arguments, "--set", "model.replicates=10", "--progress", "json")
    assert result.exit_code == 0, result.output
    steps = {e["step"]: e for e in map(json.loads, result.stdout.splitlines()) if e["event"] == "step_done"}
    assert (steps["train"]["done_before"], steps["train"]["total"]) == (8, 10)
    assert steps["xgboost"]["done_before"] == steps["xgboost"]["total"]
    for replicate in range(8):
        name = f"ensemble/replicate_{replicate:03d}.ubj"
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    fewer = gelisol(*arguments, "--set", "model.replicates=8")
    assert fewer.exit_code == 0, fewer.output
    assert (out / "ensemble" / "manifest.json").read_bytes() == (finished / "ensemble" / "manifest.json").read_bytes()
    assert not (out / "ensemble" / "replicate_008.ubj").exists()


def test_they_are_computed_once_for_a_run(pristine: Path, finished: Path, tmp_path: Path, monkeypatch):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    found, compute = [], stage_keys_module._own_parts
    monkeypatch.setattr(stage_keys_module, "_own_parts", lambda prepared: found.append(prepared) or compute(prepared))
    execute(open_run(pristine / "run.yaml", (), out), until="map")
    assert len(found) == 1
