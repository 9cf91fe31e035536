"""What is done: each stage with a key of all that it depends on, so that a rerun repeats only what has changed."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InputError
from engine.outputs.store import staged


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
            with staged(self._directory / f"{name}.npy") as stage, stage.open("wb") as file:
                np.save(file, values)

    def clear(self) -> None:
        """Remove everything that was kept."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


class _Entries(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stages: dict[str, str] = {}


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
        return self._entries.stages.get(stage) == key and all(path.exists() for path in artefacts)

    def was_done(self, stage: str) -> bool:
        """Whether a stage was done with any key."""
        return stage in self._entries.stages

    def begin(self, stage: str) -> None:
        """Forget a stage before its artefacts change."""
        self._entries.stages.pop(stage, None)
        self._write()

    def finish(self, stage: str, key: str) -> None:
        """Record a stage after its artefacts are on disk."""
        self._entries.stages[stage] = key
        self._write()

    def _write(self) -> None:
        with staged(self._file) as stage:
            stage.write_text(self._entries.model_dump_json(indent=1), encoding="utf-8")
