"""The sources of a run file and their descriptions: beside the run file, else those of the catalogue."""

from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.sources.metadata import About, read_about
from engine.sources.spec import SourceSpec
from pipelines.runfile.schema import Draft, RunFile

FOLDER = "sources"
"""Of descriptions, in the catalogue and beside the run files that `gelisol init` writes."""


def read_description(path: Path, key: str) -> About:
    """Read a description; one of the catalogue need not be copied beside the run file.

    Parameters
    ----------
    path : Path
        As the run file names it.
    key : str
        Names it in errors.

    Raises
    ------
    InputError
        If there is no such file, or it is not a description.
    """
    if not path.exists() and path.parent.name == FOLDER:
        known = resources.files("catalogs").joinpath(FOLDER, path.name)
        if known.is_file():
            with resources.as_file(known) as file:
                return read_about(file, key)
    return read_about(path, key)


def entries(run: RunFile | Draft) -> dict[str, SourceSpec]:
    """Return every source of a run file by its key: covariates, the terms of their formulas, and zones."""
    found: dict[str, SourceSpec] = {}
    for name, spec in run.covariates.items():
        found[name] = spec
        found |= {f"{name}.{term}": inner for term, inner in spec.own_terms.items()}
    if isinstance(run.zones, SourceSpec):
        found["zones"] = run.zones
    return found


def about(name: str, spec: SourceSpec, base: Path) -> About | None:
    """Return the description that an entry names, if any."""
    return read_description(base / spec.about, f"covariates.{name}.about") if spec.about else None


def descriptions(run: RunFile, base: Path) -> dict[str, list[dict[str, Any]]]:
    """Return descriptions of each covariate's data sets (its own, or those of its formula's terms), for the record.

    A description that cannot be read any more is left out: `check` has said so.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for key, spec in entries(run).items():
        name = key.partition(".")[0]
        with suppress(InputError):
            if known := about(key, spec, base):
                facts = asdict(known)
                if facts not in found.setdefault(name, []):
                    found[name].append(facts)
    return found
