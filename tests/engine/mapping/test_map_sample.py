"""Cells drawn from a map, and points thinned to a distance."""

import numpy as np
import pytest
from odc.geo import Geometry
from odc.geo.geobox import GeoBox

from engine.grid.grid import Grid
from engine.grid.sphere import to_sphere
from engine.mapping.map_sample import draw_cells, thin
from engine.statistics.variogram import great_circle
from engine.storage.zarr_store import Layer, array, create

HEIGHT, WIDTH = 37, 50


def stores(folder, chunk):
    """A map of two outputs whose values tell row and column, and zones 1 and 2, with holes."""
    geobox = GeoBox.from_bbox((0, 0, WIDTH * 1e4, HEIGHT * 1e4), "EPSG:6931", resolution=1e4)
    grid = Grid(geobox, chunk, Geometry(geobox.extent.geom, geobox.crs))
    row, col = np.mgrid[:HEIGHT, :WIDTH]
    mean = np.stack([1000.0 * row + col, 2 * (1000.0 * row + col)]).astype("float32")
    mean[:, (row + col) % 3 == 0] = np.nan
    depth = {"depth": ("depth", np.array(["0-10", "0-30"]))}
    create(folder / "maps.zarr", grid, {"mean": Layer("float32", {}, ("depth",))}, depth, {})
    create(folder / "cube.zarr", grid, {"zone": Layer("uint8", {})}, {}, {})
    array(folder / "maps.zarr", "mean", "r+")[:] = mean
    array(folder / "cube.zarr", "zone", "r+")[:] = 1 + (col > 20).astype("uint8")
    return grid, folder / "maps.zarr", folder / "cube.zarr"


def draw(folder, chunk, most, seed=1, zones="zone"):
    grid, maps, cube = stores(folder, chunk)
    return draw_cells(grid, maps, "mean", cube, zones, most, np.random.default_rng(seed))


def test_a_small_map_comes_whole(tmp_path):
    cells = draw(tmp_path, 16, 10_000)
    row, col = np.divmod(cells.values[0], 1000)
    assert cells.is_whole
    assert len(cells.lon) == np.count_nonzero(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 3)
    assert (cells.zone == 1 + (col > 20)).all()
    assert (cells.values[1] == 2 * cells.values[0]).all()
    assert (np.diff(row * WIDTH + col) > 0).all()
    assert cells.area_km2 == pytest.approx(100)
    # Centre of the first mapped cell: half a cell east of column 1, half a cell below the top.
    geobox = stores(tmp_path / "again", 16)[0].geobox
    x, y = geobox.pix2wld(1.5, 0.5)
    lon, lat = (v for v in geobox.crs.transformer_to_crs("EPSG:4326")(np.array([x]), np.array([y])))
    assert (cells.lon[0], cells.lat[0]) == pytest.approx((lon[0], lat[0]))


def test_the_same_cells_whatever_the_chunks(tmp_path):
    a, b = (draw(tmp_path / str(chunk), chunk, 200) for chunk in (8, 23))
    other = draw(tmp_path / "8", 8, 200, seed=2)
    assert not a.is_whole and len(a.lon) == 200
    for name in ("lon", "lat", "zone", "values", "area_km2"):
        assert (getattr(a, name) == getattr(b, name)).all()
    assert not (a.values == other.values).all()


def test_every_cell_has_the_same_chance(tmp_path):
    grid, maps, cube = stores(tmp_path, 8)
    rng = np.random.default_rng(0)
    hits = np.zeros((HEIGHT, WIDTH))
    for _ in range(60):
        row, col = np.divmod(draw_cells(grid, maps, "mean", cube, None, 300, rng).values[0].astype(int), 1000)
        hits[row, col] += 1
    mapped = hits[np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 3 > 0]
    share = 60 * 300 / mapped.size
    assert mapped.mean() == share
    # Binomial, and the same in the upper and the lower half of the grid.
    assert mapped.var() == pytest.approx(share * (1 - share / 60), rel=0.15)
    assert hits[:18].sum() / hits.sum() == pytest.approx(18 / 37, abs=0.02)


def test_without_zones_all_codes_are_zero(tmp_path):
    assert not draw(tmp_path, 16, 50, zones=None).zone.any()


@pytest.mark.parametrize("apart", [15.0, 120.0])
def test_thinned_points_are_apart_and_leave_no_gap(apart):
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(170, 190, 1500) % 360, rng.uniform(60, 70, 1500)
    lon = np.where(lon > 180, lon - 360, lon)
    rows = thin(lon, lat, apart, rng)
    place = to_sphere(lon, lat)
    distance = great_circle(place[:, None], place[rows][None])
    assert distance[rows][~np.eye(len(rows), dtype=bool)].min() > apart
    assert distance.min(axis=1).max() <= apart
    assert (np.diff(rows) > 0).all()


def test_no_distance_keeps_all():
    assert thin(np.zeros(5), np.zeros(5), 0, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]
    assert thin(np.zeros(5), np.zeros(5), 1, np.random.default_rng(0)).size == 1
    assert thin(np.empty(0), np.empty(0), 1, np.random.default_rng(0)).size == 0
