"""The profile table as the run file describes it, brought to default names and the pipeline's units."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pyproj import CRS

from engine.errors import Finding
from engine.sources.variable import Variable
from pipelines.runfile.depth_intervals import Depths, depth_label
from pipelines.runfile.observations_section import PROFILE_COLUMNS, Observations, SiteTable, TableKeys
from pipelines.soil_carbon.profile_table.checks import QUANTITIES, Problems
from pipelines.soil_carbon.profile_table.convert import conversions, convert
from pipelines.soil_carbon.profile_table.fields import Notation, clean_text
from pipelines.soil_carbon.profile_table.filling_down import fill_down
from pipelines.soil_carbon.profile_table.formats import read_raw
from pipelines.soil_carbon.profile_table.joining import composite, join_sites, key_of
from pipelines.soil_carbon.profile_table.layer_forms import (
    from_surface,
    lengthen,
    split_intervals,
    stack_thicknesses,
)
from pipelines.soil_carbon.profile_table.markers import names_that_look_missing, read_as_empty
from pipelines.soil_carbon.profile_table.names import header_hint, named
from pipelines.soil_carbon.profile_table.numbers import faulty_fields, to_numbers
from pipelines.soil_carbon.profile_table.places import points_of, to_degrees
from pipelines.soil_carbon.profile_table.table import TEXT_COLUMNS, ObservationTable
from pipelines.soil_carbon.profile_table.units_row import without_units_row

_INHERITED = ("decimal", "thousands", "missing", "crs")
"""Keys of the table of sites that are those of the first table where they are not given."""


def read_observations(
    path: Path,
    observations: Observations,
    sites: Path | None = None,
    covariates: Mapping[str, Variable] | None = None,
    depths: Depths | None = None,
    also: Collection[str] = (),
) -> ObservationTable:
    """Read the table as the run file's section `observations` describes it.

    Parameters
    ----------
    path : Path
        The file, on this machine's disks.
    observations : Observations
        The section.
    sites : Path, optional
        The table of sites, where the section names one.
    covariates : mapping, optional
        Those of the run: classes recorded at the sites stay text, numbers are brought to the covariate's units.
    depths : tuple of (top, bottom), optional
        Target depths, cm, whose columns of densities are read, of a table that has no layers; default: all.
    also : collection of str
        More columns of numbers, by the table's names.

    Returns
    -------
    ObservationTable
        Depths in cm from the surface, contents in g/kg, bulk density in g/cm³, places in degrees; one row per layer, or
        per site where the table gives densities. Its `problems` are those of single fields and rows.

    Raises
    ------
    InputError
        A file is missing or unreadable, or the section names a column that is not there.
    """
    covariates = covariates or {}
    classes = {c for name, c in observations.at_site.items() if name in covariates and covariates[name].is_categorical}
    measured = {*observations.at_site.values(), *also} - classes - set(TEXT_COLUMNS)
    key = observations.sites.key if observations.sites else ()
    used = _used(observations) | {*key, *observations.site_columns, *observations.at_site.values(), *also}
    used |= {own for columns in (observations.wide or {}).values() for own in columns.values()}
    raw = read_raw(path, observations, "observations")
    frame, notes = named(raw, observations.plain_columns, used, "observations.columns")
    frame, crs, about_points = points_of(raw, frame, observations.crs, "observations")
    notes = [*raw.notes, *notes, *about_points]
    notation = _notation(observations, observations.below_detection)
    if observations.wide:
        frame = lengthen(raw, frame, observations.wide)
    units = {column: unit for column, unit in observations.units.items()}
    names = {d: own for d, own in observations.plain_columns.items() if d != own and d in frame}
    table = ObservationTable(path, frame, names, raw.counted, raw.own, units, as_written=frame)
    problems = Problems(table, drop=observations.on_bad_row == "drop")
    frame, more = without_units_row(frame, units, problems)
    notes += more

    if not {"lon", "lat", "site"} <= set(frame):
        problems.found += header_hint(raw, used)
    frame, keys = _identified(table, frame, observations, notation)
    text = [c for c in (*TEXT_COLUMNS, *classes) if c in frame]
    frame = frame.assign(**{column: clean_text(frame[column], notation) for column in text})
    notes += names_that_look_missing(frame, text, table)
    if "depth" in frame and ("depth" in observations.columns or not {"top", "bottom"} & set(frame)):
        frame, more = split_intervals(frame, units.get("depth"), notation, problems)
        notes += more
    numbers = _numbers(frame, measured | ({"top", "bottom"} if also else set()), classes, depths)
    notes += read_as_empty(table.as_written, [c for c in numbers if c in table.as_written])
    frame, more = _measured(frame, numbers, notation, crs, problems)
    notes += more
    if observations.wide:
        frame = _without_empty_layers(frame, observations, problems)
    by = conversions(units, observations.at_site, covariates)
    if observations.sites is not None and sites is not None:
        frame, more = _with_sites(frame, keys, observations, sites, measured, classes, units, problems)
        notes += more
    if "thickness" in frame and "thickness" in observations.columns:
        frame = frame.assign(thickness=frame["thickness"] * (by["thickness"].factor if "thickness" in by else 1.0))
        units.pop("thickness", None)
        frame = stack_thicknesses(frame, problems)
    frame, more = convert(frame, units, by, problems)
    notes += more
    frame, more = fill_down(frame)
    notes += more
    if observations.depth_zero and {"top", "bottom", "site"} <= set(frame):
        frame, more = from_surface(frame, observations.depth_zero, problems)
        notes += more
    return replace(
        table,
        frame=problems.sound(frame),
        notes=tuple(notes),
        problems=tuple(problems.found),
        left_out=tuple(problems.left_out),
        faulty=faulty_fields(problems),
    )


def _used(keys: TableKeys) -> set[str]:
    """Return names of the file's columns that are read, as far as default columns go."""
    defaults = (*PROFILE_COLUMNS, "depth", "thickness")
    return {*keys.plain_columns.values(), *(c for c in defaults if c not in keys.columns)}


def _notation(keys: TableKeys, below_detection: str) -> Notation:
    return Notation(keys.decimal, keys.thousands, keys.missing, below_detection)


def _identified(
    table: ObservationTable, frame: pd.DataFrame, observations: Observations, notation: Notation
) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return the records with the name of their site, and the key of their row in the table of sites."""
    keys = None
    if observations.sites is not None:
        keys = key_of(table, frame, observations.sites.key, "observations.sites.key", notation)
    if observations.site_columns:
        names = key_of(table, frame, observations.site_columns, "observations.columns.site", notation)
        return frame.assign(site=composite(names)), keys
    if keys is not None and observations.sites is not None:
        key, own = observations.sites.key, observations.columns.get("site")
        if key in (("site",), (own,)) or (own is None and (len(key) > 1 or "site" not in frame)):
            return frame.assign(site=composite(keys)), keys
    return frame, keys


def holds_layers(frame: pd.DataFrame) -> bool:
    """Return whether the records are layers; a table of neither kind counts as layers with gaps."""
    deep = {"top", "bottom"} <= set(frame) or "thickness" in frame
    return bool(deep and {"soc", "som"} & set(frame)) or not any(str(c).startswith("socd_") for c in frame)


def _numbers(frame: pd.DataFrame, measured: set[str], classes: set[str], depths: Depths | None) -> list[str]:
    """Return columns that are read as numbers."""
    wanted = {"lon", "lat", "tn", "position_error", *measured}
    if holds_layers(frame):
        wanted |= {"top", "bottom", "thickness", *QUANTITIES}
    elif depths is None:
        wanted |= {c for c in map(str, frame) if c.startswith("socd_")}
    else:
        wanted |= {f"socd_{depth_label(depth)}" for depth in depths}
    return [column for column in map(str, frame) if column in wanted - classes]


def _measured(
    frame: pd.DataFrame, columns: list[str], notation: Notation, crs: str | None, problems: Problems
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return records with numbers read, places in degrees."""
    projected = crs is not None and CRS.from_user_input(crs).is_projected
    frame, notes = to_numbers(frame, columns, notation, problems, projected=projected)
    frame, more = to_degrees(frame, crs, problems)
    return frame, notes + more


def _without_empty_layers(frame: pd.DataFrame, observations: Observations, problems: Problems) -> pd.DataFrame:
    """Drop intervals for which a site has no value at all."""
    given = {name for columns in (observations.wide or {}).values() for name in columns}
    wrong = {row for rows in problems.fields.values() for row in rows}
    return frame[frame[sorted(given)].notna().any(axis=1) | frame.index.isin(wrong)]


def _with_sites(
    frame: pd.DataFrame,
    keys: pd.Series | None,
    observations: Observations,
    path: Path,
    measured: set[str],
    classes: set[str],
    units: Mapping[str, str],
    problems: Problems,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the layers with the values of their sites in the table of sites."""
    assert observations.sites is not None and keys is not None
    section = _inheriting(observations.sites, observations)
    used = _used(section) | {*section.key, *observations.at_site.values()}
    raw = read_raw(path, section, "observations.sites")
    sites, notes = named(raw, section.plain_columns, used, "observations.sites.columns")
    sites, crs, more = points_of(raw, sites, section.crs, "observations.sites")
    notes = [*raw.notes, *notes, *more]
    names = {d: own for d, own in section.plain_columns.items() if d != own}
    table = ObservationTable(path, sites, names, raw.counted, raw.own, units)
    notation = _notation(section, observations.below_detection)
    site_keys = key_of(table, sites, section.key, "observations.sites.key", notation)
    text = [c for c in (*TEXT_COLUMNS, *classes) if c in sites]
    sites = sites.assign(**{column: clean_text(sites[column], notation) for column in text})
    notes += names_that_look_missing(sites, text, table)
    own = Problems(table)
    numbers = [c for c in map(str, sites) if c in {"lon", "lat", "tn", "position_error", *measured} - classes]
    sites, more = _measured(sites, numbers, notation, crs, own)
    own.raise_if_any()
    frame, joined = join_sites(
        frame,
        keys.reindex(frame.index),
        replace(table, frame=sites),
        site_keys,
        {*PROFILE_COLUMNS, *measured, *classes},
        problems,
    )
    if not {"lon", "lat"} <= set(frame):
        problems.raise_if_any()  # rather than that columns are missing
    return frame, [*notes, *more, *joined]


def _inheriting(sites: SiteTable, observations: Observations) -> SiteTable:
    """Return the keys of the table of sites, those not given from the first table."""
    given = sites.model_fields_set
    return sites.model_copy(update={k: getattr(observations, k) for k in _INHERITED if k not in given})
