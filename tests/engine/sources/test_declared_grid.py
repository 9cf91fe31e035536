"""STAC items that are wrong, or say nonsense, of where their files are and what they hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import LAEA, north_up, write_tif

from engine.errors import InputError
from engine.sources.base import Context
from engine.sources.entry import source_spec
from engine.sources.opening import open_source

NATIVE = north_up(119, 52, 0.1, 40, 20)
VALUES = np.arange(800, dtype="float32").reshape(20, 40)
WHOLE = (slice(0, 20), slice(0, 40))
OUTLINE = {"type": "Polygon", "coordinates": [[[119, 50], [123, 50], [123, 52], [119, 52], [119, 50]]]}
BBOX = (119.0, 49.0, 124.0, 53.0)
GRID = {"proj:epsg": 4326, "proj:shape": [20, 40], "proj:transform": [0.1, 0, 119, 0, -0.1, 52]}


def source(folder: Path, properties: dict | None = None, values: np.ndarray = VALUES, own: str | None = "its own",
           item: dict | None = None, collection: dict | None = None, **entries: Any):  # fmt: skip
    """A catalogue of one item."""
    write_tif(folder / "a.tif", values, NATIVE, own)
    document = {
        "type": "Feature", "stac_version": "1.0.0", "id": "i", "bbox": [119, 50, 123, 52], "geometry": OUTLINE,
        "properties": {"datetime": "2020-06-01T00:00:00Z", **(properties or {})}, "links": [], "collection": "c",
        "assets": {"v": {"href": str(folder / "a.tif"), "type": "image/tiff", "roles": ["data"]}}, **(item or {}),
    }  # fmt: skip
    (folder / "item.json").write_text(json.dumps(document))
    described = {
        "type": "Collection", "stac_version": "1.0.0", "id": "c", "description": "d", "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "item", "href": "./item.json"}], **(collection or {}),
    }  # fmt: skip
    (folder / "c.json").write_text(json.dumps(described))
    spec = source_spec(stac={"api": str(folder / "c.json"), "collection": "c"}, **entries)
    return open_source("v", spec, folder, Context(BBOX))


@pytest.mark.parametrize("told", [{}, {"proj:epsg": None, "proj:code": "OGC:CRS84"}])
def test_a_grid_that_is_the_file_s_is_taken(tmp_path, told):
    assert np.array_equal(source(tmp_path, GRID | told).read(WHOLE), VALUES)


@pytest.mark.parametrize(
    "told",
    [
        {"proj:transform": [0.1, 0, 118, 0, -0.1, 52]},
        {"proj:transform": [0.1, 0, 119.05, 0, -0.1, 51.95]},  # half a pixel: corners for centres
        {"proj:transform": [0.1, 0, 119, 0, -0.1, 50]},
        {"proj:transform": [0.2, 0, 119, 0, -0.1, 52]},
        {"proj:epsg": 3413},
        {"proj:shape": [40, 20]},
    ],
)
def test_a_grid_that_is_not_the_file_s_is_refused(tmp_path, told):
    found = source(tmp_path, GRID | told)
    with pytest.raises(InputError) as error:
        found.read(WHOLE)
    assert "a.tif: " in str(error.value) and "the catalogue says" in str(error.value)


def test_the_entry_s_crs_asks_the_file(tmp_path):
    assert np.array_equal(
        source(tmp_path, GRID | {"proj:transform": [0.1, 0, 118, 0, -0.1, 52]}, crs="EPSG:4326").read(WHOLE), VALUES
    )


@pytest.mark.parametrize("own", [None, 'LOCAL_CS["as drawn",UNIT["metre",1]]'])
def test_a_file_that_does_not_know_its_crs_has_that_of_the_item(tmp_path, own):
    assert np.array_equal(source(tmp_path, GRID, own=own).read(WHOLE), VALUES)


@pytest.mark.parametrize("told", [{"proj:shape": [0, 0]}, {"proj:shape": [1, 20, 40]}, {"proj:shape": [-1, 40]}])
def test_a_shape_that_cannot_be_leaves_the_word_to_the_file(tmp_path, told):
    assert np.array_equal(source(tmp_path, GRID | told).read(WHOLE), VALUES)


@pytest.mark.parametrize("grid", [{}, GRID])
def test_bands_that_no_item_counts_are_counted_by_a_file(tmp_path, grid):
    found = source(tmp_path, grid, np.stack([VALUES] * 3))
    assert [note for note in found.summary().notes if "3 bands" in note]
    assert not [
        note for note in source(tmp_path, grid, np.stack([VALUES] * 3), band=2).summary().notes if "bands" in note
    ]


@pytest.mark.parametrize("geometry", [
    {}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": []}, {"type": "Polygon", "coordinates": [[]]},
    {"type": "Polygon", "coordinates": "x"}, {"type": "Polygon", "coordinates": [["x"]]},
    {"type": "Polygon", "coordinates": {}},
    {"type": "GeometryCollection", "geometries": ["x", []]},
])  # fmt: skip
def test_a_geometry_without_places_is_none(tmp_path, geometry):
    found = source(tmp_path, item={"geometry": geometry, "bbox": None})
    assert np.array_equal(found.read(WHOLE), VALUES)


@pytest.mark.parametrize("general", ["x", [], {"v": None}, {"v": []}, {"v": {"raster:bands": "x"}}])
def test_nonsense_of_the_collection_says_nothing(tmp_path, general):
    assert np.array_equal(source(tmp_path, collection={"item_assets": general}).read(WHOLE), VALUES)


def test_files_of_one_date_that_overlap_in_part_are_noted(tmp_path):
    box = north_up(0, 0, 1000, 10, 10, LAEA)
    write_tif(tmp_path / "a.tif", np.ones((10, 10), "float32"), box)
    for name, shift, notes in (("edge", 10, 0), ("one", 9, 0), ("half", 5, 1)):
        write_tif(tmp_path / f"{name}.tif", np.ones((10, 10), "float32"), north_up(1000 * shift, 0, 1000, 10, 10, LAEA))
        found = open_source("v", source_spec(href=("a.tif", f"{name}.tif")), tmp_path).summary().notes
        assert len([note for note in found if f"overlap (a.tif and {name}.tif)" in note]) == notes
