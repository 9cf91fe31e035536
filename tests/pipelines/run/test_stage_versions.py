"""Versions beside each stage: another environment is told of, and nothing is mixed within a stage."""

import json
import shutil
from pathlib import Path

import pytest

from engine.execution.ledger import Ledger
from engine.execution.versions import packages, versions
from pipelines.preflight.prepare import open_run
from pipelines.run.stage_keys import RunKeys
from pipelines.run.stage_versions import OF_STAGE, environment_key, of_stage, version_notes


@pytest.fixture
def older(finished: Path, tmp_path: Path) -> Path:
    """Results of which two stages were done with an older library."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    _record(out, {"train": {"xgboost": "1.0"}, "map": {"xgboost": "1.0"}, "cube": {"GDAL": "2.0"}})
    return out


def _record(out: Path, changes: dict[str, dict[str, str]]) -> None:
    ledger = json.loads((out / "ledger.json").read_text())
    for stage, versions_ in changes.items():
        ledger["stages"][stage]["versions"] |= versions_
    (out / "ledger.json").write_text(json.dumps(ledger))


def test_every_stage_is_recorded_with_its_versions(finished: Path):
    ledger, here = Ledger(finished), versions()
    for stage in ("profiles", "cube", "select", "train", "map"):
        assert ledger.entry(stage).versions == of_stage(stage, here) != {}
        assert ledger.begun(stage) == {}
    assert {"xgboost", "scikit-learn", "numpy", "gelisol"} <= set(ledger.entry("train").versions)
    assert {"GDAL", "PROJ", "GEOS", "rasterio", "odc-geo", "xarray"} <= set(ledger.entry("cube").versions)
    assert version_notes(ledger, here) == []


def test_other_versions_are_told_of_and_what_is_done_is_kept(older: Path, pristine: Path, gelisol, on_scheduler):
    here = versions()
    xgboost = of_stage("train", here)["xgboost"]
    says = f"stages train, map were done with xgboost 1.0 (here {xgboost}): their results are kept"
    gdal = f"stage cube was done with GDAL 2.0 (here {here['GDAL']})"
    kept = (older / "maps.zarr" / "zarr.json").stat().st_ino
    for result in (
        gelisol("check", pristine / "run.yaml", "--out", older),
        gelisol("run", pristine / "run.yaml", "--out", older, "--until", "map", *on_scheduler),
        gelisol("status", older),
    ):
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        assert says in text and "--fresh" in text
        assert gdal in text
    assert (older / "maps.zarr" / "zarr.json").stat().st_ino == kept
    assert says in " ".join(json.loads(gelisol("status", older, "--json").output)["versions"])


def test_an_unfinished_stage_is_not_finished_with_other_versions(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler, monkeypatch
):
    """Blocks that are there are of the versions that made them; of a map begun with others none is taken."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--progress", "json"]

    def mapped() -> tuple[dict[str, int], str]:
        Ledger(out).begin("map", of_stage("map", versions()) | {"numpy": "1.0"} if older else None)
        result = gelisol(*arguments)
        assert result.exit_code == 0, result.output
        events = list(map(json.loads, result.stdout.splitlines()))
        return next(e for e in events if e["event"] == "step_done" and e["step"] == "map"), result.stdout

    older = False
    step, _ = mapped()
    assert step["done_before"] == step["total"] > 1
    older = True
    real = versions()
    monkeypatch.setattr("pipelines.run.execute.versions", lambda: real | {"numpy": "99.0"})
    step, text = mapped()
    assert step["done_before"] == 0
    assert "stage map was begun with numpy 1.0 (here 99.0)" in text
    assert "stages profiles, cube, select, train were done with numpy" in text


def test_pieces_have_their_versions_in_their_key_and_stages_have_not(pristine: Path):
    prepared, here = open_run(pristine / "run.yaml"), versions()
    for stage, names in OF_STAGE.items():
        keys = RunKeys(prepared, here).of(stage)
        for name in ("xgboost-cpu" if name == "xgboost" else name for name in names if name != "gelisol"):
            if name in here:
                other = RunKeys(prepared, here | {name: "99"}).of(stage)
                assert other.stage == keys.stage
                assert other.pieces != keys.pieces and other.environment != keys.environment
        # Its own version does not: the number of a stage's code says when results change.
        assert RunKeys(prepared, here | {"gelisol": "99"}).of(stage) == keys
    assert environment_key("report", here) == environment_key("report", {})


def test_what_is_not_known_is_not_compared(finished: Path):
    """`status` does without loading GDAL, and cannot say its version."""
    ledger, here = Ledger(finished), packages()
    assert version_notes(ledger, here) == []
    del here["pyogrio"]
    (note,) = version_notes(ledger, here)
    assert "(here not installed)" in note
