"""Predictive distributions of held-out sites, by their quantiles.

Whatever gives quantiles can be judged by coverage, interval score, CRPS and PIT once it is a `Predictive`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.ensemble.prediction_intervals import Jackknife
from engine.uncertainty.new_observations import Located, Predictions, observation_quantiles

PROBABILITIES = np.array([0.005, *(step / 40 for step in range(1, 20)), *(step / 40 for step in range(21, 40)), 0.995])
"""Of the quantiles: the ends of central intervals of 5, 10, …, 95 and 99 %."""


@dataclass(frozen=True)
class Fold:
    """The ensemble of a fold, with what it was trained on and where it is tried.

    Attributes
    ----------
    x, x_held_out : ndarray, shape (sites, columns)
        Design matrices of the training sites and of the held-out ones.
    observed : ndarray, shape (training sites, outputs)
        NaN where an output was not measured.
    first, first_held_out : ndarray, shape (replicates, sites)
        Predictions of the modelled output, the first, at both; in the bag or not.
    out_of_bag : ndarray, shape (replicates, training sites)
        The same; NaN where the site is in the bag.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of each output on the modelled one.
    least : float
        Lowest value that an observation can have.
    at, at_held_out : Located or None
        Where the sites are, if intervals are those of the joint model of the errors.
    seed : int
        Of that model.
    """

    x: np.ndarray
    x_held_out: np.ndarray
    observed: np.ndarray
    first: np.ndarray
    first_held_out: np.ndarray
    out_of_bag: np.ndarray
    coefficients: np.ndarray
    least: float
    at: Located | None = None
    at_held_out: Located | None = None
    seed: int = 0

    @property
    def mean(self) -> np.ndarray:
        """Mean of the replicates at the held-out sites, shape (outputs, sites)."""
        intercept, slope = self.coefficients[..., 0, None], self.coefficients[..., 1, None]
        return np.asarray((intercept + slope * self.first_held_out[:, None]).mean(axis=0))


Predictive = Callable[[Fold, np.ndarray], np.ndarray]
"""(fold, probabilities) → quantiles at the held-out sites, shape (probabilities, outputs, sites)."""


def jackknife_plus(fold: Fold, probabilities: np.ndarray) -> np.ndarray:
    """Return the ends of the intervals of jackknife+-after-bootstrap, which are taken as central ones."""
    levels = tuple(round(abs(2 * p - 1), 9) for p in probabilities.tolist())
    each = []
    for k, observed in enumerate(fold.observed.T):
        jackknife = Jackknife.of(observed, fold.out_of_bag, fold.coefficients[:, k], fold.least)
        lower, upper = jackknife.interval(fold.first_held_out, levels)
        each.append(np.where(probabilities[:, None] < 0.5, lower, upper))
    return np.stack(each, axis=1)


def as_mapped(fold: Fold, probabilities: np.ndarray) -> np.ndarray:
    """Return the quantiles that the map has.

    Those of the joint model of the errors, fitted to the training sites, if it is known where the sites are; else, or
    with too few sites for that model, jackknife+'s.
    """
    found = None
    if fold.at is not None and fold.at_held_out is not None:
        found = observation_quantiles(
            Predictions(fold.x, fold.first, fold.at),
            Predictions(fold.x_held_out, fold.first_held_out, fold.at_held_out),
            observed=fold.observed, out_of_bag=fold.out_of_bag, coefficients=fold.coefficients,
            probabilities=probabilities.tolist(), seed=fold.seed, least=fold.least,
        )  # fmt: skip
    return jackknife_plus(fold, probabilities) if found is None else found


def of_training_sites(fold: Fold, probabilities: np.ndarray) -> np.ndarray:
    """Return the same distribution for all sites: that of what was observed at the training sites.

    Quantile p is the p(n + 1)-th smallest of n values, so that a new one is below it with probability p; beyond the
    ends, the smallest or largest.
    """
    known = [observed[np.isfinite(observed)] for observed in fold.observed.T]
    each = np.stack([np.quantile(values, probabilities, method="weibull") for values in known], axis=1)
    return np.repeat(each[..., None], fold.first_held_out.shape[1], axis=2)


MAPPED, SITES_MEAN = "mapped", "sites_mean"
"""Names of the method whose intervals are those of the map, and of that which needs no map."""
METHODS: Mapping[str, Predictive] = {
    MAPPED: as_mapped,
    "jackknife_plus": jackknife_plus,
    SITES_MEAN: of_training_sites,
}
"""Method → its predictive distributions. The first is what the map's `pi_*` are; the others are references."""


def quantiles(fold: Fold) -> np.ndarray:
    """Compute the quantiles of `PROBABILITIES` at the held-out sites by all `METHODS`.

    Ends of intervals of low levels may cross where sites are few; they are put in order, which never takes quantiles
    farther from the true ones (Chernozhukov, Fernández-Val & Galichon 2010, Econometrica 78:1093–1125).

    Returns
    -------
    ndarray, shape (methods, probabilities, outputs, held-out sites)
    """
    found = {method: np.sort(method(fold, PROBABILITIES), axis=0) for method in dict.fromkeys(METHODS.values())}
    return np.stack([found[method] for method in METHODS.values()])
