"""Depth intervals: their names, and those that a table writes in one field, such as `0-10` or `0–10 cm`."""

import re
from dataclasses import dataclass

from pipelines.runfile.column_units import conversion

Depths = tuple[tuple[float, float], ...]
"""Tops and bottoms, cm."""
_DASHES = r"(?:-|−|－|–|—|‐|‑|~|～|/|_|:|\.\.\.?|…|;|to|bis|à|至)"
_NUMBER = r"[-+−]?\d+(?:[.,]\d+)?|[-+−]?[.,]\d+"
_UNIT = (
    r"(?:cm|mm|dm|m|centimet(?:er|re)s?|millimet(?:er|re)s?|met(?:er|re)s?|inches|inch|in|feet|ft|\""
    r"|厘米|毫米|米|см|мм|м)"
)
_LOCAL_UNITS = {"厘米": "cm", "毫米": "mm", "米": "m", "см": "cm", "мм": "mm", "м": "m"}
_FULL_WIDTH = str.maketrans({chr(0xFF10 + i): str(i) for i in range(10)})
_RANGE = re.compile(
    rf"(?:from\s|depth\s|von\s|[\[(（])?\s*({_NUMBER})\s*({_UNIT})?\s*{_DASHES}"
    rf"\s*({_NUMBER})\s*({_UNIT})?\.?\s*[\])）]?",
    re.IGNORECASE,
)
_OPEN = re.compile(
    rf"(?:[>≥]\s*)?({_NUMBER})\s*({_UNIT})?\s*(?:\+|{_DASHES})\s*\??\s*({_UNIT})?"
    rf"|(?:[>≥]|below|deeper than)\s*({_NUMBER})\s*({_UNIT})?",
    re.IGNORECASE,
)


def depth_label(depth: tuple[float, float]) -> str:
    """Return `0-30` for (0, 30): the form in which files and columns name a depth."""
    return f"{depth[0]:g}-{depth[1]:g}"


@dataclass(frozen=True)
class Interval:
    """Two depths, in the unit given.

    Parameters
    ----------
    top : float
    bottom : float or None
        None of an interval that is open below, such as `100+`.
    unit : str or None
        As written beside the numbers.
    """

    top: float
    bottom: float | None
    unit: str | None


def interval_of(text: str, decimal: str) -> Interval:
    """Read an interval.

    Parameters
    ----------
    text : str
        `0-10`, `0–10 cm`, `0 to 10`, `-8 - 0`, `100+`, `>100`.
    decimal : {".", ","}
        Decimal mark.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If it is not an interval.
    """
    text = text.strip().translate(_FULL_WIDTH)
    if decimal == "." and re.fullmatch(r"[\[(][^,]+,[^,]+[\])]", text):  # (0,10]
        text = text.replace(",", "-")
    if match := _RANGE.fullmatch(text):
        first, unit_a, second, unit_b = match.groups()
        if unit_a and unit_b and unit_a.lower() != unit_b.lower():
            raise ValueError(f"{text!r} has two units")
        unit = unit_b or unit_a
        return Interval(_number(first, decimal, text), _number(second, decimal, text), _plain(unit))
    if match := _OPEN.fullmatch(text):
        first, unit_a, unit_b, above, unit_c = match.groups()
        unit = unit_a or unit_b or unit_c
        return Interval(_number(first or above, decimal, text), None, _plain(unit))
    raise ValueError(f"{text!r} is not a depth interval such as 0-10")


def _plain(unit: str | None) -> str | None:
    return unit and _LOCAL_UNITS.get(unit.lower(), unit.lower())


def in_unit(interval: Interval, declared: str | None) -> float:
    """Return the factor to cm of an interval's numbers; what is written beside them must agree with the run file."""
    factor = conversion("depth", interval.unit or declared or "cm").factor
    if interval.unit and declared and conversion("depth", declared).factor != factor:
        raise ValueError(f"is in {interval.unit}, but `units` say {declared}")
    return factor


def _number(text: str, decimal: str, whole: str) -> float:
    if decimal == "." and "," in text:
        raise ValueError(f"{whole!r} has a decimal comma; set `decimal: ','` if the table has them")
    return float(text.replace("−", "-").replace(",", "."))
