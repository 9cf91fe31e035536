"""Profiles of another target than carbon: its values per site and depth, or means of its layers."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from engine.sources.variable import Variable
from pipelines.runfile.depth_intervals import Depths, depth_label
from pipelines.runfile.observations_section import Observations
from pipelines.runfile.target import CARBON, Target
from pipelines.soil_carbon.profile_table.bad_rows import count_left_out
from pipelines.soil_carbon.profile_table.checks import (
    FILL_CODES,
    Problems,
    check_present,
    check_ranges,
    require_columns,
)
from pipelines.soil_carbon.profile_table.fields import as_text
from pipelines.soil_carbon.profile_table.table import TEXT_COLUMNS, ObservationTable
from pipelines.soil_carbon.profiles.coordinates import Bounds, check_places
from pipelines.soil_carbon.profiles.density import FLAGS, profile_densities
from pipelines.soil_carbon.profiles.given_densities import given_densities
from pipelines.soil_carbon.profiles.layers import check_layers
from pipelines.soil_carbon.profiles.read_profiles import RESULTS, TEXT, Profiles, profiles_of, summary
from pipelines.soil_carbon.profiles.site_classes import check_classes
from pipelines.soil_carbon.profiles.sites import disagreements, site_attributes

Depth = tuple[float, float]


def target_columns(target: Target, depths: Iterable[Depth]) -> tuple[str, ...]:
    """Return columns of a table that may hold the target: of its layers, and one per depth."""
    return () if target.is_carbon else (target.own, *(f"{target.own}_{depth_label(depth)}" for depth in depths))


def target_profiles(
    table: ObservationTable,
    observations: Observations,
    target: Target,
    depths: Depths,
    bounds: Bounds | None = None,
    categories: Mapping[str, Variable] | None = None,
) -> Profiles:
    """Return profiles of the mapped target; parameters as for `profiles_of`, which does those of carbon.

    The table has one row per site with a column `NAME_TOP-BOTTOM` per depth, or layers (`top, bottom, NAME`), whose
    mean by thickness is taken. A density can only be given per depth, since layers do not say how it is made of them.
    """
    if target.is_carbon:
        return profiles_of(table, observations, depths, bounds, categories)
    categories, own = categories or {}, target.own
    per_depth = [f"{own}_{depth_label(depth)}" for depth in depths]
    in_layers = {"top", "bottom", own} <= set(table.frame) and not set(per_depth) <= set(table.frame)
    if in_layers and target.has_stocks:
        raise InputError(
            f"{table.path}: layers of `{own}` ({target.printed_units}) do not give its density over a depth; give one "
            f"row per site with {', '.join(per_depth)}, or map a content."
        )
    records, notes, problems = _checked(table, observations, target, depths, bounds, categories, in_layers)
    values = [
        _mean_of_layers(records, own, depth, observations) if in_layers else _given(records, own, depth)
        for depth in depths
    ]
    summaries = [summary(depth, result, observations.harmonise) for depth, result in zip(depths, values, strict=True)]
    if values[0]["socd"].isna().all():
        raise InputError(f"{table.path}: no profile gives a value for the first depth. {summaries[0]}")
    at_site = observations.at_site
    recorded = {column for covariate, column in at_site.items() if covariate in categories}
    sites = site_attributes(records, at_site.values(), depths[0], recorded)
    labelled = [result.assign(depth=depth_label(d)) for d, result in zip(depths, values, strict=True)]
    long = sites.merge(pd.concat(labelled), on="site").sort_values("site", kind="stable").assign(bulk_density_from="")
    given = counted(len(records), "layer") if in_layers else "values given"
    count = f"{counted(len(sites), 'site')}, {given}."
    return Profiles(
        long[[*sites.columns, *RESULTS]].reset_index(drop=True),
        (Finding.note(count), *notes, *map(Finding.note, summaries)),
        tuple(problems.left_out),
    )


def _checked(
    table: ObservationTable,
    observations: Observations,
    target: Target,
    depths: Depths,
    bounds: Bounds | None,
    categories: Mapping[str, Variable],
    in_layers: bool,
) -> tuple[pd.DataFrame, list[Finding], Problems]:
    at_site, own = observations.at_site, target.own
    per_depth = [f"{own}_{depth_label(depth)}" for depth in depths]
    needed = ["top", "bottom", own] if in_layers else per_depth
    hint = (
        f"{table.path}: `target: {target.name}` needs {', '.join(per_depth)} per site, or layers: top, bottom, {own}."
    )
    require_columns(table, ["site", "lon", "lat", *needed], at_site, hint)
    if taken := sorted(({*RESULTS, target.name} - {CARBON}) & set(at_site.values())):
        raise InputError(
            Finding(f"the column {', '.join(taken)} has the name of a result; rename it.", "observations.at_site")
        )
    records = table.frame.assign(**{c: np.nan for c in TEXT_COLUMNS if c not in table.frame})
    for column in TEXT_COLUMNS:
        records[column] = records[column].map(as_text, na_action="ignore").astype(TEXT)
    if not in_layers:
        records = records.drop(columns=["top", "bottom"], errors="ignore")
    problems = Problems.of(table, drop=observations.on_bad_row == "drop")
    check_present(records, ["site", "lon", "lat", *(["top", "bottom"] if in_layers else [])], problems)
    measured = [column for covariate, column in at_site.items() if covariate not in categories]
    check_ranges(records, [c for c in measured if c not in needed], problems)
    for column in needed if not in_layers else [own]:
        _check_values(records, column, target, problems)
    check_classes(records, at_site, categories, problems)
    records = problems.sound(records)
    notes = [*table.notes, *check_places(records, problems, bounds, observations.sure_of)]
    records = problems.sound(records)
    if in_layers:
        check_layers(records, problems)
    else:
        problems.add_rows(
            "sites listed twice",
            records[records["site"].notna() & records["site"].duplicated()],
            lambda row: "is listed before; a table without layers has one row per site",
        )
    notes += count_left_out(problems)
    problems.raise_if_any()
    by = ["site", "top"] if in_layers else ["site"]
    records = problems.sound(records).sort_values(by).reset_index(drop=True)
    return records, [*notes, *disagreements(records)], problems


def _check_values(records: pd.DataFrame, column: str, target: Target, problems: Problems) -> None:
    values, name = records[column], problems.table.column(column)
    wrong = values.isin(FILL_CODES) | ((values < 0) & target.is_amount)
    expected = f"a value in {target.printed_units}" + (", which is not negative" if target.is_amount else "")

    def describe(row: "pd.Series") -> str:
        return f"{name} is {row[column]:g}; expected {expected}, or nothing where none was measured"

    problems.add_rows(f"{name} not {expected}", records[wrong], describe, column)


def _given(records: pd.DataFrame, own: str, depth: Depth) -> pd.DataFrame:
    label = depth_label(depth)
    given = given_densities(records.rename(columns={f"{own}_{label}": f"{CARBON}_{label}"}), depth)
    missing = given["socd"].isna()
    return given.assign(
        rule=np.where(missing, "", "given"),
        gap_bridged=0.0,
        excluded=np.where(missing, f"no {own} of {label} cm in the table", ""),
        kind=np.where(missing, "have no value in the table", ""),
    )


def _mean_of_layers(records: pd.DataFrame, own: str, depth: Depth, observations: Observations) -> pd.DataFrame:
    """Average layers by thickness, by the rules that carbon is summed by."""
    as_carbon = records.assign(soc=records[own], bulk_density=1.0, coarse_fragments=0.0)
    as_carbon[list(FLAGS)] = False
    result = profile_densities(as_carbon, *depth, harmonise=observations.harmonise)
    return result.assign(
        socd=result["socd"] * 100 / (depth[1] - depth[0]),
        excluded=result["excluded"].str.replace("no SOC", f"no {own}", regex=False),
        kind=result["kind"].str.replace("lack SOC", f"lack {own}", regex=False),
    )
