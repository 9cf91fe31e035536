"""Fit of a model to points and covariates, by the steps of the stage `train`."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import ValidationError
from rich.console import Console

from engine.errors import Finding, InputError, Level
from engine.execution.ledger import Scratch
from gelisol._arguments import ArgumentError, described
from gelisol._covariates import Covariates
from gelisol._fitted import FittedModel
from gelisol._joint_errors import fit_joint_errors
from gelisol._places import lon_lat, rows_of
from pipelines.progress import Display
from pipelines.runfile.model_section import Model, Selection
from pipelines.runfile.nearest import nearest
from pipelines.soil_carbon.model.drivers import covariate_weights
from pipelines.soil_carbon.model.screening import select
from pipelines.soil_carbon.model.train_stage import Modelling, Setting
from pipelines.soil_carbon.model.training_table import TrainingTable

if TYPE_CHECKING:
    from distributed import Client

_SCORES = ("r2", "rmse")


class _Quiet(Display):
    """Display that shows nothing, and passes warnings on as Python's."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()), style="lines")

    def say(self, what: str | Finding) -> None:
        """Warn, if it is a warning."""
        if isinstance(what, Finding) and what.level is Level.WARNING:
            warnings.warn(what.message, stacklevel=2)


def settings(kind: type[Model] | type[Selection], given: Mapping[str, Any]) -> Any:
    """Read settings of a section of the run file.

    Raises
    ------
    ArgumentError
        Names each that is unknown or out of range.
    """
    try:
        return kind.model_validate(_plain(given))
    except ValidationError as error:
        raise ArgumentError(_explained(details, kind) for details in error.errors()) from None


def _plain(value: Any) -> Any:
    """Return lists and mappings of Python's own numbers."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def _explained(details: Any, kind: type[Model] | type[Selection]) -> str:
    keys = [str(key) for key in details["loc"] if "[" not in str(key)]
    name = ".".join(keys)
    if details["type"] == "extra_forbidden":
        valid = kind.model_fields if len(keys) == 1 else ()
        return f"{name}: unknown setting{nearest(keys[-1], valid) if valid else ''}"
    return f"{name}: {details['msg'].removeprefix('Value error, ')}; found {details['input']!r}"


def sites_table(points: Any, target: Sequence[str], depths: Sequence[str], at_site: Mapping[str, str]) -> pd.DataFrame:
    """Return points as the sites of a run: `site, lon, lat`, `socd_LABEL` per depth, and measured covariates.

    Raises
    ------
    ArgumentError
        If a column is missing or holds no numbers.
    """
    lon, lat = lon_lat(points)
    columns: dict[str, Any] = {"site": [str(label) for label in points.index], "lon": lon, "lat": lat}
    for number, (name, label) in enumerate(zip(target, depths, strict=True)):
        columns[f"socd_{label}"] = target_values(points, name, complete=number == 0)
    for covariate, column in at_site.items():
        columns[column] = column_of(points, column, f"at_site[{covariate!r}]").to_numpy()
    return pd.DataFrame(columns)


def column_of(points: pd.DataFrame, name: Any, argument: str) -> "pd.Series[Any]":
    """Return the column of a name."""
    if not isinstance(name, str):
        raise ArgumentError(f"{argument}: expected the name of a column of the points; found {described(name)}")
    given = [str(column) for column in points.columns]
    if given.count(name) != 1:
        found = f"{given.count(name)} times" if name in given else f"nowhere{nearest(name, given)}"
        raise ArgumentError(f"{argument}: expected the column {name!r} of the points once; found it {found}")
    return points.iloc[:, given.index(name)]


def target_values(points: pd.DataFrame, name: Any, *, complete: bool) -> np.ndarray:
    """Return measured values of a column, NaN for missing ones.

    Raises
    ------
    ArgumentError
        If they are no numbers, if none is there, or one is missing that must not be.
    """
    column = column_of(points, name, "target")
    try:
        values = pd.to_numeric(column).to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError):
        raise ArgumentError(f"target: the column {name!r} holds {column.dtype}; expected numbers") from None
    missing = ~np.isfinite(values)
    if missing.all():
        raise ArgumentError(f"target: the column {name!r} holds no number")
    if complete and missing.any():
        raise ArgumentError(
            f"target: {rows_of(points.index, missing)} without a number in the column {name!r}; leave them out: "
            f"points.dropna(subset=[{name!r}])"
        )
    return values


def learn(
    covariates: Covariates,
    sites: pd.DataFrame,
    depths: Sequence[str],
    at_site: Mapping[str, str],
    units: str,
    model: Model,
    selection: Selection,
    client: "Client",
    zones: str | None = None,
) -> tuple[FittedModel, dict[str, Any]]:
    """Screen covariates, tune, validate, choose, train and fit the area of applicability, as a run does.

    Returns
    -------
    FittedModel, dict
        And facts: the covariates that are used, the family, the number of sites, scores per scheme.
    """
    if unknown := [name for name in at_site if name not in covariates.specs]:
        raise ArgumentError(f"at_site: {unknown[0]!r} is not a covariate{nearest(unknown[0], covariates.specs)}")
    zone_names = _zone_names(covariates, zones)
    values = covariates.at(sites["lon"].to_numpy(), sites["lat"].to_numpy(), client)
    zone = np.array(["", *zone_names], object)[values[zones] if zones else np.zeros(len(sites), int)]
    table = partial(_training, sites, values, zone, depths=depths, at_site=at_site, folds=model.validation.folds)
    everything = table(covariates.specs)
    with _named():
        screened = select(everything.table[list(covariates.specs)], everything.y, covariates.specs, selection)
    kept = screened.loc[screened["kept"], "covariate"].tolist()
    training = table({name: covariates.specs[name] for name in kept})
    _warn(training, len(sites))
    cells = partial(covariates.cells, client)
    setting = Setting(model, tuple(depths), units, Path(), covariates.area_km2, cells)  # nothing is written
    steps = Modelling(setting, training, client, _Quiet(), Scratch(None))
    with _named():
        coefficients = steps.depth_regressions()
        candidates, _ = steps.tune()
        folds, places = steps.folds()
        held_out = steps.validate(candidates, folds)
        members = steps.choose([c for c in candidates if c.family.name not in steps.failed], held_out)
        packed = steps.train_packed(members, coefficients)
        weights = covariate_weights(packed.ensemble, training.table)
        area = steps.fit_applicability(steps.folds_of_applicability(folds, places), weights, steps.deviation(held_out))
    manifest = packed.ensemble.manifest
    errors = None
    if model.residual_error:
        lon, lat = training.column("lon"), training.column("lat")
        errors = fit_joint_errors(
            packed.ensemble, training.table, lon, lat, covariates.geobox, model, zones, zone_names
        )
    flags = {name: covariates.flags[name] for name in (*kept, zones) if name in covariates.flags}
    name = model.mapped if model.mapped in ("average", "stack") else members[0].family.name
    facts = {
        "covariates": ", ".join(kept), "family": manifest.family, "sites": manifest.sites,
        "replicates": manifest.replicates, "seed": manifest.seed, **_scores(held_out.scores(), name),
    }  # fmt: skip
    return FittedModel(packed, model.interval, area, flags, model.statistics, errors), facts


def _zone_names(covariates: Covariates, zones: str | None) -> tuple[str, ...]:
    """Return the classes of the zones."""
    if zones is None:
        return ()
    if zones not in covariates.specs:
        raise ArgumentError(f"zones: {zones!r} is not a covariate{nearest(str(zones), covariates.specs)}")
    if zones not in covariates.flags:
        raise ArgumentError(f"zones: {zones!r} holds numbers; expected codes of classes with the attribute flag_values")
    return covariates.specs[zones].class_names


def _training(
    sites: pd.DataFrame, values: pd.DataFrame, zone: np.ndarray, specs: Mapping[str, Any], *, depths: Sequence[str],
    at_site: Mapping[str, str], folds: int,
) -> TrainingTable:  # fmt: skip
    with _named():
        return TrainingTable.of(sites, values, zone, specs, depths, at_site, folds)


def _warn(training: TrainingTable, sites: int) -> None:
    """Warn of points that do not train the model, and of classes without a point."""
    for note in training.notes:
        if note.level is Level.WARNING:
            warnings.warn(note.message, stacklevel=4)
        elif len(training.y) < sites and note is training.count:
            warnings.warn(f"points: {note.message.replace('site', 'point')}", stacklevel=4)


def _scores(table: pd.DataFrame, family: str) -> dict[str, float]:
    """Return mean scores of the mapped family, e.g. `rmse_knndm`."""
    own = table[table["family"] == family].groupby("scheme", sort=False)[list(_SCORES)].mean()
    return {f"{score}_{scheme}": float(row[score]) for scheme, row in own.iterrows() for score in _SCORES}


@contextmanager
def _named() -> Iterator[None]:
    """Name settings in errors as the call does, not as a run file."""
    try:
        yield
    except InputError as error:
        raise ArgumentError(problem.of(problem.key.removeprefix("model.")) for problem in error.problems) from None
