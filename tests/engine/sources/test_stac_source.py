"""STAC: a real API and static catalogs, real assets over HTTP, and everything that servers do wrong."""

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import pytest
import stac_region as region
from rasters import centres, rois, same
from web import Web, serving, stac_api, token_service

from engine.errors import InputError, RunError
from engine.remote.files import forget
from engine.remote.retry import RetryPolicy, using
from engine.sources.base import Context
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.raster import Patchwork, RasterSource
from engine.sources.resampling import Resampling
from engine.sources.spec import SourceSpec
from engine.sources.stac.query import matches

BBOX = (115.0, 49.0, 125.0, 53.0)


@dataclass
class Catalog:
    api: Web
    files: Web
    folder: Path
    collection: dict
    items: list[dict]

    def spec(self, stac: dict | None = None, **entries) -> SourceSpec:
        return source_spec(stac={"api": self.api.url, "collection": "plane", **(stac or {})}, **entries)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stac")
    (folder / "files").mkdir()
    with serving(folder=folder / "files") as files:
        collection, items = region.make(folder / "files", files.url)
        with stac_api(folder, collection, items) as api:
            yield Catalog(api, files, folder, collection, items)


@pytest.fixture
def catalog(served, monkeypatch):
    """The servers, free of faults; and little patience."""
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http://127.0.0.1")
    served.api.forget()
    served.files.forget()
    with using(RetryPolicy(first_wait_s=0.05, read_s=3.0)):
        yield served
    served.files.bearer = served.files.key = None
    forget()


def opened(catalog: Catalog, context: Context | None = None, **entries):
    return open_source("v", catalog.spec(**entries), catalog.folder, context or Context(BBOX))


def problems(catalog: Catalog, context: Context | None = None, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(catalog, context, **entries)
    return list(map(str, error.value.problems))


def test_hundreds_of_items_over_several_pages_in_two_zones(catalog):
    source = opened(catalog)
    assert isinstance(source, Patchwork) and len(source.parts) == 2
    summary = source.summary()
    assert (len(summary.files), summary.steps, summary.period) == (288, 48, "2001–2004")
    assert sum("/search" in path for _, path, *_ in catalog.api.requests) >= 2
    method = source.choose_resampling(region.TARGET)
    assert method == (Resampling.AVERAGE, Resampling.AVERAGE)
    small = region.TARGET[10:18, 42:60]
    expected = region.truth(*centres(small), region.mean_of(range(2001, 2005)))
    error = np.abs(source.on_grid(small, "bilinear") - expected)
    assert np.median(error) < 0.005
    assert error.max() < 0.15  # at the rim of a zone half a pixel lacks its neighbour


def test_blocks_equal_the_whole_across_the_seam_of_zones(catalog):
    source = opened(catalog, period=(2002, 2002), months=(7,))
    for method in ("bilinear", ("average", "average"), "nearest"):
        whole = source.on_grid(region.TARGET, method)
        assert np.isfinite(whole).mean() > 0.6
        blocks = np.empty_like(whole)
        for roi in rois(region.TARGET, 37):
            blocks[roi] = source.on_grid(region.TARGET[roi], method)
        assert same(blocks, whole)


def test_the_same_as_odc_stac_on_the_native_grid(catalog):
    """An independent reader of the same items, where no resampling is needed."""
    source = opened(catalog, period=(2002, 2002), months=(7,))
    part = next(p for p in source.parts if p.geobox.crs.epsg == 32650)
    items = [pystac.Item.from_dict(i) for i in catalog.items if i["id"].endswith("200207")]
    loaded = odc.stac.load(
        [i for i in items if i.id[:2] in ("t0", "t1", "t2")],
        bands=["values"], geobox=part.geobox, nodata=region.NODATA,
        stac_cfg={"plane": {"assets": {"*": {"data_type": "int16", "nodata": region.NODATA}}}},
    )["values"].values  # fmt: skip
    theirs = np.where(loaded[0] == region.NODATA, np.nan, loaded[0] * region.SCALE + region.OFFSET)
    ours = part.read((slice(0, part.geobox.shape.y), slice(0, part.geobox.shape.x)))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.isnan(ours).sum() == 3


def test_period_months_and_query_choose_items(catalog):
    assert opened(catalog, period=(2002, 2003)).summary().steps == 24
    assert opened(catalog, months="JJA").summary().steps == 12
    assert opened(catalog, stac={"query": {"cloud": {"lte": 2}, "platform": "p2003"}}).summary().steps == 2
    west = opened(catalog, Context((115.0, 49.0, 118.6, 53.0)), period=(2001, 2001), months=(1,))
    assert [tile.file.place.name for tile in west.tiles] == ["t0_200101.tif", "t1_200101.tif"]


def test_scale_offset_and_nodata_come_from_the_items_and_can_be_overridden(catalog):
    window = (slice(0, 40), slice(0, 40))
    one = {"period": (2001, 2001), "months": (1,), "stac": {"query": {"platform": "p2001"}}}
    context = Context((117.1, 51.1, 117.15, 51.2))
    plain = opened(catalog, context, **one)
    assert isinstance(plain, RasterSource)
    values = plain.read(window)
    assert np.isnan(values[0, 0]) and np.isfinite(values[1:]).all()
    expected = region.truth(*centres(plain.geobox), 1)
    assert np.nanmax(np.abs(values - expected)) < 0.006
    raw = opened(catalog, context, scale=1, offset=0, **one).read(window)
    assert np.allclose(raw[1:], np.round((expected[1:] + 100) * 100), atol=1)


def test_an_anomaly_over_items(catalog):
    source = opened(catalog, reduce="anomaly", period=(2003, 2004), baseline=(2001, 2002))
    assert np.allclose(source.on_grid(region.TARGET[5:9, 5:9], "nearest"), 24, atol=0.03)


def test_items_are_kept_for_a_run_without_a_network(catalog, tmp_path):
    context = Context(BBOX, items=tmp_path / "items")
    first = opened(catalog, context, period=(2002, 2002))
    kept = json.loads((tmp_path / "items" / "v.json").read_text())
    assert len(kept["features"]) == 72 and set(kept["features"][0]["assets"]) == {"values"}
    catalog.api.requests.clear()
    again = opened(catalog, context, period=(2002, 2002))
    assert catalog.api.requests == []
    assert again.summary().fingerprint == first.summary().fingerprint
    assert again == first
    other = opened(catalog, context, period=(2003, 2003))  # another question is asked anew
    assert catalog.api.requests and other.summary().fingerprint != first.summary().fingerprint
    catalog.api.requests.clear()
    opened(catalog, replace(context, refresh=True), period=(2003, 2003))
    assert catalog.api.requests


@pytest.mark.parametrize("fault", [429, 500, 503, "hang", "cut"])
def test_a_search_that_fails_is_tried_again(catalog, fault):
    catalog.api.fail("/search", fault, *([fault] if isinstance(fault, int) else []))
    assert len(opened(catalog, period=(2001, 2002)).summary().files) == 144
    assert sum("/search" in path for _, path, *_ in catalog.api.requests) >= 2


@pytest.mark.parametrize("fault", [429, 500, "hang"])
def test_a_search_that_goes_on_failing_is_an_error(catalog, fault, tmp_path):
    catalog.api.fail("/search", *[fault] * 10)
    with using(RetryPolicy(tries=2, first_wait_s=0.05, read_s=3.0)):
        (problem,) = problems(catalog, Context(BBOX, items=tmp_path))
    assert problem.startswith(f"covariates.v.stac.api: cannot be reached: {catalog.api.url}: ")
    assert not list(tmp_path.iterdir())


def test_a_page_that_is_lost_is_no_shorter_list(catalog, monkeypatch):
    """The first page comes, the second does not: nothing is made of the half."""
    monkeypatch.setattr("engine.sources.stac.search.PAGE", 100)
    answered = []
    fault = catalog.api.fault

    def second_page_fails(path: str):
        if "/search" not in path:
            return fault(path)
        answered.append(path)
        return 500 if len(answered) > 1 else None

    monkeypatch.setattr(catalog.api, "fault", second_page_fails)
    with using(RetryPolicy(tries=2, first_wait_s=0.05, read_s=3.0)):
        (problem,) = problems(catalog)
    assert "cannot be reached" in problem and len(answered) >= 2


@pytest.mark.parametrize("fault", [429, 500, "hang", "cut"])
def test_an_asset_that_fails_is_tried_again(catalog, fault):
    source = opened(catalog, period=(2001, 2001), months=(5,))
    expected = source.on_grid(region.TARGET, "nearest")
    again = opened(catalog, period=(2002, 2002), months=(5,))
    catalog.files.fail("t1_200205.tif", fault)
    assert np.allclose(again.on_grid(region.TARGET, "nearest"), expected + 12, atol=0.03, equal_nan=True)


def test_an_asset_that_is_gone_or_cut_off_is_named(catalog):
    source = opened(catalog, period=(2003, 2003), months=(5,))
    file = catalog.folder / "files" / "t1_200305.tif"
    content = file.read_bytes()
    try:
        file.unlink()
        with pytest.raises(RunError, match=r"covariates.v: http://.*/t1_200305.tif: cannot be read: .*404"):
            source.on_grid(region.TARGET, "nearest")
        file.write_bytes(content[: len(content) * 2 // 3])
        forget()
        late = opened(catalog, period=(2003, 2003), months=(5,))
        file_url = f"{catalog.files.url}/t1_200305.tif"
        with pytest.raises(RunError, match=f"{file_url}: is truncated: [0-9,]+ bytes of at least"):
            late.on_grid(region.TARGET, "bilinear")
    finally:
        file.write_bytes(content)


def test_an_asset_that_is_not_what_its_item_says(catalog):
    source = opened(catalog, Context((117.1, 51.1, 117.15, 51.2)), period=(2004, 2004), months=(5,))
    other = replace(source.tiles[0].file, geobox=source.geobox[:20])
    wrong = replace(source, tiles=(replace(source.tiles[0], file=other),))
    with pytest.raises(InputError, match="has 40 × 40 pixels, the catalogue says 20 × 40"):
        wrong.on_grid(region.TARGET, "nearest")


# Unlocking


@pytest.fixture
def tokens(tmp_path):
    with token_service(tmp_path, "plane", "sig=S3CRET") as web:
        yield web


def test_signed_addresses(catalog, tokens, monkeypatch, tmp_path):
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{tokens.url}/sas")
    catalog.files.key = "sig=S3CRET"
    entries = {"period": (2004, 2004), "months": (8,)}
    context = Context(BBOX, items=tmp_path / "items")
    tokens.fail("token", 429)
    source = opened(catalog, context, stac={"sign": "planetary_computer"}, **entries)
    values = source.on_grid(region.TARGET, "nearest")
    assert np.isfinite(values).mean() > 0.6
    assert len(tokens.requests) == 2  # one fault, then one token for all files
    assert b"S3CRET" not in pickle.dumps(source)
    assert "S3CRET" not in (tmp_path / "items" / "v.json").read_text()
    assert "S3CRET" not in source.summary().fingerprint + repr(source)
    catalog.files.key = "sig=ANOTHER"
    with pytest.raises((InputError, RunError)) as error:
        opened(catalog, stac={"sign": "planetary_computer"}, period=(2004, 2004), months=(9,))
    assert "403" in str(error.value) and "S3CRET" not in str(error.value)


def test_without_the_token_the_file_is_named_and_refused(catalog):
    catalog.files.key = "sig=S3CRET"
    found = problems(catalog, period=(2004, 2004), months=(10,))
    assert len(found) == 3  # items that do not tell their grid are opened
    assert all("403" in problem for problem in found)


def test_a_bearer_token(catalog, monkeypatch):
    catalog.files.bearer = "T0KEN"
    entries = {"period": (2004, 2004), "months": (11,), "stac": {"sign": "earthdata"}}
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    assert all("set EARTHDATA_TOKEN in the environment" in problem for problem in problems(catalog, **entries))
    monkeypatch.setenv("EARTHDATA_TOKEN", "T0KEN")
    source = opened(catalog, **entries)
    assert np.isfinite(source.on_grid(region.TARGET, "nearest")).mean() > 0.6
    assert b"T0KEN" not in pickle.dumps(source)


# Static catalogs


@pytest.fixture(scope="module")
def static(served, tmp_path_factory):
    """The items of 2001 in a self-contained catalog, collection within catalog, relative links."""
    folder = tmp_path_factory.mktemp("static")
    collection = pystac.Collection.from_dict(served.collection)
    for document in served.items:
        if "_2001" in document["id"]:
            item = pystac.Item.from_dict(document)
            item.assets["values"].href = str(served.folder / "files" / f"{item.id}.tif")
            collection.add_item(item)
    inner = pystac.Catalog("inner", "One level down.")
    inner.add_child(collection)
    root = pystac.Catalog("root", "A static catalog.")
    root.add_child(inner)
    root.normalize_hrefs(str(folder))
    root.make_all_asset_hrefs_relative()
    root.save(pystac.CatalogType.SELF_CONTAINED)
    return folder


def test_a_static_catalog(catalog, static):
    spec = source_spec(stac={"api": "catalog.json", "collection": "plane"}, months=(1, 2))
    source = open_source("v", spec, static, Context(BBOX))
    assert source.summary().steps == 2
    assert all(isinstance(file, Path) for file in source.summary().files)
    expected = region.truth(*centres(region.TARGET[5:9, 5:9]), 1.5)
    assert np.abs(source.on_grid(region.TARGET[5:9, 5:9], "bilinear") - expected).max() < 0.02
    queried = spec.model_copy(update={"stac": spec.stac.model_copy(update={"query": {"cloud": 2}})})
    assert open_source("v", queried, static, Context(BBOX)).summary().steps == 1


def test_a_collection_without_a_catalog(catalog, tmp_path):
    """Its own file, with its items, and nothing above it."""
    collection = pystac.Collection.from_dict(catalog.collection)
    collection.add_items(pystac.Item.from_dict(item) for item in catalog.items if "_2001" in item["id"])
    collection.normalize_hrefs(str(tmp_path))
    collection.save(pystac.CatalogType.SELF_CONTAINED)
    with serving(folder=tmp_path) as web:
        for address in (str(tmp_path / "collection.json"), f"{web.url}/collection.json"):
            spec = source_spec(stac={"api": address, "collection": "plane"}, months=(1, 2))
            source = open_source("v", spec, tmp_path, Context(BBOX))
            assert source.summary().steps == 2 and len(source.summary().files) == 12


def test_a_static_catalog_on_a_web_server(catalog, static):
    with serving(folder=static) as web:
        web.fail("collection.json", 503)
        spec = source_spec(stac={"api": f"{web.url}/catalog.json", "collection": "plane"}, months=(1,))
        source = open_source("v", spec, static, Context((116.0, 51.0, 117.2, 51.2)))
        assert source.summary().steps == 1


# What the user got wrong


def test_what_is_not_there(catalog, static):
    (problem,) = problems(catalog, stac={"collection": "plain"})
    assert problem == f"covariates.v.stac.collection: {catalog.api.url} has no collection 'plain'; it has plane"
    (problem,) = problems(catalog, stac={"asset": "valeus"})
    assert "288 of 288 items, e.g. t0_200101, have no asset 'valeus'; they have values, picture" in problem
    (problem,) = problems(catalog, Context((0.0, 0.0, 1.0, 1.0)), period=(2001, 2002))
    assert "has no item in bbox [0.0, 0.0, 1.0, 1.0], period 2001–2002" in problem
    (problem,) = problems(catalog, period=(2001, 2001), months=(1,), classes={"a": [1]}, stac={"api": "nowhere.json"})
    assert "no such file" in problem
    (problem,) = problems(catalog, grids="one", period=(2001, 2001), months=(1,))
    assert "is not on the same grid" in problem
    with serving(folder=static) as web:
        (problem,) = problems(catalog, stac={"api": f"{web.url}/none"})
        assert "does not answer as a STAC API or catalog" in problem and "404" in problem


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"a": 1}, True), ({"a": 2}, False), ({"a": {"gt": 0, "lt": 2}}, True), ({"a": {"gte": 2}}, False),
        ({"b": {"startsWith": "x"}}, True), ({"b": {"in": ["xy", "z"]}}, True), ({"b": {"contains": "z"}}, False),
        ({"none": {"neq": 1}}, True), ({"none": 1}, False), ({"b": {"lt": 3}}, False), ({"b": {"endsWith": "y"}}, True),
    ],
)  # fmt: skip
def test_queries(query, fits):
    assert matches({"a": 1, "b": "xy"}, query) is fits
