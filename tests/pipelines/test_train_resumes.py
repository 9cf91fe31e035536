"""What an interrupted stage `train` has found is not searched for, divided or measured again."""

from collections import Counter
from pathlib import Path

import pytest
from dask_ml.model_selection import GridSearchCV
from small_run import SmallRun

from engine.errors import RunError
from engine.execution import cached_tasks as kept
from engine.statistics.variogram import fit_variogram as fit_variogram_itself
from pipelines.soil_carbon.model.train_stage import Modelling

TABLES = ("tuning.csv", "validation.csv", "coverage.csv", "calibration.csv", "pit.csv", "importance.csv")
COVERAGE = 2 * 5
"""Schemes with one repeat each, of five folds."""


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Pieces of work by step."""
    counted: Counter = Counter()

    def run_each(client, function, items, *shared, name, plain=kept.run_each, **keywords):
        counted[name] += len(items)
        return plain(client, function, items, *shared, name=name, **keywords)

    def fit(self, *arguments, plain=GridSearchCV.fit):
        counted["search"] += 1
        return plain(self, *arguments)

    def fit_variogram(*arguments, plain=fit_variogram_itself):
        counted["variogram"] += 1
        return plain(*arguments)

    monkeypatch.setattr("engine.execution.cached_tasks.run_each", run_each)
    monkeypatch.setattr("dask_ml.model_selection.GridSearchCV.fit", fit)
    monkeypatch.setattr("pipelines.soil_carbon.model.train_stage.fit_variogram", fit_variogram)
    return counted


@pytest.mark.parametrize("tuning", ["once", "nested"])
def test_an_interrupted_stage_goes_on(run: SmallRun, tmp_path: Path, gelisol, on_scheduler, done, monkeypatch, tuning):
    grid = {"n_estimators": [10, 20]}
    run.set("model.families", [{"name": "xgboost", "grid": grid}, {"name": "brt", "grid": grid}])
    run.set("model.validation", {"folds": 5, "repeats": 2, "schemes": ["random", "block"], "coverage": 1})
    run.set("model.validation.tuning", tuning)
    arguments = ["run", run.path, "--until", "train", *on_scheduler]
    assert gelisol(*arguments, "--out", tmp_path / "whole").exit_code == 0
    searches = 2 if tuning == "once" else 1  # nested: of the family that is mapped
    once = {"search": searches, "variogram": 1, "folds": 4, "validate": 8, "coverage": COVERAGE}
    assert done == once
    done.clear()

    def fail(*_):
        raise RunError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Modelling, "drivers", fail)
        assert gelisol(*arguments).exit_code == 3
    assert done == once
    done.clear()
    result = gelisol(*arguments)
    assert result.exit_code == 0, result.output
    assert +done == {}
    for table in TABLES:
        assert (run.out / table).read_bytes() == (tmp_path / "whole" / table).read_bytes(), table
    # What the mapped models do not change is kept, too, when they do.
    result = gelisol(*arguments, "--set", "model.replicates=4", "--set", "model.validation.repeats=3")
    assert result.exit_code == 0, result.output
    assert +done == {"folds": 2, "validate": 4, "coverage": COVERAGE}
