"""Statistics of a cell over the replicates: mean, SD, confidence interval of the mean, relative uncertainty."""

from dataclasses import dataclass

import numpy as np

Z_95 = 1.96
"""Factor of a 95 % interval, as in Eq. 7."""


@dataclass(frozen=True)
class CellStatistics:
    """Per cell, shape (n,), float64.

    Attributes
    ----------
    mean, sd : ndarray
        Over the replicates; SD with n − 1.
    ci_lower, ci_upper : ndarray
        95 % confidence interval of the ensemble's mean (Eq. 7). It shrinks with the number of replicates and does not
        say where a new observation would fall.
    uncertainty : ndarray
        (upper − lower) / mean (Eq. 8), dimensionless; NaN where the mean is 0.
    """

    mean: np.ndarray
    sd: np.ndarray
    ci_lower: np.ndarray
    ci_upper: np.ndarray
    uncertainty: np.ndarray


class Moments:
    """Mean and variance of cells over replicates that come one by one (Welford 1962), in float64.

    The cells × replicates matrix is never held. Each cell's numbers depend on its own values only, so that they are
    the same whichever block the cell is in.
    """

    def __init__(self, cells: int):
        self.n = 0
        self._mean = np.zeros(cells)
        self._squares = np.zeros(cells)

    def add(self, values: np.ndarray) -> None:
        """Take in one replicate, shape (cells,)."""
        self.n += 1
        delta = values - self._mean
        self._mean += delta / self.n
        self._squares += delta * (values - self._mean)

    def statistics(self) -> CellStatistics:
        """The statistics over all replicates; at least two."""
        sd = np.sqrt(self._squares / (self.n - 1))
        half = Z_95 * sd / np.sqrt(self.n)
        with np.errstate(divide="ignore", invalid="ignore"):
            uncertainty = np.where(self._mean != 0, 2 * half / self._mean, np.nan)
        return CellStatistics(self._mean, sd, self._mean - half, self._mean + half, uncertainty)
