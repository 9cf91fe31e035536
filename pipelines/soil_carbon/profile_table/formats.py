"""Files that a profile table may be in: which reader reads which, plain or compressed."""

import gzip
import io
import zipfile
from pathlib import Path, PurePath

import pandas as pd
import pyarrow
import pyarrow.parquet

from engine.errors import Finding, InputError
from pipelines.runfile.observations_section import TableKeys
from pipelines.soil_carbon.profile_table.names import RawTable, tidy
from pipelines.soil_carbon.profile_table.spreadsheet import read_sheet
from pipelines.soil_carbon.profile_table.text import read_text
from pipelines.soil_carbon.profile_table.vector import read_geoparquet, read_vector

TEXT = (".csv", ".txt", ".tsv", ".tab")
SHEETS = (".xlsx", ".xlsm")
VECTORS = (".gpkg", ".geojson", ".shp", ".fgb")
PARQUET = (".parquet", ".pq", ".geoparquet")
_EXPECTED = ".csv (also .csv.gz or .zip), .xlsx, .parquet, .gpkg, .geojson or .shp"


def read_raw(path: Path, keys: TableKeys, key: str) -> RawTable:
    """Read a file's records.

    Parameters
    ----------
    path : Path
        The file.
    keys : TableKeys
        What the run file says of it.
    key : str
        Where it stands in the run file, for messages.

    Returns
    -------
    RawTable
        Points of a vector file are its column `geometry`.

    Raises
    ------
    InputError
        The file is missing, unreadable or empty, or a key does not go with its format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `{key}.table` starts from the run file's folder, or its `data`.")
    suffix = path.suffix.lower()
    _check_keys(keys, key, path)
    if suffix in VECTORS:
        raw = read_vector(path, str(path), keys.sheet, keys.encoding)
    elif suffix == ".zip" and (inside := _shapefile_in(path)):
        raw = read_vector(path, f"/vsizip/{path}/{inside}", keys.sheet, keys.encoding)
    else:
        suffix, content = _content(path, suffix)
        if suffix in TEXT:
            raw = read_text(path, content, keys.encoding, keys.delimiter, keys.header)
        elif suffix in SHEETS:
            raw = read_sheet(path, content, keys.sheet, keys.header)
        elif suffix in PARQUET:
            raw = _read_parquet(path, content)
        else:
            hint = " Save the workbook as .xlsx." if suffix in (".xls", ".ods", ".xlsb", ".numbers") else ""
            raise InputError(f"{path}: cannot read {suffix or 'a file without extension'}; expected {_EXPECTED}.{hint}")
    if raw.frame.empty:
        raise InputError(f"{path}: the table is empty: columns ({', '.join(raw.own)}), but not one record.")
    return raw


def _check_keys(keys: TableKeys, key: str, path: Path) -> None:
    """Refuse keys that the file's format has no use for: they would be passed over in silence."""
    name = PurePath(path.name.lower().removesuffix(".gz").removesuffix(".zip"))
    suffix = name.suffix
    wrong = []
    if suffix in (*SHEETS, *PARQUET):
        wrong += [k for k in ("encoding", "delimiter") if getattr(keys, k) is not None]
    if suffix in (*PARQUET, *VECTORS):
        wrong += [k for k in ("header",) if getattr(keys, k) is not None]
    if suffix in VECTORS and keys.delimiter is not None:
        wrong.append("delimiter")
    if suffix in (*TEXT, *PARQUET) and keys.sheet is not None:
        wrong.append("sheet")
    if wrong:
        raise InputError(Finding(f"has no meaning for {path.name}; leave it out.", f"{key}.{k}") for k in wrong)


def _content(path: Path, suffix: str) -> tuple[str, bytes]:
    """Return the suffix and the bytes of a file, or of the one within a compressed file."""
    content = path.read_bytes()
    try:
        if suffix == ".gz":
            return Path(path.stem).suffix.lower(), gzip.decompress(content)
        if suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = _members(archive)
                if len(names) != 1:
                    raise InputError(f"{path}: holds {len(names)} files ({', '.join(names)}); expected one table.")
                return Path(names[0]).suffix.lower(), archive.read(names[0])
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}).") from None
    return suffix, content


def _shapefile_in(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in _members(archive) if name.lower().endswith(".shp")]
    except (OSError, zipfile.BadZipFile):
        return None
    if len(found) > 1:
        raise InputError(f"{path}: holds {len(found)} shapefiles ({', '.join(found)}); expected one.")
    return found[0] if found else None


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n and not n.startswith(".")]


def _read_parquet(path: Path, content: bytes) -> RawTable:
    try:
        if b"geo" in (pyarrow.parquet.read_schema(io.BytesIO(content)).metadata or {}):
            return read_geoparquet(path, content)
        frame = pd.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as parquet ({error}).") from None
    if kept := [name for name in frame.index.names if name is not None]:
        frame = frame.reset_index(kept)
    header = tuple(tidy(name) for name in frame.columns)
    return RawTable(path, header, frame.set_axis(range(frame.shape[1]), axis=1).set_axis(
        range(1, len(frame) + 1), axis=0), "row")  # fmt: skip
