"""Results on file systems of this machine."""

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from uuid import uuid4

from engine.errors import InputError
from engine.storage.storage import Storage
from engine.storage.system import alone, replace, swap, sync

_AT_ONCE = 16
"""Files that are waited for at the same time."""


class Disk(Storage[Path]):
    """Files and folders, see `Storage`: a rename makes visible what is whole."""

    on_disk, may_be_away = True, False

    def require_access(self, place: Path) -> None:
        """Fail if the folder, or one above it, is a file."""
        found = next(path for path in (place, *place.parents) if path.exists())
        if not found.is_dir():
            raise InputError(f"{place}: {found} is a file, where a folder is needed; give another `output.dir`")

    def make(self, folder: Path) -> None:
        """Make a folder and those above it."""
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, file: Path) -> bytes:
        """Read a whole file."""
        return file.read_bytes()

    def read_tail(self, file: Path, size: int) -> bytes:
        """Read its end."""
        with file.open("rb") as content:
            content.seek(max(0, content.seek(0, os.SEEK_END) - size))
            return content.read()

    def read_each(self, files: Sequence[Path]) -> list[bytes | None]:
        """Read one after the other."""
        return [_read(file) for file in files]

    def digests(self, files: Sequence[Path]) -> list[str]:
        """Read one after the other, none of them whole."""
        return [_digest(file) for file in files]

    def children(self, folder: Path) -> list[Path]:
        """List a folder."""
        try:
            return list(folder.iterdir())
        except FileNotFoundError:
            return []

    def files_in(self, folder: Path) -> list[Path]:
        """List a folder and those in it."""
        return sorted(file for file in folder.rglob("*") if file.is_file())

    def write(self, file: Path, content: bytes) -> None:
        """Write beside it, and rename."""
        file.parent.mkdir(parents=True, exist_ok=True)
        stage = file.with_name(f".{file.name}.{uuid4().hex[:8]}.partial")
        try:
            stage.write_bytes(content)
            sync(stage)
            replace(stage, file)
        finally:
            stage.unlink(missing_ok=True)
        sync(file.parent)

    def write_if(self, file: Path, content: bytes, tag: str | None) -> None:
        """Write; who else would is kept out by `guarded`."""
        del tag
        self.write(file, content)

    def stamp(self, file: Path) -> tuple[float, str]:
        """Read the time of change."""
        return file.stat().st_mtime, ""

    def touch(self, file: Path, content: bytes, tag: str) -> None:
        """Set the time of change."""
        del content, tag
        with suppress(OSError):
            os.utime(file)

    def guarded(self, folder: Path) -> AbstractContextManager[None]:
        """Lock the folder."""
        return alone(folder)

    @contextmanager
    def staged(self, path: Path, head: str) -> Iterator[Path]:
        """Build beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.partial"):
            self.remove(left)
        stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
        try:
            yield stage
            self.sync_tree(stage)
            self.publish(stage, path, head)
        finally:
            self.remove(stage)

    def publish(self, stage: Path, path: Path, head: str) -> None:
        """Swap two names, or move the old folder aside where the file system cannot."""
        del head
        if path.is_dir():
            if swap(stage, path):
                self.remove(stage)
            else:
                previous = _previous(path)
                self.remove(previous)
                replace(path, previous)
                replace(stage, path)
                self.remove(previous)
        else:
            replace(stage, path)
        sync(path.parent)

    def recover(self, path: Path) -> None:
        """Undo a `publish` that came no further than to move the old folder aside."""
        previous = _previous(path)
        if previous.exists() and not path.exists():
            replace(previous, path)
        self.remove(previous)

    def sync(self, files: Sequence[Path]) -> None:
        """Wait for many at a time: a disk takes them in little more than the time of one."""
        there = [file for file in files if file.exists()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(sync, there))
            list(pool.map(sync, {file.parent for file in there}))

    def sync_tree(self, path: Path) -> None:
        """Wait for one after the other."""
        if path.is_dir():
            for folder, _, files in os.walk(path):
                for name in files:
                    sync(Path(folder, name))
                sync(Path(folder))
        else:
            sync(path)

    def remove(self, path: Path) -> None:
        """Delete a file or folder."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def remove_partial(self, folder: Path) -> None:
        """Delete what a write that was cut off has left."""
        for left in folder.rglob("*.partial"):
            left.unlink(missing_ok=True)

    def appended(self, file: Path) -> AbstractContextManager[Path]:
        """Give the file itself."""
        return nullcontext(file)

    def zarr_store(self, path: Path) -> Path:
        """Give the folder itself."""
        return path

    def seekable(self, file: Path, block: int) -> AbstractContextManager[Path]:
        """Give the file itself."""
        del block
        return nullcontext(file)


DISK = Disk()


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:  # a disk that has lost a file loses the work that is recorded in it
        return None


def _digest(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
