"""The map: one task per block reads the covariates, predicts all replicates, keeps the statistics and writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from distributed import Client

from engine.cube.build import DOMAIN
from engine.ensemble.trained import Ensemble, load_ensemble
from engine.execution.block_store import Blocks
from engine.execution.ledger import digest_of
from engine.execution.tasks import Progress, silent
from engine.grid.grid import Block, Grid, centres
from engine.mapping.error_sums import ErrorPrecision, ErrorSums, ErrorTotals
from engine.mapping.joint_cells import OF_CELL, layers_of_cells, put_observations, truth_of_cells
from engine.mapping.predict_block import STATISTICS, OnePass
from engine.mapping.zonal_sums import Precision, ZoneSums
from engine.storage.paths import OutPath
from engine.storage.zarr_store import Layer, array
from engine.uncertainty.asked import NONE, Asked
from engine.uncertainty.error_model import ErrorModel
from engine.validation.applicability import Applicability

DISSIMILARITY, APPLICABLE = "dissimilarity", "applicable"
DENSITY, EXPECTED_ERROR = "local_point_density", "expected_error"
"""How many training sites vouch for a cell, and the error to expect where so many do."""
_HEADROOM = 16.0
"""Predictions beyond so many times the largest training value are refused."""


@dataclass(frozen=True)
class MapPlan:
    """Paths and names that a worker needs to map a block, without data.

    Attributes
    ----------
    digest : str
        Hash of the ensemble that the run started with.
    applicability : OutPath
        The fitted area of applicability.
    applicability_digest : str
        SHA-256 of that file.
    zones : str or None
        Cube variable with zone codes 1 … n_zones.
    level : float
        Nominal coverage of the prediction interval, and of that of a cell's mean.
    further : tuple of str
        Registered statistics beside those of every map.
    errors : OutPath or None
        The joint model of the errors, if there is one.
    errors_digest : str
        SHA-256 of that file.
    asked : Asked
        Layers made on request from that model; none without it.
    local : bool
        Whether the interval of a new observation comes from that model, where there is one; else it is jackknife+'s.
    """

    grid: Grid
    cube: OutPath
    ensemble: OutPath
    digest: str
    applicability: OutPath
    applicability_digest: str
    zones: str | None
    n_zones: int
    level: float
    precision: Precision
    further: tuple[str, ...] = ()
    errors: OutPath | None = None
    errors_digest: str = ""
    asked: Asked = NONE
    local: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        """Statistics that are mapped output by output."""
        return (*STATISTICS, *self.further, *((*OF_CELL, *self.asked.names) if self.errors else ()))

    @property
    def groups(self) -> int:
        """Groups of cells: zones and none, inside the area of applicability, then outside it."""
        return 2 * (self.n_zones + 1)


@dataclass(frozen=True)
class MapTotals:
    """Sums over the zones of a map, in floating point; the last zone is the whole region.

    Attributes
    ----------
    cells : ndarray of int, shape (zones,)
        Mapped cells.
    area : ndarray, shape (zones,)
        km².
    predicted : ndarray, shape (replicates, zones)
        Sum of area × prediction of the modelled output.
    replicate : ndarray, shape (replicates, outputs, zones)
        Sum of area × value, replicate by replicate.
    mean, square : ndarray, shape (outputs, zones)
        Sum of area × mean over the replicates, and × its square.
    """

    cells: np.ndarray
    area: np.ndarray
    predicted: np.ndarray
    replicate: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, sums: ZoneSums, precision: Precision, coefficients: np.ndarray) -> "MapTotals":
        """Decode exact sums; the outputs that follow linearly from the modelled one do so in their sums, too."""

        def with_region(values: np.ndarray) -> np.ndarray:
            return np.concatenate([values[..., 1:], values.sum(axis=-1, keepdims=True)], axis=-1)

        area = precision.area.decode(with_region(sums.area))
        predicted = precision.predicted.decode(with_region(sums.predicted))
        intercept, slope = coefficients[..., 0], coefficients[..., 1]
        return cls(
            cells=with_region(sums.cells),
            area=area,
            predicted=predicted,
            replicate=intercept[:, :, None] * area + slope[:, :, None] * predicted[:, None, :],
            mean=precision.mean.decode(with_region(sums.mean)),
            square=precision.square.decode(with_region(sums.square)),
        )


@dataclass(frozen=True)
class Totals:
    """Sums over the zones of a map; `errors` is None without a model of the errors."""

    map: MapTotals
    errors: ErrorTotals | None


def make_plan(
    grid: Grid,
    cube: OutPath,
    ensemble: Ensemble,
    applicability: OutPath,
    zones: str | None,
    n_zones: int,
    level: float,
    further: tuple[str, ...] = (),
    errors: OutPath | None = None,
    asked: Asked = NONE,
    local: bool = False,
) -> MapPlan:
    """Settle the precision of the sums from what the ensemble can predict."""
    height, width = grid.shape
    # A cell's true area differs from the projected one by the areal scale, within 2^±4 wherever one would map.
    largest_area = grid.nominal_cell_area * (1 if grid.is_equal_area else _HEADROOM)
    precision = precision_of(ensemble, largest_area, height * width)
    return MapPlan(
        grid, cube, ensemble.path, ensemble.hash, applicability, digest_of(applicability), zones, n_zones, level,
        precision, further, errors, digest_of(errors) if errors else "", asked, local and errors is not None,
    )  # fmt: skip


def precision_of(ensemble: Ensemble, largest_area: float, cells: int) -> Precision:
    """Choose the formats of sums over this number of cells, none larger than `largest_area` (km²)."""
    largest = _HEADROOM * ensemble.manifest.largest
    intercepts, slopes = np.abs(ensemble.coefficients).max(axis=(0, 1))
    return Precision.for_map(largest, intercepts + max(slopes, 1) * largest, largest_area, cells)


def map_region(
    client: Client,
    plan: MapPlan,
    path: OutPath,
    coords: Mapping[str, object],
    attrs: Mapping[str, Mapping[str, str]],
    progress: Progress = silent,
    *,
    key: str,
) -> tuple[Totals, Totals]:
    """Map every block into the store `path`, which appears once it is whole; blocks of an interrupted run are kept.

    Parameters
    ----------
    key : str
        Of all that the map depends on.
    coords : mapping
        The one leading dimension of the maps, as xarray takes it, e.g. depth labels.
    attrs : mapping
        Statistic → CF attributes; "" → attributes of the store.

    Returns
    -------
    everywhere, applicable : Totals
        Over all mapped cells, and over those inside the area of applicability.
    """
    ensemble = load_ensemble(plan.ensemble, plan.digest)
    replicates, outputs, _ = ensemble.coefficients.shape
    layers = {name: Layer("float32", attrs[name], tuple(coords)) for name in plan.layers}
    layers[DISSIMILARITY] = Layer("float32", attrs[DISSIMILARITY])
    layers[APPLICABLE] = Layer("uint8", attrs[APPLICABLE])
    layers[DENSITY] = Layer("int32", attrs[DENSITY])
    layers[EXPECTED_ERROR] = Layer("float32", attrs[EXPECTED_ERROR])
    sums = ZoneSums.zero(plan.groups, replicates, outputs)
    errors = _errors(plan)
    of_errors = ErrorSums.zero(errors, plan.groups, errors.lattice.around(*_corners(plan.grid))) if errors else None
    blocks = Blocks(path, key, layers, coords, attrs[""])
    for found in blocks.fill(client, _sum_block, plan, progress=progress, name="map"):
        if found is not None:
            sums += ZoneSums(**{name: values for name, values in found.items() if not name.startswith("error_")})
            if of_errors:
                of_errors.add(ErrorSums.from_arrays(found))
    blocks.publish()

    def totals(sums: ZoneSums, of_errors: ErrorSums | None) -> Totals:
        decoded = ErrorTotals.of(of_errors, _error_precision(plan)) if of_errors else None
        return Totals(MapTotals.of(sums, plan.precision, ensemble.coefficients), decoded)

    inside, outside = sums.halves()
    errors_inside, errors_outside = of_errors.halves() if of_errors else (None, None)
    applicable = totals(inside, errors_inside)
    inside += outside
    if errors_inside and errors_outside:
        errors_inside.add(errors_outside)
    return totals(inside, errors_inside), applicable


def _corners(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of the centres of the grid's first and last cell."""
    height, width = grid.shape
    return centres(grid.geobox, np.array([0, height - 1]), np.array([0, width - 1]))


def _sum_block(block: Block, plan: MapPlan, path: OutPath) -> dict[str, np.ndarray] | None:
    """Map a block as `map_block` does, and return the sums as plain arrays."""
    found = map_block(block, plan, path)
    if found is None:
        return None
    sums, of_errors = found
    return vars(sums) | (of_errors.arrays() if of_errors else {})


def map_block(block: Block, plan: MapPlan, path: OutPath) -> tuple[ZoneSums, ErrorSums | None] | None:
    """Map one block and write its statistics.

    Returns
    -------
    (ZoneSums, ErrorSums or None) or None
        Groups are the zones (0: none) of applicable cells, then those of the others. None if the block has no cell
        with every covariate.
    """
    ensemble = load_ensemble(plan.ensemble, plan.digest)
    features = ensemble.features
    if not np.any(array(plan.cube, DOMAIN)[block.roi]):
        return None
    values = {name: np.asarray(array(plan.cube, name)[block.roi]) for name in features.covariates}
    cells = np.flatnonzero(features.complete(values))
    if cells.size == 0:
        return None
    zone = np.zeros(cells.size, "int64")
    if plan.zones:
        zone = np.asarray(array(plan.cube, plan.zones)[block.roi]).ravel()[cells].astype("int64")
    x = features.matrix({name: v.ravel()[cells] for name, v in values.items()})
    area_of_model = _load_applicability(plan.applicability, plan.applicability_digest)
    dissimilarity = area_of_model.dissimilarity(x)
    applicable = area_of_model.applicable(dissimilarity)
    group = zone + (plan.n_zones + 1) * ~applicable
    order = np.argsort(group, kind="stable")
    area = plan.grid.cell_areas(block).ravel()[cells[order]]
    statistics, sums = _one_pass(plan).run(x[order], area, group[order], plan.groups)
    errors = _errors(plan)
    if errors is not None:
        row, col = np.divmod(cells[order], block.geobox.shape.x)
        where = centres(plan.grid.geobox, row + block.rows.start, col + block.cols.start)
        columns, truth = truth_of_cells(errors, statistics, x[order], zone[order], where)
        if plan.local:
            put_observations(errors, truth, statistics, plan.level, ensemble.least)
    writer = _Writer(path, block, cells)
    writer.write(DISSIMILARITY, dissimilarity)
    writer.write(APPLICABLE, applicable)
    density = area_of_model.local_point_density(x)
    writer.write(DENSITY, density)
    writer.write(EXPECTED_ERROR, area_of_model.profile.at(density))
    writer.cells = cells[order]
    for place, name in enumerate((*STATISTICS, *plan.further)):
        writer.write(name, statistics[:, place])
    if errors is None:
        return sums, None
    for name, of_layer in layers_of_cells(truth, plan.level, ensemble.least, plan.asked):
        writer.write(name, of_layer)
    of_errors = ErrorSums.of(
        errors, _error_precision(plan), *where, columns, truth.mean, area, group[order], plan.groups
    )
    return sums, of_errors


def _errors(plan: MapPlan) -> ErrorModel | None:
    """Read the joint model of the errors, once per worker process."""
    return _load_errors(plan.errors, plan.errors_digest) if plan.errors else None


@lru_cache(maxsize=2)
def _load_errors(path: OutPath, digest: str) -> ErrorModel:
    return ErrorModel.load(path, digest)


def _error_precision(plan: MapPlan) -> ErrorPrecision:
    errors = _errors(plan)
    assert errors is not None
    height, width = plan.grid.shape
    largest = plan.grid.nominal_cell_area * (1 if plan.grid.is_equal_area else _HEADROOM)
    mean = plan.precision.mean.bound / largest
    side = float(abs(plan.grid.geobox.resolution.x))
    return ErrorPrecision.for_map(errors, _HEADROOM * mean, largest, height * width, side)


def _one_pass(plan: MapPlan) -> OnePass:
    """Prepare the ensemble's pass over a block, once per worker process."""
    return _make_one_pass(plan.ensemble, plan.digest, plan.level, plan.precision, plan.further, not plan.local)


@lru_cache(maxsize=2)
def _make_one_pass(
    path: OutPath, digest: str, level: float, precision: Precision, further: tuple[str, ...], observations: bool
) -> OnePass:
    return OnePass(load_ensemble(path, digest), level, precision, further, observations=observations)


@lru_cache(maxsize=2)
def _load_applicability(path: OutPath, digest: str) -> Applicability:
    """Read the area of applicability with this hash, once per worker process."""
    return Applicability.load(path, digest)


@dataclass
class _Writer:
    """Puts values of some of a block's cells into a store; the others are missing."""

    path: OutPath
    block: Block
    cells: np.ndarray

    def write(self, name: str, values: np.ndarray) -> None:
        """Write one variable; `values` has its leading dimensions and then the cells."""
        target = array(self.path, name, "r+")
        leading, shape = values.shape[:-1], self.block.geobox.shape.yx
        flat = np.full((*leading, shape[0] * shape[1]), target.fill_value, target.dtype)
        flat[..., self.cells] = values
        target[(..., *self.block.roi)] = flat.reshape(*leading, *shape)
