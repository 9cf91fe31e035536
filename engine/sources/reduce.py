"""Reduction of time steps: means, extremes, sums over years, anomalies; one step in memory at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from engine.sources.files import Step
from engine.sources.spec import Reduction, StoredSpec


class Reducing(Protocol):
    """Takes in steps, in the order of `order_of`, and gives one value a cell."""

    def add(self, values: np.ndarray, step: Step) -> None:
        """Take in one step: float64, NaN where missing."""
        ...

    def result(self) -> np.ndarray:
        """Return the reduced values, float64, NaN where missing."""
        ...


def reducer_of(spec: StoredSpec) -> Reducing:
    """Return the reducer for the steps of a source."""
    if spec.reduce != "anomaly":
        return _ByYear(Reducer(spec.reduce))
    assert spec.period is not None and spec.baseline is not None
    return Anomaly(spec.period, spec.baseline)


def order_of(spec: StoredSpec) -> Callable[[Step], tuple[int, ...]]:
    """Return the order in which steps are read: that of time, or for an anomaly month by month."""
    if spec.reduce == "anomaly":
        return lambda step: (step.month, step.year, step.day)
    return lambda step: (step.year, step.month, step.day)


@dataclass
class _ByYear:
    """A reducer that knows of a step no more than its year."""

    reducer: "Reducer"

    def add(self, values: np.ndarray, step: Step) -> None:
        self.reducer.add(values, step.year)

    def result(self) -> np.ndarray:
        return self.reducer.result()


@dataclass
class Anomaly:
    """Mean of a period less that of a baseline: the difference of every calendar month, averaged over the months.

    A month counts where both have it, so that a month which one of them lacks does not pass for a change of climate.

    Attributes
    ----------
    period, baseline : (int, int)
        First and last year.
    """

    period: tuple[int, int]
    baseline: tuple[int, int]
    _month: int | None = None
    _pair: "tuple[Reducer, Reducer] | None" = None
    _months: "Reducer" = field(default_factory=lambda: Reducer("mean"))

    def add(self, values: np.ndarray, step: Step) -> None:
        """Take in one step; all of a month come together."""
        if self._pair is None or step.month != self._month:
            self._close()
            self._month, self._pair = step.month, (Reducer("mean"), Reducer("mean"))
        for (first, last), reducer in zip((self.period, self.baseline), self._pair, strict=True):
            if first <= step.year <= last:
                reducer.add(values)

    def _close(self) -> None:
        if self._pair is not None and all(reducer.has_steps for reducer in self._pair):
            self._months.add(self._pair[0].result() - self._pair[1].result())
        self._pair = None

    def result(self) -> np.ndarray:
        """Return the anomaly, NaN where no month is known in both."""
        self._close()
        return self._months.result()


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

    @property
    def has_steps(self) -> bool:
        """Whether any step has been taken in."""
        return self._total is not None or self._within_year is not None

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
        """Return the reduced values, float64, NaN where missing."""
        if self._within_year is not None:
            self._close_year()
        assert self._total is not None and self._count is not None, "a reducer needs at least one step"
        if self.kind in ("mean", "annual_sum"):
            with np.errstate(invalid="ignore"):
                return np.where(self._count > 0, self._total / self._count, np.nan)
        return self._total
