"""Predictive distributions of held-out sites, each by the central intervals of many levels.

Whatever gives intervals can be judged by coverage, interval score, CRPS and PIT once it is a `Predictive`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.ensemble.prediction_intervals import Jackknife

NESTED = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.99)
"""Levels of the intervals whose ends are the quantiles of a distribution."""
PROBABILITIES = np.sort([0.5 + side * level / 2 for level in NESTED for side in (-1, 1)])
"""Of these quantiles, ascending."""


@dataclass(frozen=True)
class Fold:
    """The ensemble of a fold, for one output, with what it was trained on and where it is tried.

    Attributes
    ----------
    x, x_held_out : ndarray, shape (sites, columns)
        Design matrices of the training sites and of the held-out ones.
    observed : ndarray, shape (training sites,)
        NaN where the output was not measured.
    out_of_bag : ndarray, shape (replicates, training sites)
        Predictions of the modelled output; NaN where the site is in the bag.
    predicted : ndarray, shape (replicates, held-out sites)
        Of the modelled output.
    coefficients : ndarray, shape (replicates, 2)
        Intercept and slope of this output on the modelled one.
    least : float
        Lowest value that an observation can have.
    """

    x: np.ndarray
    x_held_out: np.ndarray
    observed: np.ndarray
    out_of_bag: np.ndarray
    predicted: np.ndarray
    coefficients: np.ndarray
    least: float

    @property
    def mean(self) -> np.ndarray:
        """Mean of the replicates at the held-out sites."""
        values = self.coefficients[:, :1] + self.coefficients[:, 1:] * self.predicted
        return np.asarray(values.mean(axis=0))


Predictive = Callable[[Fold, tuple[float, ...]], tuple[np.ndarray, np.ndarray]]
"""(fold, levels) → lower and upper ends of the held-out sites' central intervals, shape (levels, sites) each."""


def jackknife_plus(fold: Fold, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals of jackknife+-after-bootstrap."""
    jackknife = Jackknife.of(fold.observed, fold.out_of_bag, fold.coefficients, fold.least)
    return jackknife.interval(fold.predicted, levels)


def of_training_sites(fold: Fold, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the same interval for all sites: between quantiles of what was observed at the training sites.

    Quantile p is the p(n + 1)-th smallest of n values, so that a new one is below it with probability p; beyond the
    ends, the smallest or largest.
    """
    known = fold.observed[np.isfinite(fold.observed)]
    level = np.array(levels)
    ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="weibull")
    lower, upper = np.repeat(ends[..., None], fold.predicted.shape[1], axis=2)
    return lower, upper


MAPPED = "mapped"
"""Name of the method whose intervals are those of the map."""
METHODS: Mapping[str, Predictive] = {
    MAPPED: jackknife_plus,
    "jackknife_plus": jackknife_plus,
    "sites_mean": of_training_sites,
}
"""Method → its predictive distributions. The first is what the map's `pi_*` are, unless they come from the joint model
of the errors, which takes all outputs at once; the others are references."""


def quantiles(methods: Sequence[Predictive], fold: Fold) -> np.ndarray:
    """Compute the quantiles of `PROBABILITIES` at the held-out sites.

    Ends of intervals of low levels may cross where sites are few; they are put in order, which makes no score worse
    (Chernozhukov, Fernández-Val & Galichon 2010, Econometrica 78:1093–1125).

    Returns
    -------
    ndarray, shape (methods, probabilities, held-out sites)
    """
    found = {method: np.sort(np.concatenate(method(fold, NESTED)), axis=0) for method in dict.fromkeys(methods)}
    return np.stack([found[method] for method in methods])
