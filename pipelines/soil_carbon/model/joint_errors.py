"""The joint model of a map's errors, fitted to the sites that trained its ensemble: `error_model.npz`."""

import io

import numpy as np
import pandas as pd
from pyproj import Transformer

from engine.ensemble.trained import Ensemble
from engine.errors import Finding
from engine.grid.grid import crs_of
from engine.seeds import Use, integer, streams
from engine.storage.atomic import remove
from engine.storage.paths import OutPath, read_file
from engine.uncertainty.error_model import FEWEST_SITES, ErrorModel, fit_error_model
from pipelines.soil_carbon.prepared import Prepared

FILE = "error_model.npz"
"""Where the model is kept in the results folder."""


def fit_errors(prepared: Prepared, ensemble: Ensemble) -> tuple[OutPath | None, tuple[Finding, ...]]:
    """Fit and keep the joint model of the errors, unless the run file wants none or the sites are too few.

    Returns
    -------
    OutPath or None
        Where the model is.
    tuple of Finding
        Why the model is missing, where the run file asks for it.
    """
    path = prepared.directory / FILE
    model = _fitted(prepared, ensemble) if prepared.config.model.residual_error else None
    if model is not None:
        model.save(path)
        return path, ()
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


def _fitted(prepared: Prepared, ensemble: Ensemble) -> ErrorModel | None:
    content = io.BytesIO(read_file(prepared.directory / "ensemble" / "training.parquet"))
    training = pd.read_parquet(content)
    _, zones = prepared.zones
    codes = {name: code for code, name in enumerate(zones, start=1)}
    to_plane = Transformer.from_crs("EPSG:4326", crs_of(prepared.grid.geobox).proj, always_xy=True)
    x, y = to_plane.transform(training["lon"].to_numpy(), training["lat"].to_numpy())
    design = ensemble.features.matrix({name: training[name].to_numpy() for name in ensemble.features.covariates})
    box = prepared.grid.geobox.boundingbox
    return fit_error_model(
        observed=ensemble.observed,
        out_of_bag=ensemble.out_of_bag,
        predicted=ensemble.predict_all(design),
        coefficients=ensemble.coefficients,
        design=design,
        zone=np.array([codes.get(name, 0) for name in training["zone"].astype(str)]),
        zones=len(zones),
        x=np.asarray(x),
        y=np.asarray(y),
        extent=max(box.span_x, box.span_y),
        seed=integer(streams(prepared.config.model.seed, Use.ERROR_MODEL, 1)[0]),
    )
