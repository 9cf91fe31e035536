"""Names and files as operating systems differ: Windows opens no folder and replaces no file that somebody reads."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

WINDOWS = sys.platform == "win32"
REPLACE_S = 10.0
"""How long, s, a file of that name may be read by others before it counts as in use (Windows)."""
GUARD = ".gelisol.guard"
"""File that processes lock in a folder where the folder itself cannot be locked."""
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD of Linux's renameat2(2)."""


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk; a crash of the machine then leaves them.

    Windows has no such call for folders, and for files only where they are open for writing.
    """
    if WINDOWS and path.is_dir():
        return
    place = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def replace(source: Path, target: Path) -> None:
    """Give a file or folder another name; a file of that name gives way.

    Windows refuses while another process reads either of them, as a virus scanner or `gelisol status` may do: then it
    is tried again for some seconds.

    Raises
    ------
    PermissionError
        If the file stays in use.
    """
    if not WINDOWS:
        os.replace(source, target)
        return
    for attempt in Retrying(
        retry=retry_if_exception_type(PermissionError),
        stop=stop_after_delay(REPLACE_S),
        wait=wait_fixed(0.05),
        reraise=True,
    ):
        with attempt:
            os.replace(source, target)


def swap(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where the system or the file system has no such call."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold a folder for a moment: of several processes on this machine one goes on, the others wait."""
    if fcntl is None:
        from filelock import FileLock

        with FileLock(directory / GUARD):
            yield
        return
    place = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
