"""Two tables as one: layers and their sites, joined by a key of one or several columns."""

from collections.abc import Collection, Sequence

import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.checks import SHOWN, Problems
from pipelines.soil_carbon.profile_table.fields import Notation, clean_text
from pipelines.soil_carbon.profile_table.names import did_you_mean
from pipelines.soil_carbon.profile_table.table import ObservationTable

BETWEEN = "/"
"""Between the parts of a site's name that several columns make up."""
OF_LAYERS = ("top", "bottom", "depth", "thickness", "soc", "som", "bulk_density", "coarse_fragments")
"""Columns that a table of sites does not give."""


def key_of(
    table: ObservationTable, frame: pd.DataFrame, key: Sequence[str], where: str, notation: Notation
) -> pd.Series:
    """Return the key of every row as a tuple of text; None where a part of it is empty.

    Raises
    ------
    InputError
        If the table lacks a column of the key.
    """
    if missing := [name for name in key if name not in frame]:
        raise InputError(
            Finding(f"{name!r} is not a column of {table.path}{did_you_mean(name, table.own)}", where)
            for name in missing
        )
    # A table written from numbers with gaps has 1.0 where the other has 1.
    parts = [clean_text(frame[name], notation).str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True) for name in key]
    found = [None if any(v is None or v != v for v in row) else row for row in zip(*parts, strict=True)]
    return pd.Series(found, frame.index, dtype=object)


def composite(keys: pd.Series) -> pd.Series:
    """Return names of sites from keys: `12/A/1`. Different keys have different names."""
    plain = keys.map(BETWEEN.join, na_action="ignore")
    distinct = pd.DataFrame({"key": keys, "name": plain}).dropna().drop_duplicates()
    if distinct["name"].is_unique:
        return plain
    return keys.map(lambda key: BETWEEN.join(part.replace(BETWEEN, BETWEEN * 2) for part in key), na_action="ignore")


def join_sites(
    layers: pd.DataFrame, keys: pd.Series, sites: ObservationTable, site_keys: pd.Series, read: Collection[str],
    problems: Problems,
) -> tuple[pd.DataFrame, list[Finding]]:  # fmt: skip
    """Give every layer the values of its site in the table of sites.

    Parameters
    ----------
    layers : DataFrame
        Under default names.
    keys, site_keys : Series
        Of `key_of`, of both tables.
    sites : ObservationTable
        One row per site.
    read : collection of str
        Columns that something reads; where both tables have one, the layers' own value counts if there is one.
    problems : Problems
        Takes layers without a site, and sites listed twice.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
        Sites without layers, and columns in which the tables disagree.
    """
    listed = site_keys.dropna()
    twice = listed[listed.duplicated()]
    first = {key: row for row, key in zip(listed.index[::-1], listed[::-1], strict=True)}
    messages = [
        f"{sites.where(row)}: site {BETWEEN.join(key)} is listed in {sites.counted} {first[key]} already; expected "
        "one row "
        "per site"
        for row, key in twice.items()
    ]
    problems.add("sites listed twice in the table of sites", messages)
    rows = keys.map(first)
    unmatched = rows.isna()
    if unmatched.all():
        there, here = next(iter(first), None), keys.dropna()
        problems.report(
            Finding(
                f"no row of {problems.table.path} has its site in {sites.path}: the key there is e.g. "
                f"{_shown(there)}, here e.g. {_shown(here.iloc[0] if len(here) else None)}",
                "observations.sites.key",
            )
        )
        return layers, []
    notes = []
    frame = layers.copy()
    at = sites.frame.reindex(rows.where(~unmatched)).set_axis(layers.index, axis=0)
    for column in sites.frame:
        if column in OF_LAYERS:
            continue
        if column not in frame:
            frame[column] = at[column]
        elif column in read and column != "site":
            own, other = frame[column], at[column]
            differ = own.notna() & other.notna() & (own.astype(str) != other.astype(str))
            if differ.any() and not _as_numbers(own[differ], other[differ]):
                notes.append(
                    Finding.warning(
                        f"{counted(int(differ.sum()), 'row')} with another `{column}` than in the table of "
                        "sites; their own value is used."
                    )
                )
            frame[column] = own.where(own.notna(), other)
    lost = unmatched & ~_placed(layers)
    problems.add_rows(
        "without a row in the table of sites",
        frame[lost].assign(**{"the key": keys[lost].map(_shown)}),
        lambda row: (
            f"its site, {row['the key']}, is not in {sites.path} ({counted(int(lost.sum()), 'such row')}); add it "
            "there, or "
            "leave such rows out with `on_bad_row: drop`"
        ),
        "the key",
    )
    for axis in ("lon", "lat"):
        problems.faulty(axis, frame.index[lost])
    if beside := int((unmatched & ~lost).sum()):
        notes.append(
            Finding.warning(
                f"{counted(beside, 'row')} without one in the table of sites; the values beside the layers are used."
            )
        )
    without = [key for key in first if key not in set(keys.dropna())]
    if without:
        names = ", ".join(BETWEEN.join(key) for key in without[:SHOWN])
        notes.append(
            Finding.note(
                f"{len(without)} of {len(first)} sites of {sites.path.name} have no layers: "
                f"{names}{', …' * (len(without) > SHOWN)}."
            )
        )
    return frame, notes


def _as_numbers(one: pd.Series, other: pd.Series) -> bool:
    """Return whether two columns are equal as numbers."""
    a, b = pd.to_numeric(one, errors="coerce"), pd.to_numeric(other, errors="coerce")
    return bool(((a - b).abs() <= 1e-9 * b.abs()).all())


def _placed(frame: pd.DataFrame) -> "pd.Series[bool]":
    if not {"lon", "lat"} <= set(frame):
        return pd.Series(False, frame.index)
    return frame["lon"].notna() & frame["lat"].notna()


def _shown(key: tuple[str, ...] | None) -> str:
    return "no key at all" if key is None else BETWEEN.join(key)
