"""Tables of what comes out of a run: rows as the page shows them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipelines.soil_carbon.formatting import number, span
from pipelines.soil_carbon.results.published_stocks import AS_PRINTED, THIS_RUN
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.results.stocks import TOTAL
from pipelines.soil_carbon.results.zone_tests import ALL, EVERY, THINNED

SCORES = ("r2_explained", "r2", "rmse", "mae", "bias", "ccc")
Row = dict[str, Any]


def records(table: pd.DataFrame) -> list[Row]:
    """Return rows of a table."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def grouped(rows: Iterable[Row], key: str) -> list[tuple[Any, list[Row]]]:
    """Group rows by their value under a key, in the order of its first occurrence."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return list(groups.items())


def family_scores(results: Results) -> dict[str, list[Row]]:
    """Return Table 2: scheme → families with their scores over the repeats, in the order of the run file.

    Returns
    -------
    dict of str to list of dict
        Scheme → rows of `family, repeats`, per score a pair (mean, SD), `best` (lowest mean RMSE of the scheme) and
        `mapped`.
    """
    found: dict[str, list[Row]] = {}
    for (scheme, family), repeats in results.validation.groupby(["scheme", "family"], sort=False):
        pairs = {score: (repeats[score].mean(), repeats[score].std()) for score in SCORES}
        row = {"family": family, "repeats": len(repeats), "mapped": family == results.mapped, **pairs}
        found.setdefault(str(scheme), []).append(row)
    for rows in found.values():
        best = min(rows, key=_rmse)
        for row in rows:
            row["best"] = row is best
    return found


def _rmse(row: Row) -> float:
    mean, _ = row["rmse"]
    return float(mean)


def hyperparameters(results: Results) -> list[Row]:
    """Return the chosen hyperparameters of each family, and of how many combinations; defaults without a search.

    Returns
    -------
    list of dict
        `family, searched` (whether there was anything to choose)`, chosen` (hyperparameter → value)`, tried, rmse,
        rmse_sd` (kg C/m²).
    """
    tuning = results.tuning
    # With nested tuning nothing was searched on all sites, but what is mapped.
    mapped = {member.family.name: dict(member.parameters) for member in results.manifest.members}
    rows = []
    for spec in results.run.model.families:
        tried = tuning[tuning["family"] == spec.name]
        chosen, family = mapped.get(spec.name, {}), spec.family()
        score = {"rmse": np.nan, "rmse_sd": np.nan}
        if len(tried):
            best = tried[tried["chosen"].astype(bool)].iloc[0]
            chosen = {name: _as_listed(best[name], values) for name, values in family.grid.items()}
            score = {name: float(best[name]) for name in score}
        elif not chosen and not family.grid:
            chosen = dict(family.defaults)
        rows.append(
            {"family": spec.name, "searched": bool(family.grid), "chosen": chosen, "tried": len(tried), **score}
        )
    return rows


def _as_listed(stored: Any, values: Sequence[Any]) -> Any:
    """Return a hyperparameter as the grid lists it: a table of several families does not distinguish `1` and `1.0`."""
    return next((value for value in values if value == stored or str(value) == str(stored)), stored)


def zones_with_total(stocks: pd.DataFrame) -> list[str]:
    """Return zones in the order of the table, the region last."""
    return [zone for zone in dict.fromkeys(stocks["zone"]) if zone != TOTAL] + [TOTAL]


def totals(stocks: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a stock table for the whole region, indexed by depth."""
    return stocks[stocks["zone"] == TOTAL].set_index("depth")


def stocks_by_zone(results: Results) -> dict[str, list[Row]]:
    """Return rows of the stock table by zone, the region last; `applicable_…` are of the area of applicability."""
    inside = results.stocks_applicable.set_index(["zone", "depth"]).add_prefix("applicable_").reset_index()
    both = results.stocks.merge(inside, on=["zone", "depth"], how="left", validate="1:1")
    return {zone: records(both[both["zone"] == zone]) for zone in zones_with_total(both)}


def sources_of_uncertainty(results: Results) -> tuple[list[str], list[Row]]:
    """Return the SD of every total by source (Pg C): the sources in their order, and a row per zone and depth."""
    table = results.stock_uncertainty
    sources = list(dict.fromkeys(table["source"]))
    sd = {(row["zone"], row["depth"], row["source"]): row["sd_pg"] for row in records(table)}
    rows = [
        {"zone": zone, "depth": depth, **{source: sd[zone, depth, source] for source in sources}}
        for zone in zones_with_total(table)
        for depth in results.run.depth_labels
    ]
    return sources, rows


def zone_tests(results: Results) -> list[Row]:
    """Return pairs of zones with the tests on all and on thinned cells beside each other.

    Returns
    -------
    list of dict
        `depth, zone_a, zone_b`, and for `all` and `thinned` a row of the table or None where the pair was not tested.
    """
    table = results.zone_differences
    found = {(row["depth"], row["zone_a"], row["zone_b"], row["cells"]): row for row in records(table)}
    pairs = list(dict.fromkeys((d, a, b) for d, a, b, _ in found))
    order = {depth: i for i, depth in enumerate(results.run.depth_labels)}
    pairs.sort(key=lambda pair: (order[pair[0]], pair[1] != EVERY))
    return [
        {"depth": depth, "zone_a": a, "zone_b": b, "overall": a == EVERY}
        | {cells: found.get((depth, a, b, cells)) for cells in (ALL, THINNED)}
        for depth, a, b in pairs
    ]


def zone_scores(results: Results) -> list[Row]:
    """Return scores of the mapped family within each zone, by scheme."""
    table = results.zone_scores
    return records(table[(table["family"] == results.mapped) & (table["zone"] != "")])


def importance(results: Results) -> list[Row]:
    """Return covariates by importance, each group's sum above its own; groups by importance, too."""
    table = results.importance
    groups, own = (table[table["kind"] == kind] for kind in ("group", "covariate"))
    rows = []
    for group in records(groups):
        rows += [group, *records(own[own["group"] == group["group"]])]
    return rows


def regions(compared: pd.DataFrame) -> list[Row]:
    """Compare the run with published regions in words: `region, socd, socd_range, stock, stock_range, interval, …`.

    Published numbers keep the digits that they were given with.
    """
    rows = []
    for row in records(compared):
        own = row["citation"] == THIS_RUN
        ranges = {
            f"{quantity}_range": span(row[lower], row[upper]) if own else _as_printed(row, lower, upper)
            for quantity, lower, upper in (
                ("socd", "socd_lower", "socd_upper"), ("stock", "stock_lower_pg", "stock_upper_pg"),
            )
        }  # fmt: skip
        socd, stock = (number(row[name]) if own else _as_printed(row, name) for name in ("socd", "stock_pg"))
        rows.append({**row, **ranges, "socd": socd, "stock": stock})
    return rows


def _as_printed(row: Row, *names: str) -> str:
    """Format a published number, or the two of a range."""
    return "–".join(filter(None, (row[name + AS_PRINTED] for name in names))) or "–"


def coverage(results: Results) -> list[Row]:
    """Return measured coverage: `depth, scheme, n, width` (of the highest level)`, measured` (level →)."""
    if results.coverage is None:
        return []
    rows = []
    for (depth, scheme), table in results.coverage.groupby(["depth", "scheme"], sort=False):
        levels = table.sort_values("nominal")
        measured = dict(zip(levels["nominal"], levels["measured"], strict=True))
        rows.append(
            {"depth": depth, "scheme": scheme, "n": int(levels["n"].max()), "width": levels["width"].iloc[-1]}
            | {"measured": measured}
        )
    order = list(results.run.depth_labels)
    return sorted(rows, key=lambda row: order.index(row["depth"]))
