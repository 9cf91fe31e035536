"""Cross-validation: held-out predictions of every family, scheme and repeat, and their scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from distributed import Client
from scipy.optimize import nnls
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from engine.errors import FitError
from engine.execution.cached_tasks import run_kept
from engine.execution.ledger import Scratch
from engine.execution.tasks import Progress, silent
from engine.models.families import Family, Parameters
from engine.models.tuning import tune_within
from engine.seeds import Use, integer, streams

AVERAGE, STACK = "average", "stack"
"""Names of the plain and of the weighted mean of several families."""


@dataclass(frozen=True)
class Scores:
    """Scores of predictions against observations.

    Attributes
    ----------
    r2_explained : float
        Σ(P − Ō)² / Σ(O − Ō)², the study's Eq. 4: explained over total variance. Not 1 − SSE/SST; it can exceed 1.
    r2 : float
        1 − SSE/SST, the usual coefficient of determination; negative when the mean would do better.
    rmse, mae, bias : float
        Eq. 5, Eq. 6 and the mean of P − O, in the units of the observations.
    ccc : float
        Lin's (1989) concordance correlation coefficient.
    """

    r2_explained: float
    r2: float
    rmse: float
    mae: float
    bias: float
    ccc: float

    @classmethod
    def of(cls, observed: np.ndarray, predicted: np.ndarray) -> "Scores":
        """Score predictions, both of shape (n,); the ratios are NaN where all observations are the same."""
        mean, total = observed.mean(), np.sum((observed - observed.mean()) ** 2)
        covariance = np.mean((observed - mean) * (predicted - predicted.mean()))
        spread = observed.var() + predicted.var() + (mean - predicted.mean()) ** 2
        return cls(
            r2_explained=float(np.sum((predicted - mean) ** 2) / total) if total else np.nan,
            r2=float(r2_score(observed, predicted)) if total else np.nan,
            rmse=float(root_mean_squared_error(observed, predicted)),
            mae=float(mean_absolute_error(observed, predicted)),
            bias=float(np.mean(predicted - observed)),
            ccc=float(2 * covariance / spread) if spread else np.nan,
        )


@dataclass(frozen=True)
class Candidate:
    """A family with its hyperparameters; None: searched anew inside each training fold (nested)."""

    family: Family
    parameters: Parameters | None


@dataclass(frozen=True)
class HeldOut:
    """Predictions of sites by models that did not see them.

    Attributes
    ----------
    observed : ndarray, shape (sites,)
    folds : dict
        Scheme → fold numbers, shape (repeats, sites).
    predicted : dict
        (family, scheme) → predictions, shape (repeats, sites).
    """

    observed: np.ndarray
    folds: Mapping[str, np.ndarray]
    predicted: Mapping[tuple[str, str], np.ndarray]

    def scores(self) -> pd.DataFrame:
        """Return `family, scheme, repeat` and the scores over all sites: one row per family, scheme and repeat."""
        return pd.DataFrame(
            {"family": family, "scheme": scheme, "repeat": repeat, **asdict(Scores.of(self.observed, row))}
            for (family, scheme), rows in self.predicted.items()
            for repeat, row in enumerate(rows)
        )

    def zone_scores(self, zones: np.ndarray) -> pd.DataFrame:
        """Score predictions within each zone of the sites, averaged over repeats: `family, scheme, zone, n`, scores."""
        rows = []
        for (family, scheme), predicted in self.predicted.items():
            for zone in sorted(set(zones)):
                here = zones == zone
                scores = pd.DataFrame([asdict(Scores.of(self.observed[here], row[here])) for row in predicted])
                rows.append({"family": family, "scheme": scheme, "zone": zone, "n": int(here.sum()), **scores.mean()})
        return pd.DataFrame(rows)

    def best(self, scheme: str) -> str:
        """Return the family with the lowest mean RMSE under a scheme."""
        rmse = {
            family: np.mean([Scores.of(self.observed, row).rmse for row in rows])
            for (family, s), rows in self.predicted.items()
            if s == scheme
        }
        return min(rmse, key=rmse.__getitem__)

    def combined(self, families: Sequence[str], name: str) -> "HeldOut":
        """Add the average or stack of families as one more family.

        A stack's weights for a fold come from the held-out predictions of the other folds, so that its scores are
        those of sites that had no part in the weights.
        """
        added = {}
        for scheme, folds in self.folds.items():
            members = np.stack([self.predicted[family, scheme] for family in families], axis=-1)
            if name == AVERAGE:
                added[name, scheme] = members.mean(axis=-1)
                continue
            stacked = np.empty(members.shape[:2])
            for repeat, fold in enumerate(folds):
                for number in np.unique(fold):
                    test = fold == number
                    weights = stack_weights(members[repeat][~test], self.observed[~test])
                    stacked[repeat, test] = members[repeat][test] @ weights
            added[name, scheme] = stacked
        return HeldOut(self.observed, self.folds, {**self.predicted, **added})


def stack_weights(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Fit non-negative weights of families that sum to 1 (Breiman 1996), from held-out predictions.

    Parameters
    ----------
    predicted : ndarray, shape (n, families)
    observed : ndarray, shape (n,)
    """
    weights, _ = nnls(predicted, observed)
    total = weights.sum()
    return weights / total if total > 0 else np.full(predicted.shape[1], 1 / predicted.shape[1])


def cross_validate(
    client: Client,
    x: np.ndarray,
    y: np.ndarray,
    candidates: Sequence[Candidate],
    folds: Mapping[str, np.ndarray],
    *,
    seed: int,
    scratch: Scratch | None = None,
    progress: Progress = silent,
) -> HeldOut:
    """Predict every site from the other folds: one task per family, scheme and repeat.

    Parameters
    ----------
    x : ndarray of float32, shape (sites, columns)
    y : ndarray, shape (sites,)
    folds : dict
        Scheme → fold numbers, shape (repeats, sites).
    scratch : Scratch, optional
        Keeps finished repeats, so that an interrupted validation goes on from there.

    Raises
    ------
    FitError
        If a family cannot be fitted to a training fold, or predicts what is no number.
    """
    items = {item.name: item for item in _items(candidates, folds, seed)}
    results = run_kept(client, _held_out, items, x, y, scratch=scratch, progress=progress, name="validate")
    predicted = {
        (c.family.name, scheme): np.stack([results[_name(c.family.name, scheme, r)] for r in range(len(rows))])
        for c in candidates
        for scheme, rows in folds.items()
    }
    return HeldOut(np.asarray(y, float), folds, predicted)


@dataclass(frozen=True)
class _Item:
    name: str
    candidate: Candidate
    fold: np.ndarray
    stream: np.random.SeedSequence


def _name(family: str, scheme: str, repeat: int) -> str:
    return f"{family}-{scheme}-{repeat:04d}"


def _items(candidates: Sequence[Candidate], folds: Mapping[str, np.ndarray], seed: int) -> Iterator[_Item]:
    """Yield repeats; those of one number share their stream over families and schemes: the comparison is paired."""
    for candidate in candidates:
        for scheme, rows in folds.items():
            for repeat, (fold, stream) in enumerate(zip(rows, streams(seed, Use.VALIDATION, len(rows)), strict=True)):
                yield _Item(_name(candidate.family.name, scheme, repeat), candidate, fold, stream)


def _held_out(item: _Item, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return held-out predictions of one repeat."""
    predicted = np.empty(len(y))
    numbers = np.unique(item.fold)
    # A stream is rebuilt, not spawned from: spawning changes it, and a task may run twice.
    spawned = np.random.SeedSequence(item.stream.entropy, spawn_key=item.stream.spawn_key).spawn(len(numbers))
    for number, stream in zip(numbers, spawned, strict=True):
        test = item.fold == number
        tune_stream, model_stream = stream.spawn(2)
        candidate = item.candidate
        parameters = candidate.parameters
        if parameters is None:
            parameters = tune_within(candidate.family, x[~test], y[~test], tune_stream)
        with candidate.family.explained(int((~test).sum())):
            model = candidate.family.build(parameters, integer(model_stream)).fit(x[~test], y[~test])
            predicted[test] = np.ravel(model.predict(x[test]))
    if unknown := int((~np.isfinite(predicted)).sum()):
        raise FitError(f"{item.candidate.family.name} predicts no number for {unknown} of {len(y)} sites")
    return predicted
