"""Fields of numbers as people write them: decimal commas, thousands, markers of missing values, detection limits."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pandas as pd

from pipelines.soil_carbon.profile_table.table import Row

ALWAYS_MISSING = frozenset({"", "na", "<na>", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none"})
"""Fields (in lower case) that are empty in every table."""
LIKELY_MISSING = frozenset({
    "n.d.", "n.d", "nd", "n/d", "n.a.", "n.a", "n.m.", "nm", "n.b.", "k.a.", "-", "--", "---", "–", "—", ".",
    "..", "...", "?", "*", "x", "/", "\\", "missing", "no data", "nodata", "not determined", "not measured",
    "not available", "unknown", "empty", "b.d.l.", "bdl", "lod", "<lod", "<loq", "b.d.", "bd", "trace",
    "traces", "tr", "tr.", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "未测", "无", "缺失", "нет",
    "н.д.",
})  # fmt: skip
"""Words (in lower case) that mean a missing value in many tables, but only if the run file says so."""
NEGATIVE_CODES = (-9999.0, -999.0, -99.0, -99999.0, -999999.0, -9999.99, -999.99, -99.99, -9999.9, -999.9, -99.9,
                  -32768.0, -32767.0, -2147483648.0, -1e20, -1e30, -3.4028234663852886e38)  # fmt: skip
POSITIVE_CODES = (999.0, 9999.0, 99999.0, 999999.0, 999.9, 999.99, 9999.99, 32767.0, 1e20, 1e30, 3.4028234663852886e38)
"""Numbers that mean a missing value in many tables, where the quantity cannot have them."""
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_LIMIT = re.compile(r"[<≤‹]\s*(.+)")
_SIGNS = str.maketrans({
    "−": "-", "－": "-", "＋": "+", "．": ".", "，": ",", "＜": "<", "\u2009": " ", "\u202f": " ", "\xa0": " ",
    "’": "'",
    **{chr(0xFF10 + i): str(i) for i in range(10)},
})  # fmt: skip


@dataclass(frozen=True)
class Notation:
    """Notation of numbers in a table.

    Parameters
    ----------
    decimal : str
        Decimal mark.
    thousands : str or None
        Mark between groups of three digits.
    missing : tuple, or None
        Words and numbers that the run file lists as missing values; None where it has no list.
    below_detection : str
        What becomes of `<0.5`: refuse, half, zero or limit.
    """

    decimal: str = "."
    thousands: str | None = None
    missing: tuple[str | float, ...] | None = None
    below_detection: str = "refuse"

    def is_missing_text(self, text: str) -> bool:
        """Return whether a field's text is empty or listed."""
        folded = text.strip().lower()
        if folded in ALWAYS_MISSING:
            return True
        words = {m.strip().lower() for m in self.missing or () if isinstance(m, str)}
        return folded in words or (bool(self.codes) and bool(self.is_code(self.number(text))))

    @property
    def codes(self) -> tuple[float, ...]:
        """Listed numbers, also those that are listed as text."""
        found = []
        for marker in self.missing or ():
            value = marker if isinstance(marker, float) else self.number(marker)
            if value is not None and np.isfinite(value):
                found.append(float(value))
        return tuple(found)

    def is_code(self, value: float | None) -> bool:
        """Return whether a number is listed."""
        return value is not None and any(_same(value, code) for code in self.codes)

    def number(self, text: str) -> float | None:
        """Read a number, or None where the text is not one."""
        canonical = self.canonical(text)
        return None if canonical is None else float(canonical)

    def canonical(self, text: str) -> str | None:
        """Return a number's text with a decimal point and no other mark between its digits."""
        text = text.translate(_SIGNS).strip()
        if self.thousands and self.thousands in text:
            whole, mark, rest = text.partition(self.decimal)
            grouped = re.fullmatch(rf"[-+]?\d{{1,3}}({re.escape(self.thousands)}\d{{3}})+", whole)
            if not grouped or self.thousands in rest:
                return None
            text = whole.replace(self.thousands, "") + mark + rest
        if self.decimal == ",":
            # 12.345 in a table of decimal commas may be twelve thousand: the run file has to say.
            if self.thousands is None and re.fullmatch(r"[-+]?[1-9]\d{0,2}(\.\d{3})+", text):
                return None
            text = text.replace(",", ".")
        return text if _PLAIN.fullmatch(text) else None


@dataclass(frozen=True)
class Fields:
    """A column of numbers as read.

    Parameters
    ----------
    values : Series of float64
        NaN where empty, missing or wrong.
    wrong : dict
        Row → content, of the fields that are not numbers.
    kinds : dict
        Row → `comma`, `thousands`, `limit`, `marker`, `date` or `other`, of the wrong ones.
    limits : int
        Fields below a detection limit that were given a value.
    why : dict
        Row → what speaks against reading it as an angle; of some of kind `other`.
    """

    values: "pd.Series[float]"
    wrong: dict[Row, Any]
    kinds: dict[Row, str]
    limits: int = 0
    why: Mapping[Row, str] = field(default_factory=dict)


def read_numbers(column: pd.Series, notation: Notation) -> Fields:
    """Read a column of text, numbers or both.

    Parameters
    ----------
    column : Series
    notation : Notation

    Returns
    -------
    Fields
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        # Not through pandas' own NA: a plain array has NaN for it.
        values = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), column.index)
        kinds: dict[Row, str] = dict.fromkeys(values.index[np.isinf(values)], "other")
        wrong: dict[Row, Any] = {row: str(values[row]) for row in kinds}
        values = values.mask(np.isinf(values))
    else:
        values, wrong, kinds = _of_objects(column.astype(object), notation)
    below = [row for row, kind in kinds.items() if kind == "limit"] if notation.below_detection != "refuse" else []
    if below:
        share = {"half": 0.5, "zero": 0.0, "limit": 1.0}[notation.below_detection]
        given = {row: share * (_limit(str(wrong.pop(row)), notation) or 0.0) for row in below}
        values = values.fillna(pd.Series(given).reindex(values.index))
        kinds = {row: kind for row, kind in kinds.items() if row not in given}
    for code in notation.codes:
        values = values.mask(_close(values, code))
    return Fields(values, wrong, kinds, len(below))


def unlisted_codes(values: "pd.Series[float]", low: float, high: float, is_open: bool) -> dict[float, pd.Index]:
    """Return numbers that look like markers of missing values, and where they stand.

    Parameters
    ----------
    values : Series
    low, high : float
        What the quantity can be; a code within counts as a value.
    is_open : bool
        The quantity has no such bounds: only negative codes count.
    """
    codes = [c for c in NEGATIVE_CODES if is_open or not low <= c <= high]
    codes += [c for c in POSITIVE_CODES if not is_open and not low <= c <= high]
    found = {code: values.index[_close(values, code)] for code in codes}
    return {code: rows for code, rows in found.items() if len(rows)}


def clean_text(column: pd.Series, notation: Notation) -> pd.Series:
    """Turn missing values of a column of names into empty fields, and numbers of spreadsheets into their plain text."""
    text = column.map(as_text, na_action="ignore").astype(object)
    known = {value: notation.is_missing_text(value) for value in text.dropna().unique()}
    missing = text.map(known).fillna(True).astype(bool)
    return text.mask(missing, None)


def as_text(value: object) -> str:
    """Return a name's text: 7 of a code that a table keeps as 7.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _of_objects(column: pd.Series, notation: Notation) -> tuple["pd.Series[float]", dict[Row, Any], dict[Row, str]]:
    is_text = column.map(lambda v: isinstance(v, str)).astype(bool)
    texts = column[is_text]
    canonical: dict[str, str | None] = {}
    kind_of: dict[str, str] = {}
    for text in texts.unique():
        canonical[text] = None
        if not notation.is_missing_text(text):
            canonical[text] = notation.canonical(text)
            if canonical[text] is None:
                kind_of[text] = _kind(text, notation)
    kinds: dict[Row, str] = {row: kind_of[text] for row, text in _items(texts) if text in kind_of}
    numbers: dict[Row, float] = {}
    for row, value in _items(column[~is_text & column.notna()]):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number | Decimal):
            kinds[row] = "date" if hasattr(value, "year") or hasattr(value, "hour") else "other"
        else:
            numbers[row] = float(value)
    plain = pd.to_numeric(texts.map(canonical).astype(object)).astype(np.float64)
    values = pd.concat([plain, pd.Series(numbers, dtype=np.float64)]).reindex(column.index)
    infinite = np.isinf(values)
    kinds |= dict.fromkeys(values.index[infinite], "other")
    return values.mask(infinite), {row: column[row] for row in kinds}, kinds


def _items(column: pd.Series) -> Iterator[tuple[Row, Any]]:
    return cast(Iterator[tuple[Row, Any]], column.items())


def _kind(text: str, notation: Notation) -> str:
    plain = text.translate(_SIGNS).strip()
    if plain.lower() in LIKELY_MISSING:
        return "marker"
    if _LIMIT.fullmatch(plain):
        return "limit" if _limit(plain, notation) is not None else "other"
    if notation.decimal == "." and re.fullmatch(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?", plain):
        return "comma"
    if re.fullmatch(r"[-+]?\d{1,3}([,. '])\d{3}(\1\d{3})*([.,]\d+)?", plain):
        return "thousands"
    return "other"


def _limit(text: str, notation: Notation) -> float | None:
    match = _LIMIT.fullmatch(text.translate(_SIGNS).strip())
    return notation.number(match[1]) if match else None


def _same(value: float, code: float) -> bool:
    return abs(value - code) <= 1e-6 * abs(code)


def _close(values: "pd.Series[float]", code: float) -> np.ndarray:
    return np.asarray((values - code).abs() <= 1e-6 * abs(code))
