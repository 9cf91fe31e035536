"""STAC items whose assets are NetCDF files or Zarr stores: read as series, or refused with what can be done."""

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pystac
import pytest
import xarray as xr
from rasters import LAEA, north_up, same
from web import Web, serving, token_service

from engine.errors import InputError, RunError
from engine.grid.grid import Grid
from engine.remote.files import forget
from engine.sources.base import Context
from engine.sources.entry import source_spec
from engine.sources.netcdf import NetcdfSource
from engine.sources.opening import open_source
from pipelines.preflight.download_size import projected_download

TARGET = north_up(-150_000, 150_000, 8000, 30, 30, LAEA)
LON, LAT = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
YEARS = (2001, 2002, 2003)
NETCDF, ZARR = "application/x-netcdf", "application/vnd+zarr"


def dataset(year: int) -> xr.Dataset:
    """Monthly tenths of a degree: a plane that rises by 1 from month to month."""
    months = np.arange(12) + 12 * (year - YEARS[0])
    plane = 10 * (LON[None, :] - 121) + 20 * (LAT[:, None] - 51)
    values = np.round(10 * (plane + months[:, None, None])).astype("int16")
    axes = {"time": pd.date_range(f"{year}-01-01", periods=12, freq="MS"), "lat": LAT, "lon": LON}
    return xr.Dataset({"tas": (("time", "lat", "lon"), values)}, axes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    for year in YEARS:
        dataset(year).to_netcdf(folder / f"tas_{year}.nc", engine="h5netcdf")
    whole = xr.concat([dataset(year) for year in YEARS], "time")
    whole.to_zarr(folder / "tas.zarr", zarr_format=2, consolidated=True)
    return folder


@pytest.fixture
def tokens(tmp_path, monkeypatch) -> Iterator[Web]:
    with token_service(tmp_path, "tas", "sig=S3C%2BRET&se=1") as service:
        monkeypatch.setenv("PC_SDK_SAS_URL", f"{service.url}/sas")
        yield service


@pytest.fixture
def web(folder) -> Iterator[Web]:
    forget()
    with serving(folder=folder) as web:
        yield web


def catalog(folder: Path, assets: list[tuple[str, tuple[int, int], dict]]) -> Path:
    """A static catalog of items, each of some years, with one asset."""
    extent = pystac.Extent(
        pystac.SpatialExtent([[120, 50, 123, 52]]), pystac.TemporalExtent([[datetime(2001, 1, 1, tzinfo=UTC), None]])
    )
    collection = pystac.Collection("tas", "Made up.", extent, license="CC0-1.0")
    for href, (first, last), asset in assets:
        start, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 12, 31, tzinfo=UTC)
        item = pystac.Item(
            f"tas-{first}-{Path(href).suffix[1:]}", None, None, None, {},
            start_datetime=start, end_datetime=end, collection="tas",
        )  # fmt: skip
        item.add_asset("data", pystac.Asset(href, **asset))
        collection.add_item(item)
    root = pystac.Catalog("root", "A static catalog.")
    root.add_child(collection)
    root.normalize_hrefs(str(folder))
    root.save(pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def opened(api: Path, context: Context | None = None, sign: str | None = None, **entries):
    stac = {"api": str(api), "collection": "tas"} | ({"sign": sign} if sign else {})
    return open_source("tas", source_spec(stac=stac, variable="tas", scale=0.1, **entries), api.parent, context)


def yearly(web: Web, media: str | None = NETCDF) -> list[tuple[str, tuple[int, int], dict]]:
    return [(f"{web.url}/tas_{year}.nc", (year, year), {"media_type": media}) for year in YEARS]


@pytest.mark.parametrize("entries", [{}, {"period": (2002, 2003)}, {"months": "JJA"}, {"reduce": "annual_sum"}])
def test_netcdf_assets_are_the_files_that_they_are(web, folder, tmp_path, entries):
    source = opened(catalog(tmp_path, yearly(web)), **entries)
    local = source_spec(href=str(folder / "tas_*.nc"), variable="tas", scale=0.1, **entries)
    expected = open_source("tas", local, folder)
    assert isinstance(source, NetcdfSource)
    assert same(source.on_grid(TARGET, "bilinear"), expected.on_grid(TARGET, "bilinear"))
    ours, theirs = source.summary(), expected.summary()
    assert (ours.steps, ours.period) == (theirs.steps, theirs.period) and ours.listed


def test_a_zarr_asset_of_all_years(web, folder, tmp_path):
    asset = {"media_type": f"{ZARR}; version=2"}
    source = opened(catalog(tmp_path, [(f"{web.url}/tas.zarr", (2001, 2003), asset)]), period=(2002, 2002))
    expected = open_source("tas", source_spec(href=str(folder / "tas_2002.nc"), scale=0.1), folder)
    assert source.summary().steps == 12
    assert same(source.on_grid(TARGET, "bilinear"), expected.on_grid(TARGET, "bilinear"))


def test_what_the_item_says_of_the_encoding_counts(web, tmp_path):
    band = {"scale": 0.01, "offset": 5.0, "nodata": -999}
    assets = [(href, years, asset | {"extra_fields": {"raster:bands": [band]}}) for href, years, asset in yearly(web)]
    api = catalog(tmp_path, assets)
    plain = source_spec(stac={"api": str(api), "collection": "tas"}, variable="tas", months=(1,))
    told, ours = open_source("tas", plain, tmp_path), opened(api, months=(1,))
    values, tenths = told.on_grid(TARGET, "nearest"), ours.on_grid(TARGET, "nearest") - 5
    np.testing.assert_allclose(values, tenths / 10 + 5, atol=1e-4)


def test_a_run_without_a_network_knows_its_items(web, tmp_path):
    api, context = catalog(tmp_path / "stac", yearly(web)), Context(items=tmp_path / "items")
    first = opened(api, context)
    assert (tmp_path / "items" / "tas.json").exists()
    assert opened(api, context).summary().fingerprint == first.summary().fingerprint
    (tmp_path / "stac" / "catalog.json").unlink()
    assert opened(api, context) == first


@pytest.mark.parametrize(("lock", "sign"), [("sig=S3C%2BRET&se=1", "planetary_computer"), ("T0KEN", "earthdata")])
@pytest.mark.parametrize("name", ["tas_2002.nc", "tas.zarr"])
def test_what_unlocks_a_file_goes_with_every_request(web, tokens, folder, tmp_path, monkeypatch, name, lock, sign):
    monkeypatch.setenv("EARTHDATA_TOKEN", "T0KEN")
    web.key, web.bearer = (lock, None) if sign == "planetary_computer" else (None, lock)
    asset = {"media_type": ZARR if "zarr" in name else NETCDF}
    api = catalog(tmp_path / "stac", [(f"{web.url}/{name}", (2002, 2002), asset)])
    source = opened(api, Context(items=tmp_path / "items"), sign, period=(2002, 2002))
    expected = open_source("tas", source_spec(href=str(folder / "tas_2002.nc"), scale=0.1), folder)
    assert same(source.on_grid(TARGET, "bilinear"), expected.on_grid(TARGET, "bilinear"))
    assert not {401, 403} & {status for *_, status, _ in web.requests}
    assert projected_download(source, Grid(TARGET, 64, TARGET.extent)) is not None
    kept = (tmp_path / "items" / "tas.json").read_bytes() + pickle.dumps(source) + repr(source.summary()).encode()
    assert b"S3C" not in kept and b"T0KEN" not in kept
    web.key, web.bearer = ("sig=ANOTHER", None) if web.key else (None, "ANOTHER")
    with pytest.raises((InputError, RunError), match=r"401|403") as refused:
        source.on_grid(TARGET, "bilinear")
    assert "S3C" not in str(refused.value) and "T0KEN" not in str(refused.value)


@pytest.mark.parametrize("name", ["tas", "tas.v1"])
def test_a_zarr_store_without_an_ending(web, folder, tmp_path, name):
    """Behind an address, as an asset and as a plain entry, and on disk."""
    if not (folder / name).exists():
        (folder / name).symlink_to(folder / "tas.zarr")
    source = opened(catalog(tmp_path, [(f"{web.url}/{name}", (2001, 2003), {"media_type": ZARR})]), period=(2002, 2002))
    expected = open_source("tas", source_spec(href=str(folder / "tas_2002.nc"), scale=0.1), folder)
    plain = [
        open_source("tas", source_spec(href=href, scale=0.1, period=(2002, 2002)), folder)
        for href in (f"{web.url}/{name}", str(folder / name))
    ]
    for found in (source, *plain):
        assert same(found.on_grid(TARGET, "bilinear"), expected.on_grid(TARGET, "bilinear"))
        assert found.summary().fingerprint


def problems(*arguments, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(*arguments, **entries)
    return list(map(str, error.value.problems))


def test_what_cannot_be_read_says_what_can(web, folder, tmp_path):
    """Each with the item and what is possible."""

    def told(name: str, *assets, sign: str | None = None) -> list[str]:
        return problems(catalog(tmp_path / name, list(assets)), None, sign)

    years, zarr = (2001, 2003), {"media_type": ZARR}
    (absent,) = told("absent", (f"{web.url}/nowhere", years, zarr))
    assert f"{web.url}/nowhere: cannot be opened as a store or file" in absent
    (elsewhere,) = told("elsewhere", ("abfs://container/tas.zarr", years, zarr))
    assert "abfs://container/tas.zarr: only http(s)://, s3:// and file:// can be read" in elsewhere
    mixed = told("mixed", *yearly(web)[:1], (f"{web.url}/tas_2002.tif", (2002, 2002), {"media_type": "image/tiff"}))
    assert len(mixed) == 1 and "is image/tiff, while others are NetCDF or Zarr" in mixed[0]
    (gone,) = told("gone", (f"{web.url}/none.nc", years, {"media_type": NETCDF}))
    assert f"covariates.tas: {web.url}/none.nc: cannot be opened as a store or file" in gone


def test_the_download_is_projected_from_the_first_file(web, folder, tmp_path):
    source = opened(catalog(tmp_path, yearly(web)))
    projected = projected_download(source, Grid(TARGET, 64, TARGET.extent))
    assert projected is not None
    assert 0.1 < projected / sum((folder / f"tas_{year}.nc").stat().st_size for year in YEARS) <= 1.1
