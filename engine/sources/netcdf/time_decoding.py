"""Decoding of time axes: all calendars, months and years since a date, dates as numbers."""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import cftime
import numpy as np

CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "365_day", "all_leap", "366_day",
             "360_day")  # fmt: skip
_SINCE = re.compile(r"\s*(\w+)\s+since\s+(.*)", re.IGNORECASE)
_DATE = re.compile(r"\s*(-?\d{1,6})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
_COUNTED = {"month": 12, "months": 12, "mon": 12, "year": 1, "years": 1, "yr": 1, "common_year": 1, "common_years": 1}
"""Units that are counted by the calendar: how many make a year."""
_WRITTEN = re.compile(r"(day|month|year) as (%Y(?:%m)?(?:%d)?)(?:\.%f)?|(yyyy-?mm-?dd|yyyy-?mm|yyyy)", re.IGNORECASE)
_SECONDS = {"week": 604_800.0, "weeks": 604_800.0}


@dataclass(frozen=True, order=True)
class Moment:
    """A moment of some calendar; a month of 0 is a year, or several, as a whole.

    Attributes
    ----------
    second : float
        Seconds of the day.
    """

    year: int
    month: int
    day: int
    second: float = 0.0

    @property
    def days(self) -> float:
        """Days since the year 0, roughly, for lengths of time in any calendar."""
        return (self.year * 12 + self.month - 1) * 30.4375 + self.day - 1 + self.second / 86_400

    def __str__(self) -> str:
        date = f"{self.year:04d}-{self.month:02d}-{self.day:02d}"
        hours, rest = divmod(round(self.second), 3600)
        return f"{date} {hours:02d}:{rest // 60:02d}" if rest or hours else date


Decode = Callable[[np.ndarray], list[Moment]]


def decoder(units: str, calendar: str) -> Decode | None:
    """Return the function that turns numbers of some units into moments; None if the units are not of dates.

    The decoder raises ValueError (or OverflowError) where the reference or a number is not a date of the calendar.
    """
    if match := _SINCE.match(units):
        counted, reference = match[1].lower(), match[2]
        if counted in _COUNTED:
            return lambda values: _counted(values, _COUNTED[counted], reference)
        if counted in _SECONDS:
            return lambda values: _elapsed(values * _SECONDS[counted], f"seconds since {reference}", calendar)
        return lambda values: _elapsed(values, f"{counted} since {reference}", calendar)
    if match := _WRITTEN.fullmatch(units.strip()):
        form = str(match[2] or match[3])
        parts = 1 + ("m" in form.lower().replace("%y", "")) + ("d" in form.lower())
        return lambda values: [_written(value, parts) for value in values.tolist()]
    return None


def _elapsed(values: np.ndarray, units: str, calendar: str) -> list[Moment]:
    year = _DATE.match(units.partition("since")[2])
    has_zero = True if year and int(year[1]) == 0 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cftime.CFWarning)  # of the year 0, which stands for no year
        try:
            dates = cftime.num2date(
                values, units, calendar or "standard", only_use_cftime_datetimes=True, has_year_zero=has_zero
            )
        except TypeError as error:  # of a reference such as 2000, which lacks the month
            raise ValueError(f"{units.partition('since')[2].strip()!r} is not a date") from error
    return [
        Moment(d.year, d.month, d.day, d.hour * 3600 + d.minute * 60 + d.second + d.microsecond / 1e6)
        for d in np.ravel(np.asarray(dates)).tolist()
    ]


def _counted(values: np.ndarray, per_year: int, reference: str) -> list[Moment]:
    """Add months (or years) of the calendar to a date; 0.5 is the middle of a month."""
    match = _DATE.match(reference)
    if not match or not 1 <= int(match[2] or 1) <= 12:
        raise ValueError(f"{reference!r} is not a date")
    first = int(match[1]) * 12 + int(match[2] or 1) - 1 + (int(match[3] or 1) - 1) / 31
    found = []
    for value in values.tolist():
        months = first + value * 12 / per_year
        month = math.floor(months + 1e-6)
        found.append(Moment(month // 12, month % 12 + 1, min(28, 1 + int(max(0.0, months - month) * 31 + 1e-6))))
    return found


def _written(value: float, parts: int) -> Moment:
    """Parse 20000115.5 as a date of three, two or one part; a fraction of the last part is kept if it is days."""
    whole = math.floor(value + 1e-9)
    year, month, day = whole, 1, 1
    if parts == 3:
        year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    elif parts == 2:
        year, month = whole // 100, whole % 100
    else:
        month = 1 + math.floor((value - whole) * 12 + 1e-6)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(f"{value:.10g} is not a date")
    return Moment(year, month, day, (value - whole) * 86_400 if parts == 3 and value > whole else 0.0)


def as_written(values: np.ndarray) -> list[Moment] | None:
    """Parse whole numbers that can only be dates written as YYYYMMDD or YYYYMM; None for others."""
    if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        return None
    for parts, low, high in ((3, 10_000_000, 99_999_999), (2, 100_000, 999_999)):
        if values.min(initial=high) >= low and values.max(initial=low) <= high:
            try:
                return [_written(value, parts) for value in values.tolist()]
            except ValueError:
                return None
    return None


def from_text(text: str) -> Moment | None:
    """Parse a date in ISO form: 2000-01-15, 2000-01, 20000115, with a time of day or without."""
    match = re.match(r"(\d{4})-?(\d{2})(?:-?(\d{2}))?(?:[T ](\d{2}):?(\d{2}))?", text.strip())
    if not match or not 1 <= int(match[2]) <= 12 or not 1 <= int(match[3] or 1) <= 31:
        return None
    second = int(match[4] or 0) * 3600.0 + int(match[5] or 0) * 60.0
    return Moment(int(match[1]), int(match[2]), int(match[3] or 1), second)
