"""Collinearity of covariates: variance inflation factors of numbers and of categories."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.linalg import subspace_angles

COPY = 1e8
"""Inflation from which a covariate is a copy of others, as far as rounding lets us see: infinite."""


class Collinearity:
    """Variance inflation factors (VIF) of covariates that vary.

    A number is held against the other numbers, as VIF tables usually are; a category against numbers and categories
    alike, so that what a category shares with a number is charged to it, once.

    Parameters
    ----------
    covariates : DataFrame, n rows
        One column per covariate, none of them constant: numbers, or class codes of a category.
    categories : iterable of str
        Those that are categories.
    """

    def __init__(self, covariates: pd.DataFrame, categories: Iterable[str]):
        self.categories = frozenset(categories)
        self._designs = {
            str(name): _design(column.to_numpy(), name in self.categories) for name, column in covariates.items()
        }

    def vif(self, name: str, others: Iterable[str]) -> float:
        """Compute GVIF^(1/df) of a covariate among others (Fox & Monette 1992, JASA 87:178–183).

        With θ the angles between the space that its df columns span and that of the others, GVIF = Π 1/sin²θ. A number
        has one column, and this is the plain 1/(1 − R²) with R² of its regression on the others; the root makes the
        GVIF of a category compare with it.

        Parameters
        ----------
        name : str
            The covariate.
        others : iterable of str
            The covariates it is held against; itself, and those that do not vary, are passed over.

        Returns
        -------
        float
            1 where there are no others, infinite for a copy of them; NaN if it does not vary.
        """
        if name not in self._designs:
            return np.nan
        # Sorted, so that not even rounding depends on the order.
        rest = [
            self._designs[other]
            for other in sorted(others)
            if other != name and other in self._designs and (name in self.categories or other not in self.categories)
        ]
        if not rest:
            return 1.0
        own = self._designs[name]
        with np.errstate(divide="ignore"):
            vif = np.prod(np.sin(subspace_angles(own, np.hstack(rest)))) ** (-2 / own.shape[1])
        return float(vif) if vif < COPY else np.inf


def _design(values: np.ndarray, is_category: bool) -> np.ndarray:
    """Return standardised columns of a covariate: its number, or an indicator per class at the sites but the first."""
    columns = (values[:, None] == np.unique(values)[1:] if is_category else values[:, None]).astype("float64")
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)
