"""The joint model of a map's errors, fitted to the sites that trained its ensemble: `error_model.npz`."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyproj import Transformer

from engine.cube.sampling import cell_of, sample
from engine.ensemble.trained import Ensemble
from engine.errors import Finding
from engine.grid.grid import crs_of
from engine.seeds import Use, integer, streams
from engine.storage.atomic import remove
from engine.storage.paths import OutPath, read_file
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.core_intervals import fewest_sites
from engine.uncertainty.error_model import FEWEST_SITES, ErrorModel, fit_error_model
from engine.uncertainty.new_observations import Located
from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.prepared import ZONES, Prepared

FILE = "error_model.npz"
"""Where the model is kept in the results folder."""


@dataclass(frozen=True)
class AtPlaces:
    """The joint model of the errors, and where it is asked.

    Attributes
    ----------
    model : ErrorModel
    x, y : ndarray, shape (places,)
        Centres of the cells that hold the places, on the grid's plane.
    zone : ndarray of int, shape (places,)
        Of those cells; 0 for none.
    """

    model: ErrorModel
    x: np.ndarray
    y: np.ndarray
    zone: np.ndarray

    def only(self, rows: np.ndarray) -> "AtPlaces":
        """Return some of the places, by a mask or by their numbers."""
        return AtPlaces(self.model, self.x[rows], self.y[rows], self.zone[rows])


def fit_errors(prepared: Prepared, ensemble: Ensemble) -> tuple[OutPath | None, tuple[Finding, ...]]:
    """Fit and keep the joint model of the errors, unless the run file wants none or the sites are too few.

    Returns
    -------
    OutPath or None
        Where the model is.
    tuple of Finding
        Why the model is missing, where the run file asks for it; and depths with too few sites for the level of the
        prediction interval.
    """
    path = prepared.directory / FILE
    model = _fitted(prepared, ensemble) if prepared.config.model.residual_error else None
    if model is not None:
        model.save(path)
        return path, uncertified(prepared.config, model)
    remove(path)
    if not prepared.config.model.residual_error:
        return None, ()
    asked = prepared.config.model.asked.names
    without = f" Layers that `model` asks for cannot be made: {', '.join(asked)}." if asked else ""
    return None, (
        Finding.warning(
            f"some depth has fewer than {FEWEST_SITES} sites with residuals that differ, or all sites are in one "
            "place: cells have no interval of their own, and the ranges of totals are those of the replicates alone, "
            f"which is too narrow.{without}"
        ),
    )


def uncertified(config: RunFile, model: ErrorModel) -> tuple[Finding, ...]:
    """Return a warning about each depth whose prediction intervals are open, because its sites are too few."""
    if not config.model.local_intervals:
        return ()
    level = config.model.interval
    counts = np.isfinite(model.residual).sum(axis=0)
    return tuple(
        Finding.warning(
            f"{label} cm: {n} sites cannot certify a prediction interval of {100 * level:g} %, which takes "
            f"{fewest_sites(level)}; `pi_lower` and `pi_upper` are open in all cells. Lower `model.interval`."
        )
        for label, n in zip(config.depth_labels, counts, strict=True)
        if n < fewest_sites(level)
    )


def errors_at(directory: OutPath, config: RunFile, lon: np.ndarray, lat: np.ndarray) -> AtPlaces | None:
    """Return the joint model of a run's errors and the cells of places; None where prediction intervals have none."""
    if not config.model.local_intervals or not (directory / FILE).exists():
        return None
    cube = directory / "cube.zarr"
    geobox = open_dataset(cube).odc.geobox
    rows, cols, _ = cell_of(geobox, lon, lat)
    x, y = geobox.pix2wld(cols + 0.5, rows + 0.5)
    zone = np.zeros(len(rows), "int64")
    if config.zones is not None:
        variable = config.zones if isinstance(config.zones, str) else ZONES
        zone = sample(cube, lon, lat, [variable])[variable].to_numpy("int64")
    return AtPlaces(ErrorModel.load(directory / FILE), np.asarray(x), np.asarray(y), zone)


def locate(prepared: Prepared, training: pd.DataFrame) -> Located:
    """Return where training sites (`lon, lat, zone`) are on the grid's plane, and their zones."""
    _, zones = prepared.zones
    codes = {name: code for code, name in enumerate(zones, start=1)}
    to_plane = Transformer.from_crs("EPSG:4326", crs_of(prepared.grid.geobox).proj, always_xy=True)
    x, y = to_plane.transform(training["lon"].to_numpy(), training["lat"].to_numpy())
    zone = np.array([codes.get(name, 0) for name in training["zone"].astype(str)])
    box = prepared.grid.geobox.boundingbox
    return Located(np.asarray(x), np.asarray(y), zone, len(zones), max(box.span_x, box.span_y))


def _fitted(prepared: Prepared, ensemble: Ensemble) -> ErrorModel | None:
    content = io.BytesIO(read_file(prepared.directory / "ensemble" / "training.parquet"))
    training = pd.read_parquet(content)
    return fit_at(ensemble, training, locate(prepared, training), prepared.config.model.seed)


def fit_at(ensemble: Ensemble, training: pd.DataFrame, at: Located, seed: int) -> ErrorModel | None:
    """Fit the joint model of the errors to the sites that trained an ensemble.

    Parameters
    ----------
    training : DataFrame
        A row per site, with the ensemble's covariates.
    at : Located
        Where the sites are.
    seed : int
        Of the run.

    Returns
    -------
    ErrorModel or None
        As `fit_error_model` gives it.
    """
    design = ensemble.features.matrix({name: training[name].to_numpy() for name in ensemble.features.covariates})
    return fit_error_model(
        observed=ensemble.observed,
        out_of_bag=ensemble.out_of_bag,
        predicted=ensemble.predict_all(design),
        coefficients=ensemble.coefficients,
        design=design,
        zone=at.zone,
        zones=at.zones,
        x=at.x,
        y=at.y,
        extent=at.extent,
        shared=ensemble.shared,
        seed=integer(streams(seed, Use.ERROR_MODEL, 1)[0]),
    )
