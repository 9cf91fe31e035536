"""`summary.json`: the headline of a run for machines, and the verdict that governs it."""

import json
from typing import Any

from engine.outputs.store import write_file
from pipelines.headline import SUMMARY
from pipelines.soil_carbon.evidence import gather
from pipelines.soil_carbon.results import Results
from pipelines.soil_carbon.stock_uncertainty import REPLICATES, RESIDUAL
from pipelines.soil_carbon.stocks import PG_PER_KM2
from pipelines.soil_carbon.training import LEFT_OUT
from pipelines.soil_carbon.verdict import Evidence, Verdict, judge

LEVEL = 0.95
"""Of a total's range."""


def write_summary(results: Results) -> Verdict:
    """Judge a run and leave `summary.json` in its folder."""
    evidence = gather(results)
    verdict = judge(evidence)
    content = summary(results, evidence, verdict)
    write_file(results.directory / SUMMARY, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return verdict


def summary(results: Results, evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """What `summary.json` holds; docs/verdict.md describes it."""
    sources = set(results.stock_uncertainty["source"])
    means = sites_means(results)
    depths = {
        str(depth): {
            "mean": row["socd_mean"],
            "total": row["stock_pg"],
            "interval": [row["stock_lower_pg"], row["stock_upper_pg"]],
            "sd": row["stock_sd_pg"],
            "sites_mean": means[str(depth)],
            "area_times_sites_mean": means[str(depth)] * row["area_km2"] * PG_PER_KM2,
            "verdict": verdict.depths[str(depth)],
        }
        for depth, row in results.totals.iterrows()
    }
    return {
        "name": results.run.name,
        "title": results.title,
        "made_up": results.run.synthetic,
        "area_km2": float(results.totals["area_km2"].iloc[0]),
        "units": {"mean": "kg m-2", "total": "Pg"},
        "interval": {"level": LEVEL, "holds": [REPLICATES, *([RESIDUAL] if RESIDUAL in sources else [])]},
        "depths": depths,
        "verdict": verdict.level,
        "conclusion": verdict.conclusion,
        "reasons": [reason.model_dump() for reason in verdict.reasons],
        "evidence": evidence.model_dump(),
    }


def sites_means(results: Results) -> dict[str, float]:
    """Depth → mean density of the sites that train the model, kg C/m²."""
    profiles = results.profiles
    return {
        depth: float(profiles.loc[(profiles["depth"] == depth) & (profiles[LEFT_OUT] == ""), "socd"].mean())
        for depth in results.run.depth_labels
    }
