"""The resolved run file that goes with the results."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from engine.remote.files import is_remote, local_path
from engine.sources.entry import SOURCE_KEYS
from engine.sources.spec import SourceSpec
from engine.storage.atomic import staged
from engine.storage.paths import is_on_disk
from pipelines.runfile.redact import redacted
from pipelines.soil_carbon.prepared import Prepared


def write_run_file(prepared: Prepared) -> None:
    """Leave the resolved run file in the results folder, its paths relative to that folder.

    From an object store, or another drive, no relative path leads to a folder: there they are absolute.
    """
    entries = prepared.config.model_dump(mode="json", exclude_none=True)

    def relative(path: str, base: Path = prepared.data) -> str:
        if is_remote(path):
            return path
        path = local_path(path)
        if Path(path).is_absolute():
            return path
        if is_on_disk(prepared.directory) and prepared.directory.drive == base.drive:
            return Path(os.path.relpath(base / path, prepared.directory)).as_posix()
        return (base / path).resolve().as_posix()

    def moved(spec: SourceSpec) -> dict[str, Any]:
        there = spec.with_paths(relative, lambda about: relative(about, prepared.base))
        entry = there.model_dump(mode="json", exclude_none=True)
        return {name: entry[name] for name in SOURCE_KEYS if name in entry}

    config = prepared.config
    entries["covariates"] = {name: moved(spec) for name, spec in config.covariates.items()}
    if isinstance(config.zones, SourceSpec):
        entries["zones"] = moved(config.zones)
    entries["observations"] = _moved_tables(entries["observations"], relative)
    validation = entries["model"]["validation"]
    if given := validation.get("independent"):
        validation["independent"] = relative(given) if isinstance(given, str) else _moved_tables(given, relative)
    if "boundary" in entries["domain"]:
        entries["domain"]["boundary"] = relative(entries["domain"]["boundary"], prepared.base)
    if "truth" in entries:
        entries["truth"] = relative(entries["truth"], prepared.base)
    if tls := entries["cluster"].get("tls"):
        entries["cluster"]["tls"] = {name: relative(path, prepared.base) for name, path in tls.items()}
    entries["data"] = "."
    entries["output"]["dir"] = "." if is_on_disk(prepared.directory) else str(prepared.directory)
    # The round-trip representer keeps the order of keys; the safe one sorts them.
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 1000
    with staged(prepared.directory / "run.yaml") as stage, stage.open("w", encoding="utf-8") as file:
        yaml.dump(redacted(entries), file)


def _moved_tables(entries: dict[str, Any], relative: Callable[[str], str]) -> dict[str, Any]:
    """Return a section with the paths of its tables, and those of sections within it, made relative."""
    moved = {}
    for name, value in entries.items():
        moved[name] = relative(value) if name == "table" else value
        if isinstance(value, dict):
            moved[name] = _moved_tables(value, relative)
    return moved
