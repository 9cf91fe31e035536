"""What takes the place of renames on an object store: one object is replaced at once, a folder in an order.

The root of a folder has one file by which readers know it (its head: `zarr.json` of a store). It goes first and comes
last, so that a reader finds the former folder, none, or the new one.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from upath import UPath

from engine.outputs.place import files_in
from engine.remote.patience import status_of


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
    """Delete an object, or all under a prefix; its head first, so that no reader finds a part of it."""
    with suppress(FileNotFoundError):
        if head:
            place.fs.rm_file((place / head).path)
        place.fs.rm(place.path, recursive=True)


def put_if(place: UPath, content: bytes, tag: str | None) -> str:
    """Write an object if nobody else has written it: it must not be there, or have this tag still; returns its tag.

    Raises
    ------
    FileExistsError
        If it is another.
    """
    try:
        if tag is None:
            answer = place.fs.pipe_file(place.path, content, mode="create")
        else:
            answer = place.fs.pipe_file(place.path, content, IfMatch=tag)
    except OSError as error:
        taken = (409, 412) if tag is None else (404, 409, 412)
        if isinstance(error, FileExistsError) or (error.__cause__ and status_of(error.__cause__) in taken):
            raise FileExistsError(str(place)) from None
        raise
    return str(answer["ETag"])


def _replace(place: UPath, names: list[str], head: str, bring: Callable[[list[str]], None]) -> None:
    assert head in names, f"{place}: a folder without {head!r}"
    delete(place, head)
    bring([name for name in names if name != head])
    bring([head])
