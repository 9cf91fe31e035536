"""Columns of numbers: read field by field, with one message per column and kind of mistake."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.errors import Finding
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.angles import LIMITS, angle
from pipelines.soil_carbon.profile_table.checks import QUANTITIES, Problems
from pipelines.soil_carbon.profile_table.fields import Fields, Notation, read_numbers, unlisted_codes
from pipelines.soil_carbon.profile_table.table import Row

_DATES = re.compile(r"\d{1,4}[-./ ]*([a-zä]{3,9}|\d{1,2})([-./ ]\d{2,4}.*)?|[a-zä]{3,9}[-./ ]\d{1,4}", re.IGNORECASE)
"""Depths such as 10-12 that a spreadsheet made a date of."""
_SHOWN = 5
"""Rows that a message names."""
_LIMITS = {"half": "half of it", "zero": "0", "limit": "the limit itself"}
_ADVICE = {
    "comma": "with a decimal comma{records}; set `decimal: ','` under `observations` if the whole table has them, or "
    "`thousands: ','` if commas group digits",
    "thousands": "which seems to group digits by threes{records}; say by which sign, e.g. `thousands: ','` under "
    "`observations` (and `decimal: ','` where that is the decimal mark)",
    "limit": "below a detection limit{records}; set `below_detection: half` (or zero, limit) under `observations`, or "
    "list it in `missing`",
}
"""What to do about fields of one kind."""


def to_numbers(
    frame: pd.DataFrame, columns: Collection[str], notation: Notation, problems: Problems, *, projected: bool = False
) -> tuple[pd.DataFrame, list[Finding]]:
    """Turn columns into float64; fields that are neither a number nor empty are problems.

    Parameters
    ----------
    frame : DataFrame
        Under default names.
    columns : collection of str
    notation : Notation
    problems : Problems
        Takes what is wrong; such fields become empty.
    projected : bool
        `lon` and `lat` are x and y of a projection, not angles.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
        Values below a detection limit, by column.
    """
    found, notes = {}, []
    for column in columns:
        fields = read_numbers(frame[column], notation)
        if column in LIMITS and not projected:
            fields = _angles(fields, column)
        values = _without_codes(frame, column, fields, notation, problems, projected)
        _report(frame, column, fields, notation, problems)
        if fields.limits:
            notes.append(
                Finding.note(
                    f"{problems.table.column(column)}: {counted(fields.limits, 'value')} below the detection limit "
                    f"became {_LIMITS[notation.below_detection]}."
                )
            )
        found[column] = values
    return frame.assign(**found), notes


def _angles(fields: Fields, axis: str) -> Fields:
    """Read what is not a plain number as degrees, minutes and seconds."""
    kinds, wrong = dict(fields.kinds), dict(fields.wrong)
    found: dict[Row, float] = {}
    why: dict[Row, str] = {}
    for row, kind in fields.kinds.items():
        if kind != "other" or not isinstance(wrong[row], str):
            continue
        try:
            found[row] = angle(wrong[row], axis)
        except ValueError as error:
            why[row] = str(error)
            continue
        del kinds[row], wrong[row]
    values = fields.values.fillna(pd.Series(found, dtype=np.float64).reindex(fields.values.index))
    return Fields(values, wrong, kinds, fields.limits, why)


def _without_codes(
    frame: pd.DataFrame, column: str, fields: Fields, notation: Notation, problems: Problems, projected: bool
) -> "pd.Series[float]":
    """Return values without numbers that look like markers of missing values, each of which is a problem."""
    values = fields.values
    bounds = _possible(column, projected, has_list=notation.missing is not None)
    low, high = bounds or (-np.inf, np.inf)
    for code, rows in unlisted_codes(values, low, high, is_open=bounds is None).items():
        first = frame.loc[[rows[0]]].iloc[0]
        problems.report(
            f"{problems.at(first)}: {problems.table.column(column)} is {code:g} ({counted(len(rows), 'record')}), "
            "which looks "
            f"like a marker of missing values; if it is one, set `missing: [{code:.12g}]` under `observations`, else "
            "correct it"
        )
        problems.faulty(column, rows)
        values = values.drop(rows).reindex(values.index)
    return values


def _possible(column: str, projected: bool, has_list: bool) -> tuple[float, float] | None:
    """Return the range of a column in any unit, within which a code is a value; None if unknown."""
    if column in LIMITS:
        return (-99.5, np.inf) if projected else (-LIMITS[column], LIMITS[column])
    if column in ("top", "bottom", "thickness"):
        # Some cores are 999 cm long: who lists what is missing has looked.
        return (-98.0, 9998.0 if has_list else 998.0)
    if column in QUANTITIES:
        return (0.0, max(QUANTITIES[column].high, 900.0 if column == "soc" else 0.0))
    return (0.0, 998.0) if column.startswith("socd_") else None


def _report(frame: pd.DataFrame, column: str, fields: Fields, notation: Notation, problems: Problems) -> None:
    name = problems.table.column(column)
    by_kind: dict[str, list[Row]] = {}
    for row, kind in fields.kinds.items():
        by_kind.setdefault(kind, []).append(row)
    problems.faulty(column, fields.kinds)
    for kind in ("comma", "thousands", "limit"):
        if rows := by_kind.get(kind):
            problems.report(_common(frame, name, fields.wrong, rows, _ADVICE[kind], problems))
    markers: dict[str, list[Row]] = {}
    for row in by_kind.get("marker", ()):
        markers.setdefault(str(fields.wrong[row]), []).append(row)
    for word, rows in markers.items():
        advice = f"expected a number; if it marks missing values, set `missing: [{_yaml(word)}]` under `observations`"
        problems.report(_common(frame, name, fields.wrong, rows, advice, problems))

    def describe(row: "pd.Series") -> str:
        label: Any = row.name
        value, why = fields.wrong[label], fields.why.get(label)
        if fields.kinds[label] == "date":
            return (
                f"{name} is a date ({value:%Y-%m-%d}); expected a number (spreadsheets turn values such as 10-12 "
                "into dates)"
                if hasattr(value, "year")
                else f"{name} is a time of day ({value}); expected a number"
            )
        is_date = column in ("top", "bottom") and _DATES.fullmatch(str(value).strip())
        hint = f" ({why})" if why else " (spreadsheets turn depths such as 10-12 into dates)" if is_date else ""
        return f"{name} is {value!r}; expected a number, or nothing where none was measured{hint}"

    others = [*by_kind.get("other", ()), *by_kind.get("date", ())]
    problems.add_rows(f"{name} is not a number", frame[frame.index.isin(others)], describe, column)


def _common(
    frame: pd.DataFrame, name: str, wrong: Mapping[Row, Any], rows: list[Row], advice: str, problems: Problems
) -> str:
    """Combine fields of a kind into one message: the first of them, how many, and where the next are."""
    first = frame.loc[[rows[0]]].iloc[0]
    number = f" ({counted(len(rows), 'record')}"
    number += (
        f": {problems.table.counted}s {', '.join(map(str, rows[:_SHOWN]))}{', …' * (len(rows) > _SHOWN)})"
        if len(rows) > 1
        else ")"
    )
    text = f"{problems.at(first)}: {name} is {wrong[rows[0]]!r}"
    if "{records}" in advice:
        return f"{text}, {advice.format(records=number)}"
    return f"{text}{number}; {advice}"


def _yaml(word: str) -> str:
    return (
        word if word.replace(".", "").replace(" ", "").isalpha() and word.lower() not in ("null", "no") else f'"{word}"'
    )


def faulty_fields(problems: Problems) -> Mapping[str, frozenset[Row]]:
    """Return the fields that are empty because of a problem, fixed."""
    return {column: frozenset(rows) for column, rows in problems.fields.items()}
