"""Values of a run's results at points."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.cube.sampling import cell_of, sample
from engine.ensemble.trained import Ensemble
from engine.mapping.predict_block import OF_OBSERVATION
from engine.mapping.predict_rows import RowPredictor
from engine.storage.paths import OutPath
from engine.storage.zarr_store import open_dataset
from engine.validation.applicability import Applicability
from gelisol._arguments import ArgumentError
from gelisol._places import lon_lat
from pipelines.soil_carbon.model.joint_errors import AtPlaces, errors_at
from pipelines.soil_carbon.results.products import band_name

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from pipelines.runfile.reader import RunFile


def predict_at(directory: OutPath, points: Any, config: "RunFile") -> pd.DataFrame:
    """Predict every statistic at points; see `Run.predict`."""
    lon, lat = lon_lat(points)
    require_on_grid(open_dataset(directory / "cube.zarr").odc.geobox, lon, lat)
    ensemble = Ensemble(directory / "ensemble")
    area = directory / "applicability.npz"
    applicability = Applicability.load(area) if area.exists() else None
    model, target = config.model, config.target.name
    errors = errors_at(directory, config, lon, lat)
    predictor = RowPredictor(
        ensemble, model.interval, applicability, model.statistics, errors.model if errors else None
    )
    covariates = ensemble.features.covariates
    values = sample(directory / "cube.zarr", lon, lat, covariates)
    table = statistics_table(
        predictor, {name: values[name].to_numpy() for name in covariates}, target, points.index, errors
    )
    if errors is None and model.local_intervals and not (directory / "maps.zarr").exists():
        # The joint distribution of the errors is fitted for the map: nothing else stands for its intervals until then.
        table[[band_name(label, name, target) for label in config.depth_labels for name in OF_OBSERVATION]] = np.nan
    return table


def statistics_table(
    predictor: RowPredictor,
    values: dict[str, np.ndarray],
    target: str,
    index: pd.Index,
    errors: AtPlaces | None = None,
) -> pd.DataFrame:
    """Return a table of what is predicted from values of covariates; empty where one of them is missing."""
    features = predictor.ensemble.features
    complete = features.complete(values)
    x = features.matrix({name: column[complete] for name, column in values.items()})
    here = errors.only(complete) if errors else None
    rows = predictor.predict(x, (here.x, here.y), here.zone) if here else predictor.predict(x)
    columns: dict[str, Any] = {}
    for output, label in enumerate(predictor.ensemble.manifest.outputs):
        for place, name in enumerate(predictor.statistics):
            columns[band_name(label, name, target)] = rows.statistics[output, place]
    columns["dissimilarity"] = rows.dissimilarity
    filled = {name: _spread(column, complete) for name, column in columns.items()}
    applicable = np.zeros(len(complete), bool)
    applicable[complete] = rows.applicable
    return pd.DataFrame(filled | {"applicable": applicable}, index=index)


def _spread(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    found = np.full(len(where), np.nan, "float32")
    found[where] = values
    return found


def require_on_grid(geobox: "GeoBox", lon: np.ndarray, lat: np.ndarray, argument: str = "points") -> None:
    """Refuse points of which none is on the grid.

    Raises
    ------
    ArgumentError
        Names the extent of both, and whether the points would be on it with lon and lat swapped.
    """
    if cell_of(geobox, lon, lat)[2].any():
        return
    west, south, east, north = geobox.extent.to_crs("EPSG:4326").boundingbox.bbox
    text = (
        f"{argument}: none of them is on the grid; they are at lon {lon.min():.4g} to {lon.max():.4g}, lat "
        f"{lat.min():.4g} to {lat.max():.4g}, the grid at lon {west:.4g} to {east:.4g}, lat {south:.4g} to {north:.4g}"
    )
    swapped = (np.abs(lon) <= 90).all() and cell_of(geobox, lat, lon)[2].any()
    raise ArgumentError(f"{text}. lon and lat are swapped" if swapped else text)
