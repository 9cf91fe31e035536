"""Time steps of a variable: place, date and length."""

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from engine.errors import InputError, Where
from engine.sources.files import Step
from engine.sources.netcdf.coordinates import Coordinate, numbers, text_of
from engine.sources.netcdf.time_decoding import CALENDARS, Decode, Moment, decoder, from_text
from engine.sources.netcdf.undated_times import climatology_of, month_of, undated
from engine.sources.spec import StoredSpec

_YEARLY, _MONTHLY, _DAILY = 300.0, 27.0, 0.9
"""Days between steps from which they are of years, of months and of days."""


@dataclass(frozen=True)
class Times:
    """The time steps of a file in the order in which it holds them.

    Attributes
    ----------
    moments : tuple of Moment or None
        When each was, as exactly as the file tells.
    length : float or None
        Days that a step stands for, or from one to the next; None where that is not known.
    notes : tuple of str
        What a user wants to know of them.
    """

    steps: tuple[Step, ...]
    moments: tuple[Moment | None, ...]
    length: float | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def keys(self) -> list[tuple[float, ...]]:
        """Keys that two steps must not share: year, month, day and second as far as steps are apart; () if unknown."""
        length = self.length if self.length is not None else _DAILY
        digits = 1 if length >= _YEARLY else 2 if length >= _MONTHLY else 3 if length >= _DAILY else 4
        if any(moment is None for moment in self.moments):
            return [key_of(step) for step in self.steps]
        whole = [(m.year, m.month, m.day, m.second) for m in self.moments if m is not None]
        for cut in range(digits, 4):
            if len({key[:cut] for key in whole}) == len(set(whole)):
                return [key[:cut] for key in whole]
        return [tuple(key) for key in whole]


def key_of(step: Step) -> tuple[float, ...]:
    """Return the key of a step without a moment, shared with others of its date; () if only a year is known."""
    return tuple(part for part in (step.year, step.month, step.day)[: 3 if step.day else 2]) if step.month else ()


def times_of(
    dataset: xr.Dataset, time: Coordinate | None, n: int, spec: StoredSpec, dated: Step, where: Where
) -> Times:
    """Return place and date of every time step; `dated` is the date in the file's name.

    Parameters
    ----------
    n : int
        Number of steps.

    Raises
    ------
    InputError
        If steps have no dates or ones that cannot be read.
    """
    alone = Times((dated,), (None,))
    if time is None:
        return alone
    try:
        return _own_times(dataset, time, n, dated, where)
    except InputError:
        if n == 1 and not (spec.period or spec.months or spec.reduce == "annual_sum"):
            return alone
        raise


def _own_times(dataset: xr.Dataset, time: Coordinate, n: int, dated: Step, where: Where) -> Times:
    if time.name not in dataset.variables:
        return _without_moments(undated(time, None, n, dated, where), dated)
    stored = time.variable.dtype
    if stored.kind == "M":
        texts = np.datetime_as_string(np.asarray(time.variable.values), unit="s").tolist()
        return _of_texts(time, texts, dated, where)
    if stored.kind in "OSU":
        return _of_texts(time, [text_of(value) for value in np.asarray(time.variable.values).ravel()], dated, where)
    values = numbers(time.variable, time.name)
    if unknown := np.flatnonzero(~np.isfinite(values)).tolist():
        raise InputError(
            where.problem(f"{time.name} has no date at place {unknown[0] + 1} of {n}; expected one per step")
        )
    calendar = text_of(time.variable.attrs.get("calendar")).lower()
    decode = decoder(time.units, calendar)
    if decode is None:
        return _without_moments(undated(time, values, n, dated, where), dated)
    for key in ("climatology", "bounds"):
        name = text_of(time.variable.attrs.get(key))
        if name in dataset.variables and dataset[name].shape == (n, 2):
            return _of_bounds(dataset[name], values, time, decode, dated, where, is_climatology=key == "climatology")
    moments = _decoded(decode, values, time, where)
    missing = text_of(time.variable.attrs.get("bounds"))
    notes = (f"{time.name}: its bounds ({missing}) are not in the file; steps are dated by their stamps",)
    return _of_moments(moments, _spacing(moments), notes if missing and missing not in dataset.variables else ())


def _decoded(decode: Decode, values: np.ndarray, time: Coordinate, where: Where) -> list[Moment]:
    try:
        return decode(values)
    except (ValueError, OverflowError) as error:
        calendar = text_of(time.variable.attrs.get("calendar"))
        hint = f"; calendar {calendar!r} is unknown, expected one of {', '.join(CALENDARS)}" if (
            calendar and calendar.lower() not in CALENDARS
        ) else ""  # fmt: skip
        raise InputError(
            where.problem(f"the dates of {time.name} (units {time.units!r}) cannot be read ({error}){hint}")
        ) from error


def _of_bounds(
    bounds: xr.DataArray,
    stamps: np.ndarray,
    time: Coordinate,
    decode: Decode,
    dated: Step,
    where: Where,
    *,
    is_climatology: bool,
) -> Times:
    """Date steps by the middle of their intervals, whatever their stamps mark."""
    edges = numbers(bounds.variable, str(bounds.name), time.variable)
    if unknown := np.flatnonzero(~np.isfinite(edges).all(axis=1)).tolist():
        raise InputError(where.problem(f"{bounds.name} has no date at place {unknown[0] + 1} of {len(edges)}"))
    units = text_of(bounds.attrs.get("units"))
    if units and units != time.units:
        calendar = text_of(bounds.attrs.get("calendar")) or text_of(time.variable.attrs.get("calendar"))
        decode = decoder(units, calendar.lower()) or decode
    elif not is_climatology:
        _require_around(edges, stamps, bounds, time, where)
    first, last = (_decoded(decode, edges[:, side], time, where) for side in (0, 1))
    if is_climatology:
        moments = [climatology_of(a, b, dated.year) for a, b in zip(first, last, strict=True)]
        years = f"{min(m.year for m in first)}–{max(b.year - (b.month == b.day == 1) for b in last)}"
        return _of_moments(moments, _spacing(moments), (f"{time.name}: a climatology of {years}",))
    length = float(np.median([abs(b.days - a.days) for a, b in zip(first, last, strict=True)]))
    if length == 0:
        return _of_moments(first, _spacing(first))
    if " as " in time.units or "yy" in time.units.lower():
        middles = [_between(a, b) for a, b in zip(first, last, strict=True)]
    else:
        middles = _decoded(decode, edges.mean(axis=1), time, where)
    whole_years = [abs(b.days - a.days) > _YEARLY for a, b in zip(first, last, strict=True)]
    moments = [Moment(m.year, 0, 0) if w else m for m, w in zip(middles, whole_years, strict=True)]
    return _of_moments(moments, length)


def _require_around(
    edges: np.ndarray, stamps: np.ndarray, bounds: xr.DataArray, time: Coordinate, where: Where
) -> None:
    """Require that a step lies in, or next to, the interval of its bounds."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    width = high - low
    outside = np.flatnonzero((width > 0) & ((stamps < low - width) | (stamps > high + width))).tolist()
    if not width.any() and (stamps != low).any():
        outside = np.flatnonzero(stamps != low).tolist()
    if outside:
        at = outside[0]
        raise InputError(
            where.problem(
                f"the bounds of {time.name} (`{bounds.name}`) do not fit it: {low[at]:g} to {high[at]:g} at place "
                f"{at + 1}, whose stamp is {stamps[at]:g} ({time.units}); correct one of them in the file"
            )
        )


def _between(a: Moment, b: Moment) -> Moment:
    middle = (a.days + b.days) / 2
    months, days = divmod(middle, 30.4375)
    return Moment(int(months) // 12, int(months) % 12 + 1, min(28, 1 + int(days)))


def _of_texts(time: Coordinate, texts: list[str], dated: Step, where: Where) -> Times:
    moments = [from_text(text) for text in texts]
    known = [moment for moment in moments if moment is not None]
    if len(known) == len(texts):
        return _of_moments(known, _spacing(known))
    months = [month_of(text) for text in texts]
    if all(months) and len(set(months)) == len(months):
        return _without_moments([Step(dated.year, month) for month in months if month], dated)
    at = next(i for i, (moment, month) in enumerate(zip(moments, months, strict=True)) if not (moment or month))
    raise InputError(
        where.problem(
            f"{time.name} has {texts[at]!r} at place {at + 1} of {len(texts)}; expected a date such as "
            "2000-01-15, or the names of months"
        )
    )


def _of_moments(moments: list[Moment], length: float | None, notes: tuple[str, ...] = ()) -> Times:
    return Times(tuple(Step(m.year, m.month, m.day) for m in moments), tuple(moments), length, notes)


def _without_moments(steps: list[Step], dated: Step) -> Times:
    if steps != [dated] and all(step.year and not step.month for step in steps):
        return _of_moments([Moment(step.year, 0, 0) for step in steps], _YEARLY)
    return Times(tuple(steps), (None,) * len(steps))


def _spacing(moments: list[Moment]) -> float | None:
    """Return days from one step to the next, of a month at most: a file may hold one month of every year."""
    days = np.unique([moment.days for moment in moments])
    return min(float(np.median(np.diff(days))), _MONTHLY) if len(days) > 1 else None
