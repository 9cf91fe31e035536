"""Registered parts that a run uses, and whether workers have them."""

from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client

from engine.ensemble.statistics import CELL_STATISTICS
from engine.errors import InputError
from engine.models.families import FAMILIES
from engine.registry import HERE, Registry
from engine.sources.kinds import RegisteredSpec
from engine.sources.registered import SOURCES
from engine.sources.spec import SourceSpec
from engine.validation.folds import SPLITTERS
from pipelines.runfile.reader import RunFile

REGISTRIES: Mapping[str, Registry[Any]] = {
    "model.families": FAMILIES,
    "model.validation.schemes": SPLITTERS,
    "model.statistics": CELL_STATISTICS,
    "covariates": SOURCES,
}
"""Key of the run file → where what it names is registered."""


def used(config: RunFile) -> Iterator[tuple[str, str]]:
    """Yield key of the run file and name of every registered part that a run uses."""
    yield from (("model.families", spec.name) for spec in config.model.families if spec.estimator is None)
    yield from (("model.validation.schemes", name) for name in config.model.validation.schemes)
    yield from (("covariates", name) for name in sorted(_kinds(config.covariates)))
    yield from (("model.statistics", name) for name in config.model.statistics)


def _kinds(entries: Mapping[str, SourceSpec]) -> set[str]:
    """Return registered kinds of source, those of terms among them."""
    found = {spec.source for spec in entries.values() if isinstance(spec, RegisteredSpec)}
    return found.union(*(_kinds(spec.own_terms) for spec in entries.values()))


def require_known(client: Client, config: RunFile) -> None:
    """Refuse workers that do not know what only this process has registered.

    Raises
    ------
    InputError
        Names what it is, how many workers lack it, and what to do.
    """
    wanted = [(key, name) for key, name in used(config) if REGISTRIES[key].by(name) == HERE]
    if not wanted:
        return
    found = client.run(_unknown, wanted)
    problems = [
        f"{key}: {name!r} is registered in this process, but not in {count} of {len(found)} workers; offer it as an "
        "entry point of a package that is installed there, or register it on the workers, too (docs/extending.md)"
        for key, name in wanted
        if (count := sum((key, name) in unknown for unknown in found.values()))
    ]
    if problems:
        raise InputError(problems)


def _unknown(wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(key, name) for key, name in wanted if name not in REGISTRIES[key]]
