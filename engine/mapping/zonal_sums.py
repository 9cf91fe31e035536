"""Sums over zones that are exact, so that they do not depend on blocks, workers or the order of either.

Floating-point sums change with the order of their terms. Here each cell's term is rounded once to a fixed-point
integer, fine enough for the largest sum that the grid allows; integers add up the same in any order.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from engine.errors import RunError


@dataclass(frozen=True)
class FixedPoint:
    """Fixed-point format: numbers up to `bound` in absolute value as integers of 2^-bits, with room for their sums.

    A number takes 50 bits at most, so that it is a whole number of float64, too.
    """

    bound: float
    bits: int

    @classmethod
    def for_sums(cls, bound: float, count: int) -> "FixedPoint":
        """Choose the finest format of 64 bits for sums of up to `count` terms of up to `bound`."""
        bound = max(bound, 1e-12)
        return cls(bound, min(62 - math.ceil(math.log2(max(count, 2))), 50) - math.ceil(math.log2(bound)))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Encode values as int64.

        Raises
        ------
        RunError
            If a value is beyond the bound or not finite.
        """
        if values.size and not np.abs(values).max() <= self.bound:
            raise beyond(values[np.abs(values).argmax()], self.bound)
        return np.rint(values * 2.0**self.bits).astype("int64")

    def decode(self, sums: np.ndarray) -> np.ndarray:
        """Decode sums to float64."""
        return sums.astype("float64") * 2.0**-self.bits


def beyond(value: float, bound: float) -> RunError:
    """Return the error for a value that does not fit into a sum."""
    return RunError(
        f"a value of {value:g} is far outside what the training data allow (±{bound:g}); "
        "is the ensemble of another data set?"
    )


@dataclass(frozen=True)
class Precision:
    """Fixed-point formats of the sums of one map."""

    area: FixedPoint
    predicted: FixedPoint
    mean: FixedPoint
    square: FixedPoint

    @classmethod
    def for_map(cls, largest_prediction: float, largest_mean: float, largest_area: float, cells: int) -> "Precision":
        """Choose formats for predictions and means of up to these values on a grid of `cells` cells (areas in km²)."""

        def sums(bound: float) -> FixedPoint:
            return FixedPoint.for_sums(bound * largest_area, cells)

        return cls(sums(1), sums(largest_prediction), sums(largest_mean), sums(largest_mean**2))


@dataclass
class ZoneSums:
    """Fixed-point sums over the cells of each zone; zone 0 holds mapped cells without a zone.

    Attributes
    ----------
    cells, area : ndarray of int64, shape (zones,)
        Number of cells, and their area in km².
    predicted : ndarray of int64, shape (replicates, zones)
        Area × prediction of the modelled output, replicate by replicate.
    mean, square : ndarray of int64, shape (outputs, zones)
        Area × mean over the replicates, and its square, for every output.
    """

    cells: np.ndarray
    area: np.ndarray
    predicted: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def zero(cls, zones: int, replicates: int, outputs: int) -> "ZoneSums":
        """Return the sums over no cells."""
        shapes = {"cells": (zones,), "area": (zones,), "predicted": (replicates, zones)}
        return cls(**{f.name: np.zeros(shapes.get(f.name, (outputs, zones)), "int64") for f in fields(cls)})

    def halves(self) -> tuple["ZoneSums", "ZoneSums"]:
        """Split the zones into a first and a second half."""
        parts = ([np.split(getattr(self, f.name), 2, axis=-1)[i].copy() for f in fields(self)] for i in (0, 1))
        first, second = (ZoneSums(*part) for part in parts)
        return first, second

    def __iadd__(self, other: "ZoneSums") -> "ZoneSums":
        for f in fields(self):
            getattr(self, f.name).__iadd__(getattr(other, f.name))
        return self


@dataclass(frozen=True)
class ZoneGroups:
    """Cells in the order of their zones, so that a sum per zone is one pass.

    Attributes
    ----------
    present : ndarray of int
        Zones that occur, ascending.
    starts : ndarray of int
        Where each of them starts among the ordered cells.
    """

    present: np.ndarray
    starts: np.ndarray
    zones: int

    @classmethod
    def of_sorted(cls, zone: np.ndarray, zones: int) -> "ZoneGroups":
        """Group cells by ascending zones (0 … zones − 1)."""
        present, starts = np.unique(zone, return_index=True)
        return cls(present, starts, zones)

    def sum(self, terms: np.ndarray) -> np.ndarray:
        """Sum ordered integer terms per zone, shape (zones,)."""
        sums = np.zeros(self.zones, "int64")
        sums[self.present] = np.add.reduceat(terms, self.starts)
        return sums
