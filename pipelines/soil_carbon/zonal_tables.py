"""Tables that need the finished map: differences between zones, and where the totals' uncertainty comes from."""

import numpy as np

from engine.blockwise import MapTotals
from engine.cell_sample import draw_cells
from engine.ensemble import Ensemble
from engine.outputs.store import staged
from engine.seeds import Use, streams
from pipelines.prepare import Prepared
from pipelines.soil_carbon.impossible import impossible_densities
from pipelines.soil_carbon.stock_uncertainty import (
    out_of_bag_residuals,
    residual_stock_sd,
    residual_variograms,
    stock_uncertainty,
)
from pipelines.soil_carbon.training import TrainingTable
from pipelines.soil_carbon.zone_tests import CELLS, zone_differences


def write_zone_tables(prepared: Prepared, ensemble: Ensemble, totals: MapTotals) -> tuple[str, ...]:
    """`zone_differences.csv` and `stock_uncertainty.csv`; returns notes for the user."""
    config, directory = prepared.config, prepared.directory
    labels = config.depth_labels
    variable, zones = prepared.zones
    cell_stream, test_stream, residual_stream = streams(config.model.seed, Use.MAPPED_CELLS, 3)
    cells = draw_cells(
        prepared.grid, directory / "maps.zarr", "mean", directory / "cube.zarr", variable, CELLS,
        np.random.default_rng(cell_stream),
    )  # fmt: skip
    tests = zone_differences(cells, zones, labels, np.random.default_rng(test_stream))
    notes, residual = [*impossible_densities(cells, config.depths, labels), *tests.notes], None
    if config.model.residual_error:
        rng = np.random.default_rng(residual_stream)
        lon, lat = TrainingTable.places(directory)
        residuals = out_of_bag_residuals(ensemble.observed, ensemble.out_of_bag, ensemble.coefficients)
        variograms = residual_variograms(lon, lat, residuals, rng)
        residual = residual_stock_sd(variograms, cells, totals.area, totals.cells, rng)
        notes += [f"{label} cm, residuals out of bag: {v}." for label, v in zip(labels, variograms, strict=True)]
        if np.isnan(residual).any():
            notes.append("Zones with too few cells drawn have no residual error in stock_uncertainty.csv.")
    uncertainty = stock_uncertainty(totals.area, totals.predicted, ensemble.coefficients, zones, labels, residual)
    for name, table in (("zone_differences", tests.table), ("stock_uncertainty", uncertainty)):
        with staged(directory / f"{name}.csv") as stage:
            table.to_csv(stage, index=False)
    return tuple(notes)
