"""Where a domain lies: every cell of it is in the box, and the box is no larger than its cells ask for."""

import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from odc.geo.xr import xr_coords

from engine.export.extent import Extent, extent_of, extent_of_cells
from engine.grid.grid import Grid

POLAR, NORTH_EAST = "EPSG:6931", "+proj=laea +lat_0=51 +lon_0=121.5 +datum=WGS84 +units=m"
PACIFIC = "+proj=laea +lat_0=65 +lon_0=170 +datum=WGS84 +units=m"


def of_bounds(bounds: tuple, crs: str, resolution: float) -> Extent:
    grid = Grid.from_outline(box(*bounds, "EPSG:4326"), crs, resolution, 4096)
    inside = np.zeros(grid.shape, bool)
    for block in grid.blocks():
        inside[block.roi] = grid.inside(block)
    found = extent_of_cells(grid.geobox, inside)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bounds", "crs", "resolution"),
    [
        ((-180, 50, 180, 90), POLAR, 25_000),  # the pole inside: the corners of the square grid are at 28° N
        ((-180, 50, 180, 88), POLAR, 10_000),  # a ring around it
        ((0, 50, 180, 90), POLAR, 10_000),  # the pole on the edge
        ((-180, 50, 0, 90), POLAR, 10_000),
        ((117, 47, 130, 54), NORTH_EAST, 2000),
        ((160, 60, 180, 70), PACIFIC, 10_000),  # up to the antimeridian, no further
        ((-180, 60, -160, 70), PACIFIC, 10_000),
        ((-180, -90, 180, -60), "EPSG:6932", 25_000),
        ((-180, -90, 180, 90), "EPSG:6933", 50_000),
    ],
)
def test_a_box_of_degrees_comes_back(bounds, crs, resolution):
    extent = of_bounds(bounds, crs, resolution)
    degrees = 1.5 * resolution / 111_000
    west, south, east, north = extent.bbox
    assert (south, north) == pytest.approx((bounds[1], bounds[3]), abs=degrees)
    assert (west, east) == pytest.approx((bounds[0], bounds[2]), abs=degrees / np.cos(np.radians(70)))
    assert extent.outline.is_valid
    assert extent.outline.bounds == pytest.approx(extent.bbox, abs=1e-5)
    # The outline is where the domain is: points of the sphere by another road.
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    wanted = (lon > bounds[0]) & (lon < bounds[2]) & (lat > bounds[1]) & (lat < bounds[3])
    assert (shapely.contains_xy(extent.outline, lon, lat) == wanted).mean() > 0.98


def test_across_the_antimeridian():
    geobox = GeoBox.from_bbox((-1e6, -5e5, 1e6, 5e5), crs=PACIFIC.replace("170", "180"), resolution=20_000)
    extent = extent_of_cells(geobox, np.ones(geobox.shape.yx, bool))
    assert extent is not None
    west, _, east, _ = extent.bbox
    assert 150 < west < 170 and -170 < east < -150
    assert extent.outline.geom_type == "MultiPolygon"
    assert shapely.contains_xy(extent.outline, [179.9, -179.9, 0], [65, 65, 65]).tolist() == [True, True, False]


@settings(max_examples=40, deadline=None)
@example(seed=10_000, crs=POLAR, share=0.002)  # a cell beside the pole
@given(
    seed=st.integers(0, 10_000),
    crs=st.sampled_from([POLAR, NORTH_EAST, PACIFIC, "EPSG:6933"]),
    share=st.sampled_from([0.002, 0.05, 0.6]),
)
def test_every_cell_lies_in_the_box(seed, crs, share):
    rng = np.random.default_rng(seed)
    geobox = GeoBox.from_bbox((-2e6, -2e6, 2e6, 2e6), crs=crs, resolution=100_000)
    inside = rng.random(geobox.shape.yx) < share
    extent = extent_of_cells(geobox, inside)
    if extent is None:
        assert not inside.any()
        return
    rows, cols = np.nonzero(inside)
    x, y = geobox.affine @ (cols + rng.random(cols.size), rows + rng.random(rows.size))
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    west, south, east, north = extent.bbox
    assert ((lat > south - 1e-2) & (lat < north + 1e-2)).all()
    across = (lon >= west - 1e-6) | (lon <= east + 1e-6) if west > east else (lon >= west - 1e-6) & (lon <= east + 1e-6)
    sliver = np.minimum(np.abs(lon - 180), np.abs(lon + 180)) < 8  # a cell's rest beyond the antimeridian
    assert (across | sliver).all()
    assert extent.outline.is_valid


def test_a_large_mask_is_read_in_squares():
    geobox = GeoBox.from_bbox((0, 0, 4e5, 4e5), crs=NORTH_EAST, resolution=1000)
    inside = np.zeros(geobox.shape.yx, "uint8")
    inside[120:131, 200:300] = 1
    layer = xr.DataArray(inside, dims=("y", "x"), coords=xr_coords(geobox))
    fine, coarse = extent_of(layer, side=400), extent_of(layer, side=57)
    assert fine is not None and coarse is not None
    assert coarse.bbox == pytest.approx(fine.bbox, abs=0.15)
    assert extent_of(layer * 0) is None
