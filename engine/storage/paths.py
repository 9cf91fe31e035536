"""Where results go: a folder of a file system (`Path`), or what lies under a prefix of an object store (`UPath`).

Credentials and endpoint are those of the environment of each process (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …). A
place holds none of them, so that it may travel to workers and stand in files.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from upath import UPath

from engine.errors import InputError
from engine.remote.files import fsspec_options, is_remote
from engine.remote.retry import reason, status_of, unsigned

if TYPE_CHECKING:
    from zarr.storage import FsspecStore

OutPath = Path | UPath
"""A file or folder of the results; what both types of path can do alike."""


def out_path(text: str, base: Path) -> OutPath:
    """The results folder that a run file or a command names; relative paths start from `base`.

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
    """Why an address is none of a results folder; empty if it is one, or a path."""
    if "://" not in text:
        return ""
    parts = urlsplit(text)
    shown = unsigned(text)
    if parts.scheme != "s3":
        return f"{shown!r} is no place for results; give a folder, or s3://BUCKET/PREFIX"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return f"{shown!r}: credentials and settings of an object store belong in the environment, not in its address"
    if not parts.netloc or set("*?[]") & set(text) or {"", ".", ".."} & set(parts.path.strip("/").split("/")):
        return f"{shown!r}: expected s3://BUCKET/PREFIX without `*`, `?`, brackets, dots and empty parts"
    return ""


def require_access(place: OutPath) -> None:
    """Fail now, rather than after the first hours of work, if results cannot lie there.

    Raises
    ------
    InputError
        If the folder, or one above it, is a file; if the bucket is not there, or may not be listed.
    """
    if isinstance(place, Path):
        found = next(path for path in (place, *place.parents) if path.exists())
        if not found.is_dir():
            raise InputError(f"{place}: {found} is a file, where a folder is needed; give another `output.dir`")
        return
    bucket = place.drive
    try:
        place.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{_key(place)}/", MaxKeys=1)
    except FileNotFoundError:
        raise InputError(f"{place}: there is no bucket {bucket!r}; make it first, or correct `output.dir`") from None
    except Exception as error:
        if not is_of_store(error):
            raise
        said = reason(_of_client(error) or error)
        raise InputError(
            f"{place}: cannot be reached ({said}); credentials and endpoint are taken from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)"
        ) from None


def is_of_store(error: BaseException) -> bool:
    """Whether it is a disk, an object store or the way to it that failed, and no fault of this program."""
    return isinstance(error, OSError) or _of_client(error) is not None


def said_by_store(error: BaseException) -> str:
    """What an object store, or the way to it, gave as its reason, and for which request; empty for any other fault.

    s3fs makes an error of a file system of it, whose text some stores leave empty.
    """
    found = _of_client(error)
    return f"the object store failed: {reason(found)}" if found else ""


def _of_client(error: BaseException) -> BaseException | None:
    """The error of the client of the store: itself, or the one behind it."""
    for found in (error, error.__cause__):
        if type(found).__module__.startswith(("aiobotocore", "aiohttp", "botocore")):
            return found
    return None


def zarr_store(path: OutPath) -> "Path | FsspecStore":
    """What Zarr and xarray open a store by."""
    if isinstance(path, Path):
        return path
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(str(path), storage_options=dict(path.storage_options))


def read_file(file: OutPath) -> bytes:
    """A whole file; of one that another process is writing anew, what it held before or what it holds then.

    An object is asked for once: opened as a file, it would be asked for its tag first, and refused if that had changed.
    """
    return file.read_bytes() if isinstance(file, Path) else bytes(file.fs.cat_file(file.path))


def read_tail(file: OutPath, size: int) -> bytes:
    """The last bytes of a file that grows."""
    if isinstance(file, UPath):
        try:
            return bytes(file.fs.cat_file(file.path, start=-size))
        except OSError as error:
            if error.__cause__ and status_of(error.__cause__) == 416:  # an object without any
                return b""
            raise
    with file.open("rb") as content:
        content.seek(max(0, content.seek(0, os.SEEK_END) - size))
        return content.read()


def read_each(files: Sequence[OutPath]) -> list[bytes | None]:
    """Contents of small files, None where there is none; those of an object store are asked for all at once.

    Raises
    ------
    OSError
        If an object store fails otherwise than by having no such object.
    """
    remote = [file for file in files if isinstance(file, UPath)]
    if not remote:
        return [_read(file) for file in files]
    found = remote[0].fs.cat([file.path for file in remote], on_error="return")
    contents = [found[file.path] for file in remote]
    for content in contents:
        if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
            raise content
    return [None if isinstance(content, Exception) else bytes(content) for content in contents]


def children(folder: OutPath) -> list[OutPath]:
    """What lies in a folder; nothing where there is none.

    fsspec's own patterns take an object store that fails for an empty folder, and work that is there for lost.
    """
    try:
        if isinstance(folder, Path):
            return list(folder.iterdir())
        keys: list[str] = [key.rstrip("/") for key in folder.fs.ls(folder.path, detail=False)]
        return [folder / key.rpartition("/")[2] for key in keys if key != folder.path]  # some make one of that name
    except FileNotFoundError:
        return []


def files_in(folder: OutPath) -> list[OutPath]:
    """All files of a folder and the folders in it, in the order of their names, folder by folder."""
    if isinstance(folder, Path):
        return sorted(file for file in folder.rglob("*") if file.is_file())
    # Some stores list a folder that has become empty, and some users make objects that stand for one.
    under = f"{folder.path}/"
    keys: list[str] = [key for key in folder.fs.find(under) if key.startswith(under) and not key.endswith("/")]
    return [folder / key.removeprefix(under) for key in sorted(keys, key=lambda key: key.split("/"))]


def _read(file: OutPath) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:  # a disk that has lost a file loses the work that is recorded in it
        return None


def _key(place: UPath) -> str:
    return place.path.partition("/")[2]
