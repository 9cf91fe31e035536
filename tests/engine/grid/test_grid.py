"""The target grid: cells inside the outline, blocks, true areas."""

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odc.geo import Geometry
from odc.geo.geom import box, polygon
from rasters import LAEA, centres

from engine.errors import InputError
from engine.grid.grid import Grid

WGS84 = pyproj.Geod(ellps="WGS84")
TRIANGLE = polygon([(118, 48), (128, 49), (122, 53), (118, 48)], "EPSG:4326")


def inside(grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, bool)
    for block in grid.blocks():
        mask[block.roi] = grid.inside(block)
    return mask


def areas(grid: Grid) -> np.ndarray:
    km2 = np.full(grid.shape, np.nan)
    for block in grid.blocks():
        km2[block.roi] = grid.cell_areas(block)
    return km2


def rechunked(grid: Grid, chunk: int) -> Grid:
    return Grid(grid.geobox, chunk, grid.outline)


def cap_area(south: float) -> float:
    """Area of the ellipsoid north of a parallel, km² (the closed form behind the authalic latitude)."""
    e = np.sqrt(WGS84.es)

    def q(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        return (1 - e**2) * (s / (1 - (e * s) ** 2) - np.log((1 - e * s) / (1 + e * s)) / (2 * e))

    return np.pi * WGS84.a**2 * (q(90) - q(south)) / 1e6


def geodesic_area(grid: Grid, row: int, col: int) -> float:
    """Area of one cell as a polygon with 100 points a side, km²."""
    side = np.arange(100) / 100
    x = np.concatenate([col + 0 * side, col + side, col + 1 + 0 * side, col + 1 - side])
    y = np.concatenate([row + side, row + 1 + 0 * side, row + 1 - side, row + 0 * side])
    to_degrees = pyproj.Transformer.from_crs(grid.geobox.crs.proj, "EPSG:4326", always_xy=True)
    return abs(WGS84.polygon_area_perimeter(*to_degrees.transform(*(grid.geobox.affine @ (x, y))))[0]) / 1e6


def test_cells_add_up_to_the_area_of_the_outline():
    grid = Grid.from_outline(TRIANGLE, "EPSG:6931", 2000, 256)
    geodesic = abs(WGS84.geometry_area_perimeter(TRIANGLE.segmented(0.01).geom)[0]) / 1e6
    # Edges are straight in degrees here and geodesics between dense points there.
    assert inside(grid).sum() * grid.nominal_cell_area == pytest.approx(geodesic, rel=1e-3)


def test_a_cell_is_inside_if_its_centre_is():
    grid = Grid.from_outline(TRIANGLE, LAEA, 5000, 64)
    x, y = centres(grid.geobox, LAEA)
    assert np.array_equal(inside(grid), shapely.contains_xy(grid.outline.geom, x, y))


def test_the_grid_holds_the_outline_and_is_aligned_to_the_resolution():
    grid = Grid.from_outline(TRIANGLE, "EPSG:6931", 3000, 64)
    cells, outline = grid.geobox.boundingbox, grid.outline.boundingbox
    assert cells.left <= outline.left < cells.left + 3000
    assert cells.top - 3000 < outline.top <= cells.top
    assert cells.right - 3000 < outline.right <= cells.right
    assert cells.bottom <= outline.bottom < cells.bottom + 3000
    assert all(v % 3000 == 0 for v in cells.bbox)


def test_straight_edges_in_degrees_are_curves_on_the_grid():
    grid = Grid.from_outline(box(60, 60, 120, 61, "EPSG:4326"), "EPSG:6931", 5000, 512)
    _, latitude = centres(grid.geobox)
    longitude, _ = centres(grid.geobox)
    expected = (latitude > 60) & (latitude < 61) & (longitude > 60) & (longitude < 120)
    assert np.mean(inside(grid)[expected]) > 0.999
    assert not inside(grid)[(latitude < 59.9) | (latitude > 61.1)].any()


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    chunk=st.integers(16, 130),
    resolution=st.sampled_from([1000.0, 333.3, 926.625433]),
)
def test_blocks_tile_the_grid_exactly(height, width, chunk, resolution):
    outline = box(0, 0, (width - 0.5) * resolution, (height - 0.5) * resolution, "EPSG:6931")
    grid = Grid.from_outline(outline, "EPSG:6931", resolution, chunk)
    assert grid.shape == (height, width)
    times = np.zeros(grid.shape, int)
    blocks = list(grid.blocks())
    assert len(blocks) == grid.n_blocks
    whole = grid.geobox.affine
    for block in blocks:
        times[block.roi] += 1
        assert block.index == (block.rows.start // chunk, block.cols.start // chunk)
        assert block.geobox.shape == (block.rows.stop - block.rows.start, block.cols.stop - block.cols.start)
        # Exact, so that a cell has the same coordinates from the corner of the block as from that of the grid.
        assert block.geobox.affine.c == whole.c + block.cols.start * whole.a
        assert block.geobox.affine.f == whole.f + block.rows.start * whole.e
    assert (times == 1).all()
    assert whole.a == pytest.approx(resolution, rel=1e-7)


@pytest.mark.parametrize("outline", [TRIANGLE, box(-180, 60, 180, 90, "EPSG:4326")])
def test_inside_does_not_depend_on_blocks(outline):
    grid = Grid.from_outline(outline, "EPSG:6931", 20_000, 64)
    expected = inside(grid)
    assert 0 < expected.sum() < expected.size
    for chunk in (100, 512):
        assert np.array_equal(inside(rechunked(grid, chunk)), expected)


@settings(max_examples=25, deadline=None)
@example(corners=[(207, 50), (219, 33), (161, 236)], resolution=1000.0)  # GDAL alone takes another cell in other blocks
@given(
    corners=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=3, max_size=8, unique=True),
    resolution=st.sampled_from([1000.0, 10_000.0, 333.3]),
)
def test_centres_on_the_outline_do_not_depend_on_blocks_either(corners, resolution):
    """Corners on half cells: edges run exactly through centres."""
    hull = shapely.convex_hull(shapely.MultiPoint(np.array(corners) * resolution / 2 + 1000 * resolution))
    if hull.geom_type != "Polygon":
        return
    grid = Grid.from_outline(Geometry(hull, "EPSG:6931"), "EPSG:6931", resolution, 512)
    expected = inside(grid)
    assert all(np.array_equal(inside(rechunked(grid, chunk)), expected) for chunk in (16, 25))


def test_a_polar_domain_is_the_whole_cap():
    grid = Grid.from_outline(box(-180, 50, 180, 90, "EPSG:4326"), "EPSG:6931", 10_000, 512)
    mask = inside(grid)
    assert mask.sum() * grid.nominal_cell_area == pytest.approx(cap_area(50), rel=2e-4)
    # No slit along the antimeridian, no hole at the pole.
    middle = grid.shape[1] // 2
    assert mask[1:-1, middle - 1 : middle + 1].all()


@pytest.mark.parametrize("crs", ["EPSG:6931", "EPSG:6933", "EPSG:3035", LAEA])
def test_equal_area_cells_have_one_area(crs):
    grid = Grid.from_outline(box(100, 60, 120, 70, "EPSG:4326"), crs, 25_000, 64)
    assert grid.is_equal_area
    assert (areas(grid) == 625).all()
    assert geodesic_area(grid, 3, 5) == pytest.approx(625, rel=1e-6)


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:3857",  # its formulas are of a sphere, the degrees behind it of an ellipsoid
        "EPSG:32651",
        "EPSG:3413",
        "EPSG:3408",  # equal-area on a sphere, so not on the ellipsoid
        "ESRI:54009",
    ],
)
def test_other_cells_have_their_true_area(crs):
    grid = Grid.from_outline(box(115, 60, 130, 75, "EPSG:4326"), crs, 10_000, 64)
    assert not grid.is_equal_area
    km2 = areas(grid)
    height, width = grid.shape
    for row, col in [(0, 0), (height // 2, width // 3), (height - 1, width - 1)]:
        assert km2[row, col] == pytest.approx(geodesic_area(grid, row, col), rel=3e-6)
    assert np.array_equal(areas(rechunked(grid, 50)), km2, equal_nan=True)


def test_true_areas_around_the_pole():
    grid = Grid.from_outline(box(-180, 80, 180, 90, "EPSG:4326"), "EPSG:3413", 10_000, 512)
    assert (areas(grid) * inside(grid)).sum() == pytest.approx(cap_area(80), rel=5e-4)


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        ("EPSG:4326", "domain.crs: 'EPSG:4326' is not a projected CRS in metres"),
        ("EPSG:2263", "domain.crs: 'EPSG:2263' is not a projected CRS in metres"),  # feet
        ("EPSG:999999", "domain.crs: 'EPSG:999999' is not a CRS that PROJ knows"),
        ("equal area", "domain.crs: 'equal area' is not a CRS that PROJ knows"),
    ],
)
def test_a_crs_that_cannot_carry_a_grid(crs, message):
    with pytest.raises(InputError, match=message):
        Grid.from_outline(TRIANGLE, crs, 1000, 64)


def test_an_outline_beyond_the_projection():
    with pytest.raises(InputError, match="domain: the outline cannot be projected into 'EPSG:6931'"):
        Grid.from_outline(box(-180, -90, 180, 90, "EPSG:4326"), "EPSG:6931", 100_000, 64)


def test_mixed_blocks_are_the_same_blocks():
    grid = Grid.from_outline(box(120, 48, 128, 53, "EPSG:4326"), LAEA, 5000, 32)
    plain, mixed = list(grid.blocks()), list(grid.blocks(mixed=True))
    assert [b.index for b in mixed] != [b.index for b in plain]
    assert sorted(mixed, key=lambda b: b.index) == plain
