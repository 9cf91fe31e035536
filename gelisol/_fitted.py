"""A fitted model as a value, and its map as a lazy Dataset: one task a block."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoBox
from odc.geo.xr import assign_crs

from engine.cube.build import DOMAIN
from engine.ensemble.packed import PackedEnsemble
from engine.grid.grid import crs_of
from engine.mapping.blockwise import APPLICABLE, DISSIMILARITY
from engine.mapping.joint_cells import layers_of_cells
from engine.mapping.predict_rows import RowPredictor
from engine.sources.spec import layer_interval
from engine.validation.applicability import Applicability
from gelisol._covariates import Covariates, as_in_cube
from gelisol._joint_errors import JointErrors
from gelisol._runs import described_dataset
from pipelines.soil_carbon.results.products import asked_attrs, statistic_attrs

_READY = threading.Lock()
"""Threads of a worker make an ensemble ready once, not each for itself."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """Fitted model with all that a worker needs to map a block, apart from the block's covariates.

    Attributes
    ----------
    packed : PackedEnsemble
        The replicates.
    level : float
        Nominal coverage of the prediction interval.
    applicability : Applicability or None
        None where there is nothing to tell sites apart by.
    flags : mapping
        Category → stored codes in the order of its classes.
    further : tuple of str
        Registered statistics beside those of every map.
    errors : JointErrors or None
        The joint model of the errors, which gives cells an interval of their own.
    """

    packed: PackedEnsemble
    level: float
    applicability: Applicability | None
    flags: Mapping[str, tuple[float, ...]]
    further: tuple[str, ...] = ()
    errors: JointErrors | None = None

    @property
    def key(self) -> str:
        """Hash of all that numbers depend on."""
        area = self.applicability
        learnt = b"" if area is None else area.points.tobytes() + area.scale.tobytes() + repr(area.threshold).encode()
        errors = self.errors and self.errors.key
        text = repr((self.packed.digest, self.level, sorted(self.flags.items()), self.further, errors)).encode()
        return hashlib.sha256(learnt + text).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FittedModel) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __dask_tokenize__(self) -> str:
        """Return what tells this model from others."""
        return self.key

    @property
    def predictor(self) -> RowPredictor:
        """The ensemble, made ready to predict rows that have no place, once per process."""
        return self.ready[0]

    @property
    def ready(self) -> tuple[RowPredictor, RowPredictor]:
        """The ensemble, made ready once per process: for rows that have no place, and for cells."""
        with _READY:
            return _ready(self)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Covariates that are used."""
        return self.predictor.ensemble.features.covariates

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of a Dataset that a map needs: the covariates, and the zones of the errors."""
        zones = self.errors.zones if self.errors else None
        return (*self.covariates, *([zones] if zones and zones not in self.covariates else []))

    @property
    def layers(self) -> tuple[str, ...]:
        """Statistics that are mapped output by output."""
        return (*self.predictor.statistics, *(self.errors.layers if self.errors else ()))


@lru_cache(maxsize=2)
def _ready(model: FittedModel) -> tuple[RowPredictor, RowPredictor]:
    settings = model.packed.ensemble, model.level, model.applicability, model.further
    rows, errors = RowPredictor(*settings), model.errors
    return rows, RowPredictor(*settings, errors.model, errors.local) if errors else rows


def lazy_map(model: FittedModel, covariates: Covariates, what: str, units: str, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Return the map of a model as a lazy Dataset on the grid of the covariates.

    Parameters
    ----------
    what, units : str
        Of what is mapped.
    attrs : mapping
        Attributes of the Dataset.
    """
    labels = model.predictor.ensemble.manifest.outputs
    names, statistics = model.variables, model.layers
    layers = len(labels) * len(statistics) + 2
    arrays = [covariates.dataset[name].data for name in (*names, *([DOMAIN] if DOMAIN in covariates.dataset else []))]
    parts = [part for array in arrays for part in (array, "yx")]
    geobox = covariates.geobox if model.errors else None
    if geobox:
        places = (da.arange(size, chunks=of) for size, of in zip(geobox.shape.yx, arrays[0].chunks, strict=True))
        parts = [part for place, dim in zip(places, "yx", strict=True) for part in (place, dim)] + parts
    stacked = da.blockwise(
        _map_block, "lyx", *parts, model=dask.delayed(model, pure=True, traverse=False), geobox=geobox,
        new_axes={"l": layers}, dtype="float32", align_arrays=False, meta=np.empty((0, 0, 0), "float32"),
        name=f"gelisol-map-{tokenize(model, geobox, *arrays)}",
    )  # fmt: skip
    y, x = covariates.dims
    many = len(labels) > 1
    variables: dict[str, Any] = {}
    of_statistics = statistic_attrs(what, units, model.level, model.further)
    of_statistics |= asked_attrs(model.errors.asked, units) if model.errors else {}
    for place, name in enumerate(statistics):
        each = stacked[place : layers - 2 : len(statistics)]
        dims = ("depth", y, x) if many else (y, x)
        variables[name] = (dims, each if many else each[0], of_statistics[name])
    variables[DISSIMILARITY] = ((y, x), stacked[layers - 2], of_statistics[DISSIMILARITY])
    variables[APPLICABLE] = ((y, x), stacked[layers - 1].astype("uint8"), of_statistics[APPLICABLE])
    coords: dict[str, Any] = {dim: covariates.dataset[dim] for dim in (y, x)}
    if many:
        in_cm = {"long_name": "depth interval", "units": "cm"}
        coords["depth"] = ("depth", np.array(labels), in_cm if _are_depths(labels) else {})
    found = assign_crs(xr.Dataset(variables, coords, dict(attrs)), crs_of(covariates.geobox))
    return described_dataset(found)


def _are_depths(labels: tuple[str, ...]) -> bool:
    try:
        return bool([layer_interval(label) for label in labels])
    except ValueError:
        return False


def _map_block(*arrays: np.ndarray, model: FittedModel, geobox: GeoBox | None = None) -> np.ndarray:
    """Map one block: float32, shape (layers, y, x).

    Parameters
    ----------
    *arrays : ndarray
        With a geobox, first the numbers of the block's rows and columns in it. Then the model's `variables`, and the
        domain if there is one.
    """
    (_, predictor), errors = model.ready, model.errors
    rows, cols = arrays[:2] if geobox else (None, None)
    arrays = arrays[2:] if geobox else arrays
    features, names = predictor.ensemble.features, model.variables
    values = {name: as_in_cube(array, model.flags.get(name)) for name, array in zip(names, arrays, strict=False)}
    complete = features.complete(values)
    if len(arrays) > len(names):
        complete &= arrays[len(names)] > 0
    outputs = len(predictor.ensemble.manifest.outputs)
    found = np.full((outputs * len(model.layers) + 2, complete.size), np.nan, "float32")
    found[-1] = 0
    cells, where, zone = np.flatnonzero(complete), None, None
    if errors and geobox and rows is not None and cols is not None:
        row, col = np.divmod(cells, complete.shape[1])
        where = errors.places(geobox, rows[row], cols[col])
        on = np.isfinite(where[0]) & np.isfinite(where[1])
        cells, where = cells[on], (where[0][on], where[1][on])
        zone = (values[errors.zones].ravel()[cells] if errors.zones else np.zeros(cells.size)).astype("int64")
    if cells.size:
        x = features.matrix({name: values[name].ravel()[cells] for name in features.covariates})
        predicted = predictor.predict(x, where, zone)
        layers = [predicted.statistics]
        if errors and predicted.truth:
            of_cells = layers_of_cells(predicted.truth, model.level, predictor.ensemble.least, errors.asked)
            layers += [of_layer.astype("float32")[:, None] for _, of_layer in of_cells]
        found[:-2, cells] = np.concatenate(layers, axis=1).reshape(-1, cells.size)
        found[-2, cells], found[-1, cells] = predicted.dissimilarity, predicted.applicable
    return found.reshape(-1, *complete.shape)
