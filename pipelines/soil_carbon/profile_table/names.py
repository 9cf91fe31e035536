"""Names of columns: as the file has them, as the run file calls them, and the default ones."""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from engine.errors import Finding, InputError

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?|__index_level_\d+__|)", re.IGNORECASE)
"""What spreadsheets and pandas call a column without a name, such as a saved index."""


@dataclass(frozen=True)
class RawTable:
    """A file's records before anything is made of them.

    Parameters
    ----------
    path : Path
        The file.
    header : tuple of str
        The file's column names, blanks tidied; empty where a column has no name.
    frame : DataFrame
        Fields by position (columns 0, 1, …), empty ones None or NaN; the index is the line or row of the file.
    counted : str
        What the index counts: `line` or `row`.
    notes : tuple of Finding
        What was done on reading.
    crs : str, optional
        Of the points in the column `geometry`, as WKT; None where the file declares none.
    """

    path: Path
    header: tuple[str, ...]
    frame: pd.DataFrame
    counted: str
    notes: tuple[Finding, ...] = ()
    crs: str | None = None

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the columns that have one, each once."""
        return tuple(dict.fromkeys(name for name in self.header if not _UNNAMED.fullmatch(name)))


def tidy(name: object) -> str:
    """Return a column name with blanks, line breaks and byte order marks trimmed."""
    return "" if name is None or name != name else " ".join(str(name).replace("\ufeff", "").split())


def did_you_mean(name: str, have: Iterable[object]) -> str:
    """Return `; did you mean …?`, or what there is instead."""
    options = [str(o) for o in have]
    folded = {_folded(o): o for o in reversed(options)}
    wanted = _folded(name)
    close = (
        [f for f in folded if f == wanted]
        or difflib.get_close_matches(wanted, folded, n=1, cutoff=0.6)
        or [f for f in folded if wanted and f.startswith(wanted)]
    )
    return f"; did you mean `{folded[close[0]]}`?" if close else f"; it has: {', '.join(options)}"


def named(
    raw: RawTable, columns: dict[str, str], used: Collection[str], key: str
) -> tuple[pd.DataFrame, list[Finding]]:
    """Give the columns their names, and those that the run file maps the default ones.

    Parameters
    ----------
    raw : RawTable
        As read.
    columns : dict
        Default name → the file's. A column so mapped replaces one that has the default name.
    used : collection of str
        Names of the file that something reads.
    key : str
        Where the mapping stands in the run file.

    Returns
    -------
    frame : DataFrame
        Without columns that have no name; of two with one name that nothing reads, the first.
    notes : list of Finding

    Raises
    ------
    InputError
        The mapping names a column that the file lacks, or a column that is read is there twice with different content.
    """
    wanted = {default: tidy(name) for default, name in columns.items()}
    if missing := [(default, name) for default, name in wanted.items() if name not in raw.own]:
        raise InputError(
            [
                Finding(
                    f"{columns[default]!r} is not a column of {raw.path}{did_you_mean(name, raw.own)}",
                    f"{key}.{default}",
                )
                for default, name in missing
            ]
            + header_hint(raw, used)
        )
    where = {name: [i for i, other in enumerate(raw.header) if other == name] for name in raw.own}
    notes: list[Finding] = []
    twice = []
    read = {tidy(name) for name in used} | set(wanted.values())
    for name, places in where.items():
        if len(places) == 1:
            continue
        same = all(raw.frame[i].equals(raw.frame[places[0]]) for i in places[1:])
        if name in read and not same:
            twice.append(name)
        else:
            why = "with the same content" if same else "and nothing reads it"
            notes.append(Finding.note(f"the column `{name}` of {raw.path.name} is there {len(places)} times, {why}."))
    if twice:
        at = ", line 1" if raw.counted == "line" else ""
        raise InputError(
            f"{raw.path}{at}: the column {', '.join(twice)} is there more than once with different content; expected "
            "once."
        )
    frame = pd.DataFrame({name: raw.frame[places[0]] for name, places in where.items()}, index=raw.frame.index)
    kept = frame.drop(columns=[c for c in wanted if c in frame and c not in wanted.values()])
    return kept.assign(**{default: frame[name] for default, name in wanted.items()}), notes


def header_hint(raw: RawTable, wanted: Collection[str]) -> list[Finding]:
    """Suggest where the columns' names stand, if further down than they were looked for."""
    wanted = {_folded(tidy(name)) for name in wanted}
    here = sum(_folded(name) in wanted for name in raw.own)
    for row, fields in raw.frame.head(20).iterrows():
        if sum(isinstance(v, str) and _folded(tidy(v)) in wanted for v in fields) > max(2, here):
            text = f"{raw.path}, {raw.counted} {row}: looks like the columns' names; if it is, set `header: {row}`"
            return [Finding(text)]
    return []


def _folded(name: str) -> str:
    """Return a name without case, blanks and signs, as far as letters are left."""
    return re.sub(r"[\W_]+", "", name.casefold()) or name.casefold()
