"""The stage `train`: tune, validate, choose, train the replicates, measure coverage, name the drivers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
from distributed import Client

import engine
from engine.cube.build import DOMAIN
from engine.cube.sampling import random_cells
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.manifest import bootstrap_indices
from engine.ensemble.packed import PackedEnsemble, train_packed
from engine.ensemble.trained import Ensemble
from engine.errors import Finding, FitError
from engine.execution.ledger import Scratch
from engine.execution.tasks import Progress
from engine.models.families import Family
from engine.models.persistence import Member
from engine.models.tuning import tune
from engine.seeds import Use, streams
from engine.statistics.variogram import fit_variogram
from engine.storage.atomic import staged
from engine.storage.paths import OutPath
from engine.uncertainty.new_observations import Located
from engine.validation.applicability import Applicability
from engine.validation.calibration import AtSites
from engine.validation.cross_validation import AVERAGE, STACK, Candidate, HeldOut, cross_validate, stack_weights
from engine.validation.error_profile import ErrorProfile
from engine.validation.folds import Places, default_block_size_km, further_folds, repeated_folds, squares
from engine.validation.interval_coverage import HeldOutDistributions, hold_out_distributions
from pipelines.progress import Display
from pipelines.runfile.model_section import BEST, Model
from pipelines.soil_carbon.model.depth_regression import bootstrap_coefficients
from pipelines.soil_carbon.model.drivers import find_drivers, weights_of
from pipelines.soil_carbon.model.interval_tables import write_interval_tables
from pipelines.soil_carbon.model.joint_errors import locate
from pipelines.soil_carbon.model.skill import skill_table
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared

NOTHING = 0.0
"""Least that there can be of a substance: prediction intervals do not reach below it."""
_RANGE = "range_km"
"""Name under which the range of spatial correlation is kept."""
APPLICABILITY_REPEATS = 10
"""Repeats of the last scheme whose folds set the threshold of applicability, however often scores are repeated."""
DOMAIN_POINTS = 5000
"""Random cells that stand for the prediction area in the fold scheme knndm."""


@dataclass(frozen=True)
class Setting:
    """Settings of a model and its region, beside the sites.

    Attributes
    ----------
    model : Model
        The model section of the run file.
    labels : tuple of str
        Depths, the first of which is modelled.
    units : str
        Of what is mapped.
    directory : OutPath
        Where the artefacts go.
    area_km2 : float
        Of the domain.
    cells : callable
        Centres of random cells of the domain: number and generator → longitude and latitude.
    locate : callable or None
        Where sites are on the grid: training table → places; None where prediction intervals are jackknife+'s.
    """

    model: Model
    labels: tuple[str, ...]
    units: str
    directory: OutPath
    area_km2: float
    cells: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    locate: Callable[[pd.DataFrame], Located] | None = None

    @classmethod
    def of(cls, prepared: Prepared) -> "Setting":
        """Take them from a run."""
        config, cube = prepared.config, prepared.directory / "cube.zarr"
        return cls(
            config.model, config.depth_labels, config.target.cf_units, prepared.directory,
            float(prepared.grid.outline.area) / 1e6, partial(random_cells, cube, DOMAIN),
            partial(locate, prepared) if config.model.local_intervals else None,
        )  # fmt: skip


@dataclass(frozen=True)
class Modelling:
    """Context that the steps of the stage share."""

    setting: Setting
    training: TrainingTable
    client: Client
    display: Display
    scratch: Scratch
    environment: str = ""
    """Of the versions that replicates depend on."""
    failed: dict[str, str] = field(default_factory=dict)
    """Families that could not be fitted and were left out → why."""

    @property
    def model(self) -> Model:
        """The model section of the run file."""
        return self.setting.model

    @property
    def _least(self) -> float:
        """Lower bound of prediction intervals: none if values below zero were observed."""
        return NOTHING if np.nanmin(self.training.observed) >= NOTHING else -np.inf

    def path(self, name: str) -> OutPath:
        """Return the place of an artefact."""
        return self.setting.directory / name

    def run(self) -> dict[str, object]:
        """Run all steps; return facts for the provenance."""
        coefficients = self.depth_regressions()
        candidates, tuning = self.tune()
        folds, places = self.folds()
        held_out = self.validate(candidates, folds)
        members = self.choose([c for c in candidates if c.family.name not in self.failed], held_out)
        self.write_scores(held_out, tuning)
        self.write_skill(held_out, places.block_km)
        ensemble = self.train(members, coefficients)
        distributions = self.distributions(members, folds) if self.model.validation.coverage else None
        importance = self.drivers(ensemble)
        deviation = self.deviation(held_out)
        self.applicability(self.folds_of_applicability(folds, places), importance, deviation)
        if distributions:
            self.write_calibration(distributions, weights_of(importance))
        return {
            "sites": len(self.training.y),
            "mapped": ensemble.manifest.family,
            "failed": self.failed,
            "block_km": places.block_km,
        }

    def depth_regressions(self) -> np.ndarray:
        """Regress depths for every replicate, before any long step, so that too few deep profiles show early."""
        training, labels = self.training, self.setting.labels
        indices = bootstrap_indices(len(training.y), self.model.replicates, self.model.seed)
        return bootstrap_coefficients(training.y, training.observed[:, 1:], indices, labels, training.shared)

    def tune(self) -> tuple[list[Candidate], pd.DataFrame]:
        """Search every family's grid once on all sites, or leave it to the training folds."""
        validation, training = self.model.validation, self.training
        families = [spec.family() for spec in self.model.families]
        if validation.tuning == "nested":
            # Those without a grid have nothing to search.
            return [Candidate(f, None if f.grid else {}) for f in families], pd.DataFrame()
        candidates, tables = [], []
        with self.display.stage("tune", "family") as progress:
            for done, (family, stream) in enumerate(
                zip(families, streams(self.model.seed, Use.TUNING, len(families)), strict=True)
            ):
                progress(done, len(families))
                if not family.grid:
                    candidates.append(Candidate(family, {}))
                    continue
                try:
                    tuned = tune(
                        self.client, family, training.x, training.y, validation.folds, stream,
                        self.scratch.inner("search"), family.name,
                    )  # fmt: skip
                except FitError as error:
                    self._leave_out(family, error)
                    continue
                candidates.append(Candidate(family, tuned.parameters))
                tables.append(tuned.table)
            progress(len(families), len(families))
        return candidates, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def folds(self) -> tuple[dict[str, np.ndarray], Places]:
        """Make folds of every scheme and repeat."""
        validation, seed = self.model.validation, self.model.seed
        lon, lat = self.training.column("lon"), self.training.column("lat")
        (stream,) = streams(seed, Use.CELLS, 1)
        rng = np.random.default_rng(stream)
        cells = self.setting.cells(DOMAIN_POINTS, rng)
        places = Places(lon, lat, *cells, self._block_km(lon, lat, rng), self.training.y)
        with self.display.stage("folds", "repeat") as progress:
            folds = repeated_folds(
                self.client, validation.schemes, places, folds=validation.folds, repeats=validation.repeats, seed=seed,
                scratch=self.scratch.inner("folds"), progress=progress,
            )  # fmt: skip
        return folds, places

    def folds_of_applicability(self, folds: dict[str, np.ndarray], places: Places) -> np.ndarray:
        """Make folds of the last scheme, with a number of repeats that does not follow that of the scores."""
        scheme, validation = self.model.validation.schemes[-1], self.model.validation
        return further_folds(
            self.client, scheme, places, folds[scheme], folds=validation.folds, repeats=APPLICABILITY_REPEATS,
            seed=self.model.seed, scratch=self.scratch.inner("folds_of_applicability"),
        )  # fmt: skip

    def _block_km(self, lon: np.ndarray, lat: np.ndarray, rng: np.random.Generator) -> float:
        """Return the side of a block: as asked, else the range of spatial correlation, else by the domain's size."""
        validation = self.model.validation
        if validation.block_km:
            return validation.block_km
        largest = default_block_size_km(self.setting.area_km2, validation.folds)
        kept = self.scratch.inner("folds")
        if (found := kept.load(_RANGE)) is None:
            found = np.array(fit_variogram(lon, lat, self.training.y, rng).range_km)
            kept.save(_RANGE, found)
        range_km = float(found)
        return min(range_km, largest) if range_km > 0 else largest

    def _leave_out(self, family: Family, error: FitError) -> None:
        """Leave out a family that cannot be fitted, with a warning, unless it is the mapped or the last one."""
        families = [spec.name for spec in self.model.families]
        if self.model.mapped in (family.name, AVERAGE, STACK) or len(families) == len(self.failed) + 1:
            raise error
        self.failed[family.name] = str(error)
        self.display.say(Finding.warning(f"{error}; it is left out."))

    def validate(self, candidates: list[Candidate], folds: dict[str, np.ndarray]) -> HeldOut:
        """Predict held-out sites with the families that can be fitted."""
        training = self.training
        results: list[HeldOut] = []
        for candidate in candidates:
            with self.display.stage(candidate.family.name, "repeat") as progress:
                try:
                    results.append(self._cross_validate(candidate, folds, progress))
                except FitError as error:
                    self._leave_out(candidate.family, error)
        predicted = {key: rows for result in results for key, rows in result.predicted.items()}
        held_out = HeldOut(training.y, folds, predicted)
        if self.model.mapped in (AVERAGE, STACK):
            held_out = held_out.combined([c.family.name for c in candidates], self.model.mapped)
        return held_out

    def _cross_validate(self, candidate: Candidate, folds: dict[str, np.ndarray], progress: Progress) -> HeldOut:
        x, y, seed = self.training.x, self.training.y, self.model.seed
        return cross_validate(self.client, x, y, [candidate], folds, seed=seed, scratch=self.scratch, progress=progress)

    def choose(self, candidates: list[Candidate], held_out: HeldOut) -> list[Member]:
        """Choose the models of each replicate. What was tuned inside the folds is tuned once more on all sites."""
        name = self._mapped(held_out)
        chosen = [c for c in candidates if name in (c.family.name, AVERAGE, STACK)]
        weights = np.full(len(chosen), 1 / len(chosen))
        if name == STACK:
            first = self.model.validation.schemes[0]
            rows = np.concatenate([held_out.predicted[c.family.name, first].T[..., None] for c in chosen], axis=-1)
            repeats = rows.shape[1]
            weights = stack_weights(rows.reshape(-1, len(chosen)), np.repeat(held_out.observed, repeats))
        members: list[Member] = []
        for candidate, weight, stream in zip(
            chosen, weights, streams(self.model.seed, Use.TUNING, len(chosen)), strict=True
        ):
            parameters = candidate.parameters
            if parameters is None:
                folds = self.model.validation.folds
                parameters = tune(
                    self.client, candidate.family, self.training.x, self.training.y, folds, stream,
                    self.scratch.inner("search"), f"{candidate.family.name}-{len(members)}",
                ).parameters  # fmt: skip
            members.append(Member(family=candidate.family, parameters=dict(parameters), weight=float(weight)))
        self.display.say(f"mapped: {name} ({', '.join(f'{m.family.name} {m.parameters}' for m in members)})")
        return members

    def _mapped(self, held_out: HeldOut) -> str:
        """Return the family or blend that is mapped."""
        mapped, scheme = self.model.mapped, self.model.validation.schemes[0]
        return held_out.best(scheme) if mapped == BEST else mapped

    def deviation(self, held_out: HeldOut) -> np.ndarray:
        """Return held-out predictions less observations in the first repeat of the last scheme, shape (sites,)."""
        predicted = held_out.predicted[self._mapped(held_out), self.model.validation.schemes[-1]]
        return np.asarray(predicted[0] - held_out.observed)

    def write_scores(self, held_out: HeldOut, tuning: pd.DataFrame) -> None:
        """Write `validation.csv`, `validation_zones.csv`, `validation_predictions.parquet`, `tuning.csv`."""
        with staged(self.path("validation.csv")) as stage:
            held_out.scores().to_csv(stage, index=False)
        with staged(self.path("validation_zones.csv")) as stage:
            held_out.zone_scores(self.training.column("zone")).to_csv(stage, index=False)
        with staged(self.path("tuning.csv")) as stage:
            stage.write_text("family\n" if tuning.empty else tuning.to_csv(index=False), encoding="utf-8")
        predictions = pd.concat(
            pd.DataFrame(
                {"site": self.training.column("site"), "family": family, "scheme": scheme,
                 "observed": held_out.observed, "predicted": rows.mean(axis=0)}
            )
            for (family, scheme), rows in held_out.predicted.items()
        )  # fmt: skip
        with staged(self.path("validation_predictions.parquet")) as stage:
            predictions.to_parquet(stage, index=False)

    def write_skill(self, held_out: HeldOut, block_km: float) -> None:
        """Write `skill.csv`: sites within one block, whose errors may be correlated, count once."""
        groups = squares(self.training.column("lon"), self.training.column("lat"), block_km)
        table = skill_table(held_out, self.training.observed, self.setting.labels, groups)
        with staged(self.path("skill.csv")) as stage:
            table.to_csv(stage, index=False)

    def train(self, members: list[Member], coefficients: np.ndarray) -> Ensemble:
        """Train the replicates."""
        training, seed = self.training, self.model.seed
        with self.display.stage("train", "replicate") as progress:
            return train_ensemble(
                self.client, self.path("ensemble"), training.x, training.observed, training.features, coefficients,
                members, outputs=self.setting.labels, units=self.setting.units, seed=seed,
                version=engine.__version__,
                environment=self.environment, least=self._least, tables={"training.parquet": training.table},
                shared=training.shared, moved=training.moved, progress=progress,
            )  # fmt: skip

    def train_packed(self, members: list[Member], coefficients: np.ndarray) -> PackedEnsemble:
        """Train the same replicates as a value, for workers that share no disk."""
        training = self.training
        with self.display.stage("train", "replicate") as progress:
            return train_packed(
                self.client, training.x, training.observed, training.features, coefficients, members,
                outputs=self.setting.labels, units=self.setting.units, seed=self.model.seed,
                version=engine.__version__, least=self._least, shared=training.shared, moved=training.moved,
                progress=progress,
            )  # fmt: skip

    def distributions(self, members: list[Member], folds: dict[str, np.ndarray]) -> HeldOutDistributions:
        """Predict held-out sites by distributions."""
        repeats = self.model.validation.coverage
        with self.display.stage("coverage", "fold") as progress:
            return hold_out_distributions(
                self.client, self.training.x, self.training.observed, members, bootstrap_coefficients,
                {scheme: rows[:repeats] for scheme, rows in folds.items()}, replicates=self.model.replicates,
                seed=self.model.seed, least=self._least, scratch=self.scratch, progress=progress,
                located=self.setting.locate(self.training.table) if self.setting.locate else None,
            )  # fmt: skip

    def write_calibration(self, found: HeldOutDistributions, weight: "pd.Series[float]") -> None:
        """Write `coverage.csv`, `calibration.csv` and `pit.csv`; `weight` is that of each covariate."""
        training, per_column = self.training, self._per_column(weight)
        dissimilarity = {
            scheme: Applicability.fit(training.x, training.features, per_column, list(rows)).training
            for scheme, rows in found.folds.items()
        }
        at = AtSites(training.column("site"), training.column("zone"), dissimilarity)
        write_interval_tables(self.setting.directory, found, at, self.setting.labels)

    def drivers(self, ensemble: Ensemble) -> pd.DataFrame:
        """Write `importance.csv` and `partial_dependence.csv`; return the importance of the covariates."""
        with self.display.stage("drivers", "replicate") as progress:
            drivers = find_drivers(self.client, ensemble, self.training.table, progress)
        for note in drivers.notes:
            self.display.say(note.of("drivers"))
        for name, table in (("importance", drivers.importance), ("partial_dependence", drivers.partial_dependence)):
            with staged(self.path(f"{name}.csv")) as stage:
                table.to_csv(stage, index=False)
        return drivers.importance[drivers.importance["kind"] == "covariate"].set_index("covariate")

    def applicability(self, folds: np.ndarray, importance: pd.DataFrame, deviation: np.ndarray) -> None:
        """Write `applicability.npz`, the basis of the area of applicability, with the folds of the last scheme."""
        self.fit_applicability(folds, weights_of(importance), deviation).save(self.path("applicability.npz"))

    def fit_applicability(self, folds: np.ndarray, weight: "pd.Series[float]", deviation: np.ndarray) -> Applicability:
        """Fit the area of applicability, and the errors to expect in it.

        Parameters
        ----------
        weight : Series
            Of each covariate.
        deviation : ndarray, shape (sites,)
            Of predictions under the first of the folds, less the observations.
        """
        fitted = Applicability.fit(self.training.x, self.training.features, self._per_column(weight), list(folds))
        if fitted.constant:
            self.display.say(f"applicability: {', '.join(fitted.constant)} left out, the same at all sites")
        return replace(fitted, profile=ErrorProfile.fit(fitted.density, deviation))

    def _per_column(self, weight: "pd.Series[float]") -> np.ndarray:
        """Return the weight of each column of the design matrix: those of a covariate share its weight."""
        columns = [column.covariate for column in self.training.features.columns]
        return np.array([weight[name] / columns.count(name) for name in columns])
