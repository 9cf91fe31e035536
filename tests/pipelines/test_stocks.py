"""Stocks of zones and region: Eq. 3 on hand-worked numbers and on the small run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_run

from engine.mapping.blockwise import MapTotals
from engine.storage.zarr_store import open_dataset
from pipelines.soil_carbon.results.joint_totals import JointTotals
from pipelines.soil_carbon.results.stocks import replicate_table, stock_table

CELL_KM2 = 25.0


@pytest.fixture
def totals() -> MapTotals:
    """Two zones. First: 100 km² of 4 and 200 km² of 7 kg/m². Second: 300 km² of 10. Three replicates, one depth."""
    return map_totals(
        area=[300, 300, 600],
        replicate=[[[1700, 2900, 4600]], [[1800, 3000, 4800]], [[1900, 3100, 5000]]],
        mean=[[1800, 3000, 4800]],
        square=[[100 * 16 + 200 * 49, 300 * 100, 100 * 16 + 200 * 49 + 300 * 100]],
    )


def map_totals(**sums: Any) -> MapTotals:
    """Totals of maps of one depth, of cells of 100 km²."""
    arrays = {name: np.asarray(values, "float64") for name, values in sums.items()}
    return MapTotals(cells=(arrays["area"] / 100).astype(int), predicted=arrays["replicate"][:, 0], **arrays)


def test_hand_worked_stocks(totals: MapTotals):
    table = stock_table(totals, ["wet", "dry"], ["0-30"]).set_index("zone")
    assert list(table.index) == ["wet", "dry", "total"]
    wet = table.loc["wet"]
    assert wet["area_km2"] == 300
    assert wet["socd_mean"] == 6  # (100 · 4 + 200 · 7) / 300
    assert wet["socd_spatial_sd"] == pytest.approx(np.sqrt(2))  # (100 · 2² + 200 · 1²) / 300 = 2
    assert wet["stock_pg"] == pytest.approx(1800e-6)  # Eq. 3
    assert wet["stock_sd_pg"] == pytest.approx(100e-6)  # 1700, 1800, 1900
    assert wet["stock_lower_pg"] == pytest.approx(1705e-6)
    assert wet["stock_upper_pg"] == pytest.approx(1895e-6)
    assert table.loc["dry", "socd_spatial_sd"] == pytest.approx(0, abs=1e-6)


def test_spread_of_the_total_has_the_covariance_in_it(totals: MapTotals):
    """Replicates err alike in both zones: their spreads add up, not their variances."""
    table = stock_table(totals, ["wet", "dry"], ["0-30"]).set_index("zone")
    assert table.loc["total", "stock_sd_pg"] == pytest.approx(200e-6)
    assert table.loc["total", "socd_mean"] == pytest.approx(8)


def test_zone_without_a_cell_has_no_density():
    empty = map_totals(area=[0], replicate=[[[0]], [[0]]], mean=[[0]], square=[[0]])
    row = stock_table(empty, [], ["0-30"]).iloc[0]
    assert row["stock_pg"] == 0
    assert np.isnan(row["socd_mean"])


def test_replicate_table_is_long(totals: MapTotals):
    table = replicate_table(totals, ["wet", "dry"], ["0-30"])
    assert list(table.columns) == ["replicate", "depth", "zone", "stock_pg"]
    assert len(table) == 9
    last = table[(table["replicate"] == 2) & (table["zone"] == "total")]
    assert last["stock_pg"].item() == pytest.approx(5000e-6)


@pytest.fixture
def stocks(finished: Path) -> pd.DataFrame:
    return pd.read_csv(finished / "stocks.csv").set_index(["zone", "depth"])


def test_small_run_has_every_zone_and_depth(stocks: pd.DataFrame):
    assert set(stocks.index) == {(z, d) for z in (*small_run.ZONES, "total") for d in small_run.DEPTHS}


def test_stocks_are_the_sum_of_the_mapped_cells(finished: Path, stocks: pd.DataFrame):
    """Eq. 3 anew, from map and cube."""
    maps, cube = open_dataset(finished / "maps.zarr"), open_dataset(finished / "cube.zarr")
    zone = cube["vegetation"].values
    for d, depth in enumerate(small_run.DEPTHS):
        density = maps["cell_mean"].values[d].astype("float64")
        for code, name in enumerate(small_run.ZONES, start=1):
            cells = density[(zone == code) & np.isfinite(density)]
            row = stocks.loc[name, depth]
            assert row["area_km2"] == pytest.approx(cells.size * CELL_KM2)
            assert row["stock_pg"] == pytest.approx(cells.sum() * CELL_KM2 * 1e-6, rel=1e-6)
            assert row["socd_spatial_sd"] == pytest.approx(cells.std(), rel=1e-4)
        everywhere = density[np.isfinite(density)]
        assert stocks.loc["total", depth]["stock_pg"] == pytest.approx(everywhere.sum() * CELL_KM2 * 1e-6, rel=1e-6)


def test_zones_add_up_and_depths_nest(stocks: pd.DataFrame):
    for depth in small_run.DEPTHS:
        zones = stocks.loc[list(small_run.ZONES)].xs(depth, level="depth")
        assert stocks.loc["total", depth]["stock_pg"] == pytest.approx(zones["stock_pg"].sum(), rel=1e-9)
    shallow, deep = (stocks.xs(d, level="depth")["stock_pg"] for d in small_run.DEPTHS)
    assert (deep > shallow).all()


def test_range_of_the_total_holds_the_stock(stocks: pd.DataFrame):
    assert (stocks["stock_lower_pg"] < stocks["stock_pg"]).all()
    assert (stocks["stock_pg"] < stocks["stock_upper_pg"]).all()


def test_spread_of_stocks_is_that_of_the_replicates(finished: Path, stocks: pd.DataFrame):
    replicates = pd.read_csv(finished / "replicate_totals.csv")
    assert replicates["replicate"].nunique() == 8
    spread = replicates.groupby(["zone", "depth"])["stock_pg"].std().sort_index()
    parts = pd.read_csv(finished / "stock_uncertainty.csv").pivot(index=["zone", "depth"], columns="source")["sd_pg"]
    pd.testing.assert_series_equal(spread, parts["replicates"].sort_index(), check_names=False, rtol=1e-9)
    joint = parts["all"].sort_index()
    pd.testing.assert_series_equal(joint, stocks["stock_sd_pg"].sort_index(), check_names=False, rtol=1e-9)


def test_a_joint_distribution_gives_stock_and_range(totals: MapTotals):
    """Zone `wet`: 2100 expected with an SD of 50, so that the range is 2100 ± 98; no range reaches below 0."""
    joint = JointTotals(
        expected=np.array([[2100.0, 30, 2130]]), square=np.array([[15_000.0, 9, 15_009]]),
        sd=np.array([[50.0, 40, 60]]), residual_sd=np.array([[40.0, 30, 50]]),
    )  # fmt: skip
    table = stock_table(totals, ["wet", "dry"], ["0-30"], joint).set_index("zone")
    wet = table.loc["wet"]
    assert (wet["stock_pg"], wet["socd_mean"], wet["stock_sd_pg"]) == pytest.approx((2100e-6, 7, 50e-6))
    assert (wet["stock_lower_pg"], wet["stock_upper_pg"]) == pytest.approx((2002e-6, 2198e-6))
    assert wet["socd_spatial_sd"] == pytest.approx(1)  # √(15 000 / 300 − 7²)
    assert table.loc["dry", "stock_lower_pg"] == 0


def test_map_is_missing_outside_and_where_a_covariate_is(finished: Path):
    maps, cube = open_dataset(finished / "maps.zarr"), open_dataset(finished / "cube.zarr")
    mapped = np.isfinite(maps["mean"].values).all(axis=0)
    domain, vegetation = cube["domain"].values == 1, cube["vegetation"].values
    assert not mapped[0, 0] and not domain[0, 0]  # a corner that the octagon cuts off
    lake = domain & (vegetation == 0)
    assert lake.sum() > 5
    assert not mapped[lake].any()
    np.testing.assert_array_equal(mapped, domain & (vegetation > 0))
