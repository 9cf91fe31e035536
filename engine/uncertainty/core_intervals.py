"""Where a new core falls: the truth of its cell, and what differs from core to core within it.

A core's standard deviation is that of its cell's truth and of the rest, which may grow with the prediction: it follows
the place. How many of them an interval's end lies from the expected mean is half-way between what the model says, a
normal quantile, and what the sites say: each is left out in turn, with all its outputs, and its residuals are compared
with what the others let expect there. Those quantiles have a sign, so that errors of one side make that side longer.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from engine.uncertainty.cells import CellMoments
from engine.uncertainty.error_model import ErrorModel
from engine.uncertainty.variance_components import REST

_LEAST_RELATIVE = 0.05
"""Predictions below this share of the sites' mean count as that much for the size of the rest."""


@lru_cache(maxsize=4)
def left_out(model: ErrorModel) -> np.ndarray:
    """Return the residuals of each site, left out, in standard deviations, shape (sites, outputs); NaN where unknown.

    With Σ⁻¹ of all residuals, those of a site i differ from what the others let expect by (Σ⁻¹)ᵢᵢ⁻¹ (Σ⁻¹ r)ᵢ, whose
    covariance is (Σ⁻¹)ᵢᵢ⁻¹; the replicates' spread adds to it, as it does in cells.
    """
    result = np.full(model.residual.shape, np.nan)
    variance = np.full(model.residual.shape, np.nan)
    site, output = model.rows
    order = np.argsort(site, kind="stable")
    first = np.flatnonzero(np.diff(site[order], prepend=-1))
    for rows in np.split(order, first[1:]):
        covariance = np.linalg.inv(model.inverse[np.ix_(rows, rows)])
        result[site[rows], output[rows]] = covariance @ model.weights[rows]
        variance[site[rows], output[rows]] = np.diag(covariance)
    for number, (intercept, slope) in enumerate(np.moveaxis(model.coefficients, 0, 2)):
        variance[:, number] += (intercept[:, None] + slope[:, None] * model.predicted).var(axis=0, ddof=1)
    return result / np.sqrt(variance)


@lru_cache(maxsize=64)
def standard_quantiles(model: ErrorModel, probabilities: tuple[float, ...]) -> np.ndarray:
    """Return the quantiles of a new core's standardised error, shape (probabilities, outputs).

    ±∞ where the sites are too few for the probability.
    """
    values = left_out(model)
    return np.array([[(ndtri(p) + signed_quantile(z[np.isfinite(z)], p)) / 2 for z in values.T] for p in probabilities])


def signed_quantile(values: np.ndarray, probability: float) -> float:
    """Return the value that one more of the same kind stays below with this probability.

    Between the order statistics whose expected probabilities, rank / (n + 1), enclose it, it is interpolated. Beyond
    the outermost of them, the values cannot tell one tail from the other: the quantile of their sizes stands for both,
    and none less than the outermost value. Where not even the sizes reach the level, n < level / (1 − level), it is ±∞.

    Raises
    ------
    ValueError
        If the probability is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"a probability lies between 0 and 1, not at {probability}")
    n = len(values)
    rank = round(probability * (n + 1), 9)
    if 1 <= rank <= n:
        return _at_rank(values, rank)
    side = math.copysign(1.0, probability - 0.5)
    level = abs(2 * probability - 1)
    if n < fewest_sites(level):
        return side * math.inf
    of_sizes = min(level * (n + 1), n)
    return side * max(_at_rank(np.abs(values), max(of_sizes, 1.0)), float((side * values).max()))


def fewest_sites(level: float) -> int:
    """Return the fewest sites that an interval of this level can be certified with: n ≥ level / (1 − level)."""
    return math.ceil(round(level / (1 - level), 6))


def _at_rank(values: np.ndarray, rank: float) -> float:
    return float(np.interp(rank, np.arange(1, len(values) + 1), np.sort(values)))


def core_quantiles(
    model: ErrorModel, truth: CellMoments, prediction: np.ndarray, probabilities: Sequence[float], least: float
) -> np.ndarray:
    """Return quantiles of a new core in each cell; those of a cell do not depend on which other cells are asked for.

    Parameters
    ----------
    truth : CellMoments
        Of the cells, conditioned on the sites.
    prediction : ndarray, shape (cells,)
        Of the first output, mean of the replicates.
    probabilities : sequence of float
        Between 0 and 1.
    least : float
        Lowest value that an observation can have; −∞: any is.

    Returns
    -------
    ndarray of float64, shape (probabilities, outputs, cells)
        Infinite, or `least`, where the sites are too few for the probability.
    """
    variance = np.square(truth.sd)
    variance += model.variances[:, REST, None] * np.square(_relative(model, prediction))
    sd = np.sqrt(variance)
    quantiles = standard_quantiles(model, tuple(probabilities))
    return np.stack([np.maximum(truth.mean + of_output[:, None] * sd, least) for of_output in quantiles])


def core_interval(
    model: ErrorModel, truth: CellMoments, prediction: np.ndarray, level: float, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval that holds a new core with the probability `level`, shape (outputs, cells)."""
    lower, upper = core_quantiles(model, truth, prediction, ((1 - level) / 2, (1 + level) / 2), least)
    return lower, upper


def _relative(model: ErrorModel, prediction: np.ndarray) -> np.ndarray:
    """Return the size of the rest, relative to that at a mean prediction."""
    typical = model.basis.centre[0]
    if model.growth == 0 or typical <= 0:
        return np.ones(len(prediction))
    relative = np.maximum(np.asarray(prediction, "float64") / typical, _LEAST_RELATIVE)
    # Roots, not powers: those may round otherwise at another place in an array.
    return np.sqrt(relative) if model.growth == 0.5 else relative ** round(model.growth)
