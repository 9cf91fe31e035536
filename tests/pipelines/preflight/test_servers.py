"""A server that does not answer is found once and in seconds; what many covariates share is one line."""

import io
import socket
import time
from typing import ClassVar

import pytest
from rich.console import Console
from small_run import SmallRun
from web import serving

from engine.errors import Finding
from engine.remote import reachable as reach
from engine.sources.entry import source_spec
from engine.sources.files import MissingFile
from pipelines.preflight import waiting
from pipelines.preflight.grouped_problems import grouped
from pipelines.preflight.servers import needed_servers


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def black_hole(monkeypatch):
    """A server that accepts connections and says nothing."""
    monkeypatch.setattr(reach, "ANSWER_S", 1.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_servers_are_tried_once_and_together(nobody, black_hole, tmp_path):
    with serving(folder=tmp_path) as web:
        begun = time.monotonic()
        silent = reach.silent_servers([nobody, black_hole, web.url, nobody])
        assert time.monotonic() - begun < 4
        assert list(silent) == [nobody, black_hole]
        assert "refused" in silent[nobody] and "does not answer within 1 s" in silent[black_hole]
        assert len(web.requests) == 1


def test_an_answer_is_an_answer(tmp_path):
    with serving(folder=tmp_path) as web:
        web.fail("/", 403, "reset", 500)
        for _ in range(3):
            assert reach.silent_servers([web.url]) == {}


def test_a_host_without_a_name_and_one_behind_a_proxy(monkeypatch):
    assert (
        "no address is found" in reach.silent_servers(["https://no.such.host.invalid"])["https://no.such.host.invalid"]
    )
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert reach.server_of("https://no.such.host.invalid/a.tif") is None


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("https://user:secret@host.org:8443/a/b.tif", "https://host.org:8443"),
        ("http://host.org/{year}.tif", "http://host.org"),
        ("raw/a.tif", None),
        ("s3://bucket/a.tif", "http://127.0.0.1:5000"),
    ],
)
def test_what_an_address_is_read_from(address, server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert reach.server_of(address) == server


def test_one_line_for_each_server_and_the_rest_is_looked_at(run: SmallRun, gelisol, nobody, black_hole):
    run.set("covariates.ai.href", f"{nobody}/ai.tif")
    run.set("covariates.wet", {"href": f"{nobody}/wet.tif"})
    run.set("covariates.sum", {"expression": "ai + wet"})
    run.set("covariates.ndvi", {"stac": {"api": f"{black_hole}/v1", "collection": "c"}})
    run.set("covariates.tn.href", "gone.tif")
    begun = time.monotonic()
    result = gelisol("check", run.path)
    assert time.monotonic() - begun < 30  # a busy machine; five tries of each take minutes
    assert result.exit_code == 1
    assert [line[2:] for line in result.stderr.splitlines()[1:]] == [
        f"covariates.ai, wet, sum: cannot be reached: {nobody}: [Errno 111] Connection refused",
        f"covariates.ndvi: cannot be reached: {black_hole}: accepts connections, but does not answer within 1 s",
        f"covariates.tn.href: no such file: {run.data / 'gone.tif'}",
    ]
    rows = [line.split("│")[1].strip() for line in result.stdout.splitlines() if line.startswith("│")]
    assert {"mat", "vegetation", "cells"} <= set(rows)


def test_boundary_and_table_on_a_silent_server(run: SmallRun, gelisol, nobody):
    run.set("domain.boundary", f"{nobody}/boundary.geojson")
    run.set("observations.table", f"{nobody}/profiles.csv")
    result = gelisol("check", run.path)
    assert result.exit_code == 1 and result.stderr.startswith("2 problems with the input:")
    assert f"• observations.table: cannot be reached: {nobody}" in result.stderr


def test_a_search_that_is_kept_needs_no_server(tmp_path):
    class Run:
        domain = observations = None
        covariates: ClassVar[dict] = {}

    spec = source_spec(stac={"api": "http://host.org/v1", "collection": "c"})
    formula = source_spec(expression="a + b", of={"a": spec, "b": source_spec(href="http://other.org/b.tif")})
    entries = {"x": spec, "y": formula}
    (tmp_path / "x.json").write_text("{}")
    assert needed_servers(Run(), entries, str.upper, tmp_path) == {"Y": {"http://host.org", "http://other.org"}}
    (tmp_path / "y.a.json").write_text("{}")
    assert needed_servers(Run(), entries, str.upper, tmp_path) == {"Y": {"http://other.org"}}
    assert needed_servers(Run(), entries, str.upper, None)["X"] == {"http://host.org"}


def test_problems_that_many_share_are_one():
    how = "Get it from A (open download): https://a.org. Fetch all."

    def missing(key: str, file: str, what: str = "no such file:") -> MissingFile:
        return MissingFile(f"{what} {file}", f"{key}.href", file=file)

    problems = [
        missing("covariates.a", "/data/a.tif").with_source(how),
        Finding("no cell", "domain.mask"),
        missing("covariates.b.clay.0-5", "/data/b.tif").with_source(how),
        missing("covariates.b.clay.5-15", "/data/c_*.tif", "no file matches").with_source(how),
        missing("covariates.c", "/data/d.tif").with_source(how),
        Finding("declares no CRS", "covariates.d"),
        Finding("declares no CRS", "covariates.e"),
        missing("covariates.f", "/data/f.tif"),
        missing("zones", "/data/f.tif"),
    ]
    assert list(map(str, grouped(problems))) == [
        f"covariates.a, b, c: no such file: /data/a.tif, /data/b.tif, /data/c_*.tif and 1 more. {how}",
        "domain.mask: no cell",
        "covariates.d, e: declares no CRS",
        "covariates.f.href: no such file: /data/f.tif",
        "zones.href: no such file: /data/f.tif",
    ]
    assert grouped(problems[:1]) == problems[:1] and grouped([]) == []


def test_a_log_says_what_is_waited_for_once_it_takes_long(monkeypatch):
    monkeypatch.setattr(waiting, "FIRST_S", 0.1)
    out = io.StringIO()
    watch = waiting.watch(Console(file=out))
    with watch("opening ndvi (https://host.org/v1 c)"):
        time.sleep(0.5)
    with watch("quick"):
        pass
    lines = out.getvalue().splitlines()
    assert 1 <= len(lines) <= 3 and lines[0].startswith("waiting: opening ndvi (https://host.org/v1 c): ")
