"""Tests between zones on all cells, and on cells thinned beyond the range of spatial correlation."""

import numpy as np
import pandas as pd
import pytest
from scikit_posthocs import posthoc_dunn
from scipy.stats import kruskal

from engine.mapping.map_sample import CellSample
from pipelines.soil_carbon.results.zone_tests import letters, zone_differences

ZONES = ["bog", "forest", "steppe"]
DEPTHS = ["0-10", "0-30"]


def smooth(lon, lat, rng, km=250):
    """A field that is correlated over some tens of km: a sum of plane waves."""
    k = rng.normal(0, 2 * np.pi / km, (80, 2))
    phase = rng.uniform(0, 2 * np.pi, 80)
    waves = np.cos(111 * lat[:, None] * k[:, 0] + 70 * lon[:, None] * k[:, 1] + phase)
    return waves.sum(axis=1) / np.sqrt(40)


def landscape(effects, n=6000, seed=0, field=smooth):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(118, 129, n), rng.uniform(48, 53, n)
    zone = (1 + (lon * 0.9 + lat * 0.7).astype(int) % 3).astype("uint8")
    topsoil = 4 + np.array([0, *effects])[zone] + field(lon, lat, rng)
    values = np.stack([topsoil, 1 + 2 * topsoil]).astype("float32")
    return CellSample(lon, lat, np.ones(n), zone, values, n)


@pytest.fixture(scope="module")
def tested():
    cells = landscape([1.5, 0.0, 0.05])
    return cells, zone_differences(cells, ZONES, DEPTHS, np.random.default_rng(1))


def rows(tests, depth, cells):
    table = tests.table
    return table[(table["depth"] == depth) & (table["cells"] == cells)]


def test_all_cells_are_tested_as_by_scipy_and_scikit_posthocs(tested):
    cells, tests = tested
    overall, *pairs = rows(tests, "0-30", "all").to_dict("records")
    values = cells.values[1].astype("float64")
    expected = kruskal(*(values[cells.zone == z] for z in (1, 2, 3)))
    assert (overall["zone_a"], overall["zone_b"], overall["n_a"], overall["n_b"]) == ("*", "*", 6000, 3)
    assert (overall["statistic"], overall["p"]) == pytest.approx(tuple(expected))
    frame = pd.DataFrame({"v": values, "g": np.array(ZONES)[cells.zone - 1]})
    dunn = posthoc_dunn(frame, val_col="v", group_col="g", p_adjust="holm")
    assert len(pairs) == 3
    for pair in pairs:
        assert pair["p_adjusted"] == pytest.approx(dunn.loc[pair["zone_a"], pair["zone_b"]], rel=1e-6)
        assert pair["n_a"] == (frame["g"] == pair["zone_a"]).sum()
        assert pair["apart_km"] == 0


def test_thinning_takes_away_what_neighbours_only_repeat(tested):
    _, tests = tested
    everywhere, thinned = (rows(tests, "0-10", kind).set_index(["zone_a", "zone_b"]) for kind in ("all", "thinned"))
    assert 30 < thinned["apart_km"].iloc[0] < 150
    # Zones of the same density differ "significantly" only as long as cells count that tell the same.
    assert everywhere.loc[("forest", "steppe"), "p_adjusted"] < 0.05
    assert thinned.loc[("forest", "steppe"), "p_adjusted"] > 0.05
    assert thinned.loc[("bog", "steppe"), "p_adjusted"] < 0.05
    assert 0 < thinned.loc[("bog", "steppe"), "z"] < everywhere.loc[("bog", "steppe"), "z"] / 3
    assert thinned["n_a"].iloc[0] < 300
    assert letters(tests.table, "0-10", "thinned") == {"bog": "a", "forest": "b", "steppe": "b"}
    assert set(letters(tests.table, "0-10", "all").values()) == {"a", "b", "c"}
    assert any("km apart" in note and "49 times" in note for note in map(str, tests.notes))


def test_depths_that_follow_from_one_another_are_judged_alike(tested):
    _, tests = tested
    shallow, deep = (rows(tests, depth, "thinned").drop(columns="depth").reset_index(drop=True) for depth in DEPTHS)
    pd.testing.assert_frame_equal(shallow, deep)


def test_under_the_null_hypothesis_thinned_cells_seldom_differ():
    alarms = {"all": 0, "thinned": 0}
    for seed in range(12):
        cells = landscape([0, 0, 0], n=2500, seed=seed)
        table = zone_differences(cells, ZONES, DEPTHS, np.random.default_rng(seed)).table
        for kind in alarms:
            overall = table[(table["cells"] == kind) & (table["zone_a"] == "*") & (table["depth"] == "0-10")]
            alarms[kind] += int((overall["p"] < 0.05).sum())
    assert alarms["thinned"] <= 1
    assert alarms["all"] >= 4


def test_without_spatial_correlation_all_cells_are_far_enough_apart():
    cells = landscape([0.2, 0, 0], n=1500, field=lambda lon, lat, rng: rng.normal(size=len(lon)))
    tests = zone_differences(cells, ZONES, DEPTHS, np.random.default_rng(0))
    everywhere, thinned = (
        rows(tests, "0-10", kind).drop(columns="cells").reset_index(drop=True) for kind in ("all", "thinned")
    )
    pd.testing.assert_frame_equal(everywhere, thinned)
    assert any("no spatial correlation" in note for note in map(str, tests.notes))


def test_zones_with_too_few_cells_are_named_and_left_out():
    cells = landscape([1, 0, 0], n=1200)
    zone = cells.zone.copy()
    zone[np.flatnonzero(zone == 3)[1:]] = 2
    cells = CellSample(cells.lon, cells.lat, cells.area_km2, zone, cells.values, 50_000)
    tests = zone_differences(cells, [*ZONES, "desert"], DEPTHS, np.random.default_rng(0))
    assert set(tests.table["zone_a"]) == {"*", "bog"}
    assert set(tests.table.loc[tests.table["zone_a"] == "*", "n_b"]) == {2}
    text = "\n".join(map(str, tests.notes))
    assert "all cells: steppe has one cell and is left out" in text
    assert "all cells: desert has no cell and is left out" in text
    assert "1,200 cells were drawn at random from 50,000" in text


def test_nothing_to_test_is_said():
    rng = np.random.default_rng(0)
    cells = landscape([0, 0, 0], n=100)
    none = zone_differences(cells, ["bog"], DEPTHS, rng)
    assert none.table.empty and "Fewer than two zones" in str(none.notes[0])
    assert letters(none.table, "0-10", "all") == {}
    same = CellSample(cells.lon, cells.lat, cells.area_km2, cells.zone, np.ones((2, 100), "float32"), 100)
    flat = zone_differences(same, ZONES, DEPTHS, rng)
    assert flat.table.empty and any("the same density in every cell" in note for note in map(str, flat.notes))
    alone = CellSample(cells.lon, cells.lat, cells.area_km2, np.ones(100, "uint8"), cells.values, 100)
    only = zone_differences(alone, ZONES, DEPTHS, rng)
    assert only.table.empty and any("fewer than two zones are left" in note for note in map(str, only.notes))
