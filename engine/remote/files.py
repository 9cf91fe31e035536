"""Files behind an address: http(s):// and s3://, read in parts, with time-outs and retries, no secrets in messages.

Rasters go through GDAL (`/vsicurl/`, `/vsis3/`), everything else through fsspec. Credentials are those of the
environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_NO_SIGN_REQUEST`, …; see `auth` for those of archives).
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from http import HTTPStatus
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec

from engine.extras import require
from engine.remote.auth import BY_HOST, Access
from engine.remote.retry import (
    RemoteError,
    persistently,
    policy,
    status_of,
    unsigned,
)  # fmt: skip

SCHEMES = ("http", "https", "s3")
ZARR_SUFFIX = ".zarr"
_METADATA = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")
"""What a Zarr store has one of at its root."""
_FILE = re.compile(
    r"\.(nc[34]?|cdf|netcdf|h5|hdf5?|he5|tiff?|vrt|jp2|img|grib2?|grb2?|(geo)?json|gpkg|parq(uet)?|shp|fgb|csv|txt|xlsx?|"
    r"zip|gz|tar|ya?ml)",
    re.IGNORECASE,
)
"""Endings of names that are not those of folders."""


@dataclass(frozen=True, order=True)
class Remote:
    """A file or store behind an address; it has the parts of `Path`'s face that sources use."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the path."""
        return urlsplit(self.url).path.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return Path(self.name).suffix

    def size(self, access: Access = BY_HOST) -> int:
        """Size in bytes; 0 if the server does not state it."""
        return int(_info(self.url, access, asked_for()).get("size") or 0)

    def stamp(self) -> str:
        """Stamp that changes with the file, as far as the server reports changes.

        Times count only if the server sends no tag: some servers send the time of their answer.
        """
        info = _info(self.url, BY_HOST, asked_for())
        content = [str(info[key]) for key in ("ETag", "Content-MD5", "Digest", "VersionId") if info.get(key)]
        times = [str(info[key]) for key in ("Last-Modified", "LastModified") if info.get(key)]
        return "\0".join([self.url, str(info.get("size")), *(content or times)])


Place = Path | Remote
"""Where a file is: on this machine's disks, or behind an address."""


def is_remote(text: str) -> bool:
    """Return whether a path of the run file is an address."""
    return urlsplit(text).scheme in SCHEMES


def place_of(text: str, base: Path) -> Place:
    """Resolve a path or address of the run file; `base` is where relative paths start."""
    return Remote(text) if is_remote(text) else base / local_path(text)


def is_file_url(text: str) -> bool:
    """Return whether it is an address of this machine's disks, `file:///…`."""
    return text[:7].lower() == "file://"


def local_path(text: str) -> str:
    r"""Return a path as this system writes it.

    Addresses `file:///C:/data/x.tif` and `file://server/share/x.tif` become paths. Elsewhere than on Windows,
    backslashes separate folders, too, so that a run file that was written there is read: names of files cannot hold
    them.
    """
    if is_file_url(text):
        parts = urlsplit(text)
        host = "" if parts.netloc.lower() in ("", "localhost") else f"//{parts.netloc}"
        return url2pathname(host + parts.path)
    return text if os.sep == "\\" else text.replace("\\", "/")


def exists(place: Place) -> bool:
    """Return whether such a file or folder exists."""
    if isinstance(place, Path):
        return place.exists()
    try:
        _info(place.url, BY_HOST, asked_for())
    except FileNotFoundError:
        return False
    return True


def lies_beside(place: Remote, suffix: str, access: Access = BY_HOST) -> bool:
    """Return whether a file of the same name and one more suffix exists; a forbidden one counts as absent."""
    if urlsplit(place.url).query:
        return False

    def ask() -> bool:
        url = place.url + suffix
        try:
            filesystem(url).info(url, **access.fsspec_options(url))
        except OSError as error:
            if isinstance(error, PermissionError) or status_of(error.__cause__ or error) in (401, 403):
                return False
            raise
        return True

    try:
        return persistently(ask, unsigned(place.url + suffix))
    except FileNotFoundError:
        return False


def filesystem(url: str) -> Any:
    """Return fsspec's file system of an address."""
    return _filesystem(urlsplit(url).scheme)


@lru_cache(maxsize=8)
def _filesystem(scheme: str) -> Any:
    # What a listing said is not kept: in a notebook, or on a worker, the next run may find other files.
    return fsspec.filesystem(scheme, use_listings_cache=False, **fsspec_options(f"{scheme}://"))


def fsspec_options(url: str, access: Access = BY_HOST) -> dict[str, Any]:
    """Return fsspec's time-outs and, on web servers, token for an address; an object store's are found by fsspec."""
    if url.startswith("s3:"):
        require("s3", "Object stores (s3://)")
        return {
            "anon": _anonymous(),
            "config_kwargs": {"connect_timeout": policy().connect_s, "read_timeout": policy().read_s},
        }
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=policy().connect_s, sock_read=policy().read_s)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}, **access.fsspec_options(url)}


def _anonymous() -> bool:
    return os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "1", "ON")


@lru_cache(maxsize=4096)
def _info(url: str, access: Access, run: str) -> dict[str, Any]:
    """Return a server's metadata of a file, requested once per process and run."""
    if holds_store(Remote(url), access):
        return _info_of_store(url.rstrip("/"), access)
    return _plain_info(url, access)


def holds_store(place: Place, access: Access = BY_HOST) -> bool:
    """Return whether a place is a Zarr store: by its name or, without a suffix, by the metadata in it."""
    if place.suffix.lower() == ZARR_SUFFIX:
        return True
    if isinstance(place, Path):
        return place.is_dir() and any((place / name).is_file() for name in _METADATA)
    return not _FILE.fullmatch(place.suffix) and _is_unnamed_store(place.url, access, asked_for())


@lru_cache(maxsize=4096)
def _is_unnamed_store(url: str, access: Access, run: str) -> bool:
    """Return whether an address is a folder, or a web server's listing of one, that holds a store's metadata."""
    try:
        found = _plain_info(url, access)
    except FileNotFoundError:
        return _has_metadata(url, access)
    except RemoteError as error:
        return error.status == HTTPStatus.FORBIDDEN and _has_metadata(url, access)
    is_folder = found.get("type") == "directory" or found.get("mimetype") == "text/html"
    return is_folder and _has_metadata(url, access)


def _has_metadata(url: str, access: Access) -> bool:
    bare, question, query = url.partition("?")
    for name in _METADATA:
        try:
            _plain_info(f"{bare.rstrip('/')}/{name}{question}{query}", access)
        except (FileNotFoundError, RemoteError):
            continue
        return True
    return False


def _plain_info(url: str, access: Access) -> dict[str, Any]:
    return persistently(lambda: dict(filesystem(url).info(url, **access.fsspec_options(url))), unsigned(url))


def _info_of_store(url: str, access: Access) -> dict[str, Any]:
    """Return the metadata of a Zarr store: of all its objects or, on a web server, of its metadata file."""
    if not url.startswith("s3:"):
        return {**_first_info([f"{url}/{name}" for name in _METADATA], access), "size": 0}
    objects = persistently(lambda: filesystem(url).find(url, detail=True), url)
    if not objects:
        raise FileNotFoundError(url)
    digest = hashlib.sha256()
    for name, facts in sorted(objects.items()):
        digest.update(f"{name}\0{facts.get('size')}\0{facts.get('ETag')}\n".encode())
    return {"size": sum(facts.get("size") or 0 for facts in objects.values()), "ETag": digest.hexdigest()[:16]}


def _first_info(urls: list[str], access: Access) -> dict[str, Any]:
    """Return the metadata of the first of some files that exists."""
    for url in urls:
        with suppress(FileNotFoundError):
            return _info(url, access, asked_for())
    raise FileNotFoundError(urls[0].rpartition("/")[0])


_RUN: ContextVar[str] = ContextVar("run", default="")
_times_forgotten = count(1)
_forgotten = [0]


@contextmanager
def during(run: str) -> Iterator[None]:
    """Mark answers of servers and caches of GDAL as this run's: a process may outlive several runs."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


def asked_for() -> str:
    """Return the run that files are read for; answers kept for another may be outdated."""
    return _RUN.get() or f"{_forgotten[0]} times forgotten"


def forget() -> None:
    """Forget servers' answers, also outside of `during`; they are otherwise kept for the life of the process."""
    _forgotten[0] = next(_times_forgotten)
    _info.cache_clear()
    _is_unnamed_store.cache_clear()


def find_remote(pattern: str) -> list[str]:
    """Find addresses whose last part fits a pattern with `*`; a web server must list the folder on a page."""
    if pattern.startswith("s3:"):
        found = persistently(lambda: filesystem(pattern).glob(pattern), pattern)
        return sorted(f"s3://{path}" for path in found)
    folder, _, name = pattern.rpartition("/")
    # fsspec's own `glob` takes a server that is busy or refuses for an empty folder.
    with suppress(FileNotFoundError):
        listed = persistently(lambda: filesystem(pattern).ls(f"{folder}/", detail=False), unsigned(f"{folder}/"))
        return sorted(url for url in listed if fnmatchcase(Remote(url).name, name))
    return []


def open_remote(place: Remote, access: Access = BY_HOST, block: int = 2**20) -> Any:
    """Open a file object that reads only the requested parts, `block` bytes at a time."""
    added = access.fsspec_options(place.url)
    return filesystem(place.url).open(place.url, "rb", cache_type="readahead", block_size=block, **added)


def read_bytes(place: Place) -> bytes:
    """Read a whole, small file."""
    if isinstance(place, Path):
        return place.read_bytes()
    url = place.url
    return persistently(lambda: bytes(filesystem(url).cat_file(url, **BY_HOST.fsspec_options(url))), unsigned(url))


@contextmanager
def on_disk(place: Place) -> Iterator[Path]:
    """Provide a small file on this machine's disks: itself, or a copy for as long as it is used."""
    if isinstance(place, Path):
        yield place
        return
    with TemporaryDirectory(prefix="gelisol-") as folder:
        copy = Path(folder) / (place.name or "file")
        copy.write_bytes(read_bytes(place))
        yield copy


def gdal_path(place: Place | str) -> str:
    """Return the name under which GDAL opens a file."""
    text = str(place)
    match urlsplit(text).scheme:
        case "s3":
            return "/vsis3/" + text.removeprefix("s3://")
        case "http" | "https":
            return "/vsicurl/" + text
        case _:
            return text


@contextmanager
def gdal(**options: str) -> Iterator[None]:
    """Set GDAL up for reading rasters in parts over a network; settings of the environment stay."""
    import rasterio
    from rasterio.session import DummySession

    defaults = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_CONNECTTIMEOUT": f"{policy().connect_s:g}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{policy().read_s:g}",
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
        "GDAL_HTTP_MAX_RETRY": str(policy().tries - 1),
        "GDAL_HTTP_RETRY_DELAY": f"{policy().first_wait_s:g}",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "CPL_VSIL_CURL_USE_HEAD": "YES",
        **_s3_endpoint(),
    }
    kept = {key: value for key, value in defaults.items() if key not in os.environ}
    with rasterio.Env(session=DummySession(), **kept, **options):
        yield


def _s3_endpoint() -> dict[str, str]:
    """Return GDAL's settings for the object store that `AWS_ENDPOINT_URL` names."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return {}
    parts = urlsplit(endpoint)
    return {
        "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
        "AWS_HTTPS": "NO" if parts.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
