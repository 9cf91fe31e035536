"""What takes the place of renames on an object store: one object is replaced at once, a folder in an order.

The root of a folder has one file by which readers know it (its head: `zarr.json` of a store). It goes first and comes
last, so that a reader finds the former folder, none, or the new one.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from upath import UPath

from engine.remote.retry import status_of
from engine.storage.paths import files_in

_AT_ONCE = 1000
"""Objects that one request may delete."""


def upload(local: Path, place: UPath, head: str) -> None:
    """Put a file or folder of this machine's disks in its place."""
    if local.is_file():
        place.fs.put_file(str(local), place.path)
        return
    names = [file.relative_to(local).as_posix() for file in files_in(local) if isinstance(file, Path)]

    def put(some: list[str]) -> None:
        place.fs.put([str(local / name) for name in some], [(place / name).path for name in some])

    _replace(place, names, head, put)


def move(stage: UPath, place: UPath, head: str) -> None:
    """Give a finished folder its name: its objects are copied within the store, and then removed."""
    names = [str(file.path).removeprefix(f"{stage.path}/") for file in files_in(stage) if isinstance(file, UPath)]

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
    """Write an object if nobody else has written it: it must not be there, or have this tag still; returns its tag.

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
    """What tells the content of an object; None where there is none."""
    try:
        return str(place.fs.info(place.path).get("ETag"))
    except FileNotFoundError:
        return None
