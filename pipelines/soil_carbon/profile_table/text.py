"""Text tables: their encoding, the mark between fields, and their fields as text."""

import codecs
import io
import re
from pathlib import Path

import pandas as pd

from engine.errors import Finding, InputError
from pipelines.soil_carbon.profile_table.names import RawTable, tidy

SEPARATORS = (",", ";", "\t", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 100
"""Lines that the mark between fields is judged by."""


def read_text(path: Path, raw: bytes, encoding: str | None, delimiter: str | None, header: int | None) -> RawTable:
    """Read a text table; its fields stay text.

    Parameters
    ----------
    path : Path
        For messages.
    raw : bytes
        Content.
    encoding : str, optional
        Default: UTF-8, or what a byte order mark says.
    delimiter : str, optional
        Mark between fields, or `whitespace`; default: comma, semicolon, tab or bar, whichever divides the lines evenly.
    header : int, optional
        Line of the column names, from 1; default: the first.

    Returns
    -------
    RawTable

    Raises
    ------
    InputError
        The bytes are not text of that encoding, or lines differ in the number of fields.
    """
    text = decode(path, raw, encoding)
    skipped = (header or 1) - 1
    if not skipped and (declared := re.match(r"sep=(.)\r?\n", text)):  # as Excel writes it
        skipped, delimiter = 1, delimiter or declared[1]
    if skipped:
        text = "".join(text.splitlines(keepends=True)[skipped:])
    separator = delimiter or _separator(text)
    regular = separator if separator != "whitespace" else r"\s+"
    # Rows without content may have any number of separators: spreadsheets leave them behind.
    text = re.sub(rf"(?m)^[{re.escape(separator) if len(separator) == 1 else ''} ]+(?=\r?$)", "", text)
    try:
        # Without a header row, so that every line counts and a repeated column name is not renamed silently.
        lines = pd.read_csv(
            io.StringIO(text), sep=regular, header=None, dtype=str, skip_blank_lines=False, keep_default_na=False
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: the file is empty; expected a header line and one line per record.") from None
    except pd.errors.ParserError as error:
        if fields := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            expected, number, saw = fields.groups()
            raise InputError(
                f"{path}, line {int(number) + skipped}: {saw} fields between {separator!r}, the lines before have "
                f"{expected}. Is there a {separator!r} within a text or a number? Put it in double quotes. Do the "
                "columns' names stand further down? Say where: `header: LINE`."
            ) from None
        raise InputError(f"{path}: not a regular csv table: {str(error).strip()}.") from None
    lines = lines.apply(lambda fields: fields.astype("object").where(fields.notna(), ""))
    within_quotes = lines.apply(lambda fields: fields.str.count("\n")).sum(axis=1)
    lines = lines.apply(lambda fields: fields.str.strip()).replace("", None)
    lines.index = lines.index + 1 + skipped + within_quotes.cumsum().shift(fill_value=0).astype(int)
    names = tuple(tidy(name) for name in lines.iloc[0])
    return RawTable(path, names, lines.iloc[1:].dropna(how="all"), "line")


def decode(path: Path, raw: bytes, encoding: str | None) -> str:
    """Return a file's text.

    Raises
    ------
    InputError
        A byte that the encoding does not have, with its line and what other encodings make of it.
    """
    if raw[:4] in (b"PK\x03\x04", b"PAR1"):
        what = ".xlsx" if raw[:2] == b"PK" else ".parquet"
        raise InputError(f"{path}: the content is not text but looks like {what}; give the file that ending.")
    marked = next((name for bom, name in _BOMS if raw.startswith(bom)), None)
    if marked and encoding and codecs.lookup(encoding).name.partition("-")[0] != "utf":
        raise InputError(
            Finding(f"{path} begins with the mark of {marked}; expected {encoding}.", "observations.encoding")
        )
    name = marked or encoding or "utf-8"
    try:
        text = raw.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(_undecodable(path, raw, name, error)) from None
    if "\x00" in text:
        order = "utf-16-le" if raw[1:2] == b"\x00" else "utf-16-be"
        raise InputError(f"{path}: holds zero bytes, as UTF-16 read as {name} does; try `encoding: {order}`.")
    return text


def _undecodable(path: Path, raw: bytes, name: str, error: UnicodeDecodeError) -> str:
    start = error.start
    line = raw.count(b"\n", 0, start) + 1
    # The field with the byte, as other encodings read it.
    left = max(raw.rfind(mark, 0, start) for mark in (b",", b";", b"\t", b"\n", b'"')) + 1
    right = min((at for mark in (b",", b";", b"\t", b"\n", b"\r", b'"') if (at := raw.find(mark, start)) > 0),
                default=len(raw))  # fmt: skip
    piece = raw[left : min(right, start + 30)]
    readings = []
    for other in ("gbk", "latin-1"):
        try:
            readings.append(f"`encoding: {other}` reads {piece.decode(other).strip()!r} there")
        except UnicodeDecodeError:
            continue
    what = "UTF-8" if name == "utf-8" else name
    return (
        f"{path}, line {line}: byte 0x{raw[start]:02x} (byte {start} of the file) is not {what}. Say under "
        "`observations` "
        f"which encoding it is: {'; '.join(readings)}; or save the table as CSV UTF-8."
    )


def _separator(text: str) -> str:
    """Return the mark that divides the lines evenly; of several, the one that divides the header into most fields."""
    lines = [line for line in text[:200_000].splitlines() if line.strip()][:_LOOKED_AT]
    if not lines:
        return ","
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines]

    def merit(mark: str) -> tuple[float, int]:
        fields = bare[0].count(mark)
        even = sum(line.count(mark) == fields for line in bare) / len(bare)
        return (even if fields else 0.0, fields)

    return max(SEPARATORS, key=merit)
