"""Statistics of the map for rows of a design matrix that need not be cells of a grid."""

from dataclasses import dataclass

import numpy as np

from engine.ensemble.trained import Ensemble
from engine.mapping.blockwise import precision_of
from engine.mapping.joint_cells import put_observations, truth_of_cells
from engine.mapping.predict_block import STATISTICS, OnePass
from engine.uncertainty.cells import CellMoments
from engine.uncertainty.error_model import ErrorModel
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
    truth : CellMoments or None
        Of the cells that rows stand for; None without a model of the errors.
    """

    statistics: np.ndarray
    dissimilarity: np.ndarray
    applicable: np.ndarray
    truth: CellMoments | None = None


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
    errors : ErrorModel, optional
        The joint model of the errors, from which the interval of a new observation comes; without one, it is
        jackknife+'s.
    local : bool
        False: it is jackknife+'s all the same.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        level: float,
        applicability: Applicability | None = None,
        further: tuple[str, ...] = (),
        errors: ErrorModel | None = None,
        local: bool = True,
    ):
        self.ensemble, self.applicability, self.errors, self.level = ensemble, applicability, errors, level
        self.local = local and errors is not None
        self.statistics = (*STATISTICS, *further)
        precision = precision_of(ensemble, 1.0, _MOST_ROWS)
        self._one_pass = OnePass(ensemble, level, precision, further, observations=not self.local)

    def predict(
        self, x: np.ndarray, where: tuple[np.ndarray, np.ndarray] | None = None, zone: np.ndarray | None = None
    ) -> Rows:
        """Predict rows; each row's numbers depend on that row only.

        Parameters
        ----------
        x : ndarray of float32, shape (rows, columns)
            Without missing values.
        where : pair of ndarray, shape (rows,)
            Coordinates on the grid's plane; wanted with a model of the errors, as is
        zone : ndarray of int, shape (rows,)
            0 for none.

        Raises
        ------
        ValueError
            If the model of the errors does not learn where the rows are.
        RunError
            If a prediction is far outside what the training data allow.
        """
        statistics, _ = self._one_pass.run(x, np.ones(len(x)), np.zeros(len(x), "int64"), 1)
        truth = None
        if self.errors is not None and len(x):
            if where is None or zone is None:
                raise ValueError("the model of the errors needs where rows are, and their zones")
            _, truth = truth_of_cells(self.errors, statistics, x, zone, where)
            if self.local:
                put_observations(self.errors, truth, statistics, self.level, self.ensemble.least)
        if self.applicability is None:
            return Rows(statistics, np.full(len(x), np.nan, "float32"), np.zeros(len(x), bool), truth)
        dissimilarity = self.applicability.dissimilarity(x)
        return Rows(statistics, dissimilarity, self.applicability.applicable(dissimilarity), truth)
