"""Training table: sites with a density of the first depth and every covariate."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.cube.build import DOMAIN, is_known
from engine.cube.features import Features
from engine.cube.sampling import sample
from engine.ensemble.perturbed import Moved
from engine.errors import Finding, InputError
from engine.sources.variable import Variable
from engine.storage.atomic import staged
from engine.storage.paths import OutPath, read_file
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.profiles.site_classes import class_codes

LEFT_OUT = "not_modelled"
"""Column of `profiles.parquet`: why a site does not train the model, or empty."""


@dataclass(frozen=True)
class TrainingTable:
    """The sites that train the model.

    Attributes
    ----------
    table : DataFrame
        One row per training site: `site, lon, lat, zone, y` (kg C/m²) and the covariates (class codes of categories).
    features : Features
        Columns of the design matrix.
    x : ndarray of float32, shape (sites, columns)
        Design matrix.
    observed : ndarray, shape (sites, depths)
        Densities, kg C/m², the first depth first; NaN where a profile is too shallow for another.
    reasons : Series
        Every site of the profiles → why it is left out, or empty.
    count : Finding
        How many sites train the model, and why the others do not.
    notes : tuple of Finding
        All of them, `count` among them.
    shared : ndarray or None, shape (replicates, sites, depths)
        Errors in common, kg C/m², that are added to what each replicate observes, where any are drawn.
    moved : Moved or None
        Covariates at the places where each replicate takes sites to be whose places are not exact.
    """

    table: pd.DataFrame
    features: Features
    x: np.ndarray
    observed: np.ndarray
    reasons: pd.Series
    count: Finding
    notes: tuple[Finding, ...]
    shared: np.ndarray | None = None
    moved: Moved | None = None

    @classmethod
    def assemble(cls, prepared: Prepared, covariates: tuple[str, ...]) -> "TrainingTable":
        """Sample the cube at the sites; values measured at a site replace the raster's.

        Parameters
        ----------
        covariates : tuple of str
            Those that the model uses.

        Raises
        ------
        InputError
            If fewer sites than folds are left, with the reasons.
        """
        config = prepared.config
        sites = prepared.profiles.wide()
        variable, zone_names = prepared.zones
        wanted = list(dict.fromkeys([DOMAIN, *covariates, *([variable] if variable else [])]))
        cube = prepared.directory / "cube.zarr"
        values = sample(cube, sites["lon"].to_numpy(), sites["lat"].to_numpy(), wanted)
        zones = np.array(["", *zone_names], dtype=object)
        zone = zones[values[variable]] if variable else np.full(len(sites), "", object)
        specs = {name: config.covariates[name] for name in covariates}
        errors, model = prepared.profiles.errors, config.model
        return cls.of(
            sites, values, zone, specs, config.depth_labels, config.observations.at_site, model.validation.folds,
            errors.draws(model.replicates, model.seed) if errors else None,
        )  # fmt: skip

    @classmethod
    def of(
        cls,
        sites: pd.DataFrame,
        values: pd.DataFrame,
        zone: np.ndarray,
        specs: Mapping[str, Variable],
        depths: Sequence[str],
        at_site: Mapping[str, str],
        folds: int,
        shared: np.ndarray | None = None,
    ) -> "TrainingTable":
        """Choose the sites that have a density of the first depth and every covariate.

        Parameters
        ----------
        sites : DataFrame
            `site, lon, lat`, `socd_LABEL` of every depth, and the columns that `at_site` names.
        values : DataFrame
            Of the cells that hold the sites: `domain` and the covariates.
        zone : ndarray of str, shape (sites,)
            Empty where there are none.
        specs : mapping
            Covariates that the model uses.
        depths : sequence of str
            Labels.
        at_site : mapping
            Covariate → column of values measured at the site, which replace the cell's.
        folds : int
            Fewest sites.
        shared : ndarray, shape (replicates, sites, depths), optional
            Errors in common of all sites.

        Raises
        ------
        InputError
            If fewer sites are left, with the reasons.
        """
        labels, names = [f"socd_{label}" for label in depths], list(specs)
        notes = []
        for covariate, column in at_site.items():
            if covariate in names:
                spec, measured = specs[covariate], sites[column].notna().to_numpy()
                own = class_codes(sites[column], spec) if spec.is_categorical else sites[column].astype("float32")
                values.loc[measured, covariate] = own[measured].to_numpy()
                how, source = ("recorded", "map") if spec.is_categorical else ("measured", "raster")
                notes.append(
                    Finding.note(
                        f"{covariate}: {how} at {measured.sum()} of {len(sites)} sites, else from the {source}."
                    )
                )
        reasons = _reasons(sites[labels[0]], values, names)
        used = (reasons == "").to_numpy()
        left_out = "".join(f"; {n} {reason}" for reason, n in reasons[~used].value_counts().items())
        count = Finding.note(f"{used.sum()} of {len(sites)} sites train the model{left_out}.")
        if used.sum() < folds:
            raise InputError(Finding(f"{folds} folds need at least {folds} sites. {count}", "model.validation.folds"))
        kept = values.loc[used, names].reset_index(drop=True)
        notes += [count, *unseen_classes(kept, specs)]
        observed = sites.loc[used, labels].to_numpy("float64")
        place = sites.loc[used, ["site", "lon", "lat"]].reset_index(drop=True)
        table = pd.concat([place, pd.DataFrame({"zone": zone[used], "y": observed[:, 0]}), kept], axis=1)
        features = Features.of(specs)
        x = features.matrix({name: kept[name].to_numpy() for name in names})
        of_used = None if shared is None else shared[:, used]
        return cls(table, features, x, observed, reasons.set_axis(sites["site"]), count, tuple(notes), of_used)

    @property
    def y(self) -> np.ndarray:
        """Densities of the first depth, kg C/m², shape (sites,)."""
        return self.observed[:, 0]

    def column(self, name: str) -> np.ndarray:
        """Return one column of the table."""
        return self.table[name].to_numpy()

    @staticmethod
    def places(directory: OutPath) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude, degrees, of the sites that trained the ensemble of a results folder."""
        content = io.BytesIO(read_file(directory / "ensemble" / "training.parquet"))
        table = pd.read_parquet(content, columns=["lon", "lat"])
        return table["lon"].to_numpy(), table["lat"].to_numpy()

    @staticmethod
    def zone_names(directory: OutPath) -> np.ndarray:
        """Return the zone of each site that trained the ensemble of a results folder; empty where there is none."""
        content = io.BytesIO(read_file(directory / "ensemble" / "training.parquet"))
        return pd.read_parquet(content, columns=["zone"])["zone"].astype(str).to_numpy()

    def update_profiles(self, path: OutPath) -> None:
        """Record in `profiles.parquet` which sites train the model, and why the others do not."""
        profiles = pd.read_parquet(io.BytesIO(read_file(path)))
        profiles[LEFT_OUT] = profiles["site"].map(self.reasons)
        with staged(path) as stage:
            profiles.to_parquet(stage, index=False)


def unseen_classes(kept: pd.DataFrame, specs: Mapping[str, Variable]) -> list[Finding]:
    """Return classes without a site, which the model cannot learn."""
    notes = []
    for name in kept:
        classes = specs[str(name)].class_names
        seen = set(kept[name])
        if unseen := [label for code, label in enumerate(classes, 1) if code not in seen]:
            names = ", ".join(unseen)
            notes.append(
                Finding.warning(f"{name}: no site is in {names}; cells there are predicted by the other covariates.")
            )
    return notes


def _reasons(density: pd.Series, values: pd.DataFrame, names: list[str]) -> pd.Series:
    """Return why each site is left out, empty if it is not; the first reason that holds."""
    known = pd.DataFrame({name: is_known(values[name].to_numpy()) for name in names}, index=values.index)
    missing = known.apply(lambda row: ", ".join(row.index[~row]), axis=1)
    reasons = pd.Series(np.where(missing == "", "", "without a value of " + missing), index=values.index, dtype=object)
    reasons[values[DOMAIN] == 0] = "outside the domain"
    reasons[density.isna().to_numpy()] = "without a density of the first depth"
    return reasons
