"""Where the uncertainty of a total comes from: `stock_uncertainty.csv`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.grid.sphere import to_sphere
from engine.mapping.map_sample import CellSample
from engine.statistics.variogram import Variogram, fit_variogram, great_circle
from pipelines.soil_carbon.results.stocks import PG_PER_KM2, TOTAL

MODEL, DEPTH_REGRESSION, REPLICATES = "model", "depth_regression", "replicates"
RESIDUAL, EVERYTHING = "residual", "all"
PAIRS = 400_000
"""Random pairs of cells that stand for all pairs of a zone."""


def stock_uncertainty(
    area: np.ndarray,
    predicted: np.ndarray,
    coefficients: np.ndarray,
    zones: Sequence[str],
    depths: Sequence[str],
    residual_pg: np.ndarray | None = None,
) -> pd.DataFrame:
    """SD of every total, source by source.

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
    residual_pg : ndarray, shape (depths, zones + 1), optional
        From `residual_stock_sd`; adds the sources `residual` and `all`.

    Returns
    -------
    DataFrame
        `zone, depth, source, sd_pg`; the source is one of `model` (predictions vary, regressions at their mean),
        `depth_regression` (intercept and slope vary, predictions at their mean), `replicates` (both, as in
        `stocks.csv`), `residual`, and `all`: √(replicates² + residual²).
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
    if residual_pg is not None:
        sds |= {RESIDUAL: residual_pg, EVERYTHING: np.hypot(sds[REPLICATES], residual_pg)}
    rows = [
        {"zone": zone, "depth": depth, "source": source, "sd_pg": sd[d, z]}
        for z, zone in enumerate((*zones, TOTAL))
        for d, depth in enumerate(depths)
        for source, sd in sds.items()
    ]
    return pd.DataFrame(rows)


def out_of_bag_residuals(observed: np.ndarray, out_of_bag: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Observed less predicted by the replicates that did not see the site, every depth by its own regression.

    Parameters
    ----------
    observed : ndarray, shape (sites, depths)
        kg C/m²; NaN where missing.
    out_of_bag : ndarray, shape (replicates, sites)
        Predictions of the first depth; NaN where the site is in the bag.
    coefficients : ndarray, shape (replicates, depths, 2)

    Returns
    -------
    ndarray, shape (sites, depths)
        kg C/m²; NaN where a site lacks the depth or was in every bag.
    """
    seen = np.isnan(out_of_bag)[:, :, None]
    predicted = coefficients[:, None, :, 0] + coefficients[:, None, :, 1] * np.where(seen, 0.0, out_of_bag[:, :, None])
    count = (~seen).sum(axis=0)
    mean = np.divide((predicted * ~seen).sum(axis=0), count, out=np.full(observed.shape, np.nan), where=count > 0)
    return observed - mean


def residual_variograms(
    lon: np.ndarray, lat: np.ndarray, residuals: np.ndarray, rng: np.random.Generator
) -> list[Variogram]:
    """How the residuals of each depth, shape (sites, depths), are correlated in space."""
    return [fit_variogram(lon, lat, values, rng) for values in residuals.T]


def residual_stock_sd(
    variograms: Sequence[Variogram],
    cells: CellSample,
    area: np.ndarray,
    count: np.ndarray,
    rng: np.random.Generator,
    pairs: int = PAIRS,
) -> np.ndarray:
    """SD of the totals from spatially correlated residual error.

    Var(Σ area · error) = Σ_i Σ_j area_i area_j C(h_ij), where C is the structured part of the variogram. The nugget is
    left out: measurement error and variation within a cell average out over the cells of a zone. The double sum is
    estimated from random pairs of different cells, drawn in proportion to their areas, plus a cell's covariance with
    itself for the share of such pairs. What the residuals are correlated in includes errors of the model itself, so
    that `residual` and `replicates` overlap to some degree and `all` errs on the side of caution.

    Parameters
    ----------
    variograms : sequence of Variogram
        One per depth, kg C/m².
    cells : CellSample
        Cells that stand for the map.
    area : ndarray, shape (zones + 1,)
        km²; the whole region last.
    count : ndarray of int, shape (zones + 1,)
        Mapped cells.
    pairs : int
        Random pairs per zone. If one in a hundred is within the range, the SD comes out within about 1 %.

    Returns
    -------
    ndarray, shape (depths, zones + 1)
        Pg C; 0 without spatial correlation. A zone of which fewer than two of several cells were drawn counts as wholly
        correlated, the most that there can be.
    """
    points = to_sphere(cells.lon, cells.lat)
    result = np.zeros((len(variograms), len(area)))
    structured = [d for d, variogram in enumerate(variograms) if variogram.sill > 0]
    if not structured:
        return result
    for z, (zone_area, n) in enumerate(zip(area, count, strict=True)):
        rows = np.flatnonzero(cells.zone == z + 1) if z < len(area) - 1 else np.arange(len(points))
        if n == 0:
            continue
        few = len(rows) < 2 <= n
        distance = np.zeros(1) if few else _distances(points[rows], cells.area_km2[rows], pairs, rng)
        for d in structured:
            itself = float(variograms[d].structured(0.0))
            others = variograms[d].structured(distance).mean() if n > 1 else 0.0
            result[d, z] = zone_area * np.sqrt(itself / n + others * (1 - 1 / n)) * PG_PER_KM2
    return result


def _distances(points: np.ndarray, area: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Great-circle distances, km, of random pairs of different cells; none for a single cell."""
    n = len(points)
    if n < 2:
        return np.empty(0)
    first, second = rng.choice(n, (2, pairs), p=area / area.sum())
    different = first != second
    return great_circle(points[first[different]], points[second[different]])
