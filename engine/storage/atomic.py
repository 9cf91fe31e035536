"""Files and folders of the results that appear whole or not at all, and what is being built of them."""

from contextlib import AbstractContextManager
from pathlib import Path

from engine.storage.paths import OutPath, children, storage_of

ROOT = "zarr.json"
"""File of a store that readers know it by."""


def staged(path: OutPath, head: str = ROOT) -> AbstractContextManager[Path]:
    """Build a file or folder in a temporary place; it takes the name `path` only once it is whole and on disk.

    On an error what was built is removed and what stood at `path` before is left as it was. The place is a new one
    each time, since tasks of a run that has failed may still write to theirs; what they leave there is removed by the
    next run. For an object store it is a temporary folder.

    Parameters
    ----------
    head : str
        Of a folder: the file in it that readers know it by.
    """
    return storage_of(path).staged(path, head)


def write_file(path: OutPath, content: bytes) -> None:
    """Write a small file that is there whole or not at all, and on disk when this returns."""
    storage_of(path).write(path, content)


def unfinished(path: OutPath, key: str) -> OutPath:
    """Return where a folder is built that takes the name `path` once it is whole, and where a rerun finds its parts.

    Parameters
    ----------
    key : str
        Of all that the content depends on.
    """
    return path.with_name(f".{path.name}.{key}.partial")


def resume(path: OutPath, key: str) -> OutPath:
    """Return the place of `unfinished`, after removing what was built for other keys."""
    storage_of(path).recover(path)
    stage = unfinished(path, key)
    for other in all_unfinished(path.parent, path.name):
        if other != stage:
            remove(other)
    return stage


def all_unfinished(folder: OutPath, name: str = "") -> list[OutPath]:
    """List unfinished folders, of all names or of one."""
    start = f".{name}." if name else "."
    return [path for path in children(folder) if path.name.startswith(start) and path.suffix == ".partial"]


def publish(stage: OutPath, path: OutPath, head: str = ROOT) -> None:
    """Give a finished file or folder its name; a folder that has it already gives way in the same instant.

    Where the file system cannot swap two names, the old folder is moved aside first, and `resume` knows of it. An
    object store has no names to swap: see `object_store`. `head` is as for `staged`.
    """
    storage_of(path).publish(stage, path, head)


def sync_tree(path: OutPath) -> None:
    """Wait until a file, or a folder with all in it, is on disk; an object store has them when a write returns."""
    storage_of(path).sync_tree(path)


def remove(path: OutPath) -> None:
    """Delete a file or folder if it is there."""
    storage_of(path).remove(path)
