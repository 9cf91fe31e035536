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


def over_replicates(values: np.ndarray) -> CellStatistics:
    """Statistics of cells over replicates, in float64.

    Each cell's numbers depend on its own values only, and are added up replicate by replicate, so that they are the
    same whichever block the cell is in, and the same as those of the compiled code (`engine/forest/statistics.hpp`).

    Parameters
    ----------
    values : ndarray of float64, shape (replicates, cells)
        Two replicates or more.
    """
    n = len(values)
    # From the first replicate on, so that a large mean does not drown a small spread. The square of what is taken off
    # at the end is at most n times what is left: the first replicate is one of those that are spread.
    total, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for replicate in values:
        apart = replicate - values[0]
        total += apart
        squares += apart * apart
    mean = values[0] + total / n
    sd = np.sqrt(np.maximum(squares - total * (total / n), 0) / (n - 1))
    half = Z_95 * sd / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        uncertainty = np.where(mean != 0, 2 * half / mean, np.nan)
    return CellStatistics(mean, sd, mean - half, mean + half, uncertainty)
