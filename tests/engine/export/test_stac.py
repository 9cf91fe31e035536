"""The STAC catalogue: valid, self-contained, movable, with footprints that are right at poles and antimeridian."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from pystac.extensions.projection import SCHEMA_URI
from pystac.validation import JsonSchemaSTACValidator, validate

from engine.export.footprint import bounding_box, footprint
from engine.export.stac import Layers, write_collection

ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84 +units=m"
CREATED = datetime(2026, 11, 22, 12, tzinfo=UTC)
PERIOD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2020, 12, 31, tzinfo=UTC)

PROJECTION_RULES = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {
        "fields": {
            "properties": {
                "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
                "proj:wkt2": {"type": ["string", "null"]},
                "proj:bbox": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
                "proj:shape": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"}},
                "proj:transform": {"type": "array", "minItems": 6, "maxItems": 6, "items": {"type": "number"}},
            },
            "patternProperties": {"^(?!proj:)": {}},
            "additionalProperties": False,
        }
    },
    "properties": {
        "properties": {"$ref": "#/definitions/fields"},
        "assets": {"additionalProperties": {"$ref": "#/definitions/fields"}},
    },
}
"""What we use of the projection extension; its own schema comes with no package and lies behind a network."""


def make_tif(path: Path, crs: str, corner: tuple[float, float] = (-3e5, 5e6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((6, 8), 3.0, "float32")
    values[0, :4] = np.nan
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=8,
        height=6,
        count=1,
        dtype="float32",
        nodata=np.nan,
        crs=rasterio.crs.CRS.from_user_input(crs),
        transform=rasterio.transform.from_origin(*corner, 1e4, 1e4),
    ) as file:
        file.write(values, 1)
        file.set_band_description(1, f"{path.stem} of SOCD")
        file.set_band_unit(1, "kg/m2")
        file.update_tags(1, STATISTICS_MINIMUM="1.5", STATISTICS_MAXIMUM="8", STATISTICS_MEAN="3")


def write(directory: Path, crs: str, period=PERIOD) -> Path:
    files = {s: directory / "cog" / f"{s}.tif" for s in ("mean", "uncertainty")}
    for path in files.values():
        make_tif(path, crs)
    (directory / "stocks.csv").write_text("zone,depth\n")
    return write_collection(
        directory,
        collection_id="demo",
        title="Demo",
        description="Made-up.",
        items=[Layers(f"demo_{d}", f"{d} cm", files, {"depth": d}) for d in ("0-10", "0-30")],
        assets={"stocks": pystac.Asset("stocks.csv", "Stocks", media_type="text/csv", roles=["data"])},
        period=period,
        created=CREATED,
        keywords=["soil"],
        providers=[pystac.Provider("Us", roles=[pystac.ProviderRole.PROCESSOR])],
    )


def check(collection: pystac.Collection) -> None:
    validator = JsonSchemaSTACValidator()
    validator.schema_cache[SCHEMA_URI] = PROJECTION_RULES
    for thing in (collection, *collection.get_items()):
        assert validate(thing, validator)


@pytest.mark.parametrize("crs", ["EPSG:6931", ALBERS])
def test_is_valid_and_moves_with_its_folder(tmp_path, crs):
    write(tmp_path / "run", crs)
    moved = tmp_path / "elsewhere" / "run 2"
    shutil.copytree(tmp_path / "run", moved)
    shutil.rmtree(tmp_path / "run")

    assert sorted(p.relative_to(moved / "stac").as_posix() for p in (moved / "stac").rglob("*.json")) == [
        "collection.json",
        "demo_0-10/demo_0-10.json",
        "demo_0-30/demo_0-30.json",
    ]
    for path in (moved / "stac").rglob("*.json"):
        assert str(tmp_path) not in path.read_text()
    collection = pystac.Collection.from_file(str(moved / "stac" / "collection.json"))
    check(collection)
    items = list(collection.get_items())
    assert [item.id for item in items] == ["demo_0-10", "demo_0-30"]
    for thing in (collection, *items):
        for asset in thing.assets.values():
            assert not asset.href.startswith("/")
            assert Path(asset.get_absolute_href() or "").exists()
    assert collection.assets["stocks"].href == "../stocks.csv"
    assert items[0].assets["mean"].href == "../../cog/mean.tif"


def test_items_say_what_the_files_say(tmp_path):
    document = json.loads(write(tmp_path, "EPSG:6931").with_name("demo_0-30").joinpath("demo_0-30.json").read_text())
    properties, asset = document["properties"], document["assets"]["mean"]
    assert properties["proj:code"] == "EPSG:6931"
    assert "proj:wkt2" not in properties
    assert properties["proj:shape"] == [6, 8]
    assert properties["proj:transform"] == [1e4, 0, -3e5, 0, -1e4, 5e6]
    assert properties["proj:bbox"] == [-3e5, 4.94e6, -2.2e5, 5e6]
    assert properties["datetime"] is None
    assert (properties["start_datetime"], properties["end_datetime"]) == (
        "2000-01-01T00:00:00Z",
        "2020-12-31T00:00:00Z",
    )
    assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert asset["bands"] == [
        {
            "name": "mean of SOCD",
            "data_type": "float32",
            "unit": "kg/m2",
            "nodata": "nan",
            "statistics": {"minimum": 1.5, "maximum": 8, "mean": 3},
        }
    ]


def test_a_crs_without_a_code_is_given_as_wkt2(tmp_path):
    write(tmp_path, ALBERS, period=None)
    properties = json.loads((tmp_path / "stac/demo_0-10/demo_0-10.json").read_text())["properties"]
    assert properties["proj:code"] is None
    assert pyproj.CRS(properties["proj:wkt2"]).equals(pyproj.CRS(ALBERS), ignore_axis_order=True)
    assert properties["datetime"] == "2026-11-22T12:00:00Z"


def test_replaces_the_old_catalogue_as_a_whole(tmp_path):
    (tmp_path / "stac" / "stale").mkdir(parents=True)
    write(tmp_path, "EPSG:6931")
    write(tmp_path, "EPSG:6931")
    assert sorted(p.name for p in (tmp_path / "stac").iterdir()) == ["collection.json", "demo_0-10", "demo_0-30"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cog", "stac", "stocks.csv"]


def test_refuses_missing_assets_and_mixed_grids(tmp_path):
    make_tif(tmp_path / "cog" / "a.tif", "EPSG:6931")
    make_tif(tmp_path / "cog" / "b.tif", "EPSG:6931", corner=(0, 5e6))
    files = {k: tmp_path / "cog" / f"{k}.tif" for k in "ab"}
    about = {"collection_id": "c", "title": "t", "description": "d"}
    with pytest.raises(ValueError, match="b lie on another grid than a"):
        write_collection(tmp_path, items=[Layers("i", "t", files)], assets={}, **about)
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        one = [Layers("i", "t", {"a": files["a"]})]
        write_collection(tmp_path, items=one, assets={"n": pystac.Asset("nothing.csv")}, **about)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cog"]


@pytest.mark.parametrize(
    ("crs", "box", "west_to_east", "north"),
    [
        # On the polar grid longitude is atan2(x, -y): edges by hand.
        ("EPSG:6931", (-4e6, -4e6, 4e6, 4e6), (-180, 180), 90),  # the pole inside
        ("EPSG:6931", (0, -4e6, 4e6, 4e6), (0, 180), 90),  # the pole on the edge
        ("EPSG:6931", (0, 0, 2e6, 5e6), (90, 180), 90),  # the pole at a corner
        ("EPSG:6931", (-1e6, 2.4e6, 2e6, 5e6), (140.19, -157.38), 68.37),  # across the antimeridian
        ("+proj=laea +lat_0=80 +lon_0=20", (-4e6, -4e6, 4e6, 4e6), (-180, 180), 90),
        ("+proj=laea +lat_0=50 +lon_0=123", (-6e5, -6e5, 6e5, 6e5), (113.59, 132.41), 55.39),
        (ALBERS, (-3e6, 1e6, 3e6, 6e6), (62.85, 147.15), 55.41),
    ],
)
def test_footprint_is_where_the_grid_is(crs, box, west_to_east, north):
    geobox = GeoBox.from_bbox(box, crs=crs, resolution=5000)
    outline = footprint(geobox)
    assert outline.is_valid
    west, _, east, top = bounding_box(outline)
    assert (west, east) == pytest.approx(west_to_east, abs=0.1)
    assert top == pytest.approx(north, abs=0.35)
    # The truth by another road: points spread evenly over the Northern hemisphere, projected one by one.
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 4000), np.degrees(np.arcsin(rng.uniform(0, 1, 4000)))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    found = shapely.contains_xy(outline, lon, lat)
    assert inside.sum() > 10
    assert (inside != found).mean() < 0.001


def test_footprint_of_the_whole_earth():
    geobox = GeoBox.from_bbox((-17368000, -7e6, 17368000, 7e6), crs="EPSG:6933", resolution=4000)
    assert bounding_box(footprint(geobox)) == pytest.approx([-180, -72.51, 180, 72.51], abs=0.02)


def test_footprint_of_the_southern_pole():
    geobox = GeoBox.from_bbox((-4e6, -4e6, 4e6, 4e6), crs="EPSG:6932", resolution=5000)
    assert bounding_box(footprint(geobox)) == pytest.approx([-180, -90, 180, -37.41], abs=0.01)
