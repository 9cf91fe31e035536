"""Ledger of finished stages: each has a key of all that it depends on, so that a rerun repeats only what changed."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InputError
from engine.storage.atomic import remove, write_file
from engine.storage.npz import from_npy, from_npz, npy, npz
from engine.storage.paths import OutPath, children, files_in, read_each, read_file

RECORDS = ".records"
"""Folder of a results folder with the records of its artefacts."""
_AT_ONCE = 256
"""Records that are read together, where reading takes long and several can be asked for."""


def key_of(*parts: Any) -> str:
    """Hash values that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Scratch:
    """Arrays that an unfinished stage has computed, kept until it is done.

    Parameters
    ----------
    directory : OutPath or None
        A folder named by the stage's key; None keeps nothing.
    """

    def __init__(self, directory: OutPath | None):
        self._directory = directory

    def inner(self, name: str) -> "Scratch":
        """Return a folder in it for arrays of another kind, which are not counted."""
        return Scratch(None if self._directory is None else self._directory / name)

    def load(self, name: str) -> np.ndarray | None:
        """Load an array kept before, or return None."""
        if self._directory is None:
            return None
        (content,) = read_each([self._directory / f"{name}.npy"])
        try:
            return None if content is None else from_npy(content)
        except (OSError, ValueError, EOFError):
            return None

    def save(self, name: str, values: np.ndarray) -> None:
        """Keep an array."""
        if self._directory is not None:
            write_file(self._directory / f"{name}.npy", npy(values))

    def count(self) -> int:
        """Return the number of arrays kept."""
        return sum(file.suffix == ".npy" for file in children(self._directory)) if self._directory is not None else 0

    def clear_others(self) -> None:
        """Remove what was kept for other keys."""
        if self._directory is not None:
            for other in children(self._directory.parent):
                if other != self._directory:
                    remove(other)

    def clear(self) -> None:
        """Remove everything that was kept."""
        if self._directory is not None:
            remove(self._directory)


class Records:
    """One small file per finished piece of work, written after its data: a block, a replicate.

    A record holds what the work gave beside its data, and the checksums of the files that hold them.

    Parameters
    ----------
    directory : OutPath
        A folder named by the key of all that the work depends on.
    """

    def __init__(self, directory: OutPath):
        self.directory = directory

    @classmethod
    def of(cls, artefact: OutPath, key: str) -> "Records":
        """Return the records of an artefact of a results folder."""
        return cls(artefact.parent / RECORDS / artefact.name / key)

    def names(self) -> set[str]:
        """Return the names of the recorded pieces."""
        return {file.stem for file in children(self.directory) if file.suffix == ".npz"}

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Load a record; None if it is absent or cannot be read."""
        ((_, record),) = self.load_each([name])
        return record

    def load_each(self, names: Iterable[str]) -> Iterator[tuple[str, dict[str, np.ndarray] | None]]:
        """Yield names and records, as `load` returns them, some hundreds at a time."""
        remaining = iter(names)
        while some := list(islice(remaining, _AT_ONCE)):
            contents = read_each([self.directory / f"{name}.npz" for name in some])
            yield from ((name, _arrays(content)) for name, content in zip(some, contents, strict=True))

    def save(self, name: str, **arrays: Any) -> None:
        """Record a piece whose data are on disk."""
        write_file(self.directory / f"{name}.npz", npz(arrays))

    def forget(self, name: str) -> None:
        """Have a piece done again."""
        (self.directory / f"{name}.npz").unlink(missing_ok=True)

    def forget_others(self) -> None:
        """Remove the records of the same artefact with other keys."""
        for other in children(self.directory.parent):
            if other != self.directory:
                remove(other)

    def clear(self) -> None:
        """Remove all of them."""
        remove(self.directory)


def _arrays(content: bytes | None) -> dict[str, np.ndarray] | None:
    if content is None:
        return None
    try:
        return from_npz(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
        return None


def digest_of(file: OutPath) -> str:
    """Return the SHA-256 of a file, or of a folder's names and contents; "" if the path does not exist."""
    if not file.exists():
        return ""
    if file.is_dir():
        start = len(str(file)) + 1
        return key_of([(str(f)[start:], digest_of(f)) for f in files_in(file)])
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]


class Entry(BaseModel):
    """A finished stage.

    Attributes
    ----------
    key : str
        Of all that its artefacts depend on.
    parts : dict
        What it depends on → a hash of it; names what has changed since.
    digests : dict
        Artefact → SHA-256 of what was written. Stores whose blocks are recorded are not in it.
    versions : dict
        Package or library → version, of those that its numbers depend on.
    pieces : str
        Key under which its blocks are recorded; empty where it has none.
    leaves : str
        Hash of what it leaves, where stages after it depend on that rather than on how it came about.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    parts: dict[str, str] = {}
    digests: dict[str, str] = {}
    versions: dict[str, str] = {}
    pieces: str = ""
    leaves: str = ""


_OPTIONAL = ("versions", "pieces", "leaves", "begun")


class _Entries(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stages: dict[str, Entry] = {}
    begun: dict[str, dict[str, str]] = {}


class Ledger:
    """The ledger of one results folder, `ledger.json`.

    Raises
    ------
    InputError
        If the file is there but not a ledger.
    """

    def __init__(self, directory: OutPath):
        self._file = directory / "ledger.json"
        try:
            self._entries = _Entries.model_validate_json(read_file(self._file))
        except FileNotFoundError:
            self._entries = _Entries()
        except ValidationError as error:
            reason = "damaged, or of another version"
            raise InputError(f"{self._file}: cannot be read ({reason}); delete it, or run with --fresh") from error

    def is_done(self, stage: str, key: str, artefacts: Iterable[OutPath]) -> bool:
        """Return whether a stage was finished with this key and its artefacts still exist."""
        entry = self._entries.stages.get(stage)
        return entry is not None and entry.key == key and all(path.exists() for path in artefacts)

    def entry(self, stage: str) -> Entry | None:
        """Return the record of a stage, whatever its key."""
        return self._entries.stages.get(stage)

    def begun(self, stage: str) -> dict[str, str]:
        """Return the versions that an unfinished stage was begun with; empty without one."""
        return self._entries.begun.get(stage, {})

    def begin(self, stage: str, versions: dict[str, str] | None = None) -> None:
        """Forget a stage before its artefacts change, and record with which versions it is begun."""
        known = self._entries.stages.pop(stage, None) is not None
        if versions:
            self._entries.begun[stage] = versions
        if known or versions:
            self._write()

    def finish(self, stage: str, entry: Entry) -> None:
        """Record a stage after its artefacts are on disk."""
        self._entries.begun.pop(stage, None)
        self._entries.stages[stage] = entry
        self._write()

    def _write(self) -> None:
        content = self._entries.model_dump(mode="json")
        content["stages"] = {stage: _without_empty(entry) for stage, entry in content["stages"].items()}
        write_file(self._file, json.dumps(_without_empty(content), indent=1).encode())


def _without_empty(entry: dict[str, Any]) -> dict[str, Any]:
    """Drop optional fields that are empty."""
    return {name: value for name, value in entry.items() if value or name not in _OPTIONAL}
