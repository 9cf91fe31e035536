"""Carbon stocks of zones and of the region, and how sure their totals are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.blockwise import MapTotals
from pipelines.schema import TOTAL

PG_PER_KM2 = 1e-6
"""Pg C in 1 km² that holds 1 kg C/m² (Eq. 3)."""
RANGE = (2.5, 97.5)
"""Percentiles of the replicates' totals that bound the 95 % range."""


def stock_table(totals: MapTotals, zones: Sequence[str], depths: Sequence[str]) -> pd.DataFrame:
    """`stocks.csv`: one row per zone and depth, the whole region as zone `total`.

    The stock is area × mean density (Eq. 3). Its SD and 95 % range come from the replicates' totals, each summed over
    the zone first, so that the covariance between cells is in them; the spatial SD is the spread of the cells' means
    and no measure of the total's uncertainty.

    Returns
    -------
    DataFrame
        `zone, depth, area_km2, socd_mean, socd_spatial_sd` (kg C/m²), `stock_pg, stock_sd_pg, stock_lower_pg,
        stock_upper_pg` (Pg C).
    """
    rows = []
    for z, zone in enumerate((*zones, TOTAL)):
        area = totals.area[z]
        for d, depth in enumerate(depths):
            stocks = totals.replicate[:, d, z] * PG_PER_KM2
            mean = totals.mean[d, z] / area if area else np.nan
            variance = totals.square[d, z] / area - mean**2 if area else np.nan
            lower, upper = np.percentile(stocks, RANGE)
            rows.append(
                {
                    "zone": zone,
                    "depth": depth,
                    "area_km2": area,
                    "socd_mean": mean,
                    "socd_spatial_sd": np.sqrt(np.maximum(variance, 0)),
                    "stock_pg": totals.mean[d, z] * PG_PER_KM2,
                    "stock_sd_pg": stocks.std(ddof=1),
                    "stock_lower_pg": lower,
                    "stock_upper_pg": upper,
                }
            )
    return pd.DataFrame(rows)


def replicate_table(totals: MapTotals, zones: Sequence[str], depths: Sequence[str]) -> pd.DataFrame:
    """`replicate_totals.csv`: the stock of every zone, depth and replicate, Pg C."""
    names = (*zones, TOTAL)
    replicates, n_depths, n_zones = totals.replicate.shape
    index = pd.MultiIndex.from_product([range(replicates), depths, names], names=["replicate", "depth", "zone"])
    assert (n_depths, n_zones) == (len(depths), len(names))
    return pd.DataFrame({"stock_pg": totals.replicate.ravel() * PG_PER_KM2}, index=index).reset_index()
