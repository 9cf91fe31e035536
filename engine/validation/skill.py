"""Skill over the mean of the training sites, and how sure of it sites can make that lie in groups."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95
"""Of each bound of a skill by itself."""


@dataclass(frozen=True)
class Skill:
    """1 − SSE/SST, where SST is the squared error of the mean of the sites that trained the model.

    Unlike `Scores.r2`, whose SST is about the mean of the very sites that are predicted, the reference here is a
    prediction that could have been made: the mean of the training sites. It is 0 for a model as good as that mean.

    Attributes
    ----------
    value : float
        NaN if all observations equal the mean.
    lower, upper : float
        Bounds that the skill is above, or below, with a confidence of 95 % each; infinite if there is one group.
    n : int
        Observations.
    groups : float
        Effective number of groups, n² / Σ nᵍ² over the groups' sizes nᵍ.
    rmse, rmse_of_mean : float
        Root mean squared errors of the model and of the mean, in the units of the observations.
    """

    value: float
    lower: float
    upper: float
    n: int
    groups: float
    rmse: float
    rmse_of_mean: float

    @classmethod
    def of(cls, observed: np.ndarray, predicted: np.ndarray, reference: np.ndarray, groups: np.ndarray) -> "Skill":
        """Compute the skill of predictions, averaged over repeats.

        Errors of sites near one another go together, so that the bounds count groups rather than sites: the variance of
        the ratio SSE/SST over independent groups of unequal size (linearised), with Student's t of as many degrees of
        freedom as the effective number of groups allows (Carter, Schnepel & Steigerwald 2017), plus the variance of
        the mean over the repeats. They are symmetric in the logarithm of the ratio: sums of squares are skewed, and
        bounds that are symmetric in the ratio itself promise too much.

        Parameters
        ----------
        observed : ndarray, shape (sites,)
            NaN where there is no observation.
        predicted, reference : ndarray, shape (repeats, sites)
            Of the model, and of the mean of its training sites; NaN where there is none.
        groups : ndarray of int, shape (sites,)
            Sites of one number are counted as one piece of evidence.
        """
        known = np.isfinite(observed) & np.isfinite(predicted).all(axis=0) & np.isfinite(reference).all(axis=0)
        n = int(known.sum())
        if not n:
            return cls(np.nan, -np.inf, np.inf, 0, 0.0, np.nan, np.nan)
        errors = (observed[known] - predicted[:, known]) ** 2
        of_mean = (observed[known] - reference[:, known]) ** 2
        error, total = errors.mean(axis=0), of_mean.mean(axis=0)
        sizes = np.unique(groups[known], return_counts=True)[1]
        effective = float(n**2 / (sizes**2).sum())
        rmse, rmse_of_mean = float(np.sqrt(error.mean())), float(np.sqrt(total.mean()))
        if not total.sum():
            return cls(np.nan, -np.inf, np.inf, n, effective, rmse, rmse_of_mean)
        ratio = error.sum() / total.sum()
        if effective <= 1:
            return cls(float(1 - ratio), -np.inf, np.inf, n, effective, rmse, rmse_of_mean)
        sums = np.bincount(np.unique(groups[known], return_inverse=True)[1].ravel(), error - ratio * total)
        variance = effective / (effective - 1) * ((sums / total.sum()) ** 2).sum()
        if (repeats := len(errors)) > 1:
            variance += (errors.sum(axis=1) / of_mean.sum(axis=1)).var(ddof=1) / repeats
        reach = t.ppf(CONFIDENCE, effective - 1) * np.sqrt(variance) / ratio if ratio else 0.0
        with np.errstate(over="ignore"):
            lower, upper = (float(1 - ratio * np.exp(end)) for end in (reach, -reach))
        return cls(float(1 - ratio), lower, upper, n, effective, rmse, rmse_of_mean)


def training_means(observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the mean of the observations in the other folds, for every repeat and site, shape (repeats, sites).

    Parameters
    ----------
    observed : ndarray, shape (sites,)
        NaN where there is no observation.
    folds : ndarray of int, shape (repeats, sites)
        From 0 on.
    """
    known = np.isfinite(observed)
    values = np.where(known, observed, 0.0)
    means = np.empty(folds.shape)
    for mean, fold in zip(means, folds, strict=True):
        sums, counts = np.bincount(fold, values), np.bincount(fold, known)
        others = counts.sum() - counts
        with np.errstate(invalid="ignore"):
            mean[:] = ((sums.sum() - sums) / np.where(others, others, np.nan))[fold]
    return means
