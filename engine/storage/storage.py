"""Operations on files of the results, with one interface for disks and object stores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from upath import UPath

OutPath = Path | UPath
"""A file or folder of the results; what both types of path can do alike."""
P = TypeVar("P", Path, UPath)


class Storage(ABC, Generic[P]):
    """A kind of place that results lie in.

    Attributes
    ----------
    on_disk : bool
        Whether paths are those of this machine's file systems, which other programs can open.
    may_be_away : bool
        Whether it lies behind a network, so that what fails is tried again.
    """

    on_disk: bool
    may_be_away: bool

    @abstractmethod
    def require_access(self, place: P) -> None:
        """Fail if results cannot lie there; see `paths.require_access`."""

    @abstractmethod
    def make(self, folder: P) -> None:
        """Make a folder where folders must be made."""

    @abstractmethod
    def read(self, file: P) -> bytes:
        """Return a whole file; of one that is written anew, what it held before or what it holds then."""

    @abstractmethod
    def read_tail(self, file: P, size: int) -> bytes:
        """Return the last bytes of a file that grows."""

    @abstractmethod
    def read_each(self, files: Sequence[P]) -> list[bytes | None]:
        """Return contents of small files, None for each that is absent."""

    @abstractmethod
    def digests(self, files: Sequence[P]) -> list[str]:
        """Return the SHA-256 of each of some small files, together no more than fit into memory; empty without one."""

    @abstractmethod
    def children(self, folder: P) -> list[P]:
        """List a folder; empty if it does not exist."""

    @abstractmethod
    def files_in(self, folder: P) -> list[P]:
        """Return all files of a folder and the folders in it, in the order of their names, folder by folder."""

    @abstractmethod
    def write(self, file: P, content: bytes) -> None:
        """Write a small file that is there whole or not at all, and for good when this returns."""

    @abstractmethod
    def write_if(self, file: P, content: bytes, tag: str | None) -> None:
        """Write a file if the present one has this tag, or None: is absent; else raise `FileExistsError`.

        Where no write can have a condition, `guarded` keeps others out.
        """

    @abstractmethod
    def stamp(self, file: P) -> tuple[float, str]:
        """Return when a file was written, s since 1970, and the tag of its content, empty without one."""

    @abstractmethod
    def touch(self, file: P, content: bytes, tag: str) -> None:
        """Let a file that has this content and tag be of now."""

    @abstractmethod
    def guarded(self, folder: P) -> AbstractContextManager[None]:
        """Look and write in a folder in one go, where a write can have no condition."""

    @abstractmethod
    def staged(self, path: P, head: str) -> AbstractContextManager[Path]:
        """Give a place to build a file or folder; see `atomic.staged`."""

    @abstractmethod
    def publish(self, stage: P, path: P, head: str) -> None:
        """Give a finished file or folder its name; see `atomic.publish`."""

    @abstractmethod
    def recover(self, path: P) -> None:
        """Give back its name to a folder that was moved aside when the machine went down."""

    @abstractmethod
    def sync(self, files: Sequence[P]) -> None:
        """Wait until files, those that are there, are kept for good, and their names."""

    @abstractmethod
    def sync_tree(self, path: P) -> None:
        """Wait until a file, or a folder with all in it, is kept for good."""

    @abstractmethod
    def remove(self, path: P) -> None:
        """Delete a file or folder if it is there."""

    @abstractmethod
    def remove_partial(self, folder: P) -> None:
        """Delete what a write that was cut off has left in a folder."""

    @abstractmethod
    def appended(self, file: P) -> AbstractContextManager[Path]:
        """Give a file on this machine's disks to add lines to; see `append_log.appended`."""

    @abstractmethod
    def zarr_store(self, path: P) -> Any:
        """Return what Zarr and xarray open a store by."""

    @abstractmethod
    def seekable(self, file: P, block: int) -> AbstractContextManager[Any]:
        """Give what GDAL opens a file by; of an object, blocks are read as they are asked for."""
