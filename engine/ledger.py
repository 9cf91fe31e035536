"""What is done: each stage with a key of all that it depends on, so that a rerun repeats only what has changed."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InputError
from engine.outputs.store import remove, write_file

RECORDS = ".records"
"""Folder of a results folder with the records of its artefacts."""


def key_of(*parts: Any) -> str:
    """A short hash of values that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Scratch:
    """Arrays that an unfinished stage has computed, kept until it is done.

    Parameters
    ----------
    directory : Path or None
        A folder named by the stage's key; None keeps nothing.
    """

    def __init__(self, directory: Path | None):
        self._directory = directory

    def inner(self, name: str) -> "Scratch":
        """A folder in it, for arrays of another kind; they do not count."""
        return Scratch(None if self._directory is None else self._directory / name)

    def load(self, name: str) -> np.ndarray | None:
        """An array kept before, or None."""
        if self._directory is None:
            return None
        try:
            return np.load(self._directory / f"{name}.npy", allow_pickle=False)
        except (OSError, ValueError):
            return None

    def save(self, name: str, values: np.ndarray) -> None:
        """Keep an array."""
        if self._directory is not None:
            content = io.BytesIO()
            np.save(content, values)
            write_file(self._directory / f"{name}.npy", content.getvalue())

    def count(self) -> int:
        """Number of arrays kept."""
        return sum(1 for _ in self._directory.glob("*.npy")) if self._directory is not None else 0

    def clear_others(self) -> None:
        """Remove what was kept for other keys."""
        if self._directory is not None and self._directory.parent.is_dir():
            for other in self._directory.parent.iterdir():
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
    directory : Path
        A folder named by the key of all that the work depends on.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    @classmethod
    def of(cls, artefact: Path, key: str) -> "Records":
        """Those of an artefact of a results folder."""
        return cls(artefact.parent / RECORDS / artefact.name / key)

    def names(self) -> set[str]:
        """Pieces that are recorded."""
        return {file.stem for file in self.directory.glob("*.npz")} if self.directory.is_dir() else set()

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """A record, or None where there is none that can be read."""
        try:
            with np.load(self.directory / f"{name}.npz", allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None

    def save(self, name: str, **arrays: Any) -> None:
        """Record a piece whose data are on disk."""
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_file(self.directory / f"{name}.npz", content.getvalue())

    def forget(self, name: str) -> None:
        """Have a piece done again."""
        (self.directory / f"{name}.npz").unlink(missing_ok=True)

    def forget_others(self) -> None:
        """Remove the records of the same artefact with other keys."""
        if self.directory.parent.is_dir():
            for other in self.directory.parent.iterdir():
                if other != self.directory:
                    remove(other)

    def clear(self) -> None:
        """Remove all of them."""
        remove(self.directory)


def digest_of(file: Path) -> str:
    """SHA-256 of a file, or of a folder's names and contents; empty where there is nothing."""
    if not file.exists():
        return ""
    if file.is_dir():
        files = sorted(f for f in file.rglob("*") if f.is_file())
        return key_of([(f.relative_to(file).as_posix(), digest_of(f)) for f in files])
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    parts: dict[str, str] = {}
    digests: dict[str, str] = {}


class _Entries(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stages: dict[str, Entry] = {}


class Ledger:
    """The ledger of one results folder, `ledger.json`.

    Raises
    ------
    InputError
        If the file is there but not a ledger.
    """

    def __init__(self, directory: Path):
        self._file = directory / "ledger.json"
        try:
            self._entries = _Entries.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            self._entries = _Entries()
        except (OSError, ValidationError) as error:
            reason = error if isinstance(error, OSError) else "damaged, or of another version"
            raise InputError(f"{self._file}: cannot be read ({reason}); delete it, or run with --fresh") from error

    def is_done(self, stage: str, key: str, artefacts: Iterable[Path]) -> bool:
        """Whether a stage was done with this key and what it left is still there."""
        entry = self._entries.stages.get(stage)
        return entry is not None and entry.key == key and all(path.exists() for path in artefacts)

    def entry(self, stage: str) -> Entry | None:
        """What is recorded of a stage, whatever its key."""
        return self._entries.stages.get(stage)

    def begin(self, stage: str) -> None:
        """Forget a stage before its artefacts change."""
        if self._entries.stages.pop(stage, None) is not None:
            self._write()

    def finish(self, stage: str, entry: Entry) -> None:
        """Record a stage after its artefacts are on disk."""
        self._entries.stages[stage] = entry
        self._write()

    def _write(self) -> None:
        write_file(self._file, self._entries.model_dump_json(indent=1).encode())
