"""Boundary and profile table behind addresses: a web server and an object store, both real, on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from small_run import SmallRun
from web import Web, serving

from engine.remote import files as remote_files
from engine.remote.files import forget
from engine.remote.retry import RetryPolicy, using

FILES = {"domain.boundary": "boundary.geojson", "observations.table": "profiles.csv"}


@pytest.fixture
def impatient() -> Iterator[None]:
    with using(RetryPolicy(tries=2, first_wait_s=0.05)):
        yield


@pytest.fixture
def web(tmp_path: Path, impatient) -> Iterator[Web]:
    (tmp_path / "web").mkdir()
    with serving(folder=tmp_path / "web") as web:
        yield web


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "SECRET")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    remote_files._filesystem.cache_clear()  # of another server
    files = s3fs.S3FileSystem()
    files.makedirs("input", exist_ok=True)
    yield files
    files.rm("input", recursive=True)  # moto's buckets outlive their server
    remote_files._filesystem.cache_clear()
    server.stop()


def move_away(run: SmallRun) -> dict[str, bytes]:
    """The two files, no longer beside the run file."""
    contents = {}
    for name, folder in (("boundary.geojson", run.directory), ("profiles.csv", run.data)):
        contents[name] = (folder / name).read_bytes()
        (folder / name).unlink()
    return contents


def runs_as_if_local(run: SmallRun, gelisol, finished: Path) -> str:
    """Up to the profiles, twice, and once more from the resolved run file."""
    assert gelisol("check", run.path).exit_code == 0
    result = gelisol("run", run.path, "--until", "profiles")
    assert result.exit_code == 0, result.output
    columns = ["site", "depth", "socd"]
    ours, theirs = (pd.read_parquet(out / "profiles.parquet")[columns] for out in (run.out, finished))
    pd.testing.assert_frame_equal(ours, theirs)
    for path in (run.path, run.out / "run.yaml"):
        again = gelisol("run", path, "--until", "profiles")
        assert again.exit_code == 0 and "profiles: done before, kept" in again.stderr, again.output
    return (run.out / "run.yaml").read_text() + (run.out / "provenance.json").read_text()


def test_behind_a_web_server(run: SmallRun, web: Web, gelisol, finished: Path):
    for name, content in move_away(run).items():
        (web.folder / name).write_bytes(content)
    for key, name in FILES.items():
        run.set(key, f"{web.url}/{name}")
    recorded = runs_as_if_local(run, gelisol, finished)
    assert f"{web.url}/boundary.geojson" in recorded


def test_in_an_object_store(run: SmallRun, store: s3fs.S3FileSystem, gelisol, finished: Path):
    for name, content in move_away(run).items():
        store.pipe(f"input/{name}", content)
    for key, name in FILES.items():
        run.set(key, f"s3://input/{name}")
    recorded = runs_as_if_local(run, gelisol, finished)
    assert "s3://input/profiles.csv" in recorded and "SECRET" not in recorded


@pytest.mark.parametrize("suffix", ["parquet", "gpkg"])
def test_tables_of_other_kinds_behind_a_web_server(run: SmallRun, web: Web, gelisol, suffix):
    import geopandas as gpd

    table = pd.read_csv(run.data / "profiles.csv")
    assert web.folder is not None
    if suffix == "parquet":
        table.to_parquet(web.folder / "profiles.parquet")
    else:
        points = gpd.points_from_xy(table["lon"], table["lat"], crs=4326)
        gpd.GeoDataFrame(table, geometry=points).to_file(web.folder / "profiles.gpkg")
    run.set("observations.table", f"{web.url}/profiles.{suffix}")
    result = gelisol("check", run.path)
    assert result.exit_code == 0, result.output
    assert "40 sites, 80 layers" in result.stdout


def test_what_is_not_there_or_cannot_be_reached(run: SmallRun, web: Web, store, gelisol):
    def problems() -> str:
        forget()
        result = gelisol("check", run.path)
        assert result.exit_code == 1 and "Traceback" not in result.output
        return result.stderr

    for key, name in FILES.items():
        run.set(key, f"{web.url}/{name}")
    text = problems()
    assert f"domain.boundary: no such file: {web.url}/boundary.geojson" in text
    assert f"observations.table: no such file: {web.url}/profiles.csv" in text
    web.fail("boundary", *[503] * 20)
    web.fail("profiles", *[403] * 20)
    text = problems()
    assert f"domain.boundary: cannot be reached: {web.url}/boundary.geojson" in text and "503" in text
    assert f"observations.table: cannot be reached: {web.url}/profiles.csv" in text and "403" in text
    web.forget()
    for key, name in FILES.items():
        run.set(key, f"s3://input/{name}")
    text = problems()
    assert "domain.boundary: no such file: s3://input/boundary.geojson" in text
    assert "observations.table: no such file: s3://input/profiles.csv" in text
    store.pipe("input/boundary.geojson", b"<html>")
    store.pipe("input/profiles.csv", b"a,b\n1,2\n")
    text = problems()
    assert "domain.boundary: s3://input/boundary.geojson: cannot be read as polygons" in text
    assert "s3://input/profiles.csv" in text and "gelisol-" not in text  # not the copy that is read
