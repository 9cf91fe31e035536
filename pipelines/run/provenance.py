"""Provenance of a result: versions, seed, sources, grid, timings and memory, in `provenance.json`."""

import json
from datetime import UTC, datetime
from typing import Any

import engine
from engine.execution.versions import versions
from engine.storage.atomic import write_file
from engine.storage.paths import OutPath, read_file
from pipelines.runfile.redact import redacted


class Provenance:
    """The record of one results folder, kept over its runs and written after every stage."""

    def __init__(self, directory: OutPath):
        self._file = directory / "provenance.json"
        try:
            self.record: dict[str, Any] = json.loads(read_file(self._file))
        except (FileNotFoundError, json.JSONDecodeError):
            self.record = {"stages": {}}
        others = {name: version for name, version in versions().items() if name != "gelisol"}
        self.record |= {"gelisol": engine.__version__, "versions": others, "started": _now()}

    def add(self, **facts: Any) -> None:
        """Set facts of the whole run."""
        self.record |= facts

    def stage(self, name: str, seconds: float, **facts: Any) -> None:
        """Record a finished stage and write the file."""
        self.record["stages"][name] = {"seconds": round(seconds, 3), "finished": _now(), **facts}
        self.write()

    def write(self) -> None:
        """Write the file, whole."""
        write_file(self._file, json.dumps(redacted(self.record), indent=1, default=str).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
