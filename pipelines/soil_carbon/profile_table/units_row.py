"""A row of units beneath the columns' names: no record, but a word on how the table is written."""

from collections.abc import Mapping

import pandas as pd

from engine.errors import Finding
from pipelines.runfile.column_units import STANDARD, conversion, has_units
from pipelines.soil_carbon.profile_table.checks import Problems


def without_units_row(
    frame: pd.DataFrame, units: Mapping[str, str], problems: Problems
) -> tuple[pd.DataFrame, list[Finding]]:
    """Take a first row that holds units out of the records, and compare it with the run file.

    Parameters
    ----------
    frame : DataFrame
        Under default names, as written.
    units : mapping
        Column → unit, as the run file has it.
    problems : Problems
        Takes units that differ from those of the run file, or that are not known.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
    """
    if frame.empty:
        return frame, []
    row, first = frame.index[0], frame.iloc[0]
    given = {str(c): v.strip() for c, v in first.items() if has_units(str(c)) and isinstance(v, str) and v.strip()}
    factors = {column: _conversion(column, unit) for column, unit in given.items()}
    if sum(found is not None for found in factors.values()) < 2 or any(map(_is_number, given.values())):
        return frame, []
    shown = ", ".join(f"{column} {unit}" for column, unit in given.items())
    differ = {
        column: unit
        for column, unit in given.items()
        if (factors[column] is None and column not in units)
        or factors[column] not in (None, _conversion(column, units.get(column, STANDARD.get(column, "kg/m2"))))
    }
    at = problems.table.where(row)
    if not differ:
        text = f"{at}: holds the columns' units ({shown}), as the run file takes them; not a record."
        return frame.iloc[1:], [Finding.note(text)]
    known = {column: unit for column, unit in differ.items() if factors[column] is not None}
    advice = []
    if known:
        listed = ", ".join(f'{column}: "{unit}"' for column, unit in known.items())
        advice.append(f"write `observations.units: {{{listed}}}`, or correct what stands there")
    if unknown := [f"{unit!r} of {column}" for column, unit in differ.items() if column not in known]:
        advice.append(f"{', '.join(unknown)} is not known: say under `observations.units` what it is")
    problems.report(
        f"{at}: holds the columns' units ({shown}), which are not those of the run file: {'; '.join(advice)}."
    )
    return frame.iloc[1:], []


def _conversion(column: str, unit: str) -> object:
    try:
        return conversion(column, unit)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
