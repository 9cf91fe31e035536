"""Drivers of soil carbon in the trained model: `importance.csv` and `partial_dependence.csv` (the study's step 7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from distributed import Client

from engine.cube.features import Feature, Features
from engine.ensemble.importance import (
    Curve,
    class_name,
    column_blocks,
    curves,
    gain_shares,
    partial_dependence,
    permutation_increase,
)
from engine.ensemble.trained import Ensemble, load_ensemble
from engine.errors import Finding
from engine.execution.tasks import Progress, run_each, silent
from engine.seeds import Use, streams
from engine.storage.paths import OutPath

POINTS = 30
"""Values of a covariate at which its partial dependence is evaluated."""
REPEATS = 10
"""Permutations of the out-of-bag sites of a replicate."""
BAND = (2.5, 97.5)
"""Percentiles of the replicates that bound a partial dependence."""
KINDS: dict[str, Callable[[Feature], str]] = {
    "covariate": lambda column: column.covariate,
    "group": lambda column: column.group,
}
"""What columns of the design matrix are taken together by."""


@dataclass(frozen=True)
class Effects:
    """Effects of the drivers in one replicate.

    Attributes
    ----------
    gain : ndarray, shape (columns,)
        Share of each column in the total gain, %; NaN where the family has no such measure.
    increase : ndarray, shape (rows,)
        Rise of the RMSE out of bag, for every covariate and group, kg C/m²; NaN with fewer than two sites out of bag.
    curves : tuple of ndarray
        Partial dependence, one value per point of each curve, kg C/m².
    """

    gain: np.ndarray
    increase: np.ndarray
    curves: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Drivers:
    """The drivers of the first depth's density.

    Attributes
    ----------
    importance : DataFrame
        `kind` (covariate, group)`, covariate` ("" for a group)`, group, label, gain_percent, gain_sd` (%, summing to
        100 over the covariates and over the groups)`, permutation_rmse, permutation_sd` (kg C/m²): mean and SD over
        the replicates. Permuting a group shuffles all its covariates together. Most important first.
    partial_dependence : DataFrame
        `covariate, value, class, mean, lower, upper` (kg C/m²): mean and 95 % range over the replicates; `value` is
        empty for a class and `class` for a number.
    notes : tuple of Finding
        What could not be measured.
    """

    importance: pd.DataFrame
    partial_dependence: pd.DataFrame
    notes: tuple[Finding, ...]


def find_drivers(
    client: Client | None, ensemble: Ensemble, training: pd.DataFrame, progress: Progress = silent
) -> Drivers:
    """Measure the drivers of a trained ensemble, one task per replicate.

    Parameters
    ----------
    client : Client or None
        None measures them in this process, one replicate after the other.
    training : DataFrame
        `training.parquet`: the sites in the order of the bootstrap indices, with `y` (kg C/m²) and the covariates.
    """
    features, manifest = ensemble.features, ensemble.manifest
    x = features.matrix({name: training[name].to_numpy() for name in features.covariates})
    items = enumerate(streams(manifest.seed, Use.IMPORTANCE, manifest.replicates))
    # Groups are of the run file, not of what a worker may have kept of the manifest.
    blocks = [columns for _, _, columns in _blocks(features)]
    shared = (ensemble.path, ensemble.hash, x, training["y"].to_numpy(), blocks)
    if client is None:
        by_replicate = {item[0]: _effects(item, *shared) for item in items}
    else:
        found = run_each(client, _effects, items, *shared, total=manifest.replicates, progress=progress, name="drivers")
        by_replicate = {replicate: result for (replicate, _), result in found}
    return tabulate(features, curves(features, x, POINTS), [by_replicate[r] for r in sorted(by_replicate)])


def _effects(
    item: tuple[int, np.random.SeedSequence],
    path: OutPath,
    digest: str,
    x: np.ndarray,
    y: np.ndarray,
    blocks: list[np.ndarray],
) -> Effects:
    replicate, stream = item
    ensemble = load_ensemble(path, digest)
    features, predict = ensemble.features, partial(ensemble.predict, replicate)
    weights = [member.weight for member in ensemble.manifest.members]
    left_out = np.setdiff1d(np.arange(len(y)), ensemble.bootstrap[replicate])
    return Effects(
        gain=gain_shares(ensemble.models[replicate], weights, features.names),
        increase=permutation_increase(predict, x[left_out], y[left_out], blocks, stream, REPEATS),
        curves=tuple(partial_dependence(predict, x, curve) for curve in curves(features, x, POINTS)),
    )


def _blocks(features: Features) -> list[tuple[str, str, np.ndarray]]:
    """Return kind, name and columns of everything that has a row in `importance.csv`."""
    return [
        (kind, name, columns) for kind, key in KINDS.items() for name, columns in column_blocks(features, key).items()
    ]


def tabulate(features: Features, at: Sequence[Curve], found: Sequence[Effects]) -> Drivers:
    """Tabulate mean and spread over the replicates.

    Parameters
    ----------
    at : sequence of Curve
        Where partial dependence was evaluated.
    found : sequence of Effects
        One per replicate.
    """
    gains, increases = np.stack([f.gain for f in found]), np.stack([f.increase for f in found])
    rows = []
    for (kind, name, columns), increase in zip(_blocks(features), increases.T, strict=True):
        first = features.columns[columns[0]]
        gain_mean, gain_sd = _mean_and_sd(gains[:, columns].sum(axis=1))
        increase_mean, increase_sd = _mean_and_sd(increase)
        rows.append(
            {
                "kind": kind,
                "covariate": name if kind == "covariate" else "",
                "group": first.group,
                "label": _label(first) if kind == "covariate" else name,
                "gain_percent": gain_mean,
                "gain_sd": gain_sd,
                "permutation_rmse": increase_mean,
                "permutation_sd": increase_sd,
            }
        )
    importance = pd.DataFrame(rows).sort_values(
        ["kind", "gain_percent", "permutation_rmse"], ascending=[True, False, False], ignore_index=True
    )
    return Drivers(importance, _dependence_table(at, found), _notes(gains, increases))


def weights_of(importance: pd.DataFrame) -> "pd.Series[float]":
    """Return the weight of each covariate: its gain or, for families without gains, the cost of permuting it.

    Parameters
    ----------
    importance : DataFrame
        Rows of covariates, indexed by them.
    """
    return importance["gain_percent"].fillna(importance["permutation_rmse"])


def covariate_weights(ensemble: Ensemble, training: pd.DataFrame) -> "pd.Series[float]":
    """Return the weights as from `find_drivers`, in this process, without permutations if gains suffice."""
    features = ensemble.features
    shares = [member.weight for member in ensemble.manifest.members]
    gains = np.stack([gain_shares(models, shares, features.names) for models in ensemble.models])
    blocks = column_blocks(features, KINDS["covariate"])
    weights = pd.Series({name: _mean_and_sd(gains[:, columns].sum(axis=1))[0] for name, columns in blocks.items()})
    if weights.notna().all():
        return weights
    importance = find_drivers(None, ensemble, training).importance
    return weights_of(importance[importance["kind"] == "covariate"].set_index("covariate"))


def _mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    """Return mean and SD over the replicates that have a value; NaN if too few have."""
    known = values[np.isfinite(values)]
    return known.mean() if known.size else np.nan, known.std(ddof=1) if known.size > 1 else np.nan


def labels_of(features: Features) -> dict[str, str]:
    """Return the label of every covariate."""
    return {column.covariate: _label(column) for column in features.columns}


def _label(column: Feature) -> str:
    return column.label.removesuffix(f": {class_name(column)}") if class_name(column) else column.label


def _dependence_table(at: Sequence[Curve], found: Sequence[Effects]) -> pd.DataFrame:
    tables = []
    for number, curve in enumerate(at):
        values = np.stack([f.curves[number] for f in found])
        lower, upper = np.percentile(values, BAND, axis=0)
        columns = {"value": curve.values, "class": curve.classes, "mean": values.mean(axis=0)}
        tables.append(pd.DataFrame({"covariate": curve.covariate, **columns, "lower": lower, "upper": upper}))
    return pd.concat(tables, ignore_index=True)


def _notes(gains: np.ndarray, increases: np.ndarray) -> tuple[Finding, ...]:
    replicates = len(gains)
    notes = []
    if without := int(np.isnan(gains).any(axis=1).sum()):
        why = "the model family has no gain" if without == replicates else "their models have no gain or no split"
        notes.append(Finding.note(f"Gain importance leaves out {without} of {replicates} replicates: {why}."))
    if without := int(np.isnan(increases).any(axis=1).sum()):
        why = "with fewer than two sites out of bag"
        notes.append(Finding.note(f"Permutation importance leaves out {without} of {replicates} replicates {why}."))
    return tuple(notes)
