"""The observation table as a file: csv, parquet or points of a vector file, with the names the pipeline uses."""

import difflib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow
from pyogrio.errors import DataLayerError, DataSourceError

from engine.errors import InputError
from pipelines.observations_spec import PROFILE_COLUMNS, Observations

TEXT_COLUMNS = ("site", "vegetation", "soil_type", "source")
"""Columns that hold names; every other column the pipeline reads holds numbers."""


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
    """

    path: Path
    frame: pd.DataFrame
    names: dict[str, str]
    counted: str

    def where(self, row: object) -> str:
        """`profiles.csv, line 12`."""
        return f"{self.path}, {self.counted} {row}"

    def column(self, name: str) -> str:
        """How messages call a column: by the default name, and the table's own where it differs."""
        return f"`{name}` (column `{self.names[name]}`)" if name in self.names else f"`{name}`"


def read_observations(path: Path, observations: Observations) -> ObservationTable:
    """Read the table as the run file's section `observations` describes it.

    Parameters
    ----------
    path : Path
        The file, on this machine's disks.
    observations : Observations
        The section.

    Returns
    -------
    ObservationTable

    Raises
    ------
    InputError
        As `read_table`.
    """
    return read_table(path, observations.columns, observations.decimal)


def read_table(path: Path, columns: dict[str, str], decimal: str = ".") -> ObservationTable:
    """Read a csv, parquet, GeoPackage or GeoJSON file.

    A csv file is UTF-8 with commas, semicolons or tabs between fields; its fields stay text here. A vector file's
    points become `lon` and `lat` in EPSG:4326 where the table has no such columns.

    Parameters
    ----------
    path : Path
        The file.
    columns : dict
        Default column name → name in the table. A column so named replaces one that has the default name.
    decimal : {".", ","}
        Decimal mark of a csv file's numbers.

    Returns
    -------
    ObservationTable

    Raises
    ------
    InputError
        The file is missing, unreadable or empty, a column name is repeated, or `columns` names one it lacks.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; `observations.table` starts from the run file's folder, or its `data`."
        )
    match path.suffix.lower():
        case ".csv" | ".txt" | ".tsv":
            frame, counted = _read_csv(path), "line"
        case ".parquet" | ".pq":
            frame, counted = _read_parquet(path), "row"
        case ".gpkg" | ".geojson":
            frame, counted = _read_points(path, columns), "row"
        case suffix:
            hint = " Save the sheet as CSV UTF-8." if suffix in (".xlsx", ".xls", ".ods") else ""
            raise InputError(
                f"{path}: cannot read {suffix or 'a file without extension'}; "
                f"expected .csv, .parquet, .gpkg or .geojson.{hint}"
            )
    if frame.empty:
        raise InputError(f"{path}: the table is empty: columns ({', '.join(map(str, frame))}), but not one record.")
    if missing := [(default, name) for default, name in columns.items() if name not in frame]:
        raise InputError(
            f"observations.columns: {default}: {name!r} is no column of {path}{did_you_mean(name, frame)}"
            for default, name in missing
        )
    named = frame.drop(columns=[c for c in columns if c in frame and c not in columns.values()])
    named = named.assign(**{default: frame[name] for default, name in columns.items()})
    if counted == "line" and decimal == ",":
        named = named.apply(
            lambda fields: fields if fields.name in TEXT_COLUMNS else fields.str.replace(",", ".", regex=False)
        )
    names = {default: name for default, name in columns.items() if default != name}
    return ObservationTable(path, named, names, counted)


def did_you_mean(name: str, have: Iterable[object]) -> str:
    """`; did you mean …?`, or what there is instead."""
    options = [str(o) for o in have]
    folded = {o.casefold(): o for o in options}
    longer = [o for o in folded if o.startswith(name.casefold())]
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6) or longer
    return f"; did you mean `{folded[close[0]]}`?" if close else f"; it has: {', '.join(options)}"


def misspelt(table: ObservationTable) -> list[str]:
    """Warn of columns that nobody reads but whose names resemble a default column that is absent."""
    absent = [c for c in PROFILE_COLUMNS if c not in table.frame]
    used = {*PROFILE_COLUMNS, *table.names.values()}
    return [
        f"warning: column `{column}` is not read; if it holds {close[0]}, say so in the run file: "
        f"observations.columns: {{{close[0]}: {column}}}"
        for column in (str(c) for c in table.frame if c not in used)
        if (close := difflib.get_close_matches(column.casefold(), absent, n=1, cutoff=0.75))
    ]


def _read_csv(path: Path) -> pd.DataFrame:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the table as CSV UTF-8."
        ) from None
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    # Rows without content may have any number of separators: spreadsheets leave them behind.
    text = re.sub(rf"(?m)^[{separator} ]+(?=\r?$)", "", text)
    try:
        # Without a header row, so that every line counts and a repeated column name is not renamed silently.
        lines = pd.read_csv(io.StringIO(text), sep=separator, header=None, dtype=str, skip_blank_lines=False)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: the file is empty; expected a header line and one line per record.") from None
    except pd.errors.ParserError as error:
        if fields := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            expected, number, saw = fields.groups()
            raise InputError(
                f"{path}, line {number}: {saw} fields between {separator!r}, the lines before have {expected}. Is "
                f"there a {separator!r} within a text or a number? Put it in double quotes."
            ) from None
        raise InputError(f"{path}: not a regular csv table: {str(error).strip()}.") from None
    lines = lines.apply(lambda fields: fields.astype("str").str.strip()).replace("", None)
    within_quotes = lines.apply(lambda fields: fields.str.count("\n")).sum(axis=1)
    lines.index = lines.index + 1 + within_quotes.cumsum().shift(fill_value=0).astype(int)
    names = lines.iloc[0]
    frame = lines.iloc[1:].loc[:, names.notna()].dropna(how="all")
    frame.columns = names.dropna().to_list()
    if repeated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise InputError(f"{path}, line 1: the column {', '.join(repeated)} is there more than once; expected once.")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: cannot be read as parquet ({error}).") from None
    return _count_from_one(frame.reset_index() if frame.index.name else frame)


def _read_points(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    try:
        points = gpd.read_file(path)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"{path}: cannot be read as a vector file ({error}).") from None
    points = _count_from_one(points)
    has_place = all(columns.get(c, c) in points for c in ("lon", "lat"))
    if has_place or not isinstance(points, gpd.GeoDataFrame):
        return pd.DataFrame(points.drop(columns="geometry", errors="ignore"))
    if points.crs is None:
        raise InputError(f"{path}: declares no CRS; assign one, or give columns `lon` and `lat` in degrees.")
    present = points.geometry.notna() & ~points.geometry.is_empty
    if not_points := [row for row, kind in points.geom_type[present].items() if kind != "Point"]:
        raise InputError(
            f"{path}, row {not_points[0]}: a {points.geom_type[not_points[0]]} is no site; expected Point."
        )
    degrees = points.geometry[present].to_crs(4326)
    return pd.DataFrame(points.drop(columns=points.geometry.name)).assign(lon=degrees.x, lat=degrees.y)


def _count_from_one(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(range(1, len(frame) + 1), axis=0)
