"""Files behind addresses: parts of them read and counted, faults, object stores, and nothing told of credentials."""

import math
import pickle
import socket
import time
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import requests
import s3fs
import shapely
import xarray as xr
from affine import Affine
from moto.server import ThreadedMotoServer
from odc.geo.geobox import GeoBox
from pydantic import ValidationError
from rasterio.windows import Window
from rasters import LAEA, north_up, same, write_nc, write_tif
from rio_cogeo import cog_validate
from web import serving

from engine.errors import InputError, RunError
from engine.remote.files import Remote, during, find_remote, forget
from engine.remote.retry import RemoteError, RetryPolicy, persistently, policy, reason, unsigned, using
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.tiff_truncation import end_of_last_tile

NATIVE = north_up(120, 52, 0.05, 60, 40)
TARGET = north_up(-150_000, 150_000, 8000, 30, 30, LAEA)
VALUES = np.random.default_rng(0).integers(0, 1000, NATIVE.shape).astype("int16")
IMPATIENT = RetryPolicy(first_wait_s=0.05, read_s=3.0)


@pytest.fixture(autouse=True)
def impatient():
    forget()
    with using(IMPATIENT):
        yield


@pytest.fixture
def web(tmp_path):
    with serving(folder=tmp_path) as web:
        yield web


def opened(href, **entries):
    return open_source("v", source_spec(href=href, **entries), Path("."))


def problems(href, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(href, **entries)
    return list(map(str, error.value.problems))


# Parts of files


@pytest.fixture(scope="module")
def huge(tmp_path_factory) -> Path:
    """A COG of 100,000 × 100,000 pixels of which 2048 × 2048 hold noise, 8 MB that cannot be compressed."""
    folder, side = tmp_path_factory.mktemp("huge"), 100_000
    profile = dict(driver="GTiff", height=side, width=side, count=1, dtype="int16", crs="EPSG:6933", nodata=-1)
    layout = dict(tiled=True, blockxsize=512, blockysize=512, sparse_ok=True, bigtiff="yes")
    path = folder / "huge.tif"
    with rasterio.open(path, "w", transform=Affine(100, 0, 0, 0, -100, 7e6), **profile, **layout) as file:
        noise = np.random.default_rng(0).integers(0, 1000, (2048, 2048)).astype("int16")
        file.write(noise, 1, window=Window(51_200, 51_200, 2048, 2048))
    assert cog_validate(path, quiet=True)[0]
    return folder


def test_a_huge_cog_is_opened_and_read_by_parts(huge):
    with serving(folder=huge) as web:
        source = opened(f"{web.url}/huge.tif")
        assert source.geobox.shape == (100_000, 100_000)
        assert source.summary().bytes == (huge / "huge.tif").stat().st_size > 8e6
        assert web.sent < 150_000  # of 8 MB: the directory and a few numbers
        opening = len(web.requests)
        assert opening < 12
        web.forget()
        # 25 × 25 cells of 1 km over 250 × 250 pixels of 100 m, and a margin: one tile of 512 KiB, or four.
        target = north_up(5_140_000, 7e6 - 5_140_000, 1000, 25, 25, "EPSG:6933")
        assert np.isfinite(source.on_grid(target, "average")).all()
        assert web.sent <= 4 * 512 * 512 * 2 + 100_000


def test_only_a_bounded_window_is_read_at_a_time(monkeypatch, tmp_path):
    """However fine the source: a target under which it has many pixels is read in pieces, with the same result."""
    fine = north_up(-100_000, 100_000, 100, 2000, 2000, LAEA)
    path = write_tif(tmp_path / "fine.tif", np.random.default_rng(1).random(fine.shape).astype("float32"), fine)
    source, target = opened(str(path)), north_up(-99_000, 99_000, 2000, 99, 99, LAEA)
    for method in ("average", "bilinear", "nearest"):
        whole = source.on_grid(target, method)
        windows = []
        read = type(source).read

        def counted(self, window, read=read, windows=windows):
            windows.append(math.prod(s.stop - s.start for s in window))
            return read(self, window)

        with monkeypatch.context() as patched:
            patched.setattr(type(source), "read", counted)
            patched.setattr("engine.sources.align._MOST_PIXELS", 300_000)
            assert same(source.on_grid(target, method), whole)
        assert len(windows) > 10 and max(windows) <= 300_000


# Faults


@pytest.mark.parametrize("fault", [429, 500, 503, "hang", "cut"])
def test_a_fault_that_passes_is_not_noticed(web, tmp_path, fault):
    write_tif(tmp_path / "a.tif", VALUES, NATIVE, tiled=True, blockxsize=16, blockysize=16)
    web.fail("a.tif", fault)
    source = opened(f"{web.url}/a.tif")
    local = opened(str(tmp_path / "a.tif"))
    web.fail("a.tif", fault)
    assert same(source.on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))


@pytest.mark.parametrize("passing", [1, 2])
@pytest.mark.parametrize("fault", [503, "hang", "cut"])
def test_a_header_that_does_not_come_is_asked_for_again(web, tmp_path, fault, passing):
    """After the look whether the file is there; GDAL itself asks again for what a busy server refuses only."""
    write_tif(tmp_path / "a.tif", VALUES, NATIVE, tiled=True, blockxsize=16, blockysize=16)
    web.fail("a.tif", *[None] * passing, fault)
    source, local = opened(f"{web.url}/a.tif"), opened(str(tmp_path / "a.tif"))
    assert not web.faults["a.tif"]
    assert same(source.on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))


def test_a_fault_that_stays_names_the_file(web, tmp_path, monkeypatch):
    write_tif(tmp_path / "a.tif", VALUES, NATIVE)
    web.fail("a.tif", *[503] * 50)
    with using(replace(IMPATIENT, tries=2)):
        (problem,) = problems(f"{web.url}/a.tif")
    assert problem.startswith("covariates.v.href: cannot be reached: ") and f"{web.url}/a.tif" in problem
    web.forget()
    write_tif(tmp_path / "b.tif", VALUES, NATIVE)
    source = opened(f"{web.url}/b.tif")
    (tmp_path / "b.tif").unlink()
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http://127.0.0.1")
    with pytest.raises(RunError, match=f"covariates.v: {web.url}/b.tif: cannot be read"):
        for _ in range(2):  # the first read may be served from what opening left in memory
            source.on_grid(TARGET, "nearest")


def test_what_is_not_there_or_no_raster(web, tmp_path):
    assert problems(f"{web.url}/none.tif") == [f"covariates.v.href: no such file: {web.url}/none.tif"]
    (tmp_path / "page.tif").write_text("<html>not here</html>")
    (problem,) = problems(f"{web.url}/page.tif")
    assert f"covariates.v: {web.url}/page.tif: cannot be opened" in problem
    file = write_tif(tmp_path / "cut.tif", VALUES, NATIVE, tiled=True, blockxsize=16, blockysize=16)
    file.write_bytes(file.read_bytes()[:3000])
    (problem,) = problems(f"{web.url}/cut.tif")
    assert f"covariates.v: {web.url}/cut.tif: is truncated: 3,000 bytes of at least" in problem


@pytest.mark.parametrize("options", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"bigtiff": "yes"}])
def test_the_end_of_a_tiff(tmp_path, options):
    path = write_tif(tmp_path / "a.tif", VALUES, NATIVE, **options)
    with path.open("rb") as file:
        assert 0.9 * path.stat().st_size < end_of_last_tile(file) <= path.stat().st_size
    for text in (b"", b"II*\0", b"<html></html>...."):
        (tmp_path / "b").write_bytes(text)
        with (tmp_path / "b").open("rb") as file, pytest.raises(ValueError, match="no TIFF directory"):
            end_of_last_tile(file)


def test_a_policy_says_how_often_and_how_long():
    asked: list[float] = []

    def ask():
        asked.append(time.monotonic())
        raise ConnectionError("reset")

    assert policy() == IMPATIENT
    with using(RetryPolicy(tries=3, first_wait_s=0.2)) as chosen:
        assert policy() is chosen
        with pytest.raises(RemoteError, match="here: reset, 3 times; try again later"):
            persistently(ask, "here")
    assert policy() == IMPATIENT
    first, second = np.diff(asked)
    assert 0.1 <= first < 0.2 + 0.1 and 0.2 <= second < 0.4 + 0.1


def test_patience():
    answers = iter([TimeoutError("slow"), ConnectionError("reset"), 7])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert persistently(ask, "here") == 7
    for error, kind in ((PermissionError("403"), RemoteError), (FileNotFoundError("gone"), FileNotFoundError),
                        (ZeroDivisionError("a fault of ours"), ZeroDivisionError)):  # fmt: skip
        calls = []

        def refuse(error=error, calls=calls):
            calls.append(1)
            raise error

        with pytest.raises(kind):
            persistently(refuse, "here")
        assert len(calls) == 1


def test_a_name_that_nobody_knows_is_told_in_words():
    said = "no address is found for its name (is it spelt right, is this machine online?)"
    with pytest.raises(OSError) as of_system:
        socket.create_connection(("nowhere.invalid", 80))
    with pytest.raises(requests.ConnectionError) as of_requests:
        requests.get("http://nowhere.invalid/a.json?token=s3cret", timeout=5)
    assert reason(of_system.value) == reason(of_requests.value) == said
    assert reason(OSError("disk full")) == "disk full"


def test_a_run_file_is_no_place_for_secrets():
    for url in ("https://a.net/x.tif?sig=S3", "https://u:S3@a.net/x.tif", "https://a.net/x.tif?X-Amz-Signature=S3"):
        with pytest.raises(ValidationError) as error:
            source_spec(href=url)
        message = error.value.errors()[0]["msg"]
        assert "https://a.net/x.tif comes with a signature" in message and "S3" not in message
    source_spec(href="https://a.net/x.tif?page=3")


def test_addresses_without_what_unlocks_them():
    assert unsigned("https://a.net/x.tif?sv=1&sig=S&se=2&page=3") == "https://a.net/x.tif?page=3"
    assert unsigned("https://u:p@a.net/x.tif?X-Amz-Signature=S&X-Amz-Date=1") == "https://a.net/x.tif"
    assert reason(OSError("GET https://a.net/x.tif?sig=S: failed")) == "GET https://a.net/x.tif: failed"


# NetCDF, Zarr and polygons over HTTP


def test_netcdf_over_http(web, tmp_path):
    lon, lat = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
    path = write_nc(tmp_path / "a.nc", VALUES, lon, lat)
    remote, local = opened(f"{web.url}/a.nc"), opened(str(path))
    web.fail("a.nc", 503)
    assert same(remote.on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))
    assert remote.summary().is_remote and remote.summary().bytes == path.stat().st_size


def zarr_stores(folder: Path) -> None:
    lon, lat = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
    dataset = xr.Dataset({"v": (("lat", "lon"), VALUES.astype("float32"))}, {"lat": lat, "lon": lon})
    encoding = {"v": {"chunks": (10, 15)}}
    for version in (2, 3):
        for consolidated in (True, False):
            name = f"v{version}{'' if consolidated else '-plain'}.zarr"
            dataset.to_zarr(folder / name, consolidated=consolidated, zarr_format=version, encoding=encoding)


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part", "ignore:Failed to open Zarr store")
def test_zarr_over_http(web, tmp_path):
    zarr_stores(tmp_path)
    for name in ("v2.zarr", "v3.zarr"):
        local, remote = opened(str(tmp_path / name)), opened(f"{web.url}/{name}")
        before = remote.summary().fingerprint
        web.forget()
        corner = TARGET[14:16, 14:16]
        assert same(remote.on_grid(corner, "bilinear"), local.on_grid(corner, "bilinear"))
        assert sum("/v/" in path for method, path, status, _ in web.requests if status == 200) <= 4  # of 16 chunks
        web.fail("/v/", 503)
        assert same(remote.on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))
        assert remote.summary().is_remote and remote.summary().bytes == 0  # the server does not say
        metadata = tmp_path / name / ("zarr.json" if name == "v3.zarr" else ".zmetadata")
        metadata.write_text(metadata.read_text() + " ")
        forget()
        assert remote.summary().fingerprint != before
    for name in ("v2-plain.zarr", "v3-plain.zarr"):
        (problem,) = problems(f"{web.url}/{name}")
        assert f"{web.url}/{name}: holds no array" in problem and "`zarr.consolidate_metadata`" in problem
    assert problems(f"{web.url}/none.zarr") == [f"covariates.v.href: no such file: {web.url}/none.zarr"]


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_zarr_chunk_that_cannot_be_read_is_not_taken_for_a_missing_one(web, tmp_path):
    zarr_stores(tmp_path)
    source = opened(f"{web.url}/v3.zarr")
    for fault in (503, 403):
        web.fail("/v/c/", *[fault] * 40)
        failed = pytest.raises(RunError, match=f"covariates.v: {web.url}/v3.zarr: cannot be read: .*{fault}")
        with using(replace(IMPATIENT, tries=2)), failed:
            source.on_grid(TARGET, "bilinear")
        web.forget()


def test_patterns_over_http(web, tmp_path):
    for i, cols in enumerate((slice(0, 25), slice(25, 60))):
        write_tif(tmp_path / "tiles" / f"t_2001_{i}.tif", VALUES[:, cols], NATIVE[:, cols])
    (tmp_path / "tiles" / "readme.txt").write_text("not a tile")
    href, entries = f"{web.url}/tiles/t_{{year}}_*.tif", {"period": (2001, 2001)}
    (problem,) = problems(href, **entries)
    assert problem.startswith(f"covariates.v.href: no file matches {href}. A web server must list the folder")
    web.index = True
    web.fail("/tiles/", 503)
    local = opened(str(tmp_path / "tiles" / "t_{year}_*.tif"), **entries)
    assert same(opened(href, **entries).on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))
    assert find_remote(f"{web.url}/tiles/*.txt") == [f"{web.url}/tiles/readme.txt"]
    web.fail("/tiles/", 403)
    (problem,) = problems(href, **entries)
    assert problem.startswith(f"covariates.v.href: cannot be reached: {web.url}/tiles/: 403")


# Object stores


@pytest.fixture(scope="module")
def store():
    """An S3-compatible object store on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDSECRET")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "VERYSECRET")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem()
        files.mkdir("soil")
        yield files
    server.stop()


def test_tiles_in_an_object_store(store, tmp_path):
    for i, cols in enumerate((slice(0, 25), slice(25, 60))):
        write_tif(tmp_path / f"t_2001_{i}.tif", VALUES[:, cols], NATIVE[:, cols])
        store.put(str(tmp_path / f"t_2001_{i}.tif"), f"soil/tiles/t_2001_{i}.tif")
    assert find_remote("s3://soil/tiles/t_*.tif") == [f"s3://soil/tiles/t_2001_{i}.tif" for i in (0, 1)]
    source = opened("s3://soil/tiles/t_{year}_*.tif", period=(2001, 2001))
    local = opened(str(tmp_path / "t_{year}_*.tif"), period=(2001, 2001))
    assert same(source.on_grid(TARGET, "bilinear"), local.on_grid(TARGET, "bilinear"))
    before = source.summary().fingerprint
    store.pipe("soil/tiles/t_2001_1.tif", (tmp_path / "t_2001_1.tif").read_bytes() + b" ")
    forget()
    store.invalidate_cache()
    assert opened("s3://soil/tiles/t_{year}_*.tif").summary().fingerprint != before
    assert b"SECRET" not in pickle.dumps(source) + repr(source).encode()
    assert problems("s3://soil/tiles/none.tif") == ["covariates.v.href: no such file: s3://soil/tiles/none.tif"]


def test_netcdf_and_zarr_in_an_object_store(store, tmp_path):
    lon, lat = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
    path = write_nc(tmp_path / "a.nc", VALUES, lon, lat)
    store.put(str(path), "soil/a.nc")
    expected = opened(str(path)).on_grid(TARGET, "bilinear")
    assert same(opened("s3://soil/a.nc").on_grid(TARGET, "bilinear"), expected)
    xr.Dataset({"v": (("lat", "lon"), VALUES)}, {"lat": lat, "lon": lon}).to_zarr(
        tmp_path / "a.zarr", consolidated=False
    )
    assert same(opened(str(tmp_path / "a.zarr")).on_grid(TARGET, "bilinear"), expected)
    store.put(str(tmp_path / "a.zarr"), "soil/a.zarr", recursive=True)
    source = opened("s3://soil/a.zarr")
    assert same(source.on_grid(TARGET, "bilinear"), expected)
    summary, before = source.summary(), source.summary().fingerprint
    assert summary.bytes == sum(f.stat().st_size for f in (tmp_path / "a.zarr").rglob("*") if f.is_file()) > 1000
    store.pipe("soil/a.zarr/v/c/0/0", store.cat("soil/a.zarr/v/c/0/0")[::-1])  # as many bytes
    forget()
    store.invalidate_cache()
    assert source.summary().fingerprint != before
    assert problems("s3://soil/none.zarr") == ["covariates.v.href: no such file: s3://soil/none.zarr"]


def test_polygons_in_an_object_store(store, tmp_path):
    frame = gpd.GeoDataFrame(
        {"code": [1, 2]}, geometry=[shapely.box(120, 50, 121.5, 52), shapely.box(121.5, 50, 123, 52)], crs=4326
    )
    frame.to_file(tmp_path / "a.gpkg")
    frame.to_parquet(tmp_path / "a.parquet")
    classes = {"attribute": "code", "classes": {"west": [1], "east": [2]}}
    local = opened(str(tmp_path / "a.gpkg"), **classes).on_grid(TARGET, "mode")
    for name in ("a.gpkg", "a.parquet"):
        store.put(str(tmp_path / name), f"soil/{name}")
        assert same(opened(f"s3://soil/{name}", **classes).on_grid(TARGET, "mode"), local)
    assert Remote("s3://soil/a.gpkg").size() == (tmp_path / "a.gpkg").stat().st_size


# Processes that outlive a run


def _write(path: Path, value: int) -> None:
    profile = dict(driver="GTiff", height=64, width=64, count=1, dtype="int16", crs="EPSG:6933", nodata=-1)
    with rasterio.open(path, "w", transform=Affine(100, 0, 0, 0, -100, 6400), **profile) as file:
        file.write(np.full((64, 64), value, "int16"), 1)


def test_a_remote_raster_that_changed_between_two_runs_is_read_anew(web):
    """GDAL keeps what it has read of an address for as long as the process lives, across datasets."""
    _write(web.folder / "v.tif", 1)
    source = opened(f"{web.url}/v.tif")
    geobox = GeoBox.from_bbox((0, 0, 6400, 6400), crs="EPSG:6933", resolution=100)

    def mean() -> float:
        return float(source.on_grid(geobox, "nearest").mean())

    with during("a"):
        assert mean() == 1
    _write(web.folder / "v.tif", 2)
    with during("b"):
        assert mean() == 2
    _write(web.folder / "v.tif", 3)
    with during("c"):
        assert mean() == 3


def test_what_a_server_says_of_a_file_is_asked_for_anew_by_another_run(web):
    place = Remote(f"{web.url}/v.tif")
    _write(web.folder / "v.tif", 1)
    with during("a"):
        first = place.stamp(), place.size()
        (web.folder / "v.tif").write_bytes(b"another")
        assert (place.stamp(), place.size()) == first
    with during("b"):
        assert place.size() == len(b"another") and place.stamp() != first[0]
    (web.folder / "v.tif").write_bytes(b"a third")
    forget()
    assert place.size() == len(b"a third")
    (web.folder / "v.tif").write_bytes(b"and a fourth")
    assert place.size() == len(b"a third")
    forget()
    assert place.size() == len(b"and a fourth")
