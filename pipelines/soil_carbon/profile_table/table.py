"""The observation table under the names and in the units that the pipeline uses, still to be checked."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from engine.errors import Finding
from pipelines.runfile.observations_section import PROFILE_COLUMNS

TEXT_COLUMNS = ("site", "vegetation", "soil_type", "source")
"""Columns that hold names; every other column the pipeline reads holds numbers."""


Row = int | str
"""Label of a record: the line or row of the file, and the interval where one row holds several layers."""


@dataclass(frozen=True)
class LeftOut:
    """A row of the table that is not used.

    Parameters
    ----------
    row : object
        Line or row of the file.
    site : str
        Empty where it has none.
    column : str
        The column at fault by its default name; empty where it is the row as a whole.
    value : object
        What the file has there.
    reason : str
        In a few words, the same for all rows with the same fault.
    """

    row: Row
    site: str
    column: str
    value: object
    reason: str


@dataclass(frozen=True)
class ObservationTable:
    """Records under the default column names, still unchecked.

    Parameters
    ----------
    path : Path
        The file, for messages.
    frame : DataFrame
        One row per record; the index is the line of a csv file (the header is line 1), else the record from 1.
    names : dict
        Default column name → the table's own name, where they differ.
    counted : str
        What the index counts: `line` or `row`.
    own : tuple of str
        Column names that the file has.
    units : mapping
        Default column name → unit in the file, of those that were converted.
    notes, problems : tuple of Finding
        What was done on reading, and what is wrong so far.
    left_out : tuple of LeftOut
        Rows that are no longer in `frame`.
    faulty : mapping
        Column → rows whose field is empty because a problem is reported of it.
    as_written : DataFrame
        The fields before they were read as numbers.
    """

    path: Path
    frame: pd.DataFrame
    names: dict[str, str]
    counted: str
    own: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Finding, ...] = ()
    problems: tuple[Finding, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    faulty: Mapping[str, frozenset[Row]] = field(default_factory=dict)
    as_written: pd.DataFrame = field(default_factory=pd.DataFrame)

    def where(self, row: object) -> str:
        """Return the place of a row: `profiles.csv, line 12`."""
        return f"{self.path}, {self.counted} {row}"

    def column(self, name: str) -> str:
        """Name a column in messages: by the default name, with the table's own name and unit if they differ."""
        own = f"column `{self.names[name]}`" if name in self.names else ""
        unit = f"in {self.units[name]} in the file" if name in self.units else ""
        more = ", ".join(part for part in (own, unit) if part)
        return f"`{name}` ({more})" if more else f"`{name}`"

    def written(self, row: Row, column: str, otherwise: object = None) -> object:
        """Return the text of a field in the file."""
        known = column in self.as_written and row in self.as_written.index
        return self.as_written.at[row, column] if known else otherwise


def misspelt(table: ObservationTable) -> list[Finding]:
    """Warn of unread columns whose names resemble a default column that is absent."""
    absent = [c for c in PROFILE_COLUMNS if c not in table.frame]
    used = {*PROFILE_COLUMNS, *table.names.values()}
    return [
        Finding.warning(
            f"column `{column}` is not read; if it holds {close[0]}, say so in the run file: "
            f"observations.columns: {{{close[0]}: {column}}}"
        )
        for column in (str(c) for c in table.frame if c not in used)
        if (close := difflib.get_close_matches(column.casefold(), absent, n=1, cutoff=0.75))
    ]
