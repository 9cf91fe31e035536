"""`skill.csv`: what the families add to the mean of the sites, at every depth, under every scheme."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from engine.validation.cross_validation import HeldOut
from engine.validation.skill import Skill, training_means


def skill_table(held_out: HeldOut, observed: np.ndarray, depths: tuple[str, ...], groups: np.ndarray) -> pd.DataFrame:
    """Compute the skill over the mean of the training folds.

    A deeper depth is predicted as the map predicts it: by a line on the first, fitted to the training folds.

    Parameters
    ----------
    observed : ndarray, shape (sites, depths)
        Densities, kg C/m²; NaN where a profile is too shallow.
    groups : ndarray of int, shape (sites,)
        Sites whose errors may go together.

    Returns
    -------
    DataFrame
        `family, scheme, depth`, and the fields of `Skill`: `skill, lower, upper, n, groups, rmse, rmse_of_mean`.
    """
    rows = []
    for (family, scheme), predicted in held_out.predicted.items():
        folds = held_out.folds[scheme]
        for k, depth in enumerate(depths):
            target = observed[:, k]
            values = predicted if k == 0 else by_line(observed[:, 0], target, folds, predicted)
            found = asdict(Skill.of(target, values, training_means(target, folds), groups))
            rows.append({"family": family, "scheme": scheme, "depth": depth, "skill": found.pop("value"), **found})
    return pd.DataFrame(rows)


def by_line(first: np.ndarray, target: np.ndarray, folds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Predict a deeper depth at held-out sites: the line of the training folds at the predicted first depth.

    Parameters
    ----------
    first, target : ndarray, shape (sites,)
        Observed; NaN in `target` where there is no observation.
    folds, predicted : ndarray, shape (repeats, sites)

    Returns
    -------
    ndarray, shape (repeats, sites)
        NaN where no other fold has an observation.
    """
    known = np.isfinite(target)
    x, y = np.where(known, first, 0.0), np.where(known, target, 0.0)
    terms = (known.astype(float), x, y, x * x, x * y)
    result = np.empty(predicted.shape)
    for repeat, fold in enumerate(folds):
        sums = np.array([np.bincount(fold, term) for term in terms])
        n, sx, sy, sxx, sxy = sums.sum(axis=1, keepdims=True) - sums
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = sxx - sx * sx / n
            slope = np.where(spread > 1e-9 * sxx, (sxy - sx * sy / n) / spread, 0.0)
            intercept = (sy - slope * sx) / n
        result[repeat] = intercept[fold] + slope[fold] * predicted[repeat]
    return result
