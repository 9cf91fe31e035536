"""Tables that need the finished map: differences between zones, and where the totals' uncertainty comes from."""

import numpy as np
import pandas as pd

from engine.ensemble.out_of_bag import out_of_bag_means
from engine.ensemble.trained import Ensemble
from engine.errors import Finding
from engine.mapping.blockwise import MapTotals
from engine.mapping.map_sample import draw_cells
from engine.seeds import Use, streams
from engine.storage.atomic import staged
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.results.joint_totals import JointTotals
from pipelines.soil_carbon.results.map_checks import impossible_densities
from pipelines.soil_carbon.results.stock_uncertainty import (
    residual_variograms,
    stock_uncertainty,
)
from pipelines.soil_carbon.results.zone_tests import CELLS, zone_differences


def write_zone_tables(
    prepared: Prepared, ensemble: Ensemble, totals: MapTotals, joint: JointTotals | None
) -> tuple[tuple[Finding, ...], pd.DataFrame]:
    """Write `zone_differences.csv`; return notes, and the SD of the totals by source."""
    config, directory = prepared.config, prepared.directory
    labels = config.depth_labels
    variable, zones = prepared.zones
    cell_stream, test_stream, residual_stream = streams(config.model.seed, Use.MAPPED_CELLS, 3)
    cells = draw_cells(
        prepared.grid, directory / "maps.zarr", "mean", directory / "cube.zarr", variable, CELLS,
        np.random.default_rng(cell_stream),
    )  # fmt: skip
    tests = zone_differences(cells, zones, labels, np.random.default_rng(test_stream))
    notes = [*impossible_densities(cells, config.depths, labels, config.target), *tests.notes]
    if config.model.residual_error:
        rng = np.random.default_rng(residual_stream)
        lon, lat = TrainingTable.places(directory)
        residuals = ensemble.observed - out_of_bag_means(ensemble.out_of_bag, ensemble.coefficients)
        variograms = residual_variograms(lon, lat, residuals, rng)
        found = zip(labels, variograms, strict=True)
        notes += [Finding.note(f"{label} cm, residuals out of bag: {variogram}.") for label, variogram in found]
    uncertainty = stock_uncertainty(totals.area, totals.predicted, ensemble.coefficients, zones, labels, joint)
    with staged(directory / "zone_differences.csv") as stage:
        tests.table.to_csv(stage, index=False)
    return tuple(notes), uncertainty
