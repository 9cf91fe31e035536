"""Sources of the uncertainty of totals, worked by hand and against the full double sum."""

import numpy as np
import pandas as pd
import pytest

from engine.grid.sphere import to_sphere
from engine.mapping.blockwise import MapTotals
from engine.mapping.map_sample import CellSample
from engine.statistics.variogram import Variogram, great_circle
from pipelines.soil_carbon.results.stock_uncertainty import (
    out_of_bag_residuals,
    residual_stock_sd,
    residual_variograms,
    stock_uncertainty,
)
from pipelines.soil_carbon.results.stocks import stock_table

NUGGET = Variogram("nugget", nugget=2.0, sill=0.0, range_km=0.0)


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


def test_residual_error_adds_in_squares():
    area, predicted = np.array([1e6, 1e6]), np.array([[4e6, 4e6], [6e6, 6e6]])
    coefficients = np.tile([0.0, 1], (2, 1, 1))
    sd = wide(stock_uncertainty(area, predicted, coefficients, ["bog"], ["0-10"], np.array([[1.0, 0.0]])))
    assert sd["bog", "0-10"].index.tolist() == ["model", "depth_regression", "replicates", "residual", "all"]
    assert sd["bog", "0-10", "all"] == pytest.approx(np.sqrt(2 + 1))
    assert sd["total", "0-10", "all"] == sd["total", "0-10", "replicates"]


def test_residuals_use_only_replicates_that_did_not_see_the_site():
    nan = np.nan
    observed = np.array([[5.0, 12], [6, nan], [7, 20]])
    out_of_bag = np.array([[4, nan, nan], [6, 5, nan]])
    coefficients = np.array([[[0, 1], [1, 2]], [[0, 1], [3, 3.0]]])
    # Site 0: mean of 4 and 6; of 1 + 2 · 4 = 9 and 3 + 3 · 6 = 21. Site 2 was in every bag.
    expected = [[0, -3], [1, nan], [nan, nan]]
    assert out_of_bag_residuals(observed, out_of_bag, coefficients) == pytest.approx(np.array(expected), nan_ok=True)


def grid_of_cells(side, step_degrees=0.09):
    lon, lat = (
        v.ravel() for v in np.meshgrid(120 + step_degrees * np.arange(side), 50 + step_degrees * np.arange(side))
    )
    zone = np.where(lon < lon.mean(), 1, 2).astype("uint8")
    zone[lat == lat.max()] = 0
    return lon, lat, zone


def full_double_sum(lon, lat, area, variogram):
    place = to_sphere(lon, lat)
    covariance = variogram.structured(great_circle(place[:, None], place[None]))
    return np.sqrt(area @ covariance @ area) * 1e-6


@pytest.mark.parametrize("variogram", [Variogram("exponential", 3, 2, 60), Variogram("spherical", 0, 1.5, 25)])
def test_as_the_full_double_sum(variogram):
    lon, lat, zone = grid_of_cells(24)
    area = 50 + 10 * np.cos(np.radians(7 * lat))
    cells = CellSample(lon, lat, area, zone, np.zeros((1, len(lon)), "float32"), len(lon))
    own = [zone == 1, zone == 2, np.ones(len(lon), bool)]
    areas, counts = np.array([area[o].sum() for o in own]), np.array([o.sum() for o in own])
    found = residual_stock_sd([variogram], cells, areas, counts, np.random.default_rng(0))
    expected = [full_double_sum(lon[o], lat[o], area[o], variogram) for o in own]
    assert found[0] == pytest.approx(expected, rel=0.01)
    # A sample of the cells does, too, and the result is repeatable.
    some = np.sort(np.random.default_rng(1).choice(len(lon), 300, replace=False))
    part = CellSample(lon[some], lat[some], area[some], zone[some], cells.values[:, some], len(lon))
    sampled, again = (residual_stock_sd([variogram], part, areas, counts, np.random.default_rng(0)) for _ in range(2))
    assert sampled[0] == pytest.approx(expected, rel=0.06)
    assert (sampled == again).all()


def test_single_cells_and_what_cannot_be_told():
    cells = CellSample(
        np.array([120.0, 121, 122]),
        np.full(3, 50.0),
        np.full(3, 100.0),
        np.array([1, 2, 2], "uint8"),
        np.zeros((1, 3)),
        9,
    )
    variogram = Variogram("spherical", nugget=1, sill=4, range_km=1e5)
    # Zone 1 has one cell and it was drawn; of zone 3 none of five were; zone 4 has none at all.
    count, area = np.array([1, 3, 5, 0, 9]), np.array([100.0, 300, 500, 0, 900])
    found = residual_stock_sd([variogram, NUGGET], cells, area, count, np.random.default_rng(0))
    assert found[0, 0] == pytest.approx(100 * 2 * 1e-6)
    # A range beyond all distances: fully correlated.
    assert found[0, 1] == pytest.approx(300 * 2 * 1e-6, rel=0.01)
    assert found[0, 2] == pytest.approx(500 * 2 * 1e-6)  # so does what cannot be told
    assert found[0, 3] == 0
    assert (found[1] == 0).all()


def test_a_pure_nugget_leaves_no_residual_error():
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(118, 129, 90), rng.uniform(48, 53, 90)
    residuals = rng.normal(0, 1, (90, 2))
    residuals[40:, 1] = np.nan
    variograms = residual_variograms(lon, lat, residuals, rng)
    assert [variogram.model for variogram in variograms] == ["nugget", "nugget"]
    assert [variogram.nugget for variogram in variograms] == pytest.approx([1, 1], abs=0.35)
    cells = CellSample(lon, lat, np.ones(90), np.ones(90, "uint8"), np.zeros((1, 90)), 90)
    assert not residual_stock_sd(variograms, cells, np.array([90.0, 90]), np.array([90, 90]), rng).any()
