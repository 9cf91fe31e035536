"""Sums over the cells of zones for the joint distribution, exact like those of `zonal_sums`."""

import math
from dataclasses import dataclass

import numpy as np

from engine.mapping.zonal_sums import FixedPoint, ZoneGroups
from engine.uncertainty.error_model import ErrorModel
from engine.uncertainty.lattice import Window

_EXACT = 2.0**52
"""Whole numbers up to here are exact in float64, in which the weights of a node are added up within a block."""


@dataclass(frozen=True)
class ErrorPrecision:
    """Fixed-point formats: of area × a column of the basis, area × squared mean, and area × a node's weight."""

    column: FixedPoint
    square: FixedPoint
    node: FixedPoint

    @classmethod
    def for_map(
        cls, model: ErrorModel, largest_mean: float, largest_area: float, cells: int, resolution: float
    ) -> "ErrorPrecision":
        """Choose formats for a grid of `cells` cells of at most this area (km²) and side, in the plane's units."""
        widest = max(1.0, math.sqrt(len(model.x)))
        around_node = (model.lattice.spacing / resolution + 2) ** 2
        bits = math.floor(math.log2(_EXACT / around_node)) - math.ceil(math.log2(largest_area))
        near_node = FixedPoint(largest_area, bits)
        return cls(
            FixedPoint.for_sums(widest * largest_area, cells),
            FixedPoint.for_sums(largest_mean**2 * largest_area, cells),
            near_node,
        )


@dataclass
class ErrorSums:
    """Fixed-point sums over groups of cells.

    Attributes
    ----------
    window : Window
        Nodes of the lattice.
    column : ndarray of int64, shape (groups, basis.size)
        Area × columns of the basis.
    square : ndarray of int64, shape (groups, outputs)
        Area × squared conditional mean.
    node : ndarray of int64, shape (groups, rows, columns)
        Area × bilinear weight of each node.
    """

    window: Window
    column: np.ndarray
    square: np.ndarray
    node: np.ndarray

    @classmethod
    def zero(cls, model: ErrorModel, groups: int, window: Window) -> "ErrorSums":
        """Return the sums over no cells."""
        return cls(
            window,
            np.zeros((groups, model.basis.size), "int64"),
            np.zeros((groups, model.outputs), "int64"),
            np.zeros((groups, *window.shape), "int64"),
        )

    @classmethod
    def of(
        cls,
        model: ErrorModel,
        precision: ErrorPrecision,
        x: np.ndarray,
        y: np.ndarray,
        columns: np.ndarray,
        mean: np.ndarray,
        area: np.ndarray,
        group: np.ndarray,
        groups: int,
    ) -> "ErrorSums":
        """Sum cells by ascending groups (0 … groups − 1).

        Parameters
        ----------
        x, y : ndarray, shape (cells,)
            Centres on the grid's plane.
        columns : ndarray, shape (cells, basis.size)
        mean : ndarray, shape (outputs, cells)
            Conditional mean.
        area : ndarray, shape (cells,)
            km².
        """
        window = model.lattice.around(x, y)
        sums = cls.zero(model, groups, window)
        of_group = ZoneGroups.of_sorted(group, groups)
        for place, values in enumerate(columns.T):
            sums.column[:, place] = of_group.sum(precision.column.encode(values * area))
        for place, values in enumerate(mean):
            sums.square[:, place] = of_group.sum(precision.square.encode(values * values * area))
        nodes, shares = model.lattice.weights(x, y, window)
        flat = sums.node.reshape(groups, -1)
        ends = np.append(of_group.starts[1:], len(x))
        for present, start, end in zip(of_group.present, of_group.starts, ends, strict=True):
            for node, share in zip(nodes[:, start:end], shares[:, start:end], strict=True):
                terms = precision.node.encode(share * area[start:end])
                flat[present] += np.bincount(node, terms, window.size).astype("int64")
        return sums

    def add(self, other: "ErrorSums") -> None:
        """Add sums over other cells, whose window lies in this one."""
        self.column += other.column
        self.square += other.square
        self.node[(slice(None), *self.window.place(other.window))] += other.node

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the sums as arrays by name."""
        window = np.array([self.window.row, self.window.column, *self.window.shape], "int64")
        return {
            "error_window": window,
            "error_column": self.column,
            "error_square": self.square,
            "error_node": self.node,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "ErrorSums":
        """Rebuild the sums from the result of `arrays`."""
        row, column, *shape = (int(value) for value in arrays["error_window"])
        return cls(
            Window(row, column, (shape[0], shape[1])),
            arrays["error_column"], arrays["error_square"], arrays["error_node"],
        )  # fmt: skip

    def halves(self) -> tuple["ErrorSums", "ErrorSums"]:
        """Split the groups into a first and a second half."""
        parts = [np.split(values, 2) for values in (self.column, self.square, self.node)]
        first, second = (ErrorSums(self.window, *(part[half] for part in parts)) for half in (0, 1))
        return first, second


@dataclass(frozen=True)
class ErrorTotals:
    """Sums over the zones of a map, in floating point; the last zone is the whole region.

    Attributes
    ----------
    window : Window
    column : ndarray, shape (zones, basis.size)
    square : ndarray, shape (zones, outputs)
    node : ndarray, shape (zones, rows, columns)
        km² times columns, squared conditional means, and bilinear weights.
    """

    window: Window
    column: np.ndarray
    square: np.ndarray
    node: np.ndarray

    @classmethod
    def of(cls, sums: ErrorSums, precision: ErrorPrecision) -> "ErrorTotals":
        """Decode exact sums; group 0 holds what is in no zone."""

        def with_region(values: np.ndarray) -> np.ndarray:
            return np.concatenate([values[1:], values.sum(axis=0, keepdims=True)])

        return cls(
            sums.window,
            precision.column.decode(with_region(sums.column)),
            precision.square.decode(with_region(sums.square)),
            precision.node.decode(with_region(sums.node)),
        )
