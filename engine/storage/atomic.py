"""Files and folders of the results that appear whole or not at all, and what is being built of them."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from engine.storage import object_store as objects
from engine.storage.paths import OutPath, children
from engine.storage.system import replace, swap, sync

ROOT = "zarr.json"
"""File of a store that readers know it by."""


@contextmanager
def staged(path: OutPath, head: str = ROOT) -> Iterator[Path]:
    """A place to build a file or folder that takes the name `path` only once it is whole and on disk.

    On an error what was built is removed and what stood at `path` before is left as it was. The place is a new one
    each time, since tasks of a run that has failed may still write to theirs; what they leave there is removed by the
    next run. For an object store it is a temporary folder.

    Parameters
    ----------
    head : str
        Of a folder: the file in it that readers know it by.
    """
    if not isinstance(path, Path):
        with TemporaryDirectory(prefix="gelisol-") as folder:
            yield Path(folder, path.name)
            objects.upload(Path(folder, path.name), path, head)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.partial"):
        remove(left)
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield stage
        sync_tree(stage)
        publish(stage, path)
    finally:
        remove(stage)


def write_file(path: OutPath, content: bytes) -> None:
    """Write a small file that is there whole or not at all, and on disk when this returns."""
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        stage.write_bytes(content)
        sync(stage)
        replace(stage, path)
    finally:
        stage.unlink(missing_ok=True)
    sync(path.parent)


def unfinished(path: OutPath, key: str) -> OutPath:
    """Where a folder is built that takes the name `path` once it is whole, and where a rerun finds what there is.

    Parameters
    ----------
    key : str
        Of all that the content depends on.
    """
    return path.with_name(f".{path.name}.{key}.partial")


def resume(path: OutPath, key: str) -> OutPath:
    """The place of `unfinished`, after what was built for other keys has been removed."""
    if isinstance(path, Path):
        recover(path)
    stage = unfinished(path, key)
    for other in all_unfinished(path.parent, path.name):
        if other != stage:
            remove(other)
    return stage


def all_unfinished(folder: OutPath, name: str = "") -> list[OutPath]:
    """What is being built in a folder, or was when a run ended, of all names or of one."""
    start = f".{name}." if name else "."
    return [path for path in children(folder) if path.name.startswith(start) and path.suffix == ".partial"]


def recover(path: Path) -> None:
    """Give back its name to a folder that was moved aside when the machine went down."""
    previous = _previous(path)
    if previous.exists() and not path.exists():
        replace(previous, path)
    remove(previous)


def publish(stage: OutPath, path: OutPath, head: str = ROOT) -> None:
    """Give a finished file or folder its name; a folder that has it already gives way in the same instant.

    Where the file system cannot swap two names, the old folder is moved aside first, and `recover` knows of it. An
    object store has no names to swap: see `objects`. `head` is as for `staged`.
    """
    if not (isinstance(stage, Path) and isinstance(path, Path)):
        assert not (isinstance(stage, Path) or isinstance(path, Path))
        objects.move(stage, path, head)
        return
    if path.is_dir():
        if swap(stage, path):
            remove(stage)
        else:
            previous = _previous(path)
            remove(previous)
            replace(path, previous)
            replace(stage, path)
            remove(previous)
    else:
        replace(stage, path)
    sync(path.parent)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def sync_tree(path: OutPath) -> None:
    """`sync` a file, or a folder with all in it; an object store has them for good when a write returns."""
    if not isinstance(path, Path):
        return
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                sync(Path(folder, name))
            sync(Path(folder))
    else:
        sync(path)


def remove(path: OutPath) -> None:
    """Delete a file or folder if it is there."""
    if not isinstance(path, Path):
        objects.delete(path)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
