"""Carbon stocks of zones and of the region, and how sure their totals are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.mapping.blockwise import MapTotals
from pipelines.runfile.schema import TOTAL
from pipelines.soil_carbon.results.joint_totals import JointTotals

PG_PER_KM2 = 1e-6
"""Pg C in 1 km² that holds 1 kg C/m² (Eq. 3)."""
RANGE = (2.5, 97.5)
"""Percentiles of the replicates' totals that bound the 95 % range."""
NORMAL_95 = 1.96
"""SDs of a normal error on either side that hold 95 % of it."""


def stock_table(
    totals: MapTotals, zones: Sequence[str], depths: Sequence[str], joint: JointTotals | None = None
) -> pd.DataFrame:
    """Return `stocks.csv`: one row per zone and depth, the whole region as zone `total`.

    The stock is area × mean density (Eq. 3). Under the joint distribution of the map's errors, density is the cells'
    expected one (`cell_mean`), and SD and 95 % range are those of its draws. Without it, as in the study, density is
    the mean of the replicates, and SD and range are those of the replicates' totals, each summed over the zone first,
    so that the covariance between cells is in them. The spatial SD is the spread of the cells and no measure of the
    total's uncertainty.

    Parameters
    ----------
    joint : JointTotals, optional
        Totals under the joint distribution; without them the range is that of the replicates.

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
            total, square = totals.mean[d, z], totals.square[d, z]
            lower, upper = np.percentile(stocks, RANGE)
            sd = stocks.std(ddof=1)
            if joint is not None:
                total, square = joint.expected[d, z], joint.square[d, z]
                sd = joint.sd[d, z] * PG_PER_KM2
                far, stock = NORMAL_95 * sd, total * PG_PER_KM2
                lower, upper = max(stock - far, min(lower, 0.0)), stock + far
            mean = total / area if area else np.nan
            variance = square / area - mean**2 if area else np.nan
            rows.append(
                {
                    "zone": zone,
                    "depth": depth,
                    "area_km2": area,
                    "socd_mean": mean,
                    "socd_spatial_sd": np.sqrt(np.maximum(variance, 0)),
                    "stock_pg": total * PG_PER_KM2,
                    "stock_sd_pg": sd,
                    "stock_lower_pg": lower,
                    "stock_upper_pg": upper,
                }
            )
    return pd.DataFrame(rows)


def replicate_table(totals: MapTotals, zones: Sequence[str], depths: Sequence[str]) -> pd.DataFrame:
    """Return `replicate_totals.csv`: the stock of every zone, depth and replicate, Pg C."""
    names = (*zones, TOTAL)
    replicates, n_depths, n_zones = totals.replicate.shape
    index = pd.MultiIndex.from_product([range(replicates), depths, names], names=["replicate", "depth", "zone"])
    assert (n_depths, n_zones) == (len(depths), len(names))
    return pd.DataFrame({"stock_pg": totals.replicate.ravel() * PG_PER_KM2}, index=index).reset_index()
