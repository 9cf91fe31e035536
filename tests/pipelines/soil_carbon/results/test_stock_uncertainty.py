"""Sources of the uncertainty of totals, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from engine.mapping.blockwise import MapTotals
from pipelines.soil_carbon.results.joint_totals import JointTotals
from pipelines.soil_carbon.results.stock_uncertainty import (
    residual_variograms,
    stock_uncertainty,
)
from pipelines.soil_carbon.results.stocks import stock_table


def wide(table):
    return table.set_index(["zone", "depth", "source"])["sd_pg"]


def test_worked_by_hand():
    # One zone of 1 000 000 km² that is the whole region; two replicates predict 4 and 6 kg C/m² on average.
    area, predicted = np.array([1e6, 1e6]), np.array([[4e6, 4e6], [6e6, 6e6]])
    # 0–30 = 1 + 2 x in the first replicate, 3 + 3 x in the second.
    coefficients = np.array([[[0, 1], [1, 2]], [[0, 1], [3, 3.0]]])
    sd = wide(stock_uncertainty(area, predicted, coefficients, ["bog"], ["0-10", "0-30"]))
    two = np.sqrt(2)  # SD of a and b is |a − b| / √2
    assert sd["bog", "0-10"].to_dict() == pytest.approx(
        {"model": 2 / two, "depth_regression": 0, "replicates": 2 / two}
    )
    # Mean line 2 + 2.5 x: 12 and 17 Pg. At the mean of 5: 11 and 18 Pg. Both: 9 and 21 Pg.
    assert sd["bog", "0-30"].to_dict() == pytest.approx(
        {"model": 5 / two, "depth_regression": 7 / two, "replicates": 12 / two}
    )
    assert sd["total"].equals(sd["bog"])
    assert sd["bog", "0-10", "depth_regression"] == 0


def test_replicates_are_those_of_the_stock_table():
    rng = np.random.default_rng(0)
    area = np.array([3e4, 5e4, 8e4])
    predicted = rng.normal(4, 0.3, (20, 2)) * area[:2]
    predicted = np.column_stack([predicted, predicted.sum(axis=1)])
    coefficients = np.stack([np.tile([0.0, 1], (20, 1)), rng.normal([1, 2], 0.2, (20, 2))], axis=1)
    replicate = coefficients[..., 0][:, :, None] * area + coefficients[..., 1][:, :, None] * predicted[:, None]
    mean = replicate.mean(axis=0)
    totals = MapTotals(area.astype(int), area, predicted, replicate, mean, mean**2)
    zones, depths = ["bog", "heath"], ["0-10", "0-30"]
    sources = wide(stock_uncertainty(area, predicted, coefficients, zones, depths)).xs("replicates", level="source")
    stocks = stock_table(totals, zones, depths).set_index(["zone", "depth"])["stock_sd_pg"]
    pd.testing.assert_series_equal(sources, stocks, check_names=False)


def test_a_joint_distribution_adds_its_sources():
    area, predicted = np.array([1e6, 1e6]), np.array([[4e6, 4e6], [6e6, 6e6]])
    coefficients = np.tile([0.0, 1], (2, 1, 1))
    sums = np.array([[1e6, 2e6]])
    joint = JointTotals(expected=sums, square=sums, sd=3 * sums, residual_sd=sums)
    sd = wide(stock_uncertainty(area, predicted, coefficients, ["bog"], ["0-10"], joint))
    assert sd["bog", "0-10"].index.tolist() == ["model", "depth_regression", "replicates", "residual", "all"]
    assert (sd["bog", "0-10", "residual"], sd["total", "0-10", "all"]) == pytest.approx((1, 6))


def test_independent_residuals_are_a_pure_nugget():
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(118, 129, 90), rng.uniform(48, 53, 90)
    residuals = rng.normal(0, 1, (90, 2))
    residuals[40:, 1] = np.nan
    variograms = residual_variograms(lon, lat, residuals, rng)
    assert [variogram.model for variogram in variograms] == ["nugget", "nugget"]
    assert [variogram.nugget for variogram in variograms] == pytest.approx([1, 1], abs=0.35)
