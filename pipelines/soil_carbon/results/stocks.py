"""Carbon stocks of zones and of the region, and how sure their totals are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.mapping.blockwise import MapTotals
from pipelines.runfile.schema import TOTAL

PG_PER_KM2 = 1e-6
"""Pg C in 1 km² that holds 1 kg C/m² (Eq. 3)."""
RANGE = (2.5, 97.5)
"""Percentiles of the replicates' totals that bound the 95 % range."""
NORMAL_95 = 1.96
"""SDs of a normal error on either side that hold 95 % of it."""


def stock_table(
    totals: MapTotals, zones: Sequence[str], depths: Sequence[str], residual_pg: np.ndarray | None = None
) -> pd.DataFrame:
    """`stocks.csv`: one row per zone and depth, the whole region as zone `total`.

    The stock is area × mean density (Eq. 3). Its SD and 95 % range come from the replicates' totals, each summed over
    the zone first, so that the covariance between cells is in them, and from the residual error of the total; the
    spatial SD is the spread of the cells' means and no measure of the total's uncertainty.

    Parameters
    ----------
    residual_pg : ndarray, shape (depths, zones + 1), optional
        SD of the totals from spatially correlated residual error, Pg C; without it the range is that of the replicates.

    Returns
    -------
    DataFrame
        `zone, depth, area_km2, socd_mean, socd_spatial_sd` (kg C/m²), `stock_pg, stock_sd_pg, stock_lower_pg,
        stock_upper_pg` (Pg C).
    """
    residual = np.zeros((len(depths), len(zones) + 1)) if residual_pg is None else residual_pg
    rows = []
    for z, zone in enumerate((*zones, TOTAL)):
        area = totals.area[z]
        for d, depth in enumerate(depths):
            stocks = totals.replicate[:, d, z] * PG_PER_KM2
            mean = totals.mean[d, z] / area if area else np.nan
            variance = totals.square[d, z] / area - mean**2 if area else np.nan
            lower, upper = joint_range(stocks, residual[d, z])
            rows.append(
                {
                    "zone": zone,
                    "depth": depth,
                    "area_km2": area,
                    "socd_mean": mean,
                    "socd_spatial_sd": np.sqrt(np.maximum(variance, 0)),
                    "stock_pg": totals.mean[d, z] * PG_PER_KM2,
                    "stock_sd_pg": np.hypot(stocks.std(ddof=1), residual[d, z]),
                    "stock_lower_pg": lower,
                    "stock_upper_pg": upper,
                }
            )
    return pd.DataFrame(rows)


def joint_range(stocks: np.ndarray, residual_sd: float) -> tuple[float, float]:
    """95 % range of a total whose error is that of the replicates plus an independent, normal one.

    Each end is as far from the replicates' mean as both errors together, √(replicates² + (1.96 · SD)²), so that a
    lopsided spread of the replicates stays lopsided. A total whose replicates are not negative has no negative end.

    Parameters
    ----------
    stocks : ndarray, shape (replicates,)
    residual_sd : float
        In the units of `stocks`.
    """
    lower, upper = np.percentile(stocks, RANGE)
    middle = stocks.mean()
    below, above = (np.hypot(end - middle, NORMAL_95 * residual_sd) for end in (lower, upper))
    return (max(middle - below, min(lower, 0.0)) if residual_sd else lower), (middle + above if residual_sd else upper)


def replicate_table(totals: MapTotals, zones: Sequence[str], depths: Sequence[str]) -> pd.DataFrame:
    """`replicate_totals.csv`: the stock of every zone, depth and replicate, Pg C."""
    names = (*zones, TOTAL)
    replicates, n_depths, n_zones = totals.replicate.shape
    index = pd.MultiIndex.from_product([range(replicates), depths, names], names=["replicate", "depth", "zone"])
    assert (n_depths, n_zones) == (len(depths), len(names))
    return pd.DataFrame({"stock_pg": totals.replicate.ravel() * PG_PER_KM2}, index=index).reset_index()
