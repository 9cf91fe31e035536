"""Draws of a run's map: those that the ranges of its totals come from."""

from pathlib import Path

import numpy as np
import pytest
import small_run

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
