"""Vector files as people keep them: repaired with a note, or refused with a reason."""

import json
import sqlite3
import struct

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.polygons.repair import polygonal, valid
from engine.sources.polygons import read_polygons

BOW = shapely.Polygon([(121, 50), (123, 52), (123, 50), (121, 52), (121, 50)])
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]


def write(path, geometries, crs="EPSG:4326", **columns):
    gpd.GeoDataFrame(columns or {"code": range(len(geometries))}, geometry=list(geometries), crs=crs).to_file(path)
    return path


def geojson(path, *geometries, **members):
    features = [{"type": "Feature", "properties": {"code": 1}, "geometry": g} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": features}))
    return path


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


def read(path, **options):
    return read_polygons(path, options.get("layer"), None, options.get("crs"), "key")


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as error:
        read(path, **options)
    (problem,) = map(str, error.value.problems)
    assert problem.startswith("key") and path.name in problem
    return problem


def whole(polygons):
    assert polygons.frame.is_valid.all() and not polygons.frame.has_z.any()
    return polygons.frame.union_all()


def test_both_lobes_of_a_bow_tie_count_and_a_note_has_the_areas(tmp_path):
    found = read(write(tmp_path / "a.gpkg", [BOW, shapely.box(0, 0, 1, 1)]))
    assert shapely.area(found.frame.geometry.to_numpy()).tolist() == pytest.approx([2.0, 1.0])
    (note,) = found.notes
    assert note.startswith("1 polygon of 2 was not valid (the first: Self-intersection[122 51])")
    drawn, now = (float(text.replace(",", "")) for text in (note.split(": ")[-1].split(" km²")[0],
                                                          note.split(", ")[-1].split(" km²")[0]))  # fmt: skip
    assert now == pytest.approx(2 * 111.2**2 * np.cos(np.radians(51)), rel=0.01)
    assert drawn < now / 20


rings = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=9, unique=True)


@settings(max_examples=150, deadline=None)
@given(rings, st.booleans())
def test_a_repaired_polygon_is_what_shapely_makes_valid(corners, with_hole):
    hole = [[(5, 5), (9, 5), (9, 9), (5, 9)]] if with_hole else []
    drawn = shapely.Polygon(corners, hole)
    ours = valid(drawn)
    assert ours.is_valid and ours.geom_type in ("Polygon", "MultiPolygon")
    assert ours.area == pytest.approx(shapely.make_valid(drawn).area)
    assert valid(ours).equals(ours)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6)), min_size=2, max_size=5))
def test_polygons_of_a_collection_are_united(squares):
    parts = [shapely.box(x, y, x + side, y + side) for x, y, side in squares]
    assert valid(shapely.MultiPolygon(parts)).area == pytest.approx(shapely.union_all(parts).area)


def test_a_hole_written_as_a_polygon_runs_the_other_way_round():
    outer, inner = shapely.box(0, 0, 10, 10), shapely.box(2, 2, 4, 4)
    island = shapely.Polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [[(1, 1), (1, 9), (9, 9), (9, 1)]])
    assert valid(shapely.MultiPolygon([outer, inner])).area == 100
    assert valid(shapely.MultiPolygon([outer, inner.reverse()])).area == 96
    assert valid(shapely.MultiPolygon([inner.reverse(), outer])).area == 96
    crossing = shapely.box(20, 20, 30, 30), shapely.box(25, 25, 35, 35)
    assert valid(shapely.MultiPolygon([island, inner.reverse(), *crossing])).area == 100 - 64 + 4 + 175


def test_rings_that_are_open_turned_doubled_or_nested(tmp_path):
    file = geojson(tmp_path / "a.geojson", polygon(SQUARE[:-1]))
    assert whole(read(file)).area == 16 and "closed" in read(file).notes[0]
    clockwise, twice = SQUARE[::-1], [p for p in SQUARE for _ in range(2)]
    for ring in (clockwise, twice):
        found = read(geojson(tmp_path / "b.geojson", polygon(ring)))
        assert whole(found).area == 16 and not found.notes
    for hole in ([[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]], [[1, 1], [1, 3], [3, 3], [3, 1], [1, 1]]):
        assert whole(read(geojson(tmp_path / "c.geojson", polygon(SQUARE, hole)))).area == 12
    nested = polygon(SQUARE, [[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]], [[1.5, 1.5], [2, 1.5], [2, 2], [1.5, 1.5]])
    assert whole(read(geojson(tmp_path / "d.geojson", nested))).area == pytest.approx(12 + 0.125)
    spike = [[0, 0], [4, 0], [9, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    assert whole(read(geojson(tmp_path / "e.geojson", polygon(spike)))).area == 16


def test_shapefiles_whose_rings_run_the_wrong_way(tmp_path):
    shell, hole = shapely.box(0, 0, 4, 4), shapely.box(1, 1, 3, 3)
    for a in (shell, shell.reverse()):
        for b in (hole, hole.reverse()):
            ring = shapely.Polygon(a.exterior, [b.exterior])
            assert whole(read(write(tmp_path / f"{a.exterior.is_ccw}{b.exterior.is_ccw}.shp", [ring]))).area == 12


def test_heights_nulls_and_empty_ones(tmp_path):
    high = [[*p, 7.5] for p in SQUARE]
    found = read(geojson(tmp_path / "a.geojson", polygon(high), None, {"type": "Polygon", "coordinates": []}))
    assert whole(found).area == 16 and len(found.frame) == 1
    assert found.notes == ("2 of 3 features have no geometry and are left out",)
    assert "holds no geometries" in refusal(geojson(tmp_path / "b.geojson", None))
    flat = polygon([[0, 0], [1, 1], [0, 0]])
    assert "none of its polygons has an area" in refusal(geojson(tmp_path / "c.geojson", flat))
    assert (
        "1 polygon of 2 without an area left out" in read(geojson(tmp_path / "d.geojson", flat, polygon(SQUARE))).notes
    )


def test_of_collections_the_polygons_count_and_lines_among_polygons_are_refused(tmp_path):
    line = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
    mixed = {"type": "GeometryCollection", "geometries": [polygon(SQUARE), line]}
    nested = {
        "type": "GeometryCollection",
        "geometries": [{"type": "GeometryCollection", "geometries": [polygon(SQUARE)]}],
    }
    found = read(geojson(tmp_path / "a.geojson", mixed, nested))
    assert shapely.area(found.frame.geometry.to_numpy()).tolist() == [16, 16]
    assert found.notes == ("1 collection of polygons with lines or points: only the polygons count",)
    problem = refusal(geojson(tmp_path / "b.geojson", polygon(SQUARE), line, polygon(SQUARE)))
    assert "holds 1 LineString among its 3 features, the first as number 2" in problem
    assert refusal(geojson(tmp_path / "c.geojson", line)).endswith("holds LineString; expected polygons")


def test_curves_become_polygons(tmp_path):
    path = write(tmp_path / "a.gpkg", [shapely.box(0, 0, 1, 1)])
    arc = struct.pack("<BII10d", 1, 8, 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
    blob = b"GP\x00\x01" + struct.pack("<i", 4326) + struct.pack("<BII", 1, 10, 1) + arc
    with sqlite3.connect(path) as base:
        for (name,) in base.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            base.execute(f'drop trigger "{name}"')
        base.execute("update a set geom = ?", (blob,))
    assert whole(read(path)).area == pytest.approx(np.pi, rel=2e-3)


def test_coordinates_that_are_not_numbers_are_refused(tmp_path):
    ring = shapely.Polygon([(0, 0), (1, 0), (1, np.nan), (0, 1)])
    assert "feature 2 has corners without coordinates" in refusal(
        write(tmp_path / "a.gpkg", [shapely.box(0, 0, 1, 1), ring])
    )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((50, 117, 53, 126), "are longitude and latitude swapped?"),
        ((-30, 80, 20, 120), "are longitude and latitude swapped?"),
        ((450000, 5500000, 460000, 5600000), "are they metres? Then name their CRS by `crs`"),
        ((450000, 10, 460000, 60), "Are they metres?"),
    ],
)
def test_numbers_that_are_no_degrees(tmp_path, box, words):
    assert words in refusal(write(tmp_path / "a.gpkg", [shapely.box(*box)]))


def test_rounding_past_a_pole_is_none(tmp_path):
    found = read(write(tmp_path / "a.gpkg", [shapely.box(-180, 50, 180, 90.0000001)]))
    assert whole(found).bounds == (-180, 50, 180, 90)


def test_jumps_and_longitudes_to_360(tmp_path):
    jump = shapely.Polygon([(177, 65), (-177, 65), (-177, 69), (177, 69)])
    found = read(write(tmp_path / "a.gpkg", [jump, shapely.box(190, 60, 200, 70)]))
    assert shapely.area(found.frame.geometry.to_numpy()).tolist() == pytest.approx([24, 100])
    assert found.frame.total_bounds.tolist() == [-180, 60, 180, 70]
    assert found.notes == (
        "1 polygon of 2 jumps across ±180°: an edge of more than 180° of longitude is taken to cross the line, on its "
        "short way",
    )
    wide = shapely.Polygon([(-170, 50), (60, 50), (60, 80), (-170, 80)])
    assert "feature 2: an edge from longitude" in refusal(write(tmp_path / "b.gpkg", [jump, wide]))


def test_a_crossing_bow_tie_that_jumps_too(tmp_path):
    bow = shapely.Polygon([(178, 50), (-178, 54), (-178, 50), (178, 54)])
    assert whole(read(write(tmp_path / "a.gpkg", [bow]))).area == pytest.approx(8)


def test_the_crs_of_a_geojson_file(tmp_path):
    def member(name):
        return {"crs": {"type": "name", "properties": {"name": name}}}

    assert read(geojson(tmp_path / "a.geojson", polygon(SQUARE), **member("EPSG:3857"))).frame.crs.to_epsg() == 3857
    assert (
        read(geojson(tmp_path / "b.geojson", polygon(SQUARE), **member("urn:ogc:def:crs:EPSG::4326"))).frame.crs == 4326
    )
    unknown = geojson(tmp_path / "c.geojson", polygon(SQUARE), **member("EPSG:999999"))
    assert "its `crs` member is 'EPSG:999999', which PROJ does not know" in refusal(unknown)
    assert read(unknown, crs="EPSG:3857").frame.crs.to_epsg() == 3857


def test_a_crs_that_overrules_the_file_and_layers_are_noted(tmp_path):
    path = write(tmp_path / "a.gpkg", [shapely.box(0, 0, 1, 1)])
    gpd.GeoDataFrame({"code": [1]}, geometry=[shapely.box(0, 0, 2, 2)], crs=4326).to_file(path, layer="second")
    assert read(path).notes == ("the file has 2 layers (a, second), of which the first is read; `layer` chooses",)
    assert whole(read(path, layer="second")).area == 4
    (note,) = read(path, layer="second", crs="EPSG:3857").notes
    assert note.startswith("the file declares the CRS WGS 84, but `crs` of the run file counts: WGS 84 / Pseudo")


def test_polygonal_keeps_only_areas():
    assert polygonal(shapely.LineString([(0, 0), (1, 1)])).is_empty
    assert polygonal(shapely.GeometryCollection([shapely.box(0, 0, 1, 1), shapely.Point(5, 5)])).area == 1
