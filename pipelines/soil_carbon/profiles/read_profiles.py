"""Reading of profiles: carbon densities per site and target depth, with every fill and exclusion flagged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from engine.sources.variable import Variable
from pipelines.runfile.depth_intervals import Depths, depth_label
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.bad_rows import count_left_out
from pipelines.soil_carbon.profile_table.checks import (
    Problems,
    check_carbon,
    check_present,
    check_ranges,
    require_columns,
    suspicions,
)
from pipelines.soil_carbon.profile_table.fields import as_text
from pipelines.soil_carbon.profile_table.reading import holds_layers, read_observations
from pipelines.soil_carbon.profile_table.table import TEXT_COLUMNS, LeftOut, ObservationTable, misspelt
from pipelines.soil_carbon.profiles.coordinates import Bounds, check_places
from pipelines.soil_carbon.profiles.density import FLAGS, profile_densities
from pipelines.soil_carbon.profiles.gap_filling import fill_layers
from pipelines.soil_carbon.profiles.given_densities import check_densities, dense, given_densities
from pipelines.soil_carbon.profiles.harmonise import Harmonise
from pipelines.soil_carbon.profiles.layers import check_layers
from pipelines.soil_carbon.profiles.mixed_units import mixed_signs
from pipelines.soil_carbon.profiles.shared_errors import SharedErrors
from pipelines.soil_carbon.profiles.site_classes import check_classes
from pipelines.soil_carbon.profiles.sites import about_positions, disagreements, site_attributes
from pipelines.soil_carbon.profiles.unit_guards import Sign, density_signs, heeded, layer_signs

TEXT = pd.StringDtype(na_value=np.nan)
LAYER_QUANTITIES = ("soc", "som", "bulk_density", "coarse_fragments")
RESULTS = ("depth", "socd", *FLAGS, "bulk_density_from", "layers_split", "rule", "gap_bridged", "excluded")
"""Columns of the long table that follow those of the site."""

FITTED = "fitted"
"""What `bulk_density_from` calls the function that is fitted to the table's own layers."""

RULES = {"exact": "exact", "spline": "by spline", "split": "split in proportion"}
"""How a density came from layers, and what to call it."""


@dataclass(frozen=True)
class Profiles:
    """Carbon densities of all sites.

    Parameters
    ----------
    table : DataFrame
        One row per site and target depth, sorted by site: `site, lon, lat` (degrees)`, vegetation, soil_type`, the
        columns of `at_site`, `source`, `depth` (label), `socd` (kg C/m², NaN if excluded), the number of layers used
        whose bulk density or coarse fragments were filled, whose SOC came from SOM, that were split at a boundary
        (`bulk_density_filled, coarse_fragments_filled, soc_from_som, layers_split`), `bulk_density_from` (`fitted` or
        the name of a published function; empty where none is filled), the `rule` that gave the density (`exact, spline,
        split`, or `given` by the table; empty if excluded), the thickness of gaps that the spline
        bridged (`gap_bridged`, cm), and `excluded`: why, or empty.
    notes : tuple of Finding
        What was filled, left out or looks odd, in sentences; those that ask for a look are warnings.
    left_out : tuple of LeftOut
        Rows of the file that are not used.
    errors : SharedErrors or None
        Errors that sites share, where any are drawn.
    """

    table: pd.DataFrame
    notes: tuple[Finding, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    errors: SharedErrors | None = None

    def wide(self) -> pd.DataFrame:
        """Return one row per site, in order: its columns but `source`, and `socd_LABEL` (kg C/m²) for every depth."""
        columns = list(self.table.columns)
        sites = self.table[columns[: columns.index("source")]].drop_duplicates("site").reset_index(drop=True)
        for label, rows in self.table.groupby("depth", sort=False):
            sites[f"socd_{label}"] = sites["site"].map(rows.set_index("site")["socd"])
        return sites

    def rules(self) -> pd.DataFrame:
        """Count sites by depth (rows) and rule (columns `exact, spline, split, given, excluded`)."""
        counts = self.table.groupby(["depth", "rule"], sort=False).size().unstack(fill_value=0)
        return counts.rename(columns={"": "excluded"}).reindex(columns=[*RULES, "given", "excluded"], fill_value=0)


def read_profiles(
    path: Path,
    depths: Depths,
    columns: dict[str, str],
    at_site: dict[str, str],
    bounds: Bounds | None = None,
    harmonise: Harmonise = "spline",
    categories: Mapping[str, Variable] | None = None,
    decimal: str = ".",
) -> Profiles:
    """Read a table with the few keys that most tables need; parameters as in `observations` of the run file.

    Parameters
    ----------
    path : Path
        The table.
    depths, bounds, categories
        As for `profiles_of`.
    columns, at_site, harmonise, decimal
        Keys of `Observations`.

    Returns
    -------
    Profiles

    Raises
    ------
    InputError
        With everything that is wrong with the table, or if no site has a density for the first depth.
    """
    keys = Observations.model_validate(
        {"table": str(path), "columns": columns, "at_site": at_site, "harmonise": harmonise, "decimal": decimal}
    )
    return profiles_of(read_observations(path, keys, None, categories, depths), keys, depths, bounds, categories)


def profiles_of(
    table: ObservationTable,
    observations: Observations,
    depths: Depths,
    bounds: Bounds | None = None,
    categories: Mapping[str, Variable] | None = None,
) -> Profiles:
    """Check and fill the observation table, and sum its carbon over the target depths.

    The table holds layers (`site, lon, lat, top, bottom, soc` or `som`, …) or densities (`socd_0-30`, …, one row per
    site). The order of its rows does not matter.

    Parameters
    ----------
    table : ObservationTable
        As `read_observations` gives it.
    observations : Observations
        The run file's section: `at_site` (covariate → column of measured values, by its default name or the table's
        own) and `harmonise` (what becomes of layers that cross a boundary of a target depth: divided by an equal-area
        spline, divided in proportion to thickness, or their site left out, as in the study).
    depths : tuple of (top, bottom)
        Target depths, cm.
    bounds : tuple of float, optional
        West, south, east, north of the domain in degrees, to recognise swapped or misplaced sites.
    categories : mapping, optional
        Categorical covariate → its source: where `at_site` names one, its column holds classes, not numbers.

    Returns
    -------
    Profiles

    Raises
    ------
    InputError
        With everything that is wrong with the table, or if no site has a density for the first depth.
    """
    at_site, harmonise = observations.at_site, observations.harmonise
    in_layers = holds_layers(table.frame)
    categories = categories or {}
    records, notes, left_out = _checked(table, observations, depths, bounds, in_layers, categories)
    records = records.sort_values(["site", "top"] if in_layers else ["site"]).reset_index(drop=True)
    notes += disagreements(records)
    unfilled: list[str] = []
    errors = None
    published = observations.bulk_density.function if observations.bulk_density else None
    if in_layers:
        filled = fill_layers(records, observations.som_to_soc, published)
        notes += [*suspicions(records), *filled.notes]
        unfilled = [f"{table.path}: {filled.left.message}"] if filled.left else []
        densities = [profile_densities(filled.layers, *depth, filled.unfilled, harmonise) for depth in depths]
        errors = SharedErrors.of(filled, densities, depths, harmonise, observations.som_to_soc, observations.errors)
        notes += [errors.note] if errors else []
    else:
        densities = [_given(records, depth) for depth in depths]
    summaries = [summary(depth, result, harmonise) for depth, result in zip(depths, densities, strict=True)]
    if densities[0]["socd"].isna().all():
        raise InputError([f"{table.path}: no profile gives a density for the first depth. {summaries[0]}", *unfilled])
    recorded = {column for covariate, column in at_site.items() if covariate in categories}
    sites = site_attributes(records, at_site.values(), depths[0], recorded)
    notes += about_positions(sites, observations.errors.draw and observations.errors.positions)
    count = f"{counted(len(sites), 'site')}, " + (
        f"{counted(len(records), 'layer')}." if in_layers else "densities given."
    )
    labelled = [result.assign(depth=depth_label(d)) for d, result in zip(depths, densities, strict=True)]
    long = sites.merge(pd.concat(labelled), on="site").sort_values("site", kind="stable")
    long["bulk_density_from"] = np.where(long["bulk_density_filled"] > 0, published or FITTED, "")
    table_of_all = long[[*sites.columns, *RESULTS]].reset_index(drop=True)
    said = (Finding.note(count), *notes, *map(Finding.note, summaries))
    return Profiles(table_of_all, said, tuple(left_out), errors)


def _checked(
    table: ObservationTable,
    observations: Observations,
    depths: Depths,
    bounds: Bounds | None,
    in_layers: bool,
    categories: Mapping[str, Variable],
) -> tuple[pd.DataFrame, list[Finding], list[LeftOut]]:
    """Return sound records, notes on odd ones, and rows that are left out; raise all problems at once."""
    at_site = observations.at_site
    records = _records(table, depths, at_site, in_layers)
    problems = Problems.of(table, drop=observations.on_bad_row == "drop")
    present = ["site", "lon", "lat", *(["top", "bottom"] if in_layers else [])]
    measured = [column for covariate, column in at_site.items() if covariate not in categories]
    quantities = [*(LAYER_QUANTITIES if in_layers else ()), "tn", "position_error", *measured]
    quantities = [c for c in dict.fromkeys(quantities) if c in records and c not in (*present, *TEXT_COLUMNS)]
    check_present(records, present, problems)

    def judge(rows: pd.DataFrame) -> list[Sign]:
        return layer_signs(table, rows, observations.som_to_soc) if in_layers else density_signs(table, rows, depths)

    signs = judge(records)
    signs += mixed_signs(table, records, signs, judge, observations.som_to_soc)
    signs = heeded(signs, observations.sure_of, observations.units)
    problems.report(*(sign.problem(table) for sign in signs if sign.sure))
    explained = {column for sign in signs if sign.sure for column in sign.columns}
    check_ranges(records, quantities, problems, explained)
    check_classes(records, at_site, categories, problems)
    records = problems.sound(records)
    notes = [*table.notes, *misspelt(table), *check_places(records, problems, bounds, observations.sure_of)]
    notes += [sign.warning for sign in signs if not sign.sure]
    records = problems.sound(records)
    if in_layers:
        if not {"soc", "som"} & explained:
            check_carbon(records, problems)
        check_layers(problems.sound(records), problems)
        if given := [str(c) for c in table.frame if str(c).startswith("socd_")]:
            notes.append(
                Finding.warning(f"{', '.join(given)} not read: densities are computed from the table's layers.")
            )
    else:
        check_densities(records, depths, problems, explained)
        notes += dense(problems.sound(records), depths)
    notes += count_left_out(problems)
    problems.raise_if_any()
    return problems.sound(records), notes, problems.left_out


def _records(table: ObservationTable, depths: Depths, at_site: dict[str, str], in_layers: bool) -> pd.DataFrame:
    """Return the records with every column the pipeline reads; optional ones that the table lacks are empty."""
    if taken := sorted(set(RESULTS) & set(at_site.values())):
        raise InputError(
            Finding(f"the column {', '.join(taken)} has the name of a result; rename it.", "observations.at_site")
        )
    labels = [f"socd_{depth_label(depth)}" for depth in depths]
    if in_layers:
        content = ["top", "bottom", *([] if "som" in table.frame else ["soc"])]
        hint = f"{table.path}: a table without layers gives densities instead, one row per site: {', '.join(labels)}."
        if not {"top", "bottom"} & set(table.frame):
            hint += (
                " Depths such as 0-10 in one column: `columns: {depth: NAME}`. Columns by depth: `wide: {0-10: {soc: "
                "NAME, bulk_density: NAME}}`."
            )
    else:
        content, hint = labels, "Every depth of `depths:` needs its column of densities (kg C/m²)."
    if not {"lon", "lat"} & set(table.frame):
        hint += " Places in a table of their own: `sites: {table: FILE, key: [NAME]}`."
    require_columns(table, ["site", "lon", "lat", *content], at_site, hint)
    optional = [*TEXT_COLUMNS, *(LAYER_QUANTITIES if in_layers else ())]
    records = table.frame.assign(**{c: np.nan for c in optional if c not in table.frame})
    for column in TEXT_COLUMNS:
        records[column] = records[column].map(as_text, na_action="ignore").astype(TEXT)
    return records if in_layers else records.drop(columns=["top", "bottom"], errors="ignore")


def _given(records: pd.DataFrame, depth: tuple[float, float]) -> pd.DataFrame:
    """Return densities that the table gives, in the form of computed ones."""
    given = given_densities(records, depth)
    return given.assign(rule=np.where(given["socd"].notna(), "given", ""), gap_bridged=0.0)


def summary(depth: tuple[float, float], densities: pd.DataFrame, harmonise: Harmonise) -> str:
    """Summarise how many profiles give a density for a depth by which rule, and why the others do not."""
    used = densities["socd"].notna()
    text = f"{depth_label(depth)} cm: {used.sum()} of {len(densities)} profiles used"
    by_rule = densities["rule"].value_counts()
    if shown := [f"{by_rule[rule]} {name}" for rule, name in RULES.items() if rule in by_rule]:
        text += f": {', '.join(shown)}"
    if harmonise == "spline" and "split" in by_rule:
        text += " (one layer, or a spline below zero)"
    if bridged := int((densities["gap_bridged"] > 0).sum()):
        text += f", {bridged} with a gap bridged"
    kinds = densities["kind"][~used].value_counts().sort_index()
    return text + "".join(f"; {count} {kind}" for kind, count in kinds.items()) + "."
