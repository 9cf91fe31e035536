"""`gelisol sources`: whose data a run file names, under which licence, and how they are had; nothing is opened."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.errors import InputError
from engine.sources.metadata import About
from engine.sources.spec import SourceSpec
from pipelines.runfile.descriptions import read_description
from pipelines.runfile.reader import Draft, RunFile


def entries(run: RunFile | Draft) -> dict[str, SourceSpec]:
    """Every source of a run file by its key: covariates, the terms of their formulas, and zones."""
    found: dict[str, SourceSpec] = {}
    for name, spec in run.covariates.items():
        found[name] = spec
        found |= {f"{name}.{term}": inner for term, inner in (spec.of or {}).items()}
    if isinstance(run.zones, SourceSpec):
        found["zones"] = run.zones
    return found


def about(name: str, spec: SourceSpec, base: Path) -> About | None:
    """The description that an entry names, if any."""
    return read_description(base / spec.about, f"covariates.{name}.about") if spec.about else None


def descriptions(run: RunFile, base: Path) -> dict[str, list[dict[str, Any]]]:
    """Covariate → what is known of its data sets (its own, or those of its formula's terms), for the record.

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


def source_table(run: RunFile, base: Path) -> Table:
    """One row a source.

    Raises
    ------
    InputError
        With every description that cannot be read.
    """
    table = Table(title="Sources", title_justify="left")
    for column in ("covariate", "values from", "units", "data set", "provider", "access", "licence", "DOI"):
        table.add_column(column, overflow="fold")
    problems: list[str] = []
    for name, spec in entries(run).items():
        try:
            known = about(name, spec, base)
        except InputError as error:
            problems += error.problems
            continue
        facts = (known.title, known.provider, known.access, known.licence, known.doi) if known else ("–",) * 5
        table.add_row(name, spec.place, "classes" if spec.is_categorical else spec.units, *facts)
    if problems:
        raise InputError(problems)
    return table
