"""Results of a run, read from its folder for the report: tables whole, maps lazily."""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox
from pydantic import ValidationError

from engine.cube.sampling import sample
from engine.ensemble.manifest import Manifest
from engine.errors import InputError
from engine.formatting import counted
from engine.mapping.blockwise import APPLICABLE, DENSITY, DISSIMILARITY, EXPECTED_ERROR, STATISTICS
from engine.storage.npz import from_npy
from engine.storage.paths import OutPath, read_file
from engine.storage.zarr_store import open_dataset
from engine.validation.applicability import Applicability
from engine.validation.cross_validation import AVERAGE, STACK
from pipelines.runfile.reader import RunFile, load
from pipelines.runfile.target import Target
from pipelines.soil_carbon.model.training_table import LEFT_OUT
from pipelines.soil_carbon.prepared import ZONES
from pipelines.soil_carbon.results.stocks import TOTAL
from pipelines.soil_carbon.results.target_tables import known_columns, per_zone_as_known, stocks_as_known

MADE_BY = {
    "run.yaml": "profiles",
    "provenance.json": "profiles",
    "profiles.parquet": "profiles",
    "depth_regression.csv": "profiles",
    "cube.zarr": "cube",
    "selection.csv": "select",
    "tuning.csv": "train",
    "validation.csv": "train",
    "skill.csv": "train",
    "validation_zones.csv": "train",
    "validation_predictions.parquet": "train",
    "coverage.csv": "train",
    "calibration.csv": "train",
    "pit.csv": "train",
    "importance.csv": "train",
    "partial_dependence.csv": "train",
    "applicability.npz": "train",
    "ensemble/manifest.json": "train",
    "ensemble/training.parquet": "train",
    "ensemble/coefficients.npy": "train",
    "independent.csv": "report",
    "independent_sites.parquet": "report",
    "maps.zarr": "map",
    "stocks.csv": "map",
    "stocks_applicable.csv": "map",
    "stock_uncertainty.csv": "map",
    "zone_differences.csv": "map",
    "representativeness.csv": "map",
}
"""Artefact that the report reads → stage that makes it."""

NEEDED = {
    "profiles": ("rule", LEFT_OUT),
    "training": ("zone",),
    "maps": (*STATISTICS, DISSIMILARITY, APPLICABLE, DENSITY, EXPECTED_ERROR),
}
"""What an artefact of an earlier version may lack."""

SOURCES = {"profiles": "profiles.parquet", "training": "ensemble/training.parquet", "maps": "maps.zarr"}

TEXT = (
    "zone", "zone_a", "zone_b", "letters_a", "letters_b", "cells", "depth", "source", "family", "scheme", "kind",
    "covariate", "group", "label", "class", "test", "reason", "method", "by", "support", "site",
)  # fmt: skip
"""Columns of names, in which `NA` or `1` is a name like any other."""


@dataclass(frozen=True)
class Results:
    """The artefacts of a run.

    Attributes
    ----------
    directory : OutPath
        The run's folder.
    run : RunFile
        The resolved run file.
    provenance : dict
        Of the run.
    manifest : Manifest
        Of the ensemble.
    profiles, selection, tuning, validation, skill, zone_scores, predictions, importance, partial_dependence : DataFrame
        As the contract of artefacts describes them, and so are the following.
    depth_regression, training, stocks, stocks_applicable, stock_uncertainty : DataFrame
        As above.
    zone_differences, representativeness : DataFrame
        As above.
    coverage, calibration, pit : DataFrame or None
        None if the run did not measure them.
    independent, independent_sites : DataFrame or None
        None if the run file names no independent sites.
    coefficients : ndarray of float64, shape (replicates, depths, 2)
        Intercept (kg C/m²) and slope of the depth regressions.
    applicability : Applicability
        Where the model may predict, and how well.
    maps, cube : Dataset
        Lazy.
    truth : Dataset or None
        Lazy; true densities `socd` (depth, y, x), kg C/m², of a virtual region.
    """

    directory: OutPath
    run: RunFile
    provenance: dict[str, Any]
    manifest: Manifest
    profiles: pd.DataFrame
    selection: pd.DataFrame
    tuning: pd.DataFrame
    validation: pd.DataFrame
    skill: pd.DataFrame
    zone_scores: pd.DataFrame
    predictions: pd.DataFrame
    coverage: pd.DataFrame | None
    calibration: pd.DataFrame | None
    pit: pd.DataFrame | None
    independent: pd.DataFrame | None
    independent_sites: pd.DataFrame | None
    importance: pd.DataFrame
    partial_dependence: pd.DataFrame
    depth_regression: pd.DataFrame
    training: pd.DataFrame
    stocks: pd.DataFrame
    stocks_applicable: pd.DataFrame
    stock_uncertainty: pd.DataFrame
    zone_differences: pd.DataFrame
    representativeness: pd.DataFrame
    coefficients: np.ndarray
    applicability: Applicability
    maps: xr.Dataset
    cube: xr.Dataset
    truth: xr.Dataset | None

    @property
    def title(self) -> str:
        """Heading of the report."""
        return self.run.title or self.run.name

    @property
    def target(self) -> Target:
        """Mapped target."""
        return self.run.target

    @property
    def geobox(self) -> GeoBox:
        """The grid of the maps."""
        geobox: GeoBox = self.maps.odc.geobox
        return geobox

    @property
    def threshold(self) -> float:
        """Largest dissimilarity in the area of applicability."""
        return self.applicability.threshold

    @property
    def totals(self) -> pd.DataFrame:
        """Rows of the stock table for the whole region, indexed by depth."""
        return self.stocks[self.stocks["zone"] == TOTAL].set_index("depth")

    @property
    def stock_unit(self) -> tuple[str, float]:
        """The unit that shows stocks without leading zeros, and the factor from Pg to it."""
        return self.target.stock_unit(float(self.totals["stock_pg"].max()))

    @property
    def zones(self) -> tuple[str | None, tuple[str, ...]]:
        """Variable of the cube that holds the zones, and their names."""
        zones = self.run.zones
        if isinstance(zones, str):
            return zones, self.run.covariates[zones].class_names
        return (None, ()) if zones is None else (ZONES, zones.class_names)

    @property
    def mapped(self) -> str:
        """Name of the mapped target in the tables of validation."""
        blend = self.run.model.mapped
        return blend if blend in (AVERAGE, STACK) else self.manifest.members[0].family.name

    @property
    def scheme(self) -> str:
        """The first scheme of the validation, by which the mapped family is chosen."""
        return self.run.model.validation.schemes[0]

    @cached_property
    def sites(self) -> pd.DataFrame:
        """One row per site: its columns of the profiles at the first depth, and the `zone` of its cell, or empty."""
        first = self.profiles["depth"] == self.run.depth_labels[0]
        sites = self.profiles[first].reset_index(drop=True)
        variable, names = self.zones
        zone = np.full(len(sites), "", object)
        if variable:
            place = sites["lon"].to_numpy(), sites["lat"].to_numpy()
            codes = sample(self.directory / "cube.zarr", *place, [variable])[variable]
            zone = np.array(["", *names], dtype=object)[codes]
        return sites.assign(zone=zone)

    def layer(self, statistic: str, depth: str) -> xr.DataArray:
        """Open one map, lazily, dims (y, x)."""
        return self.maps[statistic].isel(depth=self.run.depth_labels.index(depth))

    def true_layer(self, depth: str) -> xr.DataArray:
        """Open the true densities at one depth, lazily, dims (y, x), kg C/m²."""
        if self.truth is None:
            raise ValueError(f"{self.directory}: the run has no truth")
        return self.truth["socd"].isel(depth=self.run.depth_labels.index(depth))


def read_results(directory: OutPath) -> Results:
    """Open everything in a run's folder that the report needs.

    Parameters
    ----------
    directory : OutPath
        What `output.dir` named.

    Raises
    ------
    InputError
        Names every artefact that is missing, or of an earlier version, and the stage that makes it.
    """
    if not (directory / "run.yaml").exists():
        raise InputError(f"{directory}: not the folder of a run: no run.yaml in it; give the `output.dir` of a run.")
    run, base = load(directory / "run.yaml")
    wanted = dict(MADE_BY)
    measured = bool(run.model.validation.coverage)
    if not measured:
        del wanted["coverage.csv"], wanted["calibration.csv"], wanted["pit.csv"]
    if run.model.validation.independent is None:
        del wanted["independent.csv"], wanted["independent_sites.parquet"]
    problems = [
        f"{directory / name}: missing; stage `{stage}` makes it: `gelisol run` the run file once more."
        for name, stage in wanted.items()
        if not (directory / name).exists()
    ]
    if run.truth and not (base / run.truth).exists():
        problems.append(f"{base / run.truth}: missing; run.yaml names it as the `truth` to hold the maps against.")
    if problems:
        raise InputError(problems)
    stocks = stocks_as_known(read_table(directory, "stocks"), run.target)
    results = Results(
        directory=directory,
        run=run,
        provenance=json.loads(read_file(directory / "provenance.json")),
        manifest=_manifest(directory),
        profiles=known_columns(read_parquet(directory / "profiles.parquet"), run.target),
        selection=read_table(directory, "selection"),
        tuning=read_table(directory, "tuning"),
        validation=read_table(directory, "validation"),
        skill=read_table(directory, "skill"),
        zone_scores=read_table(directory, "validation_zones"),
        predictions=read_parquet(directory / "validation_predictions.parquet"),
        coverage=read_table(directory, "coverage") if measured else None,
        calibration=read_table(directory, "calibration") if measured else None,
        pit=read_table(directory, "pit") if measured else None,
        independent=read_table(directory, "independent") if run.model.validation.independent else None,
        independent_sites=(
            read_parquet(directory / "independent_sites.parquet") if run.model.validation.independent else None
        ),
        importance=read_table(directory, "importance"),
        partial_dependence=read_table(directory, "partial_dependence"),
        depth_regression=read_table(directory, "depth_regression"),
        training=read_parquet(directory / "ensemble" / "training.parquet"),
        stocks=stocks,
        stocks_applicable=stocks_as_known(read_table(directory, "stocks_applicable"), run.target),
        stock_uncertainty=per_zone_as_known(read_table(directory, "stock_uncertainty"), stocks, run.target),
        zone_differences=read_table(directory, "zone_differences"),
        representativeness=read_table(directory, "representativeness"),
        coefficients=from_npy(read_file(directory / "ensemble" / "coefficients.npy")),
        applicability=Applicability.load(directory / "applicability.npz"),
        maps=open_dataset(directory / "maps.zarr"),
        cube=open_dataset(directory / "cube.zarr"),
        truth=open_dataset(base / run.truth) if run.truth else None,
    )
    _check_versions(results)
    return results


def read_table(directory: OutPath, name: str) -> pd.DataFrame:
    """Read a whole table of a results folder, `NAME.csv`, its columns of names as text."""
    path = directory / f"{name}.csv"
    content = io.BytesIO(read_file(path))
    table = pd.read_csv(content, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    text = [column for column in TEXT if column in table]
    return table.assign(**{column: table[column].fillna("") for column in text})


def read_parquet(path: OutPath) -> pd.DataFrame:
    """Read a whole Parquet file."""
    return pd.read_parquet(io.BytesIO(read_file(path)))


def _manifest(directory: OutPath) -> Manifest:
    path = directory / "ensemble" / "manifest.json"
    try:
        return Manifest.model_validate_json(read_file(path))
    except ValidationError as error:
        raise InputError(
            f"{path}: not of this version ({counted(error.error_count(), 'problem')}); stage `train` makes it: "
            "`gelisol run` the run file once more."
        ) from error


def _check_versions(results: Results) -> None:
    problems = []
    for attribute, names in NEEDED.items():
        if lacking := [name for name in names if name not in getattr(results, attribute)]:
            path = SOURCES[attribute]
            problems.append(
                f"{results.directory / path}: of an earlier version, without {', '.join(lacking)}; stage "
                f"`{MADE_BY[path]}` makes it anew: `gelisol run --fresh` the run file."
            )
    if problems:
        raise InputError(problems)
