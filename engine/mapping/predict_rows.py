"""Statistics of the map for rows of a design matrix that need not be cells of a grid."""

from dataclasses import dataclass

import numpy as np

from engine.ensemble.trained import Ensemble
from engine.mapping.blockwise import precision_of
from engine.mapping.predict_block import STATISTICS, OnePass
from engine.validation.applicability import Applicability

_MOST_ROWS = 2**31
"""Rows in one call; their sums, of which nothing is kept, have room for that many."""


@dataclass(frozen=True)
class Rows:
    """Statistics of rows.

    Attributes
    ----------
    statistics : ndarray of float32, shape (outputs, statistics, rows)
        In the order of the predictor's `statistics`.
    dissimilarity : ndarray of float32, shape (rows,)
        NaN if the run has no area of applicability.
    applicable : ndarray of bool, shape (rows,)
        Whether rows are in the area of applicability.
    """

    statistics: np.ndarray
    dissimilarity: np.ndarray
    applicable: np.ndarray


class RowPredictor:
    """An ensemble, made ready to predict rows with the arithmetic of the map.

    Parameters
    ----------
    ensemble : Ensemble
        Trained.
    level : float
        Nominal coverage of the prediction interval.
    applicability : Applicability, optional
        Where the ensemble may predict.
    further : tuple of str
        Registered statistics beside those of every map.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        level: float,
        applicability: Applicability | None = None,
        further: tuple[str, ...] = (),
    ):
        self.ensemble, self.applicability = ensemble, applicability
        self.statistics = (*STATISTICS, *further)
        self._one_pass = OnePass(ensemble, level, precision_of(ensemble, 1.0, _MOST_ROWS), further)

    def predict(self, x: np.ndarray) -> Rows:
        """Predict rows; each row's numbers depend on that row only.

        Parameters
        ----------
        x : ndarray of float32, shape (rows, columns)
            Without missing values.

        Raises
        ------
        RunError
            If a prediction is far outside what the training data allow.
        """
        statistics, _ = self._one_pass.run(x, np.ones(len(x)), np.zeros(len(x), "int64"), 1)
        if self.applicability is None:
            return Rows(statistics, np.full(len(x), np.nan, "float32"), np.zeros(len(x), bool))
        dissimilarity = self.applicability.dissimilarity(x)
        return Rows(statistics, dissimilarity, self.applicability.applicable(dissimilarity))
