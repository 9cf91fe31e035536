"""Real servers on loopback: files in parts (range requests), counted, with faults on demand; a STAC API behind it."""

import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HANG_S = 20.0
CODES = {
    403: "AccessDenied",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}
"""What an object store calls them."""


@dataclass
class Web:
    """A web server of a folder, or in front of another server.

    Attributes
    ----------
    requests : list
        Method, path with query, status and bytes of the body of every answer.
    bearer : str or None
        If set, the token that every request must bring.
    key : str or None
        If set, the query that every address must carry.
    signed : bool
        Whether requests to the other server are passed on header by header: those to an object store are signed.
    index : bool
        Whether folders are listed, on a page as common servers make it.
    """

    folder: Path | None = None
    upstream: str | None = None
    bearer: str | None = None
    key: str | None = None
    signed: bool = False
    ranges: bool = True
    index: bool = False
    requests: list[tuple[str, str, int, int]] = field(default_factory=list)
    faults: dict[str, list] = field(default_factory=dict)
    url: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def fail(self, part: str, *faults) -> None:
        """The next requests in whose method and path `part` is fail.

        A fault is a status, "hang", "cut" (half an answer), "reset" (no answer), "lost" (done, and no answer), or the
        body of an answer that says all is well. The method of a copy within an object store is COPY here.
        """
        self.faults.setdefault(part, []).extend(faults)

    def forget(self) -> None:
        self.requests.clear()
        self.faults.clear()

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(n for *_, n in self.requests)

    def fault(self, path: str):
        for part, waiting in self.faults.items():
            if part in path and waiting:
                return waiting.pop(0)
        return None


@contextmanager
def serving(**settings) -> Iterator[Web]:
    """A `Web` that listens on a free port."""
    web = Web(**settings)

    class Handler(_Handler):
        pass

    Handler.web = web
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.stop.set()
        server.shutdown()
        server.server_close()


@contextmanager
def token_service(folder: Path, collection: str, token: str) -> Iterator[Web]:
    """A service that gives out tokens, as the Planetary Computer's does."""
    expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    file = folder / "sas" / "token" / collection
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"token": token, "msft:expiry": expiry}))
    with serving(folder=folder) as web:
        yield web


class _Handler(BaseHTTPRequestHandler):
    web: Web
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        self._answer(body=True)

    def do_PUT(self) -> None:
        self._answer(body=True)

    def do_DELETE(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        web, content = self.web, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        method = "COPY" if "x-amz-copy-source" in self.headers else self.command
        fault = web.fault(f"{method} {self.path}")
        if fault == "hang":
            web.requests.append((self.command, self.path, 0, 0))
            web.stop.wait(HANG_S)
            self.close_connection = True
            return
        if fault in ("reset", "lost"):
            if fault == "lost":
                self._passed_on(content)
            web.requests.append((self.command, self.path, 0, 0))
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(fault, bytes):
            return self._send(200, fault, {"Content-Type": "application/xml"}, body)
        if isinstance(fault, int) and web.signed:
            said = f"<Error><Code>{CODES[fault]}</Code><Message>made up</Message></Error>".encode() if body else b""
            return self._send(fault, said, {"Content-Type": "application/xml"}, body)
        if isinstance(fault, int):
            return self._send(fault, b"", {"Retry-After": "0"} if fault == 429 else {}, body)
        if web.bearer and self.headers.get("Authorization") != f"Bearer {web.bearer}":
            return self._send(401, b"", {}, body)
        path, _, query = self.path.partition("?")
        if web.key and query != web.key:
            return self._send(403, b"", {}, body)
        upstream = self._passed_on if web.signed else self._upstream
        status, data, headers = upstream(content) if web.upstream else self._file(path)
        self._send(status, data, headers, body, cut=fault == "cut")

    def _file(self, path: str) -> tuple[int, bytes, dict]:
        assert self.web.folder is not None
        file = self.web.folder / path.lstrip("/")
        if self.web.index and file.is_dir() and path.endswith("/"):
            rows = "".join(f'<a href="{f.name}{"/" * f.is_dir()}">{f.name}</a>\n' for f in sorted(file.iterdir()))
            page = f'<html><a href="?C=N;O=D">Name</a> <a href="../">Parent</a>\n{rows}</html>'
            return 200, page.encode(), {"Content-Type": "text/html"}
        if not file.is_file():
            return 404, b"", {}
        size = file.stat().st_size
        # The time of the answer, as servers tell it that make their answers anew.
        headers = {"ETag": f'"{file.stat().st_mtime_ns}-{size}"', "Last-Modified": self.date_time_string()}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not self.web.ranges or not wanted:
            return 200, _part(file, 0, size), {**headers, **({"Accept-Ranges": "bytes"} if self.web.ranges else {})}
        start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        end = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
        if start >= size:
            return 416, b"", {"Content-Range": f"bytes */{size}"}
        headers |= {"Content-Range": f"bytes {start}-{end}/{size}", "Accept-Ranges": "bytes"}
        return 206, _part(file, start, end + 1), headers

    def _upstream(self, content: bytes) -> tuple[int, bytes, dict]:
        assert self.web.upstream is not None
        kept = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "accept")}
        request = urllib.request.Request(self.web.upstream + self.path, content or None, kept, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                data = answer.read().replace(self.web.upstream.encode(), self.web.url.encode())
                return answer.status, data, {"Content-Type": answer.headers["Content-Type"]}
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {}

    def _passed_on(self, content: bytes) -> tuple[int, bytes, dict]:
        """The answer of the other server to the very same request."""
        assert self.web.upstream is not None
        parts = urlsplit(self.web.upstream)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                if key.lower() not in ("expect", "connection"):
                    connection.putheader(key, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding", "date")}
        return answer.status, data, kept

    def _send(self, status: int, data: bytes, headers: dict, body: bool, cut: bool = False) -> None:
        self.web.requests.append((self.command, self.path, status, len(data) if body else 0))
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self.close_connection = True


def _part(file: Path, start: int, end: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(end - start)


@contextmanager
def stac_api(folder: Path, collection: dict, items: list[dict]) -> Iterator[Web]:
    """A STAC API (rustac, in memory) of one collection, behind a `Web` that can fail."""
    paths = [folder / "collection.json", folder / "items.json"]
    paths[0].write_text(json.dumps(collection))
    paths[1].write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("rustac"), "serve", "-a", f"127.0.0.1:{port}", *paths]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/", server)
        with serving(upstream=f"http://127.0.0.1:{port}") as web:
            yield web
    finally:
        server.terminate()
        server.wait(10)


def _wait(url: str, server: subprocess.Popen) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            assert server.poll() is None, "the STAC server ended"
            time.sleep(0.05)
    raise AssertionError("the STAC server does not answer")
