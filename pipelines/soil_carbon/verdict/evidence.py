"""Evidence for a verdict, from a run's tables."""

from typing import Any

import numpy as np
import pandas as pd

from engine.validation.calibration import ALL
from engine.validation.predictive import MAPPED
from pipelines.soil_carbon.model.independent_sites import COVERED
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.results.stocks import TOTAL
from pipelines.soil_carbon.verdict.rules import (
    AtDepth,
    Covered,
    CoveredGroup,
    Evidence,
    Independent,
    SiteShift,
    SkillFound,
    standing_scheme,
)

LEVELS_OF_GROUPS = (0.8, 0.95)
"""Levels at which groups of sites are judged."""
FIFTHS = {"1": "lowest", "2": "second lowest", "3": "middle", "4": "second highest", "5": "highest"}
DIVIDED_BY = {"predicted": "prediction", "dissimilarity": "dissimilarity"}


def gather(results: Results) -> Evidence:
    """Gather the evidence for the verdict, from the tables of a run."""
    run, skill = results.run, results.skill
    schemes = tuple(run.model.validation.schemes)
    scheme, first = standing_scheme(schemes), run.depth_labels[0]
    mapped = skill[(skill["family"] == results.mapped) & (skill["scheme"] == scheme)]
    rows = {row["depth"]: row for _, row in mapped.iterrows()}
    at_first = skill[skill["depth"] == first]
    return Evidence(
        schemes=schemes,
        depths=tuple(
            AtDepth(
                depth=depth,
                skill=_skill(rows[depth]),
                coverage=_coverage(results, scheme, depth),
                groups=_groups(results, scheme, depth),
                independent=_independent(results, depth),
            )
            for depth in run.depth_labels
        ),
        outside=_outside(results),
        skills={
            str(name): {str(family): float(value) for family, value in zip(own["family"], own["skill"], strict=True)}
            for name, own in at_first.groupby("scheme", sort=False)
        },
        mapped=results.mapped,
        units=results.target.printed_units,
        shift=_shift(results),
    )


def _skill(row: "pd.Series[float]") -> SkillFound | None:
    if not np.isfinite(row["skill"]):
        return None
    lower, upper = (float(row[name]) if np.isfinite(row[name]) else None for name in ("lower", "upper"))
    return SkillFound(
        value=row["skill"], lower=lower, upper=upper, n=int(row["n"]), groups=row["groups"], rmse=row["rmse"],
        rmse_of_mean=row["rmse_of_mean"],
    )  # fmt: skip


def _coverage(results: Results, scheme: str, depth: str) -> tuple[Covered, ...]:
    """Return the coverage of the levels; repeats hold out the same sites and count together as one of them."""
    if results.coverage is None:
        return ()
    rows = results.coverage.query("scheme == @scheme and depth == @depth")
    repeats = results.run.model.validation.coverage
    return tuple(
        Covered(nominal=row["nominal"], measured=row["measured"], n=round(row["n"] / repeats))
        for _, row in rows.iterrows()
        if row["n"] > 0
    )


def _groups(results: Results, scheme: str, depth: str) -> tuple[CoveredGroup, ...]:
    """Return the coverage of zones and fifths that hold enough sites to be judged."""
    if results.calibration is None:
        return ()
    table = results.calibration
    own = (table["method"] == MAPPED) & (table["scheme"] == scheme) & (table["depth"] == depth)
    rows = table[own & (table["by"] != ALL) & table["judged"] & table["nominal"].isin(LEVELS_OF_GROUPS)]
    return tuple(
        CoveredGroup(nominal=row["nominal"], measured=row["inside"], n=int(row["sites"]), group=name_of(row))
        for _, row in rows.iterrows()
    )


def name_of(row: "pd.Series[Any]") -> str:
    """Name a group of sites in words: its zone, or its fifth of what divides the sites."""
    by, group = str(row["by"]), str(row["group"])
    return f"the {FIFTHS[group[0]]} fifth of the {DIVIDED_BY[by]}" if by in DIVIDED_BY else group


def _independent(results: Results, depth: str) -> Independent | None:
    table = results.independent
    if table is None:
        return None
    rows = table[table["depth"] == depth]
    if rows.empty or not rows["n"].iloc[0] or (skill := _skill(rows.iloc[0])) is None:
        return None
    row = rows.iloc[0]
    bias_se = float(row["bias_se"]) if np.isfinite(row["bias_se"]) else None
    levels = [str(name) for name in table.columns if str(name).startswith(COVERED)]
    coverage = tuple(
        Covered(nominal=float(name.removeprefix(COVERED)), measured=row[name], n=skill.n)
        for name in levels
        if np.isfinite(row[name])
    )
    return Independent(
        skill=skill, bias=row["bias"], bias_se=bias_se, observed_mean=row["observed_mean"], coverage=coverage
    )


def _outside(results: Results) -> float:
    inside = results.stocks_applicable
    area = float(inside.loc[inside["zone"] == TOTAL, "area_km2"].iloc[0])
    return 1 - area / float(results.totals["area_km2"].iloc[0])


def _shift(results: Results) -> SiteShift | None:
    table = results.representativeness
    whole = table[table["zone"] == TOTAL]
    shift, sites = float(whole["shift"].iloc[0]), int(whole["sites"].iloc[0])
    return SiteShift(value=shift, sites=sites) if np.isfinite(shift) else None
