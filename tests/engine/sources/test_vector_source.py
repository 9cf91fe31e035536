"""Polygons: the class with the largest share of each cell, against polygon geometry."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from odc.geo import Geometry
from rasters import LAEA, centres, north_up, rois, same

from engine.errors import InputError
from engine.grid.grid import Grid
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.vector import VectorSource

TARGET = north_up(-100_000, 100_000, 5000, 40, 40, LAEA)
CLASSES = {"forest": (1, 2), "grassland": (3,), "wetland": (4,)}


def write(path: Path, geometries, codes, crs: str | None = LAEA, **columns) -> Path:
    gpd.GeoDataFrame({"code": codes, **columns}, geometry=list(geometries), crs=crs).to_file(path)
    return path


def opened(path: Path, **entries) -> VectorSource:
    entries = {"attribute": "code", "classes": CLASSES, **entries}
    source = open_source("v", source_spec(href=entries.pop("href", path.name), **entries), path.parent)
    assert isinstance(source, VectorSource)
    return source


def problems(path: Path, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(path, **entries)
    return list(map(str, error.value.problems))


@pytest.fixture(scope="module")
def patches() -> list[shapely.Polygon]:
    """The cells of a random Voronoi diagram, some of which leave the grid."""
    points = np.random.default_rng(0).uniform(-120_000, 120_000, (60, 2))
    diagram = shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=shapely.box(-130e3, -130e3, 130e3, 130e3))
    return list(diagram.geoms)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 6, 60)  # 5 is not listed


def shares(patches, codes, target) -> np.ndarray:
    """Share of every class, the unlisted ones last, in every cell; dims (class, y, x)."""
    height, width = target.shape.yx
    x, y = centres(target, target.crs.proj)
    half = target.resolution.x / 2
    cells = shapely.box(x - half, y - half, x + half, y + half)
    number = np.array([3, 0, 0, 1, 2, 3])[codes]
    return np.stack(
        [shapely.area(shapely.intersection(cells, shapely.union_all(np.array(patches)[number == n]))) for n in range(4)]
    ).reshape(4, height, width) / (4 * half * half)


def test_the_largest_share_wins(tmp_path, patches, codes):
    source = opened(write(tmp_path / "a.gpkg", patches, codes))
    out = source.on_grid(TARGET, "mode")
    assert out.dtype == np.uint8
    area = shares(patches, codes, TARGET)
    expected = np.array([1, 2, 3, 0])[area.argmax(axis=0)]
    ordered = np.sort(area, axis=0)
    clear = ordered[-1] - ordered[-2] > 0.2  # shares are counted on 25 points
    assert clear.mean() > 0.8
    assert np.array_equal(out[clear], expected[clear])
    assert (out == expected).mean() > 0.97
    assert set(np.unique(out)) == {0, 1, 2, 3}
    assert source.choose_resampling(TARGET) == "mode"


@pytest.mark.parametrize("crs", [LAEA, "EPSG:4326", "EPSG:3857"])
def test_blocks_equal_the_whole(tmp_path, patches, codes, crs):
    frame = gpd.GeoDataFrame({"code": codes}, geometry=patches, crs=LAEA).to_crs(crs)
    frame.to_file(tmp_path / "a.gpkg")
    source = opened(tmp_path / "a.gpkg")
    whole = source.on_grid(TARGET, "mode")
    assert (whole > 0).mean() > 0.5
    for chunk in (16, 33):
        blocks = np.empty_like(whole)
        for roi in rois(TARGET, chunk):
            blocks[roi] = source.on_grid(TARGET[roi], "mode")
        assert same(blocks, whole)


def test_long_edges_are_straight_where_they_were_drawn(tmp_path):
    """A box in degrees bulges on a polar grid; two boxes with a common edge leave no gap."""
    halves = [shapely.box(60, 60, 150, 65), shapely.box(60, 65, 150, 70)]
    source = opened(write(tmp_path / "a.gpkg", halves, [1, 4], "EPSG:4326"))
    target = north_up(-1e6, 3.2e6, 40_000, 110, 110, "EPSG:6931")
    lon, lat = centres(target)
    expected = np.where(
        (lon > 60) & (lon < 150), np.select([(lat > 60) & (lat < 65), (lat > 65) & (lat < 70)], [1, 3]), 0
    )
    near_an_edge = np.min([np.abs(lat - v) for v in (60, 65, 70)], axis=0) < 0.3
    near_an_edge |= np.min([np.abs(lon - v) * np.cos(np.radians(lat)) for v in (60, 150)], axis=0) < 0.3
    out = source.on_grid(target, "mode")
    assert np.array_equal(out[~near_an_edge], expected[~near_an_edge])
    assert (expected > 0).sum() > 500


@pytest.mark.parametrize("crs", ["EPSG:6931", LAEA])
def test_polygons_that_have_no_place_on_the_grid_as_a_whole(tmp_path, crs):
    """A polygon around the globe has corners that an azimuthal projection puts at infinity."""
    globe = [shapely.box(-180, -90, 180, 90), shapely.box(-180, 66.5, 180, 90)]
    source = opened(write(tmp_path / "a.gpkg", globe, [3, 4], "EPSG:4326"))
    target = north_up(-3e6, 3e6, 100_000, 60, 60, crs)
    _, lat = centres(target)
    out = source.on_grid(target, "mode")
    clear = np.abs(lat - 66.5) > 1
    assert np.array_equal(out[clear], np.where(lat > 66.5, 3, 2)[clear])


def test_polygons_past_the_antimeridian(tmp_path):
    source = opened(write(tmp_path / "a.gpkg", [shapely.box(170, 60, 190, 70)], [1], "EPSG:4326"))
    target = north_up(-8e5, 8e5, 50_000, 32, 32, "+proj=laea +lat_0=65 +lon_0=180")
    lon, lat = centres(target)
    inside = (np.abs(lon) > 170) & (lat > 60) & (lat < 70)
    out = source.on_grid(target, "mode") == 1
    assert (out != inside).mean() < 0.04
    assert inside.sum() > 200


def test_later_polygons_lie_on_top_and_holes_are_open(tmp_path):
    whole = shapely.box(-100_000, -100_000, 100_000, 100_000)
    hole = shapely.box(50_000, 50_000, 70_000, 70_000)
    lake = shapely.box(-50_000, -50_000, 0, 0)
    out = opened(write(tmp_path / "a.gpkg", [whole - hole, lake], [3, 99])).on_grid(TARGET, "mode")
    expected = np.full(TARGET.shape, 2)
    x, y = centres(TARGET, LAEA)
    expected[shapely.contains_xy(hole, x, y) | shapely.contains_xy(lake, x, y)] = 0
    assert np.array_equal(out, expected)


def test_where_there_are_no_polygons(tmp_path, patches, codes):
    source = opened(write(tmp_path / "a.gpkg", patches, codes))
    out = source.on_grid(north_up(1e6, 1e6, 5000, 8, 9, LAEA), "mode")
    assert same(out, np.zeros((9, 8), "uint8"))


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        (["1", "3", "x"], {"a": (1,), "b": (3,)}),
        ([1, 3, 99], {"a": ("1",), "b": ("3",)}),
        ([1.0, 3.0, np.nan], {"a": (1,), "b": (3,)}),
        (["F", "G", None], {"a": ("F",), "b": ("G",)}),
    ],
    ids=["text", "numbers", "floats", "letters"],
)
def test_codes_compare_as_text(tmp_path, stored, listed):
    strips = [shapely.box(-90e3 + 60e3 * i, -100e3, -30e3 + 60e3 * i, 100e3) for i in range(3)]
    out = opened(write(tmp_path / "a.gpkg", strips, stored), classes=listed).on_grid(TARGET, "mode")
    assert out[20, [5, 20, 33]].tolist() == [1, 2, 0]


def test_geojson_and_layers(tmp_path, patches, codes):
    expected = opened(write(tmp_path / "a.gpkg", patches, codes)).on_grid(TARGET, "mode")
    frame = gpd.GeoDataFrame({"code": codes}, geometry=patches, crs=LAEA)
    frame.to_crs(4326).to_file(tmp_path / "b.geojson")
    assert (opened(tmp_path / "b.geojson").on_grid(TARGET, "mode") == expected).mean() > 0.995
    frame.assign(code=99).to_file(tmp_path / "c.gpkg", layer="first")
    frame.to_file(tmp_path / "c.gpkg", layer="second")
    assert same(opened(tmp_path / "c.gpkg", layer="second").on_grid(TARGET, "mode"), expected)
    (problem,) = problems(tmp_path / "c.gpkg", layer="third")
    assert "c.gpkg: cannot be read as polygons" in problem


def test_a_rewritten_file_is_read_again(tmp_path, patches, codes):
    """A worker may outlive the file that it has read."""
    path = tmp_path / "a.gpkg"
    first = opened(write(path, patches, codes)).on_grid(TARGET, "mode")
    path.unlink()
    second = opened(write(path, patches, np.full(60, 3), extra=["x"] * 60)).on_grid(TARGET, "mode")
    assert not same(first, second)
    assert set(np.unique(second)) == {2}


def test_what_a_source_is_made_of(tmp_path, patches, codes):
    path = write(tmp_path / "a.gpkg", patches, codes)
    summary = opened(path).summary()
    assert summary.files == (path,)
    assert summary.size is summary.resolution is None
    assert summary.footprint.boundingbox.bbox == pytest.approx(shapely.total_bounds(np.array(patches)))
    assert summary.crs.proj.name == "unknown" or summary.crs.projected


def test_bad_input(tmp_path, patches, codes):
    path = write(tmp_path / "a.gpkg", patches, codes, name=["p"] * 60)
    assert problems(path, attribute="VEG") == ["covariates.v.attribute: a.gpkg has no column 'VEG'; it has code, name"]
    assert problems(path, classes={"a": (77,)}) == [
        "covariates.v.classes: none of the codes is in a.gpkg, which has 1, 2, 3, 4, 5"
    ]
    assert problems(path, attribute=None) == [
        "covariates.v: polygons need `attribute`, the column that holds the class code"
    ]
    bare = tmp_path / "bare.shp"
    write(bare, patches, codes, crs=None)
    assert problems(bare) == [
        f"covariates.v: {bare}: declares no CRS; if you know it, add e.g. `crs: EPSG:4326` to the entry"
    ]
    assert (opened(bare, crs=LAEA).on_grid(TARGET, "mode") > 0).any()
    points = write(tmp_path / "points.gpkg", [shapely.Point(0, 0)], [1])
    assert problems(points) == [f"covariates.v: {points} holds Point; expected polygons"]
    write(tmp_path / "b.gpkg", patches, codes)
    assert problems(path, href="?.gpkg") == ["covariates.v: 2 vector files match ?.gpkg; merge them into one"]
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(path.read_bytes()[:2000])
    (problem,) = problems(broken)
    assert problem.startswith(f"covariates.v: {broken}: cannot be read as polygons")


GEO = north_up(-4e5, 4e5, 20_000, 40, 40, "+proj=laea +lat_0=65 +lon_0=180 +datum=WGS84")


def test_both_lobes_of_a_bow_tie_are_filled(tmp_path):
    bow = shapely.Polygon([(121, 50), (123, 52), (123, 50), (121, 52), (121, 50)])
    source = opened(write(tmp_path / "a.gpkg", [bow], [1], "EPSG:4326"))
    target = north_up(-1e5, 2e5, 5000, 40, 60, "+proj=laea +lat_0=51 +lon_0=122 +datum=WGS84")
    lon, lat = centres(target)
    out = source.on_grid(target, "mode")
    lobes = shapely.make_valid(bow)
    clear = shapely.distance(shapely.points(lon, lat), lobes.boundary) > 0.06
    assert np.array_equal(out[clear] == 1, shapely.contains_xy(lobes, lon, lat)[clear])
    assert (out[:, :20] == 1).sum() == pytest.approx((out[:, 20:] == 1).sum(), abs=3) and (out == 1).sum() > 300
    assert "1 polygon of 1 was not valid" in source.summary().notes[0]


@pytest.mark.parametrize(
    "write_as",
    [
        lambda p: shapely.affinity.translate(p, -360),
        lambda p: shapely.transform(p, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]])),
        lambda p: shapely.union_all([p & shapely.box(170, 0, 180, 90),
                                     shapely.affinity.translate(p & shapely.box(180, 0, 195, 90), -360)]),
    ],
    ids=["turned", "jumping", "cut"],
)  # fmt: skip
def test_polygons_across_the_180_line_are_the_same_however_they_are_written(tmp_path, write_as):
    rng = np.random.default_rng(4)
    angles = np.linspace(0, 2 * np.pi, 14)[:-1]
    blobs = [
        shapely.Polygon(np.column_stack([x + 4 * r * np.cos(angles), y + 2 * r * np.sin(angles)]))
        for x, y, r in zip([176.2, 181, 184.3], [63.1, 65.3, 66.7], rng.uniform(0.4, 1, (3, 13)), strict=True)
    ]
    expected = opened(write(tmp_path / "a.gpkg", blobs, [1, 3, 4], "EPSG:4326")).on_grid(GEO, "mode")
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    out = opened(write(tmp_path / "b.gpkg", map(write_as, blobs), [1, 3, 4], "EPSG:4326")).on_grid(GEO, "mode")
    assert same(out, expected)


def test_overlaps_of_classes_are_measured(tmp_path):
    squares = [shapely.box(-100e3, -100e3, 20e3, 100e3), shapely.box(-20e3, -100e3, 100e3, 100e3)]
    grid = Grid.from_outline(Geometry(shapely.box(-100e3, -100e3, 100e3, 100e3), LAEA), LAEA, 5000)
    both, any_class = opened(write(tmp_path / "a.gpkg", squares, [1, 3])).overlap(grid)
    assert both == pytest.approx(8000, rel=0.02) and any_class == pytest.approx(40_000, rel=1e-6)
    assert opened(write(tmp_path / "b.gpkg", squares, [1, 2])).overlap(grid)[0] == 0  # of one class
    half = Grid.from_outline(Geometry(shapely.box(50e3, -100e3, 100e3, 100e3), LAEA), LAEA, 5000)
    assert opened(tmp_path / "a.gpkg").overlap(half) == (0, pytest.approx(10_000))
