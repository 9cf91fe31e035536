"""Substitutes for renames on an object store: one object is replaced at once, a folder in an order.

The root of a folder has one file by which readers know it (its head: `zarr.json` of a store). It goes first and comes
last, so that a reader finds the former folder, none, or the new one.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from upath import UPath

from engine.errors import InputError
from engine.remote.retry import reason, status_of
from engine.storage.append_log import copied_now_and_then
from engine.storage.disk import DISK
from engine.storage.storage import Storage
from engine.storage.store_errors import is_of_store, of_client, said_by_store

if TYPE_CHECKING:
    from zarr.storage import FsspecStore

_AT_ONCE = 1000
"""Objects that one request may delete."""
_NO_TRAILER = (411, 501)
"""How a store answers that wants the length of an upload beforehand, and knows no checksum that follows it."""


class ObjectStore(Storage[UPath]):
    """Objects under prefixes, see `Storage`."""

    on_disk, may_be_away = False, True

    def require_access(self, place: UPath) -> None:
        """Fail if the bucket is not there, or may not be listed."""
        bucket = place.drive
        try:
            place.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{_key(place)}/", MaxKeys=1)
        except FileNotFoundError:
            raise InputError(
                f"{place}: bucket {bucket!r} does not exist; make it first, or correct `output.dir`"
            ) from None
        except Exception as error:
            if not is_of_store(error):
                raise
            said = reason(of_client(error) or error)
            raise InputError(
                f"{place}: cannot be reached ({said}); credentials and endpoint are taken from the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)"
            ) from None

    def make(self, folder: UPath) -> None:
        """Do nothing: a prefix exists with its first object."""

    def read(self, file: UPath) -> bytes:
        """Ask once: opened as a file, it would be asked for its tag first, and refused if that had changed."""
        return bytes(file.fs.cat_file(file.path))

    def read_tail(self, file: UPath, size: int) -> bytes:
        """Ask for the end only."""
        try:
            return bytes(file.fs.cat_file(file.path, start=-size))
        except OSError as error:
            if error.__cause__ and status_of(error.__cause__) == 416:  # an object without any
                return b""
            raise

    def read_each(self, files: Sequence[UPath]) -> list[bytes | None]:
        """Ask for all at once; an `OSError` if the store fails otherwise than by having no such object."""
        if not files:
            return []
        found = files[0].fs.cat([file.path for file in files], on_error="return")
        contents = [found[file.path] for file in files]
        for content in contents:
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return [None if isinstance(content, Exception) else bytes(content) for content in contents]

    def digests(self, files: Sequence[UPath]) -> list[str]:
        """Ask for all at once."""
        contents = self.read_each(files)
        return ["" if content is None else hashlib.sha256(content).hexdigest() for content in contents]

    def children(self, folder: UPath) -> list[UPath]:
        """List a prefix.

        fsspec's own patterns take an object store that fails for an empty folder, and work that is there for lost.
        """
        try:
            keys: list[str] = [key.rstrip("/") for key in folder.fs.ls(folder.path, detail=False)]
        except FileNotFoundError:
            return []
        return [folder / key.rpartition("/")[2] for key in keys if key != folder.path]  # some make one of that name

    def files_in(self, folder: UPath) -> list[UPath]:
        """List all under a prefix."""
        # Some stores list a folder that has become empty, and some users make objects that stand for one.
        under = f"{folder.path}/"
        keys: list[str] = [key for key in folder.fs.find(under) if key.startswith(under) and not key.endswith("/")]
        return [folder / key.removeprefix(under) for key in sorted(keys, key=lambda key: key.split("/"))]

    def write(self, file: UPath, content: bytes) -> None:
        """Put an object, which is there for good when this returns."""
        file.fs.pipe_file(file.path, content)

    def write_if(self, file: UPath, content: bytes, tag: str | None) -> None:
        """Put an object on a condition."""
        try:
            put_if(file, content, tag)
        except FileExistsError:
            raise
        except PermissionError as error:
            raise InputError(
                f"{file.parent}: cannot be written to ({error}); see the rights of the key in use"
            ) from None
        except OSError as error:
            if error.__cause__ is None or status_of(error.__cause__) not in _NO_TRAILER:
                raise
            raise InputError(
                f"{file.parent}: {said_by_store(error)}. This store does not take checksums that follow the data; set "
                "AWS_REQUEST_CHECKSUM_CALCULATION=when_required in the environment, also of the workers"
            ) from None

    def stamp(self, file: UPath) -> tuple[float, str]:
        """Ask for time and tag."""
        info = file.fs.info(file.path)
        return info["LastModified"].timestamp(), str(info["ETag"])

    def touch(self, file: UPath, content: bytes, tag: str) -> None:
        """Put it anew, unless somebody else has."""
        put_if(file, content, tag)

    def guarded(self, folder: UPath) -> AbstractContextManager[None]:
        """Keep the folder open to all: writes have a condition."""
        del folder
        return nullcontext()

    @contextmanager
    def staged(self, path: UPath, head: str) -> Iterator[Path]:
        """Build in a temporary folder."""
        with TemporaryDirectory(prefix="gelisol-") as folder:
            yield Path(folder, path.name)
            upload(Path(folder, path.name), path, head)

    def publish(self, stage: UPath, path: UPath, head: str) -> None:
        """Copy within the store, which has no names to swap."""
        move(stage, path, head)

    def recover(self, path: UPath) -> None:
        """Do nothing: objects are never moved aside."""

    def sync(self, files: Sequence[UPath]) -> None:
        """Do nothing: objects are durable when a write returns."""

    def sync_tree(self, path: UPath) -> None:
        """Do nothing, as `sync`."""

    def remove(self, path: UPath) -> None:
        """Delete an object, or all under a prefix."""
        delete(path)

    def remove_partial(self, folder: UPath) -> None:
        """Do nothing: an object is never there in part."""

    def appended(self, file: UPath) -> AbstractContextManager[Path]:
        """Give a copy that is put anew every few seconds."""
        return copied_now_and_then(file)

    def zarr_store(self, path: UPath) -> "FsspecStore":
        """Give Zarr's own store, with the options of the path."""
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(str(path), storage_options=dict(path.storage_options))

    def seekable(self, file: UPath, block: int) -> AbstractContextManager[Any]:
        """Open the object; blocks are asked for one by one."""
        opened: AbstractContextManager[Any] = file.open("rb", block_size=block)
        return opened


OBJECTS = ObjectStore()


def _key(place: UPath) -> str:
    return place.path.partition("/")[2]


def upload(local: Path, place: UPath, head: str) -> None:
    """Put a file or folder of this machine's disks in its place."""
    if local.is_file():
        place.fs.put_file(str(local), place.path)
        return
    names = [file.relative_to(local).as_posix() for file in DISK.files_in(local)]

    def put(some: list[str]) -> None:
        place.fs.put([str(local / name) for name in some], [(place / name).path for name in some])

    _replace(place, names, head, put)


def move(stage: UPath, place: UPath, head: str) -> None:
    """Give a finished folder its name: its objects are copied within the store, and then removed."""
    names = [str(file.path).removeprefix(f"{stage.path}/") for file in OBJECTS.files_in(stage)]

    def copy(some: list[str]) -> None:
        place.fs.copy([(stage / name).path for name in some], [(place / name).path for name in some])

    _replace(place, names, head, copy)
    delete(stage, head)


def delete(place: UPath, head: str = "") -> None:
    """Delete an object, or all under a prefix; its head first, so that no reader finds a part of it.

    What a store leaves of many it says in its answer, which s3fs does not read: a chunk or a record that stays would
    pass for one of what is written next.
    """
    fs, bucket = place.fs, place.drive
    with suppress(FileNotFoundError):
        if head:
            fs.rm_file((place / head).path)
        keys = iter([str(path).partition("/")[2] for path in fs.find(place.path)])
        while some := list(islice(keys, _AT_ONCE)):
            wanted = {"Objects": [{"Key": key} for key in some], "Quiet": True}
            answer = fs.call_s3("delete_objects", Bucket=bucket, Delete=wanted)
            for left in answer.get("Errors", ()):  # alone it is tried again, and fails with the store's reason
                fs.rm_file(f"{bucket}/{left['Key']}")


def put_if(place: UPath, content: bytes, tag: str | None) -> str:
    """Write an object unless another process has: it must be absent, or still have this tag; returns its tag.

    Raises
    ------
    FileExistsError
        If it is another.
    """
    # Some stores know a tag only without the quotes that they give it, and refuse it as HTTP wants it.
    conditions = [{"IfNoneMatch": "*"}] if tag is None else [{"IfMatch": tag}, {"IfMatch": tag.strip('"')}]
    refusals = (409, 412) if tag is None else (404, 409, 412)
    for condition in conditions:
        try:
            return str(place.fs.pipe_file(place.path, content, **condition)["ETag"])
        except OSError as error:
            if error.__cause__ is None or status_of(error.__cause__) not in refusals:
                raise
        if _tag_of(place) != tag:
            break
    raise FileExistsError(str(place))


def _replace(place: UPath, names: list[str], head: str, bring: Callable[[list[str]], None]) -> None:
    assert head in names, f"{place}: a folder without {head!r}"
    delete(place, head)
    bring([name for name in names if name != head])
    bring([head])


def _tag_of(place: UPath) -> str | None:
    """Return the tag of an object's content; None if it is absent."""
    try:
        return str(place.fs.info(place.path).get("ETag"))
    except FileNotFoundError:
        return None
