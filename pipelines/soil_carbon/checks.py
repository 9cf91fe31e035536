"""What a record of the observation table may hold: numbers, ranges and units; problems are collected, not raised."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from engine.errors import InputError
from pipelines.soil_carbon.table import ObservationTable, did_you_mean

SHOWN = 10
"""Problems of one kind that are spelt out; the rest are counted."""

DENSEST = 200
"""kg C/m³ (g/kg · g/cm³) above which a layer is more compact carbon than peat."""

DECIMAL_COMMA = r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?"
HINTS = dict.fromkeys(("lon", "lat"), " (decimal degrees such as -117.912; west and south are negative)") | (
    dict.fromkeys(("top", "bottom"), " (spreadsheets turn depths such as 10-12 into dates)")
)
"""What a field of these columns that is no number most often is."""

FILL_CODES = (-9999.0, -999.0, -99.0, -99999.0, -32768.0)


@dataclass
class Problems:
    """Collects what is wrong with a table, so that the user sees all of it at once."""

    table: ObservationTable
    found: list[str] = field(default_factory=list)

    def add(self, kind: str, messages: Iterable[str]) -> None:
        """Add the problems of one kind; `kind` names what the rest, beyond the first ten, are."""
        messages = list(messages)
        self.found += messages[:SHOWN]
        if len(messages) > SHOWN:
            self.found.append(f"{self.table.path}: {len(messages) - SHOWN} more records like these: {kind}")

    def add_rows(self, kind: str, rows: pd.DataFrame, describe: Callable[["pd.Series"], str]) -> None:
        """Add one problem per row: where it is, its site, and what `describe` says of it."""
        self.add(kind, [f"{self.at(row)}: {describe(row)}" for _, row in rows.iterrows()])

    def at(self, row: "pd.Series") -> str:
        """`profiles.csv, line 12: site A1`."""
        where = self.table.where(row.name)
        return where if pd.isna(row.get("site")) else f"{where}: site {row['site']}"

    def raise_if_any(self) -> None:
        """Raise an InputError with everything found, if there is anything."""
        if self.found:
            raise InputError(self.found)


@dataclass(frozen=True)
class Quantity:
    """The range that a measured quantity can take, and what a value above it may mean."""

    low: float
    high: float
    units: str
    above: str
    zero_is_possible: bool = True


QUANTITIES = {
    "soc": Quantity(0, 700, "g/kg", "pure organic matter holds some 580; SOM goes into `som`, mg/kg divides by 1000"),
    "som": Quantity(0, 1000, "g/kg", "is it in mg/kg? Divide by 1000"),
    "bulk_density": Quantity(0, 2.7, "g/cm³", "is it in kg/m³? Divide by 1000", zero_is_possible=False),
    "coarse_fragments": Quantity(0, 100, "volume %", "is it in g/kg?"),
    "tn": Quantity(0, 100, "g/kg", "is it in mg/kg? Divide by 1000"),
}
DENSITY = Quantity(0, 500, "kg C/m²", "is it in t/ha? Divide by 10; in g/m²? Divide by 1000")


def require_columns(table: ObservationTable, columns: Iterable[str], at_site: dict[str, str], hint: str = "") -> None:
    """Raise an InputError that names every column the table lacks, and then gives the hint."""
    have = [str(c) for c in table.frame]
    missing = [
        f"{table.path}: the column `{c}` is missing{did_you_mean(c, have)} "
        f"(another name is declared by observations.columns: {{{c}: NAME}})"
        for c in columns
        if c not in have
    ]
    missing += [hint] if missing and hint else []
    missing += [
        f"observations.at_site: {covariate}: {column!r} is no column of {table.path}{did_you_mean(column, have)}"
        for covariate, column in at_site.items()
        if column not in have
    ]
    if missing:
        raise InputError(missing)


def check_present(frame: pd.DataFrame, columns: Iterable[str], problems: Problems) -> None:
    """Add records whose field is empty in a column that every record needs."""
    for column in columns:
        name = problems.table.column(column)
        empty = frame[frame[column].isna()]
        messages = [f"{problems.at(row)}: {name} is empty; every record needs one" for _, row in empty.iterrows()]
        problems.add(f"{name} is empty", messages)


def to_numbers(frame: pd.DataFrame, columns: Iterable[str], problems: Problems) -> pd.DataFrame:
    """Turn text into float64; what is neither a finite number nor empty is a problem."""
    frame = frame.copy()
    for column in columns:
        text = frame[column]
        numbers = pd.to_numeric(text, errors="coerce").astype(np.float64)
        wrong = text.notna() & ~np.isfinite(numbers)
        name = problems.table.column(column)
        comma = frame[wrong & text.astype(str).str.fullmatch(DECIMAL_COMMA)]
        if len(comma):
            first = comma.iloc[0]
            problems.found.append(
                f"{problems.at(first)}: {name} is {first[column]!r}, with a decimal comma ({len(comma)} records); set "
                "`decimal: ','` under `observations` if the whole table has them"
            )

        def describe(row: "pd.Series", column: str = column, name: str = name) -> str:
            hint = HINTS.get(column, "")
            return f"{name} is {row[column]!r}; expected a number, or nothing where none was measured{hint}"

        problems.add_rows(f"{name} is not a number", frame[wrong].drop(comma.index), describe)
        frame[column] = numbers.where(~wrong)
    return frame


def check_ranges(frame: pd.DataFrame, columns: Iterable[str], problems: Problems) -> None:
    """Add values that no soil has, with the unit that would explain them."""
    for column in columns:
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
            hint = quantity.above if quantity and high else "leave the field empty where nothing was measured"
            return f"{name} is {row[column]:g}; expected {expected} ({hint})"

        problems.add_rows(f"{name} outside {expected}", frame[wrong], describe)


def check_carbon(layers: pd.DataFrame, problems: Problems) -> None:
    """Add layers whose organic carbon exceeds their organic matter, of which it is a part."""
    problems.add_rows(
        "more SOC than SOM",
        layers[layers["soc"] > layers["som"]],
        lambda row: f"SOC {row['soc']:g} g/kg exceeds SOM {row['som']:g} g/kg, of which it is a part",
    )


def suspicions(layers: pd.DataFrame) -> list[str]:
    """Notes on values that are possible but look like another unit."""
    notes = []
    soc, fragments, bulk_density = (layers[c].dropna() for c in ("soc", "coarse_fragments", "bulk_density"))
    if soc.size and soc.max() < 10:
        notes.append(f"warning: no SOC exceeds {soc.max():g} g/kg: is the column in %? Multiply by 10.")
    if fragments.size and 0 < fragments.max() <= 1:
        notes.append(f"warning: no coarse fragments exceed {fragments.max():g} %: is it a fraction? Multiply by 100.")
    if bulk_density.size and bulk_density.median() < 0.05:
        notes.append(f"warning: the median bulk density is {bulk_density.median():g} g/cm³, lighter than any peat.")
    dense = layers["soc"] * layers["bulk_density"] > DENSEST
    if dense.any():
        sites = ", ".join(layers["site"][dense].drop_duplicates().head(SHOWN))
        notes.append(
            f"warning: {dense.sum()} layers hold more than {DENSEST} kg C/m³ (SOC · bulk density), denser than peat "
            f"gets; check them at {sites}."
        )
    ratio = (layers["soc"] / layers["som"]).dropna()
    if odd := int(((ratio < 0.4) | (ratio > 0.7)).sum()):
        notes.append(f"warning: {odd} layers give SOC and SOM with SOC/SOM outside 0.4 to 0.7; their SOC is used.")
    return notes
