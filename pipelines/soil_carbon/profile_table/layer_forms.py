"""Layers in other forms than a row with `top` and `bottom`: wide tables, intervals as text, thicknesses, heights."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from pipelines.runfile.depth_intervals import in_unit, interval_of
from pipelines.soil_carbon.profile_table.checks import Problems
from pipelines.soil_carbon.profile_table.fields import Notation
from pipelines.soil_carbon.profile_table.names import RawTable, did_you_mean, tidy
from pipelines.soil_carbon.profile_table.table import LeftOut, Row

TOLERANCE = 1e-6
"""Depths closer than this, in cm, are the same depth."""


def lengthen(raw: RawTable, frame: pd.DataFrame, wide: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Make one row per layer of a table with one row per site.

    Parameters
    ----------
    raw : RawTable
        For messages.
    frame : DataFrame
        One row per site.
    wide : mapping
        Interval (cm) → default column → the table's.

    Returns
    -------
    DataFrame
        With `top`, `bottom` (cm) and the layers' columns; its index is `12 (0-10 cm)`.

    Raises
    ------
    InputError
        If the table lacks one of the columns.
    """
    missing = [
        Finding(
            f"{interval}: {column!r} is not a column of {raw.path}{did_you_mean(column, raw.own)}", "observations.wide"
        )
        for interval, columns in wide.items()
        for column in columns.values()
        if tidy(column) not in frame
    ]
    if missing:
        raise InputError(missing)
    quantities = list(dict.fromkeys(name for columns in wide.values() for name in columns))
    shared = frame.drop(columns=[c for c in (*quantities, "top", "bottom") if c in frame])
    parts = []
    for interval, columns in wide.items():
        found = interval_of(interval, ".")
        assert found.bottom is not None
        factor = in_unit(found, None)
        part = shared.assign(
            top=found.top * factor,
            bottom=found.bottom * factor,
            **{name: frame[tidy(columns[name])] if name in columns else None for name in quantities},
        )
        parts.append(part.set_axis([f"{row} ({interval.strip()})" for row in frame.index], axis=0))
    order = [f"{row} ({interval.strip()})" for row in frame.index for interval in wide]
    return pd.concat([part.astype(object) for part in parts]).loc[order]


def split_intervals(
    frame: pd.DataFrame, unit: str | None, notation: Notation, problems: Problems
) -> tuple[pd.DataFrame, list[Finding]]:
    """Make `top` and `bottom` (cm) of a column `depth` that holds intervals.

    Rows that are open below, such as `100+`, have no thickness: they are left out with a note.
    """
    tops: dict[Row, float] = {}
    bottoms: dict[Row, float] = {}
    wrong: dict[Row, str] = {}
    dates: list[Row] = []
    opened: list[Row] = []
    for row, value in cast(Iterator[tuple[Row, Any]], frame["depth"].items()):
        if value is None or value != value or (isinstance(value, str) and notation.is_missing_text(value)):
            continue
        if not isinstance(value, str):
            if hasattr(value, "year"):
                dates.append(row)
            else:
                wrong[row] = f"{value!r} is not a depth interval"
            continue
        try:
            interval = interval_of(value, notation.decimal)
            factor = in_unit(interval, unit)
        except ValueError as error:
            wrong[row] = str(error)
            continue
        tops[row] = interval.top * factor
        if interval.bottom is None:
            opened.append(row)
        else:
            bottoms[row] = interval.bottom * factor
    name = problems.table.column("depth")
    problems.add_rows(
        f"{name} is a date",
        frame.loc[dates],
        lambda row: (
            f"{name} is the date {row['depth']:%Y-%m-%d}: the spreadsheet made one of an interval such as 10-12; "
            "format the column as text and type the intervals again"
        ),
        droppable=False,
    )
    problems.add_rows(
        f"{name} is not an interval",
        frame.loc[list(wrong)],
        lambda row: f"{name}: {wrong[cast(Row, row.name)]}; expected e.g. 0-10",
        "depth",
    )
    problems.faulty("top", [*wrong, *dates])
    problems.faulty("bottom", [*wrong, *dates])
    notes = []
    if opened:
        problems.left_out += [
            LeftOut(
                row,
                str(frame.at[row, "site"]) if "site" in frame else "",
                "depth",
                frame.at[row, "depth"],
                "open below",
            )
            for row in opened
        ]
        notes.append(
            Finding.warning(
                f"{counted(len(opened), 'layer')} open below, such as {frame.at[opened[0], 'depth']!r}: where "
                "they "
                "end is not known, so that they are left out."
            )
        )
    depths = {c: pd.Series(v, dtype=np.float64).reindex(frame.index) for c, v in (("top", tops), ("bottom", bottoms))}
    return frame.assign(**{c: v.round(9) for c, v in depths.items()}), notes


def stack_thicknesses(frame: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Make `top` and `bottom` of thicknesses (cm), each site's layers in the order of the file, the first from 0."""
    thickness = frame["thickness"]
    problems.add_rows(
        "no thickness",
        frame[~(thickness > 0)],
        lambda row: (
            f"{problems.table.column('thickness')} is {row['thickness']:g}; expected more than 0, as the depths of all "
            "layers below follow from it"
        ),
        droppable=False,
    )
    unclear = frame["site"].isin(frame["site"][~(thickness > 0)])
    _forget_depths(frame[unclear], problems)
    bottom = thickness.mask(unclear).groupby(frame["site"]).cumsum()
    return frame.assign(top=(bottom - thickness).round(9), bottom=bottom.round(9))


def _forget_depths(rows: pd.DataFrame, problems: Problems) -> None:
    """Forget depths of sites with a reported problem, so that its consequences are not reported as well."""
    for column in ("top", "bottom"):
        problems.faulty(column, rows.index)


def from_surface(frame: pd.DataFrame, zero: str, problems: Problems) -> tuple[pd.DataFrame, list[Finding]]:
    """Count depths downward from the surface of the profile, whatever the table's zero.

    A layer whose `top` is the larger number is written in heights: it becomes a depth by its sign. With
    `zero="mineral"` what lies above zero are organic layers, and the whole profile moves down by their thickness. With
    `zero="surface"` nothing may lie above zero.

    Parameters
    ----------
    frame : DataFrame
        `site`, `top`, `bottom`, cm.
    zero : {"mineral", "surface"}
    problems : Problems
        Takes profiles whose layers cannot be put in order.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
    """
    top, bottom = frame["top"], frame["bottom"]
    heights = (top > bottom) & ((top <= 0) if zero == "surface" else True)
    frame = frame.assign(top=top.mask(heights, -top) + 0.0, bottom=bottom.mask(heights, -bottom) + 0.0)
    if zero == "surface":
        note = f"depth_zero: surface: {counted(int(heights.sum()), 'layer')} in heights read as depths."
        return frame, [Finding.note(note)] if heights.any() else []
    placed = frame.dropna(subset=["site", "top", "bottom"])
    above = placed[placed["top"] < -TOLERANCE]
    if above.empty:
        return frame, []
    lowest = above.groupby("site")["bottom"].max()
    below = placed[placed["top"] >= -TOLERANCE].groupby("site")["top"].min()
    upward = set(placed["site"][heights[placed.index] & (top[placed.index] > 0)])
    floating = set(lowest.index[lowest < -TOLERANCE])
    doubtful = {site for site in upward if below.get(site, 0.0) > TOLERANCE}
    wrong = above[above["site"].isin(floating | doubtful)].drop_duplicates("site")
    problems.add_rows(
        "organic layers that do not rest on the mineral soil",
        wrong.assign(**{"from": top[wrong.index], "to": bottom[wrong.index]}),
        lambda row: (
            f"layer {row['from']:g} to {row['to']:g} lies above 0 (`depth_zero: mineral`), but the layers do "
            "not meet at 0; is it upside down, or is a layer missing?"
        ),
        droppable=False,
    )
    shift = (-above.groupby("site")["top"].min()).reindex(frame["site"]).fillna(0.0).set_axis(frame.index)
    unclear = frame["site"].isin(floating | doubtful)
    _forget_depths(frame[unclear], problems)
    shift = shift.mask(unclear)
    thick = shift.groupby(frame["site"]).first()
    thick = thick[thick > 0]
    note = (
        f"depth_zero: mineral: {counted(len(thick), 'site')} with organic layers above 0, {thick.mean():.3g} cm on "
        "average; depths count from the top of these layers."
    )
    moved = frame.assign(top=(frame["top"] + shift).round(9), bottom=(frame["bottom"] + shift).round(9))
    return moved, [Finding.note(note)] if len(thick) else []
