"""Scores of predictive distributions that are known by a finite number of quantiles.

Between two neighbouring quantiles probability is spread evenly. Of the mass beyond the outermost ones it is only known
that it lies there: the CRPS puts it at them, and the PIT of an observation there is a range.

Gneiting, T. & Raftery, A.E. (2007): Strictly proper scoring rules, prediction, and estimation. Journal of the American
Statistical Association 102:359–378, doi 10.1198/016214506000001437.
"""

import numpy as np


def interval_score(lower: np.ndarray, upper: np.ndarray, observed: np.ndarray, level: float) -> np.ndarray:
    """Compute the interval score of central intervals: their width, and 2/(1 − level) times what an observation is off.

    Parameters
    ----------
    lower, upper, observed : ndarray
        Of one shape, or of shapes that go together.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    ndarray
        In the units of what was observed; the lower, the better.
    """
    missed = np.maximum(lower - observed, 0) + np.maximum(observed - upper, 0)
    return np.asarray(upper - lower + 2 / (1 - level) * missed)


def crps(quantiles: np.ndarray, probabilities: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Compute the continuous ranked probability score: ∫ (F(z) − 1{observed ≤ z})² dz, exact for a piecewise linear F.

    Parameters
    ----------
    quantiles : ndarray, shape (probabilities, n)
        Ascending. Infinite ones say nothing: their mass lies at the outermost finite ones.
    probabilities : ndarray, shape (probabilities,)
        Ascending, between 0 and 1.
    observed : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        In the units of what was observed; the lower, the better. That of a single number is the absolute error. NaN
        where no quantile is finite.
    """
    quantiles = _without_infinities(quantiles)
    below, above = quantiles[:-1], quantiles[1:]
    p_below, p_above = probabilities[:-1, None], probabilities[1:, None]
    split = np.clip(observed, below, above)
    width = above - below
    p_split = p_below + (p_above - p_below) * np.divide(
        split - below, width, out=np.zeros_like(width), where=width > 0
    )  # fmt: skip
    before = (split - below) * _mean_square(p_below, p_split)
    after = (above - split) * _mean_square(1 - p_split, 1 - p_above)
    outside = np.maximum(quantiles[0] - observed, 0) + np.maximum(observed - quantiles[-1], 0)
    return np.asarray((before + after).sum(axis=0) + outside)


def pit(quantiles: np.ndarray, probabilities: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the probability integral transform F(observed), or the range in which it lies.

    It is a range where the observation lies at or beyond the outermost finite quantiles (from 0 to the probability of
    the lowest, from that of the highest to 1), and where it equals several quantiles (from the lowest to the highest of
    their probabilities): there F jumps.

    Parameters
    ----------
    quantiles : ndarray, shape (probabilities, n)
        Ascending; may be infinite.
    probabilities : ndarray, shape (probabilities,)
    observed : ndarray, shape (n,)

    Returns
    -------
    lower, upper : ndarray, shape (n,)
        The same in the interior.
    """
    count = len(probabilities)
    p = np.concatenate([[0.0], probabilities, [1.0]])
    q = np.concatenate([np.full((1, quantiles.shape[1]), -np.inf), quantiles, np.full((1, quantiles.shape[1]), np.inf)])
    each = np.arange(quantiles.shape[1])
    # Counted in p and q, whose first and last are the ends of the scale.
    first, last = (quantiles < observed).sum(axis=0) + 1, (quantiles <= observed).sum(axis=0)
    tied = last >= first
    low, high = np.where(tied, first, first - 1), np.where(tied, last, first)
    ends = q[low, each], q[high, each]
    finite = np.isfinite(ends[0]) & np.isfinite(ends[1]) & ~tied
    width = np.where(finite, ends[1], 1) - np.where(finite, ends[0], 0)
    inner = p[low] + (p[high] - p[low]) * np.where(finite, observed - np.where(finite, ends[0], 0), 0) / width
    lowest = np.isneginf(q).sum(axis=0)
    highest = count + 1 - np.isposinf(q).sum(axis=0)
    lower = np.where(finite, inner, np.where(low < lowest + tied, 0.0, p[low]))
    upper = np.where(finite, inner, np.where(high > highest - tied, 1.0, p[high]))
    return lower, upper


def pit_histogram(lower: np.ndarray, upper: np.ndarray, bins: int = 10) -> np.ndarray:
    """Count PITs in equal bins; one that is a range is shared out evenly over it (Czado, Gneiting & Held 2009).

    Parameters
    ----------
    lower, upper : ndarray, shape (n,)
        As `pit` gives them.

    Returns
    -------
    ndarray of float64, shape (bins,)
        Share of the observations in each bin; 1/bins each if the distributions are calibrated.

    References
    ----------
    Czado, C., Gneiting, T. & Held, L. (2009): Predictive model assessment for count data. Biometrics 65:1254–1261, doi
    10.1111/j.1541-0420.2009.01191.x.
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1, None]
    width = upper - lower
    spread = np.clip((edges - lower) / np.where(width > 0, width, 1), 0, 1)
    up_to = np.where(width > 0, spread, lower <= edges).mean(axis=1)
    return np.diff(np.concatenate([[0.0], up_to, [1.0]]))


def _mean_square(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean of the square of what runs evenly from a to b."""
    return np.asarray((a * a + a * b + b * b) / 3)


def _without_infinities(quantiles: np.ndarray) -> np.ndarray:
    """Return the quantiles with the outermost finite ones in the place of those beyond; NaN where none is finite."""
    finite = np.isfinite(quantiles)
    none = ~finite.any(axis=0)
    lowest = np.where(none, np.nan, np.where(finite, quantiles, np.inf).min(axis=0))
    highest = np.where(none, np.nan, np.where(finite, quantiles, -np.inf).max(axis=0))
    return np.clip(quantiles, lowest, highest)
