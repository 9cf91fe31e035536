"""The map held against sites that never trained it: `independent.csv` and `independent_sites.parquet`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.cube.build import DOMAIN, is_known
from engine.cube.sampling import cell_of, sample
from engine.ensemble.trained import Ensemble
from engine.errors import Finding
from engine.formatting import counted
from engine.storage.atomic import remove, staged
from engine.storage.paths import OutPath
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.cells import cell_moments
from engine.uncertainty.core_intervals import core_interval
from engine.validation.cross_validation import Scores
from engine.validation.folds import default_block_size_km, squares
from engine.validation.interval_coverage import LEVELS
from engine.validation.skill import Skill
from pipelines.soil_carbon.model.joint_errors import AtPlaces, errors_at
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared

TABLE, SITES = "independent.csv", "independent_sites.parquet"
COVERED = "covered_"
"""Columns of `independent.csv`: the share of observations inside their prediction interval, by its level."""
IN_TRAINING = "in the cell of a site that trains the model"
"""Why such a site is left out: the model has seen these covariates with a density, so that nothing is tried there."""
LEFT_OUT = "left_out"


@dataclass(frozen=True)
class AtSites:
    """Predictions of the ensemble at sites: mean and interval per output.

    Attributes
    ----------
    mean : ndarray, shape (sites, outputs)
    lower, upper : ndarray, shape (levels, sites, outputs)
        Prediction intervals.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(
        cls, ensemble: Ensemble, x: np.ndarray, levels: tuple[float, ...], errors: AtPlaces | None = None
    ) -> "AtSites":
        """Predict, as the map does: intervals from the joint model of the errors, or else jackknife+'s."""
        predictions = ensemble.predict_all(x).astype("float64")
        lines = ensemble.coefficients
        mean = (lines[:, None, :, 0] + lines[:, None, :, 1] * predictions[:, :, None]).mean(axis=0)
        if errors is not None:
            sd = (lines[:, None, :, 0] + lines[:, None, :, 1] * predictions[:, :, None]).std(axis=0, ddof=1)
            columns = errors.model.basis.columns(mean[:, 0], x, errors.zone)
            truth = cell_moments(errors.model, errors.x, errors.y, columns, mean.T, sd.T)
            least = -np.inf if ensemble.manifest.least is None else ensemble.manifest.least
            sides = [core_interval(errors.model, truth, mean[:, 0], level, least) for level in levels]
            lower, upper = (np.stack([pair[i].T for pair in sides]) for i in (0, 1))
            return cls(mean, lower, upper)
        ends = [jackknife.interval(predictions, levels) for jackknife in ensemble.jackknives]
        lower, upper = (np.stack([pair[i] for pair in ends], axis=-1) for i in (0, 1))
        return cls(mean, lower, upper)


def try_independent(prepared: Prepared, facts: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Hold the map against the run's independent sites, if it has any; returns notes for the user.

    Parameters
    ----------
    facts : mapping
        Of the stage `train`: `block_km`, the side of the squares that count as one piece of evidence.
    """
    directory = prepared.directory
    if prepared.independent is None:
        for name in (TABLE, SITES):
            remove(directory / name)
        return ()
    ensemble = Ensemble(directory / "ensemble")
    labels = prepared.config.depth_labels
    sites = prepared.independent.wide()
    names = list(ensemble.features.covariates)
    values = sample(directory / "cube.zarr", sites["lon"].to_numpy(), sites["lat"].to_numpy(), [DOMAIN, *names])
    reasons = _reasons(sites, values, names, directory)
    used = sites[reasons == ""].reset_index(drop=True)
    left_out = "".join(f"; {n} {reason}" for reason, n in reasons[reasons != ""].value_counts().items())
    text = f"{len(used)} of {counted(len(sites), 'independent site')} try the map{left_out}."
    levels = tuple(sorted({*LEVELS, prepared.config.model.interval}))
    at = None
    if len(used):
        kept = values[(reasons == "").to_numpy()]
        errors = errors_at(directory, prepared.config, used["lon"].to_numpy(), used["lat"].to_numpy())
        at = AtSites.of(ensemble, ensemble.features.matrix({n: kept[n].to_numpy() for n in names}), levels, errors)
    observed = used[[f"socd_{label}" for label in labels]].to_numpy("float64")
    block_km = facts.get("block_km") or default_block_size_km(
        float(prepared.grid.outline.area) / 1e6, prepared.config.model.validation.folds
    )
    groups = squares(used["lon"].to_numpy(), used["lat"].to_numpy(), block_km) if len(used) else np.empty(0, int)
    rows = [
        _scores(label, observed[:, k], at, k, levels, np.nanmean(ensemble.observed[:, k]), groups)
        for k, label in enumerate(labels)
    ]
    with staged(directory / TABLE) as stage:
        pd.DataFrame(rows).to_csv(stage, index=False)
    with staged(directory / SITES) as stage:
        _by_site(sites, reasons, labels, at, levels.index(prepared.config.model.interval)).to_parquet(
            stage, index=False
        )
    return (*prepared.independent.notes, Finding.note(text) if len(used) else Finding.warning(text))


def _reasons(sites: pd.DataFrame, values: pd.DataFrame, names: list[str], directory: OutPath) -> "pd.Series[str]":
    """Return why each site is left out, or empty; the first reason that holds."""
    geobox = open_dataset(directory / "cube.zarr").odc.geobox
    rows, cols, _ = cell_of(geobox, sites["lon"].to_numpy(), sites["lat"].to_numpy())
    trained = {(row, col) for row, col, _ in zip(*cell_of(geobox, *TrainingTable.places(directory)), strict=True)}
    seen = np.array([cell in trained for cell in zip(rows, cols, strict=True)], bool)
    known = np.logical_and.reduce([is_known(values[name].to_numpy()) for name in names])
    inside = values[DOMAIN].to_numpy() != 0
    why = np.select([~inside, ~known, seen], ["outside the domain", "without a covariate", IN_TRAINING], "")
    return pd.Series(why, index=sites.index, dtype=object)


def _scores(
    depth: str,
    observed: np.ndarray,
    at: AtSites | None,
    k: int,
    levels: Sequence[float],
    training_mean: float,
    groups: np.ndarray,
) -> dict[str, Any]:
    """Return one row of `independent.csv`."""
    known = np.isfinite(observed)
    row: dict[str, Any] = {"depth": depth, "training_mean": training_mean}
    if at is None or not known.any():
        return row | {"n": 0}
    target, predicted = observed[known], at.mean[known, k]
    reference = np.full((1, len(target)), training_mean)
    skill = asdict(Skill.of(target, predicted[None], reference, groups[known]))
    scores = Scores.of(target, predicted)
    varies = len(target) > 1 and np.ptp(target) > 0 and np.ptp(predicted) > 0
    row |= {
        "n": skill["n"],
        "groups": skill["groups"],
        "observed_mean": target.mean(),
        "predicted_mean": predicted.mean(),
        "bias": scores.bias,
        "bias_se": _standard_error(predicted - target, groups[known]),
        "bias_of_mean": training_mean - target.mean(),
        "r": np.corrcoef(target, predicted)[0, 1] if varies else np.nan,
        "rmse": skill["rmse"],
        "rmse_of_mean": skill["rmse_of_mean"],
        "mae": scores.mae,
        "ccc": scores.ccc,
        "skill": skill["value"],
        "lower": skill["lower"],
        "upper": skill["upper"],
    }
    held = (at.lower[:, known, k] <= target) & (target <= at.upper[:, known, k])
    return row | {f"{COVERED}{level:g}": share for level, share in zip(levels, held.mean(axis=1), strict=True)}


def _standard_error(values: np.ndarray, groups: np.ndarray) -> float:
    """Return the standard error of a mean whose values are correlated within groups; NaN for a single group."""
    index, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    effective = len(values) ** 2 / (sizes**2).sum()
    if effective <= 1:
        return np.nan
    sums = np.bincount(index.ravel(), values - values.mean())
    return float(np.sqrt(effective / (effective - 1) * (sums**2).sum()) / len(values))


def _by_site(
    sites: pd.DataFrame, reasons: "pd.Series[str]", labels: tuple[str, ...], at: AtSites | None, level: int
) -> pd.DataFrame:
    """Tabulate sites by depth: `site, lon, lat, left_out, depth, observed, predicted, lower, upper`, kg C/m²."""
    used = (reasons == "").to_numpy()
    tables = []
    for k, label in enumerate(labels):
        table = sites[["site", "lon", "lat"]].assign(depth=label, observed=sites[f"socd_{label}"])
        table[LEFT_OUT] = reasons
        for name in ("predicted", "lower", "upper"):
            values = np.full(len(sites), np.nan)
            if at is not None:
                values[used] = at.mean[:, k] if name == "predicted" else getattr(at, name)[level, :, k]
            table[name] = values
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
