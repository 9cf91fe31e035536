"""Spreadsheets, read as they are shown: percentages, dates, formulas, title rows."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.names import RawTable, tidy


def read_sheet(path: Path, content: bytes, sheet: str | None, header: int | None) -> RawTable:
    """Read one sheet of a workbook.

    Cells formatted as percentages count as they are shown (0.045 in such a cell is 4.5). Fields stay numbers, text or
    dates.

    Parameters
    ----------
    path : Path
        For messages.
    content : bytes
        The file's.
    sheet : str, optional
        Name of the sheet; not needed where one sheet alone holds anything.
    header : int, optional
        Row of the column names, from 1; default: the first that is not empty.

    Returns
    -------
    RawTable
        Its index is the row of the sheet.

    Raises
    ------
    InputError
        The file is not a workbook, the sheet is not there or not given, or a formula has no value yet.
    """
    book = _opened(path, content, formulas=True)
    formulas = [(s.title, cell.coordinate) for s in book.worksheets for row in s.iter_rows() for cell in row
                if cell.data_type == "f"]  # fmt: skip
    if formulas:
        book = _opened(path, content, formulas=False)
    filled = [
        s.title for s in book.worksheets if any(v is not None for row in s.iter_rows(values_only=True) for v in row)
    ]
    if not filled:
        raise InputError(f"{path}: the file is empty; expected a row of column names and one row per record.")
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(f"{path}: has no sheet {sheet!r}; it has: {', '.join(book.sheetnames)}.")
    if sheet is None and len(filled) > 1:
        raise InputError(f"{path}: has several sheets ({', '.join(filled)}); say which: `sheet: {filled[0]}`.")
    cells = book[sheet or filled[0]]
    rows, percent = [], 0
    for row in cells.iter_rows():
        rows.append([_shown(cell) for cell in row])
        percent += sum(_is_percent(cell) for cell in row)
    # Formulas that no spreadsheet program has computed look like empty cells.
    if uncomputed := [at for title, at in formulas if title == cells.title and cells[at].value is None]:
        raise InputError(
            f"{path}: {counted(len(uncomputed), 'formula')} without a value, the first in {uncomputed[0]}: the file "
            "was not saved by a spreadsheet program. Open and save it there, or replace formulas by their values."
        )
    first = next((i for i, row in enumerate(rows, 1) if any(v is not None for v in row)), 1)
    at = header or first
    if at > len(rows):
        raise InputError(f"{path}: `header: {at}` lies below the last row, {len(rows)}.")
    frame = pd.DataFrame(rows[at:], index=range(at + 1, len(rows) + 1), columns=range(cells.max_column), dtype=object)
    frame = frame.dropna(how="all")
    notes = (
        (Finding.note(f"{path.name}: {percent} cells formatted as percentages are read as shown, e.g. 4.5 of 4.5 %."),)
        if percent
        else ()
    )
    return RawTable(path, tuple(tidy(name) for name in rows[at - 1]), frame, "row", notes)


def _shown(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, str):
        return value.strip() or None
    if _is_percent(cell):
        return float(f"{value * 100:.12g}")
    return value


def _is_percent(cell: Any) -> bool:
    number = isinstance(cell.value, int | float) and not isinstance(cell.value, bool)
    return number and cell.has_style and "%" in (cell.number_format or "").partition(";")[0].replace('"%"', "")


def _opened(path: Path, content: bytes, formulas: bool) -> Any:
    import openpyxl  # here, as few tables are workbooks
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        return openpyxl.load_workbook(io.BytesIO(content), data_only=not formulas)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a workbook ({error}).") from None
