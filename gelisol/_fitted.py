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
from odc.geo.xr import assign_crs

from engine.cube.build import DOMAIN
from engine.ensemble.packed import PackedEnsemble
from engine.grid.grid import crs_of
from engine.mapping.blockwise import APPLICABLE, DISSIMILARITY
from engine.mapping.predict_rows import RowPredictor
from engine.sources.spec import layer_interval
from engine.validation.applicability import Applicability
from gelisol._covariates import Covariates, as_in_cube
from gelisol._runs import described_dataset
from pipelines.soil_carbon.results.products import statistic_attrs

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
    """

    packed: PackedEnsemble
    level: float
    applicability: Applicability | None
    flags: Mapping[str, tuple[float, ...]]
    further: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Hash of all that numbers depend on."""
        area = self.applicability
        learnt = b"" if area is None else area.points.tobytes() + area.scale.tobytes() + repr(area.threshold).encode()
        text = repr((self.packed.digest, self.level, sorted(self.flags.items()), self.further)).encode()
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
        """The ensemble, made ready to predict once per process."""
        with _READY:
            return _predictor(self)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Covariates that are used."""
        return self.predictor.ensemble.features.covariates


@lru_cache(maxsize=2)
def _predictor(model: FittedModel) -> RowPredictor:
    return RowPredictor(model.packed.ensemble, model.level, model.applicability, model.further)


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
    names, statistics = model.covariates, model.predictor.statistics
    layers = len(labels) * len(statistics) + 2
    arrays = [covariates.dataset[name].data for name in (*names, *([DOMAIN] if DOMAIN in covariates.dataset else []))]
    stacked = da.blockwise(
        _map_block, "lyx", *(part for array in arrays for part in (array, "yx")),
        model=dask.delayed(model, pure=True, traverse=False), new_axes={"l": layers}, dtype="float32",
        align_arrays=False, meta=np.empty((0, 0, 0), "float32"), name=f"gelisol-map-{tokenize(model, *arrays)}",
    )  # fmt: skip
    y, x = covariates.dims
    many = len(labels) > 1
    variables: dict[str, Any] = {}
    of_statistics = statistic_attrs(what, units, model.level, model.further)
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


def _map_block(*arrays: np.ndarray, model: FittedModel) -> np.ndarray:
    """Map one block: float32, shape (layers, y, x)."""
    predictor = model.predictor
    features = predictor.ensemble.features
    names = features.covariates
    values = {name: as_in_cube(array, model.flags.get(name)) for name, array in zip(names, arrays, strict=False)}
    complete = features.complete(values)
    if len(arrays) > len(names):
        complete &= arrays[len(names)] > 0
    outputs = len(predictor.ensemble.manifest.outputs)
    found = np.full((outputs * len(predictor.statistics) + 2, complete.size), np.nan, "float32")
    found[-1] = 0
    cells = np.flatnonzero(complete)
    if cells.size:
        rows = predictor.predict(features.matrix({name: v.ravel()[cells] for name, v in values.items()}))
        found[:-2, cells] = rows.statistics.reshape(-1, cells.size)
        found[-2, cells], found[-1, cells] = rows.dissimilarity, rows.applicable
    return found.reshape(-1, *complete.shape)
