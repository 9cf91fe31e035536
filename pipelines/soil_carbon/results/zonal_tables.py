"""Tables that need the finished map: differences between zones, and where the totals' uncertainty comes from."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.cube.sampling import sample
from engine.ensemble.trained import Ensemble
from engine.errors import Finding
from engine.mapping.blockwise import APPLICABLE, MapTotals
from engine.mapping.map_sample import CellSample, draw_cells
from engine.seeds import Use, streams
from engine.storage.atomic import staged
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.results.map_checks import impossible_densities
from pipelines.soil_carbon.results.stock_uncertainty import (
    out_of_bag_residuals,
    residual_stock_sd,
    residual_variograms,
    stock_uncertainty,
)
from pipelines.soil_carbon.results.zone_tests import CELLS, zone_differences


@dataclass(frozen=True)
class ResidualError:
    """SD of the totals from spatially correlated residual error, Pg C, shape (depths, zones + 1).

    Attributes
    ----------
    everywhere, applicable : ndarray
        Over the whole map, and over the area of applicability.
    """

    everywhere: np.ndarray
    applicable: np.ndarray


def write_zone_tables(
    prepared: Prepared, ensemble: Ensemble, totals: MapTotals, applicable: MapTotals
) -> tuple[tuple[Finding, ...], ResidualError | None, pd.DataFrame]:
    """Write `zone_differences.csv`; return notes, the residual error, and the SD of the totals by source."""
    config, directory = prepared.config, prepared.directory
    labels = config.depth_labels
    variable, zones = prepared.zones
    cell_stream, test_stream, residual_stream = streams(config.model.seed, Use.MAPPED_CELLS, 3)
    cells = draw_cells(
        prepared.grid, directory / "maps.zarr", "mean", directory / "cube.zarr", variable, CELLS,
        np.random.default_rng(cell_stream),
    )  # fmt: skip
    tests = zone_differences(cells, zones, labels, np.random.default_rng(test_stream))
    notes, residual = [*impossible_densities(cells, config.depths, labels, config.target), *tests.notes], None
    if config.model.residual_error:
        rng = np.random.default_rng(residual_stream)
        lon, lat = TrainingTable.places(directory)
        residuals = out_of_bag_residuals(ensemble.observed, ensemble.out_of_bag, ensemble.coefficients)
        variograms = residual_variograms(lon, lat, residuals, rng)
        whole = residual_stock_sd(variograms, cells, totals.area, totals.cells, rng)
        here = _within(cells, sample(directory / "maps.zarr", cells.lon, cells.lat, [APPLICABLE])[APPLICABLE] == 1)
        residual = ResidualError(whole, residual_stock_sd(variograms, here, applicable.area, applicable.cells, rng))
        found = zip(labels, variograms, strict=True)
        notes += [Finding.note(f"{label} cm, residuals out of bag: {variogram}.") for label, variogram in found]
    uncertainty = stock_uncertainty(
        totals.area, totals.predicted, ensemble.coefficients, zones, labels, residual.everywhere if residual else None
    )
    with staged(directory / "zone_differences.csv") as stage:
        tests.table.to_csv(stage, index=False)
    return tuple(notes), residual, uncertainty


def _within(cells: CellSample, kept: "pd.Series[bool]") -> CellSample:
    """Some cells of a sample."""
    rows = np.flatnonzero(kept)
    return CellSample(
        cells.lon[rows], cells.lat[rows], cells.area_km2[rows], cells.zone[rows], cells.values[:, rows], cells.mapped
    )
