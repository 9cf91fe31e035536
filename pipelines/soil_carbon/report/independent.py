"""The section of the page on independent sites."""

from typing import Any

from pipelines.soil_carbon.model.independent_sites import COVERED, LEFT_OUT
from pipelines.soil_carbon.report.tables import records
from pipelines.soil_carbon.results.read_results import Results


def independent(results: Results) -> dict[str, Any] | None:
    """Summarise independent sites: used, left out and why, and per depth scores and coverages; None without any.

    Returns
    -------
    dict or None
        `sites, used` (counts)`, left_out` (rows of `reason, sites`)`, levels` (nominal coverages) and `rows` of
        `independent.csv` with `covered`, the measured coverages.
    """
    table, sites = results.independent, results.independent_sites
    if table is None or sites is None:
        return None
    first = sites[sites["depth"] == results.run.depth_labels[0]]
    reasons = first.loc[first[LEFT_OUT] != "", LEFT_OUT].value_counts()
    columns = [str(name) for name in table.columns if str(name).startswith(COVERED)]
    return {
        "sites": len(first),
        "used": int((first[LEFT_OUT] == "").sum()),
        "left_out": [{"reason": str(reason), "sites": int(count)} for reason, count in reasons.items()],
        "levels": [float(name.removeprefix(COVERED)) for name in columns],
        "rows": [{**row, "covered": [row[name] for name in columns]} for row in records(table)],
    }
