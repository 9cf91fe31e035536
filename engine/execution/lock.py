"""One run per results folder: a lock that names its owner and is known to be stale when the owner is gone."""

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import psutil

from engine.errors import RunError
from engine.storage.paths import OutPath, is_of_store, read_file, storage_of

LOCK = "run.lock"
BEAT_S = 20.0
"""Seconds between the heartbeats of a run."""
STALE_S = 300.0
"""A run on another machine whose last heartbeat is older than this is taken for dead."""


@dataclass(frozen=True)
class Owner:
    """Owner of a lock: the process that works in a folder.

    Attributes
    ----------
    born : float
        When the process started, s since 1970: another process may have its number today.
    started : str
        When the run started, ISO 8601.
    """

    host: str
    pid: int
    born: float
    user: str
    started: str

    @classmethod
    def me(cls) -> "Owner":
        """Describe the current process."""
        process = psutil.Process()
        try:
            user = getpass.getuser()
        except (KeyError, OSError, ImportError):  # no such user in a container, or no user in Windows' environment
            user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), process.pid, process.create_time(), user, started)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, started {self.started}"


@dataclass(frozen=True)
class Holding:
    """A lock as found in a folder.

    Attributes
    ----------
    silent_s : float
        Seconds since its last heartbeat.
    tag : str
        Of what stands in the lock, on an object store.
    """

    owner: Owner
    silent_s: float
    tag: str = ""

    @property
    def alive(self) -> bool:
        """Whether the owner still works: seen here by its process, from elsewhere by its heartbeat."""
        if self.owner.host != socket.gethostname():
            return self.silent_s < STALE_S
        try:
            return abs(psutil.Process(self.owner.pid).create_time() - self.owner.born) < 1
        except psutil.Error:
            return False


def held(directory: OutPath) -> Holding | None:
    """Return the lock of a folder, stale or not."""
    file = directory / LOCK
    try:
        # In this order: one that is taken over in between does not have this tag any more.
        written, tag = _stamp(file)
        return Holding(Owner(**json.loads(read_file(file))), max(0.0, time.time() - written), tag)
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def _stamp(file: OutPath) -> tuple[float, str]:
    """Return when a file was written, s since 1970, and on an object store the tag of its content."""
    return storage_of(file).stamp(file)


@contextmanager
def locked(directory: OutPath) -> Iterator[Owner | None]:
    """Work in a folder alone.

    Yields
    ------
    Owner or None
        A former owner that ended without letting go: killed, or its machine went down.

    Raises
    ------
    RunError
        If another run works there, naming it.
    """
    storage_of(directory).make(directory)
    me = Owner.me()
    with storage_of(directory).guarded(directory):
        before = held(directory)
        if before and before.alive:
            raise _refusal(directory, before)
        _take(directory, me, before)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(directory / LOCK, me, ended), daemon=True, name="gelisol-heartbeat")
    beat.start()
    try:
        yield before.owner if before else None
    finally:
        ended.set()
        beat.join()
        _release(directory, me)


def _release(directory: OutPath, me: Owner) -> None:
    """Let go; a lock that a store which fails has kept is stale as soon as this process is gone."""
    try:
        with storage_of(directory).guarded(directory):
            now = held(directory)
            if now and now.owner == me:
                (directory / LOCK).unlink(missing_ok=True)
    except Exception as error:
        if not is_of_store(error):
            raise


def _refusal(directory: OutPath, holding: Holding | None) -> RunError:
    return RunError(
        f"{directory}: another run works here: {holding.owner if holding else 'it has just begun'}. Wait until it has "
        "ended, stop it, or choose another folder with --out."
    )


def _take(directory: OutPath, me: Owner, before: Holding | None) -> None:
    """Write the lock. On an object store only if what stood there, or nothing, still does: another may be as quick."""
    file = directory / LOCK
    try:
        storage_of(file).write_if(file, _text(me), before.tag if before else None)
    except FileExistsError:
        now = held(directory)
        if now is None or now.owner != me:  # else the answer to the first try was lost on its way
            raise _refusal(directory, now) from None


def _text(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _beat(file: OutPath, me: Owner, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        _give_sign(file, me)


def _give_sign(file: OutPath, me: Owner) -> None:
    """Give a sign of life; none where another run has meanwhile taken this one for dead."""
    try:
        now = held(file.parent)
        if now and now.owner == me:
            storage_of(file).touch(file, _text(me), now.tag)
    except Exception as error:
        if not is_of_store(error):
            raise
