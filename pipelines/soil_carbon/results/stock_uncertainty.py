"""Sources of a total's uncertainty: `stock_uncertainty.csv`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.statistics.variogram import Variogram, fit_variogram
from pipelines.soil_carbon.results.joint_totals import JointTotals
from pipelines.soil_carbon.results.stocks import PG_PER_KM2, TOTAL

MODEL, DEPTH_REGRESSION, REPLICATES = "model", "depth_regression", "replicates"
RESIDUAL, EVERYTHING = "residual", "all"


def stock_uncertainty(
    area: np.ndarray,
    predicted: np.ndarray,
    coefficients: np.ndarray,
    zones: Sequence[str],
    depths: Sequence[str],
    joint: JointTotals | None = None,
) -> pd.DataFrame:
    """Return the SD of every total, source by source.

    A replicate's total is `intercept · area + slope · Σ area · prediction`. Held at their means, its two factors tell
    how much of the spread is the model's and how much the depth regression's; together they do not quite add up to
    the spread of the replicates, because both were fitted to the same bootstrap sample.

    Parameters
    ----------
    area : ndarray, shape (zones + 1,)
        km²; the whole region last.
    predicted : ndarray, shape (replicates, zones + 1)
        Σ area · prediction of the first depth, km² kg C/m².
    coefficients : ndarray, shape (replicates, depths, 2)
        Intercept (kg C/m²) and slope of every depth on the first; 0 and 1 for the first.
    zones : sequence of str
        Without the region, which becomes `total`.
    joint : JointTotals, optional
        Totals under the joint distribution of the errors; adds the sources `residual` and `all`.

    Returns
    -------
    DataFrame
        `zone, depth, source, sd_pg`; the source is one of `model` (predictions vary, regressions at their mean),
        `depth_regression` (intercept and slope vary, predictions at their mean), `replicates` (both, as in
        `stocks.csv` without a joint distribution), `residual` (of draws whose replicates do not differ), and `all` (of
        all draws, as in `stocks.csv`). A draw's replicate is conditioned on the sites, so that `all` can be less than
        √(replicates² + residual²).
    """
    intercept, slope = coefficients[:, :, 0, None], coefficients[:, :, 1, None]
    sums, mean_sums = predicted[:, None, :], predicted.mean(axis=0)
    mean_slope = slope.mean(axis=0)
    deviations = {
        MODEL: mean_slope * (sums - mean_sums),
        DEPTH_REGRESSION: (intercept - intercept.mean(axis=0)) * area + (slope - mean_slope) * mean_sums,
        REPLICATES: intercept * area + slope * sums,
    }
    sds = {source: values.std(axis=0, ddof=1) * PG_PER_KM2 for source, values in deviations.items()}
    if joint is not None:
        sds |= {RESIDUAL: joint.residual_sd * PG_PER_KM2, EVERYTHING: joint.sd * PG_PER_KM2}
    rows = [
        {"zone": zone, "depth": depth, "source": source, "sd_pg": sd[d, z]}
        for z, zone in enumerate((*zones, TOTAL))
        for d, depth in enumerate(depths)
        for source, sd in sds.items()
    ]
    return pd.DataFrame(rows)


def residual_variograms(
    lon: np.ndarray, lat: np.ndarray, residuals: np.ndarray, rng: np.random.Generator
) -> list[Variogram]:
    """Fit the spatial correlation of each depth's residuals, shape (sites, depths)."""
    return [fit_variogram(lon, lat, values, rng) for values in residuals.T]
