"""Words about markers of missing values: those that were read as empty, and those that count as names."""

from collections.abc import Collection

import pandas as pd

from engine.errors import Finding
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.fields import (
    ALWAYS_MISSING,
    LIKELY_MISSING,
    NEGATIVE_CODES,
    Notation,
    as_text,
)
from pipelines.soil_carbon.profile_table.table import ObservationTable


def read_as_empty(frame: pd.DataFrame, columns: Collection[str]) -> list[Finding]:
    """Note which words such as NA were read as empty fields, and how often by column.

    Parameters
    ----------
    frame : DataFrame
        As written.
    columns : collection of str
        Columns of numbers.
    """
    words: set[str] = set()
    counts = []
    for column in columns:
        fields = frame[column]
        text = fields[fields.map(lambda v: isinstance(v, str))].astype(str).str.strip()
        found = text[text.str.lower().isin(ALWAYS_MISSING - {""})]
        if len(found):
            words |= set(found)
            counts.append(f"{column} {len(found):,}")
    if not counts:
        return []
    return [Finding.note(f"{', '.join(sorted(words))} read as empty: {', '.join(counts)}.")]


def names_that_look_missing(frame: pd.DataFrame, columns: Collection[str], table: ObservationTable) -> list[Finding]:
    """Warn of names, such as a soil type `n.d.`, that look like markers of missing values.

    Parameters
    ----------
    frame : DataFrame
        Text, without what is listed as missing.
    columns : collection of str
        Columns of names.
    table : ObservationTable
        For messages.
    """
    notes = []
    plain = Notation()
    for column in columns:
        for value, count in frame[column].dropna().map(as_text).value_counts().items():
            number = plain.number(str(value))
            if str(value).lower() in LIKELY_MISSING or (number is not None and number in NEGATIVE_CODES):
                shown = f'"{value}"' if number is None else f"{value}"
                notes.append(
                    Finding.warning(
                        f"{table.column(column)} is {value!r} in {counted(int(count), 'record')}, which counts as "
                        f"a name; if it marks missing values, set `missing: [{shown}]` under `observations`."
                    )
                )
    return notes
