"""Hyperparameters by grid search: on the cluster over all sites, or inside one training fold."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid

from engine.errors import FitError
from engine.execution.ledger import Scratch
from engine.extras import load
from engine.models.families import Family, Parameters, Value
from engine.seeds import integer

SCORING = "neg_root_mean_squared_error"
INNER_FOLDS = 5
"""Folds of a search inside a training fold."""


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    Attributes
    ----------
    parameters : mapping
        Of the lowest RMSE; the first listed in the grid where several share it.
    table : DataFrame
        `family`, one column per hyperparameter, `rmse`, `rmse_sd` (over the folds), `chosen`.
    """

    parameters: Parameters
    table: pd.DataFrame


def tune(
    client: Client,
    family: Family,
    x: np.ndarray,
    y: np.ndarray,
    folds: int,
    stream: np.random.SeedSequence,
    scratch: Scratch | None = None,
    name: str = "search",
) -> Tuned:
    """Search a family's grid on all sites, one task per fit.

    Parameters
    ----------
    scratch : Scratch, optional
        Keeps the scores under `name`.

    Raises
    ------
    FitError
        If no combination can be fitted.
    """
    # Takes a second, which only a search has to spend.
    selection = load("dask_ml.model_selection", "search", "Searches of hyperparameters (model.validation.tuning)")
    scratch = scratch or Scratch(None)
    if (kept := scratch.load(name)) is not None:
        return _outcome(family, kept)
    fold_stream, model_stream = stream.spawn(2)
    splits = KFold(folds, shuffle=True, random_state=integer(fold_stream))
    search = selection.GridSearchCV(
        family.build({}, integer(model_stream)),
        _grid(family),
        scoring=SCORING,
        cv=splits,
        refit=False,
        scheduler=client,
        error_score=np.nan,
        return_train_score=False,
    )
    with warnings.catch_warnings(), client.as_current():  # dask-ml waits in the loop of the current client
        warnings.simplefilter("ignore", category=FutureWarning)
        search.fit(x, y)
    scores = _scores(family, search.cv_results_)
    scratch.save(name, scores)
    return _outcome(family, scores)


def tune_within(family: Family, x: np.ndarray, y: np.ndarray, stream: np.random.SeedSequence) -> Parameters:
    """Choose the best of a family's grid on one training fold, in the calling task."""
    fold_stream, model_stream = stream.spawn(2)
    splits = KFold(min(INNER_FOLDS, len(y)), shuffle=True, random_state=integer(fold_stream))
    model = family.build({}, integer(model_stream))
    search = GridSearchCV(model, _grid(family), scoring=SCORING, cv=splits, refit=False, error_score=np.nan)
    search.fit(x, y)
    return _outcome(family, _scores(family, search.cv_results_)).parameters


def _grid(family: Family) -> dict[str, list[Value]]:
    prefix = "model__" if family.scaled else ""
    return {prefix + name: list(values) for name, values in family.grid.items()}


def _scores(family: Family, results: Mapping[str, Any]) -> np.ndarray:
    """Return RMSE and its SD over the folds, shape (2, combinations), in the order of the grid."""
    assert list(results["params"]) == list(ParameterGrid(_grid(family)))
    return np.stack([-np.asarray(results["mean_test_score"], float), np.asarray(results["std_test_score"], float)])


def _outcome(family: Family, scores: np.ndarray) -> Tuned:
    combinations = ParameterGrid(_grid(family))
    table = pd.DataFrame([{name.removeprefix("model__"): v for name, v in c.items()} for c in combinations])
    table = table.astype(object)
    rmse, rmse_sd = scores
    if not np.isfinite(rmse).any():
        raise FitError(f"{family.name}: no combination of hyperparameters could be fitted; check its grid")
    best = int(np.nanargmin(rmse))
    parameters: dict[str, Value] = dict(table.iloc[best])
    table.insert(0, "family", family.name)
    table["rmse"], table["rmse_sd"] = rmse, rmse_sd
    table["chosen"] = np.arange(len(table)) == best
    return Tuned(parameters, table)
