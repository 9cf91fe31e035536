"""Carry the first depth's density down: linear regressions of deeper densities on it (the study's step 5)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import linregress

from engine.errors import InputError
from engine.formatting import doing

FEWEST_PROFILES = 3
"""Profiles with both depths below which a line has no spread around it."""


def fit_depth_regressions(wide: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Regress the density of each deeper interval on that of the first, over the profiles that have both.

    Parameters
    ----------
    wide : DataFrame
        One row per site with `socd_LABEL` (kg C/m², NaN where missing).
    labels : sequence of str
        Depths such as `0-10`; the first is the predictor.

    Returns
    -------
    DataFrame
        One row per deeper depth: `depth, intercept` (kg C/m²)`, slope, r2, p_value` (of the slope)`, rmse` (kg C/m²,
        Eq. 5 of the study)`, n`.

    Raises
    ------
    InputError
        Names every depth that fewer than three profiles share with the first, or whose profiles all have the same
        first density.
    """
    shallow = wide[f"socd_{labels[0]}"].to_numpy(np.float64)
    rows, problems = [], []
    for label in labels[1:]:
        deep = wide[f"socd_{label}"].to_numpy(np.float64)
        both = np.isfinite(shallow) & np.isfinite(deep)
        x, y = shallow[both], deep[both]
        if problem := _unfit(x, label, labels[0]):
            problems.append(problem)
            continue
        line = linregress(x, y)
        rmse = np.sqrt(np.mean(np.square(y - (line.intercept + line.slope * x))))
        rows.append((label, line.intercept, line.slope, line.rvalue**2, line.pvalue, rmse, int(both.sum())))
    if problems:
        raise InputError(problems)
    return pd.DataFrame(rows, columns=["depth", "intercept", "slope", "r2", "p_value", "rmse", "n"])


def bootstrap_coefficients(
    shallow: npt.NDArray[np.floating],
    deep: npt.NDArray[np.floating],
    bootstrap: npt.NDArray[np.integer],
    labels: Sequence[str] | None = None,
    shared: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.float64]:
    """Refit the regressions on each bootstrap sample of the profiles.

    Parameters
    ----------
    shallow : ndarray, shape (n,)
        Density of the first depth, kg C/m².
    deep : ndarray, shape (n, depths − 1)
        Densities of the deeper ones, NaN where missing.
    bootstrap : ndarray of int, shape (replicates, n)
        Rows of each sample, drawn with replacement.
    labels : sequence of str, optional
        Depths, the first included, for messages; else their numbers, counted from 1.
    shared : ndarray, shape (replicates, n, depths), optional
        What is added to the densities of each replicate.

    Returns
    -------
    ndarray of float64, shape (replicates, depths, 2)
        Intercept (kg C/m²) and slope; 0 and 1 for the first depth.

    Raises
    ------
    InputError
        A sample has fewer than three distinct profiles with both depths, or they all have the same first density.
    """
    shallow, deep = np.asarray(shallow, np.float64), np.asarray(deep, np.float64)
    names = labels or [str(number + 1) for number in range(deep.shape[1] + 1)]
    coefficients = np.zeros((len(bootstrap), deep.shape[1] + 1, 2))
    coefficients[:, 0, 1] = 1
    for depth, values in enumerate(deep.T, start=1):
        both = np.isfinite(shallow) & np.isfinite(values)
        for replicate, rows in enumerate(bootstrap):
            distinct = np.unique(rows[both[rows]])
            if _unfit(shallow[distinct], names[depth], names[0]):
                raise InputError(
                    f"depth {names[depth]} cannot be regressed on depth {names[0]} in every bootstrap sample: only "
                    f"{both.sum()} of {both.size} training sites have both, and replicate {replicate} draws "
                    f"{distinct.size} of them; at least {FEWEST_PROFILES} that differ are needed. Add profiles that "
                    "reach it, or take it off `depths:`"
                )
        weights = both[bootstrap]
        counts = weights.sum(axis=1, keepdims=True)
        x = np.where(weights, _sampled(shallow, bootstrap, shared, 0), 0.0)
        y = np.where(weights, _sampled(values, bootstrap, shared, depth), 0.0)
        x_mean, y_mean = x.sum(axis=1, keepdims=True) / counts, y.sum(axis=1, keepdims=True) / counts
        from_mean = np.where(weights, x - x_mean, 0.0)
        slope = (from_mean * (y - y_mean)).sum(axis=1) / np.square(from_mean).sum(axis=1)
        coefficients[:, depth, 1] = slope
        coefficients[:, depth, 0] = y_mean[:, 0] - slope * x_mean[:, 0]
    return coefficients


def _sampled(
    values: npt.NDArray[np.floating],
    bootstrap: npt.NDArray[np.integer],
    shared: npt.NDArray[np.floating] | None,
    depth: int,
) -> npt.NDArray[np.floating]:
    """Return the densities of each sample, with what is added to them, shape (replicates, n)."""
    sampled = values[bootstrap]
    return sampled if shared is None else sampled + np.take_along_axis(shared[:, :, depth], bootstrap, axis=1)


def _unfit(x: npt.NDArray[np.float64], depth: str, first: str) -> str:
    """Return why these profiles do not determine a line; empty if they do."""
    if x.size < FEWEST_PROFILES:
        return (
            f"depth {depth} cannot be regressed on depth {first}: {doing(x.size, 'profile', 'has')} both, at least "
            f"{FEWEST_PROFILES} are needed; add profiles that reach it, or take it off `depths:`"
        )
    if np.ptp(x) == 0:
        return (
            f"depth {depth} cannot be regressed on depth {first}: its {x.size} profiles all have {x[0]:g} kg C/m² there"
        )
    return ""
