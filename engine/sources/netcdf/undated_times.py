"""Time axes without dates: months and years by their numbers, days of a year, and climatologies."""

import numpy as np

from engine.errors import InputError, Where
from engine.formatting import counted
from engine.sources.files import Step
from engine.sources.netcdf.coordinates import Coordinate, text_of
from engine.sources.netcdf.time_decoding import Moment, as_written

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_FIRSTS = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
"""Days of a common year before each month."""
_WHOLE_YEAR = 10.0
"""Months in an interval from which it stands for no single month."""


def undated(time: Coordinate, values: np.ndarray | None, n: int, dated: Step, where: Where) -> list[Step]:
    """Return the steps of an axis whose units are not of dates; `dated` is the date in the file's name.

    Parameters
    ----------
    values : ndarray or None
        The axis's numbers, if it has any: then they count, not the places.

    Raises
    ------
    InputError
        If it cannot be told which month or year each step is.
    """
    if values is None:
        months = np.arange(1, 13) if n == 12 else None
    elif _speaks_of(time, "year") and (steps := _years(values)):
        return steps
    elif (moments := as_written(values)) is not None:
        return [Step(m.year, m.month, m.day if values.max() >= 1e7 else 0) for m in moments]
    else:
        months = _months(time, values)
    if months is not None:
        return [Step(dated.year, int(month)) for month in months]
    if values is not None and (steps := _days(time, values, dated.year)):
        return steps
    if n == 1:
        return [dated]
    found = ""
    if values is not None:
        found = f" ({', '.join(f'{v:g}' for v in values[:4])}, …; units {time.units or 'missing'})"
    raise InputError(
        where.problem(
            f"{time.name} has {counted(n, 'step')} without dates{found}; expected dates, or the 12 months of a "
            "climatology"
        )
    )


def _speaks_of(time: Coordinate, word: str) -> bool:
    told = (time.name, time.units, text_of(time.variable.attrs.get("long_name")))
    return any(word in text.lower().replace("day of year", "day").replace("dayofyear", "day") for text in told)


def _years(values: np.ndarray) -> list[Step] | None:
    """Return years, with months if they are decimal; none if the numbers only count."""
    whole = np.floor(values + 1e-9)
    if np.abs(values).min() < 100 and len(values) > 1 and (np.diff(np.sort(values)) == 1).all() and values.min() in (
        0, 1,
    ):  # fmt: skip
        return None
    if (whole == 0).any() or len(np.unique(values)) < len(values):
        return None
    if (np.abs(values - whole) < 1e-6).all():
        return [Step(int(year)) for year in whole]
    months = np.minimum(np.floor((values - whole) * 12 + 1e-6), 11)
    return [Step(int(year), int(month) + 1) for year, month in zip(whole, months, strict=True)]


def _months(time: Coordinate, values: np.ndarray) -> np.ndarray | None:
    """Return numbers of months: 1 to 12, all of 0 to 11, or their middles."""
    whole, n = np.floor(values + 1e-6), len(values)
    if len(np.unique(whole)) < n or not (n == 12 or _speaks_of(time, "month")):
        return None
    if whole.min() >= 1 and whole.max() <= 12:
        return whole
    return whole + 1 if n == 12 and whole.min() == 0 and whole.max() == 11 else None


def _days(time: Coordinate, values: np.ndarray, year: int) -> list[Step] | None:
    """Return days of a year, from 0 or from 1."""
    if values.min() < 0 or values.max() > 367 or len(np.unique(values)) < len(values):
        return None
    if not (_speaks_of(time, "day") or _speaks_of(time, "doy") or len(values) == 12):
        return None
    from_zero = np.floor(values) - (1 if values.min() >= 1 else 0)
    firsts = _FIRSTS + np.where(np.arange(12) > 1, int(from_zero.max() > 364), 0)
    months = np.searchsorted(firsts, from_zero, side="right")
    if not _speaks_of(time, "day") and not _speaks_of(time, "doy") and len(np.unique(months)) < len(values):
        return None
    return [Step(year, int(m), int(d - firsts[m - 1]) + 1) for m, d in zip(months, from_zero, strict=True)]


def month_of(text: str) -> int:
    """Return the number of a month by its English name or its first three letters; 0 for other text."""
    name = text.strip().lower().rstrip(".")
    return next((i for i, month in enumerate(_MONTHS, 1) if len(name) >= 3 and month.startswith(name)), 0)


def climatology_of(first: Moment, last: Moment, year: int) -> Moment:
    """Return the month (or day) of the year that a climatology's bounds enclose, from its first year to its last."""
    start, end = ((m.month - 1) + (m.day - 1) / 31 for m in (first, last))
    months = (end - start) % 12
    if months < 1e-6 or months > _WHOLE_YEAR:
        return Moment(year, 0, 0)
    middle = (start + months / 2) % 12
    return Moment(year, int(middle) + 1, 1 + int(middle % 1 * 31 + 1e-6))
