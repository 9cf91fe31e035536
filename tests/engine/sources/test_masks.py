"""Masks and alpha bands of rasters: what they leave out is missing in whatever way a source is read."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.vrt import WarpedVRT
from rasters import LAEA, north_up, write_nc, write_tif
from web import serving

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.opening import open_source

NATIVE = north_up(120, 52, 0.05, 60, 40)
WHOLE = (slice(0, 40), slice(0, 60))
TARGET = north_up(-80_000, 150_000, 10_000, 12, 12, LAEA)
VALUES = np.random.default_rng(0).integers(1, 9, NATIVE.shape).astype("uint8")
HOLE = np.zeros(NATIVE.shape, bool)
HOLE[8:30, 20:44] = True
ALPHA = np.where(HOLE, 0, np.where(VALUES > 4, 255, 90)).astype("uint8")
CLASSES = {"odd": (1, 3, 5, 7), "even": (2, 4, 6, 8)}


def opened(folder: Path, href: str = "a.tif", **entries):
    return open_source("v", source_spec(href=href, **entries), folder)


def masked(path: Path, *, internal: bool = True, values: np.ndarray = VALUES, **profile) -> Path:
    """A raster with a mask, inside the file or beside it."""
    write_tif(path, values, NATIVE, **profile)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as file:
        file.write_mask(~HOLE)
    assert path.with_name(f"{path.name}.msk").exists() is not internal
    return path


def with_alpha(path: Path, *bands: np.ndarray, alpha: np.ndarray = ALPHA, **profile) -> Path:
    """The last band is the alpha band."""
    write_tif(path, np.stack([*bands, alpha.astype(bands[0].dtype)]), NATIVE, **profile)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray] * len(bands) + [ColorInterp.alpha]
    return path


def virtual(path: Path) -> Path:
    """A virtual raster with a mask, of a file that has one."""
    masked(path.with_name("inner.tif"))
    with rasterio.open(path.with_name("inner.tif")) as file, WarpedVRT(file) as whole:
        transform = ", ".join(map(repr, whole.transform.to_gdal()))
    source = '<SourceFilename relativeToVRT="1">inner.tif</SourceFilename><SourceBand>{}</SourceBand>'
    path.write_text(
        f'<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:4326</SRS><GeoTransform>{transform}</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{source.format(1)}</SimpleSource></VRTRasterBand>'
        f'<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource>{source.format("mask,1")}</SimpleSource>'
        "</VRTRasterBand></MaskBand></VRTDataset>"
    )
    return path


def all_bands_are_zero(path: Path) -> Path:
    """A mask of the kind that needs every band to be the missing value (`NODATA_VALUES`)."""
    bands = np.stack([np.where(HOLE, 0, VALUES)] * 3).astype("uint8")
    bands[1:, 0, 0] = 0
    write_tif(path, bands, NATIVE)
    with rasterio.open(path, "r+") as file:
        file.update_tags(NODATA_VALUES="0 0 0")
    return path


KINDS = {
    "internal": masked,
    "beside": lambda path: masked(path, internal=False),
    "alpha of two": lambda path: with_alpha(path, VALUES),
    "alpha of five": lambda path: with_alpha(path, VALUES, VALUES, VALUES, VALUES),
    "alpha, floats": lambda path: with_alpha(path, VALUES.astype("float32")),
    "alpha, NaN": lambda path: with_alpha(path, VALUES.astype("float32"), alpha=np.where(HOLE, np.nan, 1)),
    "alpha, 16 bits": lambda path: with_alpha(path, VALUES.astype("uint16")),
    "virtual": lambda path: virtual(path.with_suffix(".vrt")),
    "of all bands": all_bands_are_zero,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_mask_leaves_out_is_missing(tmp_path, kind):
    path = KINDS[kind](tmp_path / "a.tif")
    source = opened(tmp_path, path.name, band=1)
    out = source.read(WHOLE)
    assert np.array_equal(np.isnan(out), HOLE)
    assert np.array_equal(out[~HOLE], VALUES[~HOLE])
    part = source.read((slice(5, 12), slice(18, 30)))
    assert np.array_equal(part, out[5:12, 18:30], equal_nan=True)
    classes = opened(tmp_path, path.name, band=1, classes=CLASSES)
    assert np.array_equal(classes.read(WHOLE), np.where(HOLE, 0, 2 - VALUES % 2))
    assert np.isnan(source.on_grid(TARGET, "average")[5, 8]) and not classes.on_grid(TARGET, "mode")[5, 8]
    assert np.array_equal(source.glimpse().read(WHOLE), out, equal_nan=True)


@pytest.mark.parametrize("kind", ["internal", "beside", "alpha of two", "virtual", "of all bands"])
def test_masks_are_those_of_rasterio(tmp_path, kind):
    path = KINDS[kind](tmp_path / "a.tif")
    with rasterio.open(path) as file:
        theirs = file.read(1, masked=True)
    assert np.array_equal(theirs.mask, HOLE)
    assert np.array_equal(
        opened(tmp_path, path.name).read(WHOLE),
        theirs.filled(0).astype(float) * np.where(HOLE, np.nan, 1),
        equal_nan=True,
    )


def test_a_mask_and_a_missing_value_both_count(tmp_path):
    values = VALUES.astype("int16")
    values[0, :5] = -9999
    expected = HOLE.copy()
    expected[0, :5] = True
    masked(tmp_path / "a.tif", values=values, nodata=-9999)
    assert np.array_equal(np.isnan(opened(tmp_path).read(WHOLE)), expected)
    with_alpha(tmp_path / "b.tif", values, nodata=-9999)
    assert np.array_equal(np.isnan(opened(tmp_path, "b.tif").read(WHOLE)), expected)
    assert np.array_equal(opened(tmp_path, classes=CLASSES).read(WHOLE) == 0, expected)


def test_an_alpha_band_that_is_chosen_is_read_as_it_is(tmp_path):
    with_alpha(tmp_path / "a.tif", VALUES)
    assert np.array_equal(opened(tmp_path, band=2).read(WHOLE), ALPHA)


def test_holes_of_one_tile_are_filled_by_another_and_steps_lack_them(tmp_path):
    low = VALUES.copy()
    low[HOLE] = 77
    masked(tmp_path / "t_2001_b.tif", values=low)  # the last lies on top
    write_tif(tmp_path / "t_2001_a.tif", np.full_like(VALUES, 3)[5:], NATIVE[5:, :])
    masked(tmp_path / "t_2002_b.tif", values=low + 1)
    one = opened(tmp_path, "t_{year}_*.tif", period=(2001, 2001))
    assert np.array_equal(one.read(WHOLE), np.where(HOLE, 3, VALUES))
    two = opened(tmp_path, "t_{year}_b.tif", reduce="mean").read(WHOLE)
    assert np.array_equal(np.isnan(two), HOLE)
    assert np.array_equal(two[~HOLE], VALUES[~HOLE] + 0.5)
    assert np.isnan(opened(tmp_path, "t_{year}_b.tif").glimpse().read(WHOLE)[HOLE]).all()


def test_codes_under_a_mask_are_not_unlisted(tmp_path):
    values = np.where(HOLE, 99, VALUES).astype("uint8")
    masked(tmp_path / "a.tif", values=values)
    assert opened(tmp_path, classes=CLASSES).unlisted(TARGET) == ()
    write_tif(tmp_path / "b.tif", values, NATIVE)
    assert opened(tmp_path, "b.tif", classes=CLASSES).unlisted(TARGET) == ("99",)


@pytest.mark.parametrize("kind", ["internal", "beside", "alpha of two", "alpha of five"])
def test_masks_over_http(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http://127.0.0.1")
    KINDS[kind](tmp_path / f"{kind.replace(' ', '_')}.tif")
    with serving(folder=tmp_path) as web:
        out = opened(tmp_path, f"{web.url}/{kind.replace(' ', '_')}.tif", band=1).read(WHOLE)
    assert np.array_equal(np.isnan(out), HOLE)
    assert np.array_equal(out[~HOLE], VALUES[~HOLE])


def test_a_file_without_a_mask_is_read_once(tmp_path, monkeypatch):
    write_tif(tmp_path / "a.tif", VALUES, NATIVE, nodata=0)
    source = opened(tmp_path)
    assert source.tiles[0].file.masks == ()

    def never(*arguments, **options):
        raise AssertionError("a mask is read")

    monkeypatch.setattr("engine.sources.tiles._masks", never)
    monkeypatch.setattr("engine.sources.tiles._mask", never)
    assert np.array_equal(source.read(WHOLE), VALUES)


def test_several_bands_of_which_none_is_chosen_are_noted(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.stack([VALUES] * 12), NATIVE)
    note = "12 bands; band 1 is read; `band: N` chooses another"
    assert opened(tmp_path).summary().notes == (note,)
    assert opened(tmp_path, band=1).summary().notes == ()
    with rasterio.open(path, "r+") as file:
        file.set_band_description(1, "January")
    assert opened(tmp_path).summary().notes == (note.replace("read", "read (January)"),)
    with_alpha(tmp_path / "b.tif", VALUES)
    assert opened(tmp_path, "b.tif").summary().notes == ()


def test_a_missing_value_that_is_listed_as_a_class_is_the_class_and_noted(tmp_path):
    write_tif(tmp_path / "a.tif", VALUES, NATIVE, nodata=8)
    source = opened(tmp_path, classes=CLASSES)
    assert np.array_equal(source.read(WHOLE), 2 - VALUES % 2)
    assert source.summary().notes == ("the file says that 8 is missing, `classes` that it is even: the class counts",)
    both = opened(tmp_path, classes=CLASSES, nodata=8)
    assert np.array_equal(both.read(WHOLE) == 0, VALUES == 8)


LOCAL = 'LOCAL_CS["Albers something",UNIT["metre",1]]'


@pytest.mark.parametrize("crs", [LOCAL, "EPSG:4978"], ids=["local", "geocentric"])
def test_a_crs_that_leads_nowhere_is_refused_with_file_and_key(tmp_path, crs):
    path = write_tif(tmp_path / "a.tif", VALUES, NATIVE, crs=crs)
    with pytest.raises(InputError) as error:
        opened(tmp_path)
    (problem,) = map(str, error.value.problems)
    assert problem.startswith(f"covariates.v: {path}: its CRS, ")
    assert problem.endswith(
        "are not places on Earth; if you know the right one, add e.g. `crs: EPSG:4326` to the entry"
    )
    assert np.array_equal(opened(tmp_path, crs="EPSG:4326").read(WHOLE), VALUES)
    with pytest.raises(InputError, match=re.escape(f"covariates.v.crs: {crs!r}: its CRS")):
        opened(tmp_path, crs=crs)


def test_a_crs_that_leads_nowhere_of_polygons_and_of_a_netcdf_file(tmp_path):
    import geopandas as gpd
    import shapely

    gpd.GeoDataFrame({"c": [1]}, geometry=[shapely.box(120, 50, 121, 51)], crs=LOCAL).to_file(tmp_path / "p.gpkg")
    with pytest.raises(InputError, match=r"p\.gpkg.*not places on Earth.*`crs: EPSG:4326`"):
        opened(tmp_path, "p.gpkg", attribute="c", classes={"a": (1,)})
    write_nc(
        tmp_path / "n.nc", VALUES[::-1].astype("f4"), np.arange(60.0) * 1000, np.arange(40.0) * 1000, names=("x", "y"),
        attrs={"grid_mapping": "m"}, others={"m": ((), 0, {"crs_wkt": LOCAL})},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"n\.nc.*no known place on the Earth.*`crs: EPSG:3413`"):
        opened(tmp_path, "n.nc", variable="v")
    assert opened(tmp_path, "n.nc", variable="v", crs="EPSG:3413").geobox.crs.epsg == 3413


def item(folder: Path, band: dict, href: str = "a.tif", **asset) -> dict:
    """A catalogue of one item that says something of one file."""
    west, south, east, north = NATIVE.boundingbox.bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    described = {
        "type": "Feature", "stac_version": "1.0.0", "id": "i", "bbox": [west, south, east, north], "links": [],
        "properties": {"datetime": "2020-06-01T00:00:00Z"}, "collection": "c",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "assets": {"v": {"href": href, "type": "image/tiff", "roles": ["data"], "raster:bands": [band], **asset}},
    }  # fmt: skip
    (folder / "i.json").write_text(json.dumps(described))
    (folder / "collection.json").write_text(json.dumps({
        "type": "Collection", "stac_version": "1.0.0", "id": "c", "description": "x", "license": "CC0-1.0",
        "links": [{"rel": "item", "href": "./i.json", "type": "application/geo+json"}],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}
        },
    }))  # fmt: skip
    return {"api": str(folder / "collection.json"), "collection": "c"}


GRID = {"proj:shape": list(NATIVE.shape), "proj:transform": list(NATIVE.affine)[:6], "proj:epsg": 4326}


@pytest.mark.parametrize("grid", [{}, GRID], ids=["opened", "as the item says"])
@pytest.mark.parametrize("nodata", [None, "inf", "nan", "-inf", 0, -1, "-9999", "none", "", [], 1e40])
def test_an_item_takes_nothing_from_the_missing_value_of_the_file(tmp_path, nodata, grid):
    write_tif(tmp_path / "a.tif", np.where(HOLE, -9999, VALUES.astype("int16")), NATIVE, nodata=-9999)
    stac = item(tmp_path, {"data_type": "int16", "nodata": nodata}, **grid)
    out = open_source("v", source_spec(stac=stac), tmp_path).read(WHOLE)
    assert np.array_equal(np.isnan(out), HOLE)
    stac = item(tmp_path, {"nodata": 3}, **grid)
    out = open_source("v", source_spec(stac=stac), tmp_path).read(WHOLE)
    assert np.array_equal(np.isnan(out), HOLE | (VALUES == 3))


@pytest.mark.parametrize(
    ("said", "scale", "offset"),
    [
        ({}, 0.5, 10),
        ({"scale": 0.5, "offset": 10}, 0.5, 10),
        ({"scale": 1, "offset": 0}, 0.5, 10),
        ({"scale": 0.25}, 0.25, 10),
        ({"scale": "0.25", "offset": "3"}, 0.25, 3),
        ({"scale": 0, "offset": None}, 0.5, 10),
        ({"scale": "none"}, 0.5, 10),
    ],
)
@pytest.mark.parametrize("grid", [{}, GRID], ids=["opened", "as the item says"])
def test_scale_and_offset_of_item_and_file_count_once(tmp_path, said, scale, offset, grid):
    write_tif(tmp_path / "a.tif", VALUES, NATIVE, scales=(0.5,), offsets=(10.0,))
    out = open_source("v", source_spec(stac=item(tmp_path, said, **grid)), tmp_path).read(WHOLE)
    assert np.array_equal(out, VALUES * scale + offset)


@pytest.mark.parametrize("grid", [{}, GRID], ids=["opened", "as the item says"])
def test_masks_and_bands_of_an_item(tmp_path, grid):
    masked(tmp_path / "a.tif")
    source = open_source("v", source_spec(stac=item(tmp_path, {}, **grid)), tmp_path)
    assert np.array_equal(np.isnan(source.read(WHOLE)), HOLE)
    assert source.summary().notes == ()
    write_tif(tmp_path / "b.tif", np.stack([VALUES, VALUES]), NATIVE)
    stac = item(tmp_path, {}, "b.tif", bands=[{"name": "a"}, {"name": "b"}], **grid)
    assert open_source("v", source_spec(stac=stac), tmp_path).summary().notes == (
        "2 bands; band 1 is read; `band: N` chooses another",
    )


@pytest.mark.parametrize(("key", "value"), [("scales", 0.0), ("scales", np.nan), ("offsets", np.nan)])
def test_a_packing_that_leaves_nothing_is_refused_unless_the_entry_gives_another(tmp_path, key, value):
    path = write_tif(tmp_path / "a.tif", VALUES, NATIVE, **{key: (value,)})
    short = key[:-1]
    with pytest.raises(InputError) as error:
        opened(tmp_path)
    text = str(error.value.problems[0])
    assert text.startswith(f"covariates.v: {path}: ") and f"add `{short}: " in text
    assert np.array_equal(opened(tmp_path, **{short: 2}).read(WHOLE), VALUES * 2 if short == "scale" else VALUES + 2)


def test_complex_numbers_are_refused(tmp_path):
    write_tif(tmp_path / "a.tif", VALUES.astype("complex64"), NATIVE)
    with pytest.raises(InputError, match="band 1 holds complex numbers"):
        opened(tmp_path)


def test_a_missing_value_that_no_float32_is_makes_no_noise(tmp_path, capfd, caplog):
    """Files of R's packages: the text of the tag is not the number that is stored."""
    values = np.where(HOLE, np.finfo("float32").min, VALUES).astype("float32")
    path = write_tif(tmp_path / "a.tif", values, NATIVE, nodata=float(np.finfo("float32").min))
    content = path.read_bytes()
    text = next(t for t in (b"-3.40282346638529e+38", b"-3.4028234663852886e+38", b"-3.40282347e+38") if t in content)
    path.write_bytes(content.replace(text, b"-3.4e+38".ljust(len(text), b"\0")))
    with caplog.at_level(logging.DEBUG):
        out = opened(tmp_path).read(WHOLE)
    assert np.array_equal(np.isnan(out), HOLE)
    assert capfd.readouterr().err == "" and "tifffile" not in caplog.text
    shutil.copy(path, tmp_path / "cut.tif")
    (tmp_path / "cut.tif").write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="truncated"):
        opened(tmp_path, "cut.tif")
