"""Places of results: a folder of a file system (`Path`), or a prefix of an object store (`UPath`).

Credentials and endpoint are those of the environment of each process (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …). A
place holds none of them, so that it may travel to workers and stand in files.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from upath import UPath

from engine.errors import InputError
from engine.remote.files import fsspec_options, is_remote
from engine.remote.retry import unsigned
from engine.storage.disk import DISK
from engine.storage.object_store import OBJECTS
from engine.storage.storage import OutPath as OutPath
from engine.storage.storage import Storage
from engine.storage.store_errors import is_of_store as is_of_store
from engine.storage.store_errors import said_by_store as said_by_store


def storage_of(path: OutPath) -> Storage[Any]:
    """Return what can be done with a path; the one place that looks at its type."""
    return DISK if isinstance(path, Path) else OBJECTS


def out_path(text: str, base: Path) -> OutPath:
    """Return the results folder that a run file or a command names; relative paths start from `base`.

    Raises
    ------
    InputError
        If it is the address of something else than a prefix of an object store.
    """
    if problem := problem_of(text):
        raise InputError(problem)
    if not is_remote(text):
        return (base / text).resolve()
    # What a listing said is not kept: other processes write to the same prefix. Without concurrency within a file, a
    # small one is read by one request, not by two.
    return UPath(text.rstrip("/"), use_listings_cache=False, max_concurrency=1, **fsspec_options(text))


def problem_of(text: str) -> str:
    """Return why an address cannot be a results folder; empty if it can, or for a path."""
    if "://" not in text:
        return ""
    parts = urlsplit(text)
    shown = unsigned(text)
    if parts.scheme != "s3":
        return f"{shown!r} cannot hold results; give a folder, or s3://BUCKET/PREFIX"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return f"{shown!r}: credentials and settings of an object store belong in the environment, not in its address"
    if not parts.netloc or set("*?[]") & set(text) or {"", ".", ".."} & set(parts.path.strip("/").split("/")):
        return f"{shown!r}: expected s3://BUCKET/PREFIX without `*`, `?`, brackets, dots and empty parts"
    return ""


def is_on_disk(path: OutPath) -> TypeGuard[Path]:
    """Return whether a path is on one of this machine's file systems, which other programs can open."""
    return storage_of(path).on_disk


def require_access(place: OutPath) -> None:
    """Fail now, rather than after the first hours of work, if results cannot lie there.

    Raises
    ------
    InputError
        If the folder, or one above it, is a file; if the bucket is not there, or may not be listed.
    """
    storage_of(place).require_access(place)


def appended(file: OutPath) -> AbstractContextManager[Path]:
    """Open a file on this machine's disks to add lines to; objects are rewritten every few seconds (`append_log`)."""
    return storage_of(file).appended(file)


def zarr_store(path: OutPath) -> Any:
    """Return what Zarr and xarray open a store by."""
    return storage_of(path).zarr_store(path)


def read_file(file: OutPath) -> bytes:
    """Read a whole file; if another process replaces it meanwhile, its old or its new content."""
    return storage_of(file).read(file)


def read_tail(file: OutPath, size: int) -> bytes:
    """Read the last bytes of a file that grows."""
    return storage_of(file).read_tail(file, size)


def read_each(files: Sequence[OutPath]) -> list[bytes | None]:
    """Read small files of one place, None for each that is absent; an object store receives all requests at once.

    Raises
    ------
    OSError
        If an object store fails otherwise than by having no such object.
    """
    return storage_of(files[0]).read_each(files) if files else []


def digests_of(files: Sequence[OutPath]) -> list[str]:
    """Return the SHA-256 of small files of one place, together no more than fit into memory; empty for absent ones."""
    return storage_of(files[0]).digests(files) if files else []


def children(folder: OutPath) -> list[OutPath]:
    """List a folder; empty if it does not exist."""
    return storage_of(folder).children(folder)


def files_in(folder: OutPath) -> list[OutPath]:
    """Return all files of a folder and the folders in it, in the order of their names, folder by folder."""
    return storage_of(folder).files_in(folder)
