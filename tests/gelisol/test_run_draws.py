"""Draws of a run's map: those that the ranges of its totals come from."""

from pathlib import Path

import numpy as np
import pytest
import small_run
from distributed import Client

import gelisol


@pytest.fixture(scope="module")
def run(whole: Path) -> gelisol.Run:
    return gelisol.open(whole / "out")


def whole_box(run: gelisol.Run) -> tuple[float, float, float, float]:
    box = run.maps.odc.geobox.extent.to_crs("EPSG:4326").boundingbox
    return box.left - 1, box.bottom - 1, box.right + 1, box.top + 1


def test_draws_of_the_whole_map_have_the_totals_of_the_stocks(run: gelisol.Run):
    draws = run.draws(whole_box(run), n=60)
    mapped = np.isfinite(run.maps["mean"].values)
    assert np.array_equal(np.isfinite(draws.values), np.broadcast_to(mapped, draws.shape))
    totals = draws.sum(["y", "x"]).values.astype(float) * 25e-6
    stocks = run.stocks.set_index(["zone", "depth"]).loc["total"]
    for place, depth in enumerate(small_run.DEPTHS):
        row = stocks.loc[depth]
        assert totals[:, place].std(ddof=1) == pytest.approx(row["stock_sd_pg"], rel=0.35)  # 60 against 500 draws
        assert abs(totals[:, place].mean() - row["stock_pg"]) < 4 * row["stock_sd_pg"] / np.sqrt(60)


def test_cells_differ_as_their_intervals_say(run: gelisol.Run):
    draws, maps = run.draws(whole_box(run), n=200), run.maps
    inside = (draws >= maps["cell_lower"].values) & (draws <= maps["cell_upper"].values)
    share = inside.values[:, np.isfinite(maps["mean"].values)].mean()
    assert 0.93 < share <= 1  # of 95 % intervals, in which the replicates' spread is not conditioned on the sites


def test_the_share_of_draws_above_a_value_is_the_map_of_its_probability(whole: Path, out: Path, threads: Client):
    wanted = {"model__thresholds": [2.5], "model__quantiles": [0.25, 0.9]}
    gelisol.run(whole / "run.yaml", threads, out=out, until="map", **wanted)
    run, n = gelisol.open(out), 200
    maps, draws = run.maps.load(), run.draws(whole_box(run), n)
    assert maps["probability_over_2_5"].attrs["units"] == "1" and maps["cell_q25"].attrs["units"] == "kg m-2"
    known = np.isfinite(maps["mean"].values)
    for name, below in (("cell_q25", 0.25), ("cell_q90", 0.9)):
        share = (draws < maps[name]).mean("draw").values[known]
        assert share.mean() == pytest.approx(below, abs=0.04), name  # the replicates' spread is not conditioned
    probability = maps["probability_over_2_5"].values[known]
    share = (draws > 2.5).mean("draw").values[known]
    assert np.ptp(probability) > 0.3
    chance = np.sqrt(np.maximum(probability * (1 - probability), 0.01) / n)
    assert np.abs(share - probability).max() < 0.06 + 5 * chance.max() and (share - probability).mean() < 0.03
    for name in ("probability_over_2_5", "cell_q25"):
        assert (out / "cog" / f"socd_0-30_{name}.tif").exists() and (out / "cog" / f"socd_0-30_{name}.qml").exists()


def test_a_part_is_the_same_as_in_the_whole_and_depends_on_no_number(run: gelisol.Run):
    draws = run.draws(whole_box(run), n=5)
    x, y = draws["x"].values, draws["y"].values
    corner = run.maps.odc.geobox[3:9, 4:12].extent.to_crs("EPSG:4326").boundingbox
    part = run.draws((corner.left, corner.bottom, corner.right, corner.top), n=3)
    assert 0 < part["x"].size < x.size and 0 < part["y"].size < y.size
    same = draws.sel(x=part["x"], y=part["y"]).isel(draw=slice(3))
    np.testing.assert_allclose(part.values, same.values, rtol=1e-4)


def test_draws_know_place_and_units(run: gelisol.Run):
    draws = run.draws(whole_box(run), n=2)
    assert draws.attrs["units"] == "kg m-2" and draws.odc.geobox.crs == run.maps.odc.geobox.crs
    assert draws["depth"].values.tolist() == list(small_run.DEPTHS)


@pytest.mark.parametrize(
    ("bbox", "n", "words"),
    [
        ((0, 0, 1, 1), 5, "bbox: no cell's centre lies in it; the grid reaches from lon"),
        ((120, 52, 121, 51), 5, "south below north"),
        ("here", 5, "bbox: expected west, south, east and north"),
        ((120, 50), 5, "bbox: expected west, south, east and north"),
        ((120.5, 50.5, 121.5, 51.5), 0, "n: expected a whole number from 1; found int 0"),
        ((120.5, 50.5, 121.5, 51.5), 10**9, "draws of .* take .* GB"),
    ],
)
def test_a_mistake_gets_a_sentence(run: gelisol.Run, bbox, n, words):
    with pytest.raises(gelisol.InputError, match=words):
        run.draws(bbox, n)


def test_without_a_joint_distribution_there_are_none(out: Path):
    (out / "error_model.npz").unlink()
    with pytest.raises(gelisol.InputError, match=r"has no error_model\.npz"):
        gelisol.open(out).draws((120.5, 50.5, 121.5, 51.5))
