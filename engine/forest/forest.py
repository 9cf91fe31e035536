"""The compiled forest: all replicates of a block of cells at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xgboost

from engine.forest.native import module
from engine.forest.trees import (
    Damaged,
    Unsupported,
    lightgbm_replicate,
    sklearn_replicate,
    tables_of,
    xgboost_replicate,
)

__all__ = ["Damaged", "Forest", "Unsupported"]


class Forest:
    """Replicates of tree ensembles, compiled.

    Every distinct comparison of the whole forest is made once per cell, and kept as a bit; a tree is then a few bitwise
    operations on some hundred cells at a time. Leaves are added up in the order and precision of the library that
    fitted the trees (float32 for XGBoost, float64 for scikit-learn and LightGBM), so that predictions are its own, to
    the bit.

    Parameters
    ----------
    tables : mapping
        Trees as arrays, see `trees.tables_of`.
    double : bool
        Whether leaves are added up in float64.

    Raises
    ------
    Damaged
        If the trees are malformed: a child that is not there, a loop, a column that the data lack.
    Unsupported
        If a tree has more leaves than the tables can number, or the replicates differ in their columns.
    RuntimeError
        If this installation has no compiled code, see `engine.forest.is_built`.
    """

    def __init__(self, tables: Mapping[str, np.ndarray], *, double: bool):
        self.replicates = len(tables["base"])
        try:
            self._native = module().Forest(dict(tables), double)
        except OverflowError as error:
            raise Unsupported(f"the model is too large to be compiled: {error}") from error
        except ValueError as error:
            raise Damaged(f"the model is damaged: {error}") from error

    @classmethod
    def from_xgboost(cls, boosters: Sequence[xgboost.Booster]) -> "Forest":
        """Compile XGBoost models, one a replicate."""
        return cls(tables_of([xgboost_replicate(booster) for booster in boosters]), double=False)

    @classmethod
    def from_sklearn(cls, estimators: Sequence[Any]) -> "Forest":
        """Compile fitted regressors of scikit-learn, one a replicate: forests, extra trees, boosting, single trees."""
        return cls(tables_of([sklearn_replicate(estimator) for estimator in estimators]), double=True)

    @classmethod
    def from_lightgbm(cls, models: Sequence[Any]) -> "Forest":
        """Compile LightGBM regressors, one a replicate.

        Cells are finite or missing, and categories whole numbers from 0. A split of missing values from all others,
        which LightGBM writes as `<= inf`, sends an infinite cell the other way.
        """
        return cls(tables_of([lightgbm_replicate(model) for model in models]), double=True)

    def predict(self, x: np.ndarray, *, instruction_set: str = "") -> np.ndarray:
        """Return predictions of every replicate, on one thread; other threads may run meanwhile.

        Parameters
        ----------
        x : ndarray of float32, shape (cells, columns), any strides
            NaN is missing.
        instruction_set : str, optional
            One of `INSTRUCTION_SETS`; by default the best.

        Returns
        -------
        ndarray of float32, shape (cells, replicates), Fortran order
        """
        x = np.asarray(x, "float32")
        out = np.empty((self.replicates, len(x)), "float32")
        self._native.predict(x, out, bool(np.isnan(x).any()), instruction_set)
        return out.T

    def summarise(
        self,
        x: np.ndarray,
        summary: Any,
        area: np.ndarray,
        zone: np.ndarray,
        statistics: np.ndarray,
        totals: Mapping[str, np.ndarray],
        *,
        instruction_set: str = "",
    ) -> tuple[float, float] | None:
        """Compute all replicates, statistics and zone sums of cells in one pass; see `engine.mapping.predict_block`.

        Parameters
        ----------
        x : ndarray of float32, shape (cells, columns), any strides
            Without missing values.
        area : ndarray of float64, shape (cells,)
        zone : ndarray of int64, shape (cells,)
        statistics : ndarray of float32, shape (outputs, statistics, cells), C order
            Written into.
        totals : mapping
            Name → int64 array in C order, added to.

        Raises
        ------
        TypeError, ValueError
            If an array is not of its type, shape or order; nothing is converted, since results would go into the copy.

        Returns
        -------
        (float, float) or None
            A value that was beyond its bound, and the bound.
        """
        if getattr(x, "dtype", None) == np.float32 and np.isnan(x).any():  # the kernel refuses other types
            raise ValueError("cells with a missing value are not mapped: leave them out")
        return self._native.summarise(x, summary, area, zone, statistics, dict(totals), instruction_set)

    def __reduce__(self) -> Any:
        raise TypeError("a compiled forest is not pickled: send the path of its ensemble, and compile it there")

    def describe(self) -> dict[str, Any]:
        """Describe the forest: layout, depth, largest tree, distinct comparisons."""
        return self._native.describe()
