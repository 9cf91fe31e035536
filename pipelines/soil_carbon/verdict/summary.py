"""`summary.json`: the headline of a run for machines, and the verdict that governs it."""

import json
from typing import Any

import pandas as pd

from engine.storage.atomic import write_file
from pipelines.runfile.target import Target
from pipelines.soil_carbon.model.training_table import LEFT_OUT
from pipelines.soil_carbon.results.headline import SUMMARY
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.results.stock_uncertainty import REPLICATES, RESIDUAL
from pipelines.soil_carbon.verdict.evidence import gather
from pipelines.soil_carbon.verdict.rules import Evidence, Verdict, judge

LEVEL = 0.95
"""Of a total's range."""


def write_summary(results: Results) -> Verdict:
    """Judge a run and leave `summary.json` in its folder."""
    evidence = gather(results)
    verdict = judge(evidence, results.target.has_stocks)
    content = summary(results, evidence, verdict)
    write_file(results.directory / SUMMARY, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return verdict


def summary(results: Results, evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """Return the content of `summary.json`; see docs/verdict.md."""
    sources = set(results.stock_uncertainty["source"])
    means = sites_means(results)
    target = results.target
    numbers = _total_of if target.has_stocks else _mean_of
    depths = {
        str(depth): {**numbers(row, means[str(depth)], target), "verdict": verdict.depths[str(depth)]}
        for depth, row in results.totals.iterrows()
    }
    units = {"mean": target.cf_units, "total": "Pg"} if target.has_stocks else {"mean": target.cf_units}
    named = {} if target.is_carbon else {"target": {"title": target.long, "units": target.printed_units}}
    return {
        "name": results.run.name,
        "title": results.title,
        "made_up": results.run.synthetic,
        "area_km2": float(results.totals["area_km2"].iloc[0]),
        **named,
        "units": units,
        "interval": {"level": LEVEL, "holds": [REPLICATES, *([RESIDUAL] if RESIDUAL in sources else [])]},
        "depths": depths,
        "verdict": verdict.level,
        "conclusion": verdict.conclusion,
        "reasons": [reason.model_dump() for reason in verdict.reasons],
        "evidence": evidence.model_dump(),
    }


def _total_of(row: "pd.Series[float]", sites_mean: float, target: Target) -> dict[str, Any]:
    return {
        "mean": row["socd_mean"],
        "total": row["stock_pg"],
        "interval": [row["stock_lower_pg"], row["stock_upper_pg"]],
        "sd": row["stock_sd_pg"],
        "sites_mean": sites_mean,
        "area_times_sites_mean": sites_mean * row["area_km2"] * target.per_km2,
    }


def _mean_of(row: "pd.Series[float]", sites_mean: float, target: Target) -> dict[str, Any]:
    weight = row["area_km2"] * target.per_km2
    return {
        "mean": row["socd_mean"],
        "interval": [row["stock_lower_pg"] / weight, row["stock_upper_pg"] / weight],
        "sd": row["stock_sd_pg"] / weight,
        "sites_mean": sites_mean,
    }


def sites_means(results: Results) -> dict[str, float]:
    """Return the mean density of the sites that train the model, kg C/m², by depth."""
    profiles = results.profiles
    return {
        depth: float(profiles.loc[(profiles["depth"] == depth) & (profiles[LEFT_OUT] == ""), "socd"].mean())
        for depth in results.run.depth_labels
    }
