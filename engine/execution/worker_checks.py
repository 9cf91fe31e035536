"""Checks of workers before a run: the same code, libraries and files, and room to write; all reported at once."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from distributed import Client, Worker

import engine.execution.versions
from engine.execution.cluster import ONE_THREAD
from engine.remote.files import Place
from engine.remote.retry import reason
from engine.storage.atomic import remove, write_file
from engine.storage.paths import OutPath, is_of_store, read_file, said_by_store

_FILES = 200
"""Files of the sources that each worker looks at, spread over all of them."""


@dataclass(frozen=True)
class Mismatch:
    """Something that a worker lacks, or has otherwise than this process.

    Attributes
    ----------
    fatal : bool
        Whether the run would fail, or its numbers could differ.
    """

    worker: str
    what: str
    here: str
    there: str
    fatal: bool = True


def check_workers(client: Client, files: Sequence[Place], directory: OutPath) -> list[Mismatch]:
    """Compare every worker with this process.

    Parameters
    ----------
    files : sequence of Place
        What the workers will read.
    directory : OutPath
        The results folder, to which they will write; it exists.
    """
    chosen = files if len(files) <= _FILES else [files[i * len(files) // _FILES] for i in range(_FILES)]
    sizes = {file: size for file in chosen if (size := _size(file)) is not None}
    probe = directory / f".probe-{uuid4().hex[:8]}"
    here = versions()
    try:
        write_file(probe / "here", probe.name.encode())
        found = client.run(_facts, sizes, probe)
        mismatches = []
        for address, facts in found.items():
            seen = (probe / facts["wrote"]).exists() if facts["wrote"] else False
            mismatches += _compare(address, here, facts, directory, seen)
        return mismatches
    finally:
        remove(probe)


def versions() -> dict[str, str]:
    """Return versions of Python and of what numbers depend on, and a hash of this package's code."""
    return engine.execution.versions.versions(version) | {"code of gelisol": _code()}


def _code() -> str:
    digest = hashlib.sha256()
    root = Path(engine.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _size(file: Place) -> int | None:
    """Return the bytes of a file; None where a server does not report them cheaply, e.g.

    of an asset that needs a signature.
    """
    if isinstance(file, Path):
        return file.stat().st_size
    try:
        return file.size()
    except OSError:
        return None


def _facts(sizes: dict[Place, int], probe: OutPath, dask_worker: Worker) -> dict[str, Any]:
    """Collect the facts about a worker that the checks compare."""
    unreadable = []
    for file, size in sizes.items():
        try:
            if isinstance(file, Path):
                with file.open("rb") as content:
                    content.read(1)
            there = _size(file)
            if there != size:
                unreadable.append(f"{file}: {'cannot be reached' if there is None else f'{there} bytes'}, here {size}")
        except OSError as error:
            unreadable.append(f"{file}: {error.strerror}")
    wrote, why = f"there-{uuid4().hex[:8]}", ""
    try:
        write_file(probe / wrote, read_file(probe / "here"))
    except Exception as error:
        if not is_of_store(error):
            raise
        wrote, why = "", said_by_store(error) or (isinstance(error, OSError) and error.strerror) or reason(error)
    return {
        "versions": versions(),
        "unreadable": unreadable,
        "wrote": wrote,
        "why": why,
        "environment": {name: os.environ.get(name, "not set") for name in ONE_THREAD},
        "threads": dask_worker.state.nthreads,
        "cores": os.cpu_count() or 1,
    }


def _compare(
    address: str, here: dict[str, str], facts: dict[str, Any], directory: OutPath, seen: bool
) -> list[Mismatch]:
    there = facts["versions"]
    mismatches = [
        Mismatch(address, name, here.get(name, "not installed"), there.get(name, "not installed"))
        for name in dict.fromkeys([*here, *there])
        if here.get(name) != there.get(name)
    ]
    if unreadable := facts["unreadable"]:
        more = f", and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        mismatches.append(Mismatch(address, "files of the sources", "readable", unreadable[0] + more))
    if not seen:
        why = facts["why"] or "writes to a folder of the same name that is not this one"
        mismatches.append(Mismatch(address, "results folder", f"{directory} is writable", why))
    if facts["threads"] > 1 or facts["cores"] > 1:
        mismatches += [
            Mismatch(address, name, "1", value, fatal=False)
            for name, value in facts["environment"].items()
            if value != "1"
        ]
    return mismatches
