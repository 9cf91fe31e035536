"""From stored values to measurements: fill codes, scale and offset, classes; and from time steps to one value."""

from dataclasses import dataclass, field

import numpy as np

from engine.sources.base import MISSING_CLASS
from engine.sources.spec import Reduction, SourceSpec


@dataclass(frozen=True)
class Declared:
    """What a file says of its own encoding."""

    nodata: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0


def decode(stored: np.ndarray, spec: SourceSpec, declared: Declared) -> np.ndarray:
    """Stored numbers to measurements.

    Fill codes are the declared ones, those of `spec.nodata` and everything outside `spec.valid_range`. The spec's
    scale and offset replace the declared ones.

    Returns
    -------
    ndarray of float64, NaN where missing
    """
    scale = declared.scale if spec.scale is None else spec.scale
    offset = declared.offset if spec.offset is None else spec.offset
    values = stored.astype("float64")
    missing = ~np.isfinite(values)
    for code in (*declared.nodata, *_as_tuple(spec.nodata)):
        # A float32 file stores the rounded code; NumPy compares a Python float in the precision of the array.
        if np.isfinite(code):
            missing |= stored == float(code)
    if spec.valid_range:
        low, high = spec.valid_range
        missing |= (values < low) | (values > high)
    values = values * scale + offset
    values[missing] = np.nan
    return values


def classify(stored: np.ndarray, spec: SourceSpec) -> np.ndarray:
    """Stored class codes to 1, 2, … in the order of `spec.classes`; codes that are not listed are missing.

    Returns
    -------
    ndarray of uint8
    """
    classes = np.full(stored.shape, MISSING_CLASS, "uint8")
    for number, codes in enumerate((spec.classes or {}).values(), start=1):
        classes[np.isin(stored, np.asarray(codes))] = number
    return classes


def _as_tuple(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


@dataclass
class Reducer:
    """Reduces time steps one by one, in float64, so that a long series never lies in memory.

    A missing step is skipped by mean, min and max, and makes a sum missing; `annual_sum` averages over the years
    whose sums are complete.
    """

    kind: Reduction
    _total: np.ndarray | None = None
    _count: np.ndarray | None = None
    _year: int | None = None
    _within_year: "Reducer | None" = field(default=None)

    def add(self, values: np.ndarray, year: int | None = None) -> None:
        """Take in one step (float64, NaN where missing); steps come in the order of time."""
        if self.kind == "annual_sum":
            if self._within_year is not None and year != self._year:
                self._close_year()
            self._within_year = self._within_year or Reducer("sum")
            self._year = year
            self._within_year.add(values)
            return
        self._accumulate(values, "mean" if self.kind == "mean" else self.kind)

    def _accumulate(self, values: np.ndarray, kind: str) -> None:
        if self._total is None:
            self._count = np.isfinite(values).astype("int32")
            self._total = np.where(np.isfinite(values), values, 0.0) if kind == "mean" else values.copy()
            return
        assert self._count is not None
        self._count += np.isfinite(values)
        match kind:
            case "mean":
                self._total += np.where(np.isfinite(values), values, 0.0)
            case "sum":
                self._total += values
            case "min":
                np.fmin(self._total, values, out=self._total)
            case "max":
                np.fmax(self._total, values, out=self._total)

    def _close_year(self) -> None:
        assert self._within_year is not None
        self._accumulate(self._within_year.result(), "mean")
        self._within_year = None

    def result(self) -> np.ndarray:
        """The reduced values, float64, NaN where missing."""
        if self._within_year is not None:
            self._close_year()
        assert self._total is not None and self._count is not None, "a reducer needs at least one step"
        if self.kind in ("mean", "annual_sum"):
            with np.errstate(invalid="ignore"):
                return np.where(self._count > 0, self._total / self._count, np.nan)
        return self._total
