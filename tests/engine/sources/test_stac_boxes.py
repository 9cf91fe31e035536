"""Items and domains across the 180° line find each other, in APIs and static catalogs, however they are written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasters import centres, north_up, write_tif
from web import stac_api

from engine.sources.base import Context
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.spec import StacSpec
from engine.sources.stac.boxes import arcs, questions, touches
from engine.sources.stac.search import find_items

WEST, EAST = (172.0, 60.0, 178.0, 70.0), (-178.0, 60.0, -172.0, 70.0)
ACROSS = (170.0, 60.0, -170.0, 70.0)


def polygon(west, south, east, north):
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


CUT = {"type": "MultiPolygon", "coordinates": [polygon(170, 60, 180, 70)["coordinates"],
                                               polygon(-180, 60, -170, 70)["coordinates"]]}  # fmt: skip
ITEMS = {
    "rfc": ([170, 60, -170, 70], CUT),
    "past_east": ([170, 60, 190, 70], polygon(170, 60, 190, 70)),
    "past_west": ([-190, 60, -170, 70], polygon(-190, 60, -170, 70)),
    "high": ([170, 60, 0, 190, 70, 500], polygon(170, 60, 190, 70)),
    "all": ([-180, -90, 180, 90], polygon(-180, -90, 180, 90)),
    "elsewhere": ([10, 60, 20, 70], polygon(10, 60, 20, 70)),
    "south": ([170, -70, 190, -60], polygon(170, -70, 190, -60)),
}
CROSSING = {"rfc", "past_east", "past_west", "high", "all"}


def item(name, bbox, geometry, when=None, href="v.tif", **more):
    properties = when or {"datetime": "2020-06-01T00:00:00Z"}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "c", "links": [], "geometry": geometry,
        **({"bbox": bbox} if bbox else {}), "properties": {**properties, **more},
        "assets": {"v": {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }  # fmt: skip


COLLECTION = {
    "type": "Collection", "stac_version": "1.0.0", "id": "c", "description": "x", "license": "CC0-1.0", "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]}},
}  # fmt: skip


def static(folder, *items) -> str:
    links = [{"rel": "item", "href": f"./{i['id']}.json", "type": "application/geo+json"} for i in items]
    for i in items:
        (folder / f"{i['id']}.json").write_text(json.dumps(i))
    (folder / "collection.json").write_text(json.dumps({**COLLECTION, "links": links}))
    return str(folder / "collection.json")


def found(api: str, folder, bbox, years=None) -> set[str]:
    return {i["id"] for i in find_items(StacSpec(api=api, collection="c"), folder, bbox, years)[1]}


@pytest.fixture(scope="module", params=["static", "api"])
def catalog(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    items = [item(name, *boxes) for name, boxes in ITEMS.items()]
    if request.param == "static":
        yield static(folder, *items), folder
        return
    with stac_api(folder, COLLECTION, items) as web:
        yield web.url, folder


@pytest.mark.parametrize(
    ("bbox", "names"),
    [
        (WEST, CROSSING), (EAST, CROSSING), (ACROSS, CROSSING), ((170, 60, 190, 70), CROSSING),
        ((-190, 60, -170, 70), CROSSING), ((182, 61, 183, 62), CROSSING),
        ((-180, 50, 180, 90), {*CROSSING, "elsewhere"}),
        ((12, 61, 13, 62), {"all", "elsewhere"}), ((-100, 61, -90, 62), {"all"}), ((100, 61, 110, 62), {"all"}),
        ((-179, -65, -178, -64), {"all", "south"}), (None, set(ITEMS)),
    ],
)  # fmt: skip
def test_what_touches_is_found(catalog, bbox, names):
    assert found(*catalog, bbox) == names


def test_items_without_a_box_or_a_geometry(tmp_path):
    jump = polygon(170, 60, -170, 70)
    items = [
        item("jump", None, jump), item("cut", None, CUT), item("plain", None, polygon(10, 60, 20, 70)),
        item("box", [172, 60, 178, 70], None), item("far", [10, 60, 20, 70], None), item("nowhere", None, None),
        item("point", None, {"type": "Point", "coordinates": [-175, 65]}),
        item("nested", None, {"type": "GeometryCollection", "geometries": [CUT]}),
    ]  # fmt: skip
    api = static(tmp_path, *items)
    assert found(api, tmp_path, EAST) == {"jump", "cut", "nowhere", "point", "nested"}
    assert found(api, tmp_path, WEST) == {"jump", "cut", "nowhere", "box", "nested"}
    assert found(api, tmp_path, (0, 60, 15, 65)) == {"plain", "far", "nowhere"}


def test_dates_with_a_start_and_an_end(tmp_path):
    def of(start, end):
        return {"datetime": None, "start_datetime": start and f"{start}-01-01T00:00:00Z",
                "end_datetime": end and f"{end}-12-31T00:00:00Z"}  # fmt: skip

    spans = {"before": of(1990, 1999), "over": of(1995, 2005), "within": of(2002, 2002), "after": of(2006, 2010)}
    api = static(tmp_path, *(item(name, *ITEMS["all"], when) for name, when in spans.items()))
    assert found(api, tmp_path, WEST, (2000, 2004)) == {"over", "within"}


longitudes = st.floats(-540, 540).map(lambda v: round(v, 1))


def covered(west: float, east: float) -> np.ndarray:
    """Which of a circle's 7200 points lie between two longitudes."""
    width = min(east - west, 360) if west <= east else (east - west) % 360
    return (np.arange(-180, 180, 0.05) + 0.025 - west) % 360 <= width


@given(longitudes, longitudes)
def test_arcs_hold_the_same_longitudes(west, east):
    points = np.arange(-180, 180, 0.05) + 0.025
    parts = arcs(west, east)
    assert all(-180 <= w <= e <= 180 for w, e in parts)
    held = np.any([(points >= w) & (points <= e) for w, e in parts], axis=0)
    assert np.array_equal(held, covered(west, east))


@given(longitudes, longitudes, longitudes, longitudes)
def test_boxes_touch_where_they_share_a_longitude(w1, e1, w2, e2):
    shared = (covered(w1, e1) & covered(w2, e2)).any()
    if shared:
        assert touches({"bbox": [w1, 0, e1, 10]}, (w2, 5, e2, 15))
    assert not touches({"bbox": [w1, 0, e1, 10]}, (w2, 11, e2, 15))


def test_servers_are_asked_within_the_globe():
    assert questions(None) == [None]
    assert questions((117, 47, 130, 54)) == [(117, 47, 130, 54)]
    assert questions((-180, 50, 180, 90)) == [(-180, 50, 180, 90)]
    assert questions(ACROSS) == [(170, 60, 180, 70), (-180, 60, -170, 70)]
    assert questions(WEST) == [(172, 60, 178, 70), (-180, 60, -179.999, 70)]


def test_pixels_past_the_line_reach_both_sides(tmp_path):
    box = north_up(170, 70, 0.25, 80, 40)
    lon, _ = box.affine @ tuple(np.meshgrid(np.arange(80) + 0.5, np.arange(40) + 0.5))
    write_tif(tmp_path / "v.tif", lon.astype("float32"), box)
    api = static(tmp_path, item("i", *ITEMS["past_east"]))
    for lon_0, bbox in ((175, WEST), (-175, EAST), (180, ACROSS)):
        target = north_up(-60_000, 60_000, 20_000, 6, 6, f"+proj=laea +lat_0=65 +lon_0={lon_0} +datum=WGS84")
        source = open_source("v", source_spec(stac={"api": api, "collection": "c"}), tmp_path, Context(bbox))
        expected = centres(target)[0] % 360
        assert np.allclose(source.on_grid(target, "bilinear"), expected, atol=0.01)
