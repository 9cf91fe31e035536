"""Checks of the observation table's records: numbers, ranges and units; problems are collected, not raised."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted, doing
from pipelines.soil_carbon.profile_table.names import did_you_mean
from pipelines.soil_carbon.profile_table.table import LeftOut, ObservationTable, Row

SHOWN = 10
"""Problems of one kind that are spelt out; the rest are counted."""

DENSEST = 200
"""kg C/m³ (g/kg · g/cm³) above which a layer is more compact carbon than peat."""

PURE_MATTER = 600
"""g/kg of carbon above which a layer is purer than organic matter, but for errors of analysis."""

FILL_CODES = (-9999.0, -999.0, -99.0, -99999.0, -32768.0)


@dataclass
class Problems:
    """Collects what is wrong with a table, so that the user sees all of it at once.

    Parameters
    ----------
    table : ObservationTable
        Says where a row stands and how its columns are called.
    found : list of Finding
        Problems.
    drop : bool
        Rows at fault are left out rather than reported.
    left_out : list of LeftOut
        Those rows, with the reason.
    fields : dict
        Column → rows whose field is empty because of a problem found.
    """

    table: ObservationTable
    found: list[Finding] = field(default_factory=list)
    drop: bool = False
    left_out: list[LeftOut] = field(default_factory=list)
    fields: dict[str, set[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: ObservationTable, drop: bool) -> "Problems":
        """Go on from what was found on reading."""
        fields = {column: set(rows) for column, rows in table.faulty.items()}
        return cls(table, list(table.problems), drop, list(table.left_out), fields)

    def report(self, *problems: str | Finding) -> None:
        """Add problems; a text concerns no key of the run file."""
        self.found += [Finding(each) if isinstance(each, str) else each for each in problems]

    def add(self, kind: str, messages: Iterable[str]) -> None:
        """Add the problems of one kind; `kind` names what the rest, beyond the first ten, are."""
        messages = list(messages)
        self.report(*messages[:SHOWN])
        if len(messages) > SHOWN:
            self.report(f"{self.table.path}: {len(messages) - SHOWN} more records like these: {kind}")

    def add_rows(
        self,
        kind: str,
        rows: pd.DataFrame,
        describe: Callable[["pd.Series"], str],
        column: str = "",
        *,
        droppable: bool = True,
    ) -> None:
        """Add one problem per row, or leave the rows out if the run file allows it.

        Parameters
        ----------
        kind : str
            What the rows have in common; the reason why they are left out.
        rows : DataFrame
            Records; nothing happens where there is none.
        describe : callable
            What is wrong with a row.
        column : str
            The column at fault.
        droppable : bool
            False of what leaving rows out does not make right.
        """
        if self.drop and droppable:
            for label, row in labelled(rows):
                site = "" if pd.isna(row.get("site")) else str(row["site"])
                value = self.table.written(label, column, row.get(column, ""))
                self.left_out.append(LeftOut(label, site, column, value, kind))
            return
        self.add(kind, [f"{self.at(row)}: {describe(row)}" for _, row in rows.iterrows()])

    def faulty(self, column: str, rows: Iterable[Row]) -> None:
        """Remember fields that are empty because of a problem, so that they are not reported as empty as well."""
        self.fields.setdefault(column, set()).update(rows)

    def sound(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the records that are not left out."""
        return frame[~frame.index.isin({left.row for left in self.left_out})] if self.left_out else frame

    def at(self, row: "pd.Series") -> str:
        """Return the place of a row: `profiles.csv, line 12: site A1`."""
        where = self.table.where(row.name)
        return where if pd.isna(row.get("site")) else f"{where}: site {row['site']}"

    def raise_if_any(self) -> None:
        """Raise an InputError with everything found, if there is anything."""
        if self.found:
            raise InputError(self.found)


def labelled(rows: pd.DataFrame) -> Iterator[tuple[Row, "pd.Series"]]:
    """Return every record with its label."""
    return cast(Iterator[tuple[Row, "pd.Series"]], rows.iterrows())


@dataclass(frozen=True)
class Quantity:
    """The range that a measured quantity can take, and units that a value above it may be in.

    Parameters
    ----------
    low, high : float
        In `units`.
    above : str
        What is said of a value above the range that none of the other units explains.
    others : tuple of (str, float, float, float)
        Another unit, its factor to `units`, and the least and largest value that it makes likely.
    """

    low: float
    high: float
    units: str
    above: str
    others: tuple[tuple[str, float, float, float], ...] = ()
    zero_is_possible: bool = True

    def hint(self, value: float) -> str:
        """Explain a value above the range: the other unit in which it would be possible."""
        fits = [
            f"in {unit} it would be {value * factor:.3g} {self.units}"
            for unit, factor, least, most in self.others
            if least <= value * factor <= most
        ]
        return "; ".join(fits) or self.above


QUANTITIES = {
    "soc": Quantity(
        0,
        700,
        "g/kg",
        "pure organic matter holds some 580; organic matter goes into `som`",
        (("mg/kg", 0.001, 1, 580),),
    ),
    "som": Quantity(0, 1000, "g/kg", "nothing is more than itself", (("mg/kg", 0.001, 1.5, 1000),)),
    "bulk_density": Quantity(
        0,
        2.7,
        "g/cm³",
        "even quartz has 2.65; leave the field empty if the value is an error",
        (("kg/m³", 0.001, 0.02, 2.7),),
        zero_is_possible=False,
    ),
    "coarse_fragments": Quantity(0, 100, "volume %", "no share exceeds 100 %; leave the field empty if it is an error"),
    "tn": Quantity(
        0, 100, "g/kg", "plants hold 10 to 40; leave the field empty if it is an error", (("mg/kg", 0.001, 0.05, 40),)
    ),
    "position_error": Quantity(0, 200_000, "m", "such a place says nothing; leave the site out"),
}
DENSITY = Quantity(
    0,
    500,
    "kg C/m²",
    "no soil holds as much",
    (("t/ha", 0.1, 0.2, 300), ("g/m²", 0.001, 0.2, 300)),
)


def require_columns(table: ObservationTable, columns: Iterable[str], at_site: dict[str, str], hint: str = "") -> None:
    """Raise an InputError that names every column the table lacks, and then gives the hint."""
    have = [str(c) for c in table.frame]
    missing: list[str | Finding] = [
        f"{table.path}: the column `{c}` is missing{did_you_mean(c, table.own)} "
        f"(another name is declared by observations.columns: {{{c}: NAME}})"
        for c in columns
        if c not in have
    ]
    missing += [hint] if missing and hint else []
    missing += [
        Finding(
            f"{covariate}: {column!r} is not a column of {table.path}{did_you_mean(column, table.own)}",
            "observations.at_site",
        )
        for covariate, column in at_site.items()
        if column not in have
    ]
    if missing:
        raise InputError([*missing, *table.problems])


def check_present(frame: pd.DataFrame, columns: Iterable[str], problems: Problems) -> None:
    """Add records whose field is empty in a column that every record needs."""
    for column in columns:
        name = problems.table.column(column)
        empty = frame[frame[column].isna() & ~frame.index.isin(problems.fields.get(column, ()))]
        problems.add_rows(f"{name} is empty", empty, _always(f"{name} is empty; every record needs one"), column)


def _always(text: str) -> Callable[["pd.Series"], str]:
    return lambda _: text


def check_ranges(
    frame: pd.DataFrame, columns: Iterable[str], problems: Problems, explained: Collection[str] = ()
) -> None:
    """Add values that no soil has, with a unit that would explain them; columns in `explained` are passed over."""
    for column in columns:
        if column in explained:
            continue
        quantity = DENSITY if column.startswith("socd_") else QUANTITIES.get(column)
        values, name = frame[column], problems.table.column(column)
        if quantity is None:
            wrong, expected = values.isin(FILL_CODES), "a measured value; it looks like a fill code"
        else:
            lowest = f"{quantity.low:g} to" if quantity.zero_is_possible else "above 0 and up to"
            expected = f"{lowest} {quantity.high:g} {quantity.units}"
            wrong = (values < quantity.low) | (values > quantity.high)
            if not quantity.zero_is_possible:
                wrong |= values == quantity.low

        def describe(
            row: "pd.Series",
            column: str = column,
            name: str = name,
            expected: str = expected,
            quantity: Quantity | None = quantity,
        ) -> str:
            high = quantity is not None and row[column] > quantity.high
            hint = (
                quantity.hint(float(row[column]))
                if quantity and high
                else "leave the field empty where nothing was measured"
            )
            return f"{name} is {row[column]:g}; expected {expected} ({hint})"

        problems.add_rows(f"{name} outside {expected}", frame[wrong], describe, column)


def check_carbon(layers: pd.DataFrame, problems: Problems) -> None:
    """Add layers whose organic carbon exceeds their organic matter, of which it is a part."""
    problems.add_rows(
        "more SOC than SOM",
        layers[layers["soc"] > layers["som"]],
        lambda row: f"SOC {row['soc']:g} g/kg exceeds SOM {row['som']:g} g/kg, of which it is a part",
    )


def suspicions(layers: pd.DataFrame) -> list[Finding]:
    """Note values that are possible but odd."""
    notes = []
    dense = layers["soc"] * layers["bulk_density"] > DENSEST
    if dense.any():
        sites = ", ".join(layers["site"][dense].drop_duplicates().head(SHOWN))
        notes.append(
            Finding.warning(
                f"{doing(dense.sum(), 'layer', 'holds')} more than {DENSEST} kg C/m³ (SOC · bulk density), "
                "denser than peat "
                f"gets; check them at {sites}."
            )
        )
    purest = layers["soc"] > PURE_MATTER
    if purest.any():
        sites = ", ".join(layers["site"][purest].drop_duplicates().head(SHOWN))
        notes.append(
            Finding.warning(
                f"{counted(int(purest.sum()), 'layer')} of more than {PURE_MATTER} g/kg SOC, what pure organic "
                f"matter holds: organic matter goes into `som`; check them at {sites}."
            )
        )
    ratio = (layers["soc"] / layers["som"]).dropna()
    if odd := int(((ratio < 0.4) | (ratio > 0.7)).sum()):
        notes.append(
            Finding.warning(
                f"{doing(odd, 'layer', 'gives')} SOC and SOM with SOC/SOM outside 0.4 to 0.7; their SOC is used."
            )
        )
    return notes
