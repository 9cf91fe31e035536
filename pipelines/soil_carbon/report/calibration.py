"""The section of the page on the calibration of the intervals."""

from typing import Any

from engine.validation.calibration import ALL
from engine.validation.predictive import SITES_MEAN
from pipelines.soil_carbon.figures.calibration import METHOD_NAMES
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.verdict.rules import standing_scheme

Row = dict[str, Any]


def calibration(results: Results) -> list[Row]:
    """Return how all sites are held by each method, under the scheme that stands for the map.

    Returns
    -------
    list of dict
        A row per depth and method: `depth, method, sites, crps, less` (the share that it is less than that of the
        sites' own distribution) and `at`, level → its row of `calibration.csv`.
    """
    if results.calibration is None:
        return []
    scheme = standing_scheme(results.run.model.validation.schemes)
    table = results.calibration
    table = table[(table["scheme"] == scheme) & (table["by"] == ALL)]
    rows = []
    for depth in results.run.depth_labels:
        here = table[table["depth"] == depth]
        reference = here.loc[here["method"] == SITES_MEAN, "crps"]
        for method, own in here.groupby("method", sort=False):
            first = own.iloc[0]
            less = 1 - first["crps"] / reference.iloc[0]
            at = {row["nominal"]: row for row in own.to_dict("records")}
            facts = {"sites": int(first["sites"]), "crps": first["crps"], "less": less}
            rows.append({"depth": depth, "method": METHOD_NAMES[str(method)], **facts, "at": at})
    return rows
