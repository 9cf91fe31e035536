"""Tables on the prediction intervals at held-out sites: `coverage.csv`, `calibration.csv`, `pit.csv`."""

from collections.abc import Sequence

import pandas as pd

from engine.storage.atomic import staged
from engine.storage.paths import OutPath
from engine.validation.calibration import ALL, AtSites, calibration_table, pit_table
from engine.validation.interval_coverage import LEVELS, HeldOutDistributions
from engine.validation.predictive import MAPPED

COVERAGE, CALIBRATION, PIT = "coverage.csv", "calibration.csv", "pit.csv"


def write_interval_tables(directory: OutPath, found: HeldOutDistributions, at: AtSites, labels: Sequence[str]) -> None:
    """Write the tables; `labels` are those of the depths."""
    calibration = calibration_table(found, at, labels)
    tables = {
        COVERAGE: coverage_table(calibration),
        CALIBRATION: calibration,
        PIT: pit_table(found, at, labels),
    }
    for name, table in tables.items():
        with staged(directory / name) as stage:
            table.to_csv(stage, index=False)


def coverage_table(calibration: pd.DataFrame) -> pd.DataFrame:
    """Return the coverage of the map's intervals over all sites: `scheme, depth, nominal, measured, n, width`."""
    own = (calibration["method"] == MAPPED) & (calibration["by"] == ALL) & calibration["nominal"].isin(LEVELS)
    table = calibration[own].rename(columns={"inside": "measured"})
    return table[["scheme", "depth", "nominal", "measured", "n", "width"]]
