"""Effects of the run file's keys: a changed key makes stale what would have other numbers."""

from collections.abc import Iterator
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from engine.sources.entry import DEFAULTS, SOURCE_KEYS
from engine.sources.spec import SourceSpec, StacSpec
from pipelines.runfile.schema import RunFile


class Role(StrEnum):
    """What is done again when a key changes."""

    PROFILES = "profiles"
    CUBE = "cube"
    LAYOUT = "layout"
    """Cube and map, which are stored by it; what is learnt from them stays."""
    SELECT = "select"
    TRAIN = "train"
    SCORES = "scores"
    """The scores in the stage `train`; the map only if the ensemble, or the area of applicability, becomes another."""
    MAP = "map"
    TABLES = "tables"
    """Tables and COGs of the stage `map`; its blocks stay."""
    REPORT = "report"
    """Report and catalogue, and what is written of it into the attributes of other results."""
    CONTENT = "content"
    """What depends on the content of the file that is named; the name itself decides over nothing."""
    NOTHING = "nothing"


AGAIN = {
    Role.PROFILES: "everything but the cube",
    Role.CUBE: "cube and all after it",
    Role.LAYOUT: "cube and map, which are stored by blocks",
    Role.SELECT: "select and all after it",
    Role.TRAIN: "train; the map if the ensemble or the area of applicability becomes another",
    Role.SCORES: "scores; the map only if the ensemble or the area of applicability becomes another",
    Role.MAP: "map and report",
    Role.TABLES: "tables and COGs of the map; its blocks stay",
    Role.REPORT: "report, catalogue, and the words in other results",
    Role.CONTENT: "what depends on the content of the file; its name decides over nothing",
    Role.NOTHING: "nothing",
}
"""Each role in words."""

_OF_SOURCE = "covariates.*."
_OF_REGISTERED = ("source", "options")
"""Keys of a source of a registered kind."""
DECISIONS: dict[str, tuple[Role, ...]] = {
    "name": (Role.REPORT,),
    "title": (Role.REPORT,),
    "synthetic": (Role.TABLES, Role.REPORT),
    "data": (Role.NOTHING,),
    "domain.boundary": (Role.CONTENT,),
    "domain.bounds": (Role.CUBE,),
    "domain.crs": (Role.CUBE,),
    "domain.resolution": (Role.CUBE,),
    "domain.chunk": (Role.LAYOUT,),
    "domain.mask.covariate": (Role.CUBE,),
    "domain.mask.min": (Role.CUBE,),
    "domain.mask.max": (Role.CUBE,),
    "domain.mask.classes": (Role.CUBE,),
    "covariates.*.href": (Role.CUBE,),
    "covariates.*.stac.api": (Role.CUBE,),
    "covariates.*.stac.collection": (Role.CUBE,),
    "covariates.*.stac.asset": (Role.CUBE,),
    "covariates.*.stac.query": (Role.CUBE,),
    "covariates.*.stac.sign": (Role.NOTHING,),
    "covariates.*.source": (Role.CUBE,),
    "covariates.*.options": (Role.CUBE,),
    "covariates.*.expression": (Role.CUBE,),
    "covariates.*.layers": (Role.CUBE,),
    "covariates.*.depth": (Role.CUBE,),
    "covariates.*.variable": (Role.CUBE,),
    "covariates.*.band": (Role.CUBE,),
    "covariates.*.crs": (Role.CUBE,),
    "covariates.*.coordinates": (Role.CUBE,),
    "covariates.*.grids": (Role.CUBE,),
    "covariates.*.scale": (Role.CUBE,),
    "covariates.*.offset": (Role.CUBE,),
    "covariates.*.nodata": (Role.CUBE,),
    "covariates.*.valid_range": (Role.CUBE,),
    "covariates.*.period": (Role.CUBE,),
    "covariates.*.baseline": (Role.CUBE,),
    "covariates.*.months": (Role.CUBE,),
    "covariates.*.reduce": (Role.CUBE,),
    "covariates.*.resampling": (Role.CUBE,),
    "covariates.*.units": (Role.REPORT,),
    "covariates.*.expected": (Role.NOTHING,),
    "covariates.*.label": (Role.REPORT,),
    "covariates.*.group": (Role.REPORT,),
    "covariates.*.attribute": (Role.CUBE,),
    "covariates.*.layer": (Role.CUBE,),
    "covariates.*.classes": (Role.CUBE,),
    "covariates.*.about": (Role.CONTENT,),
    "observations.table": (Role.CONTENT,),
    "observations.columns": (Role.PROFILES,),
    "observations.sheet": (Role.PROFILES,),
    "observations.header": (Role.PROFILES,),
    "observations.encoding": (Role.PROFILES,),
    "observations.delimiter": (Role.PROFILES,),
    "observations.decimal": (Role.PROFILES,),
    "observations.thousands": (Role.PROFILES,),
    "observations.missing": (Role.PROFILES,),
    "observations.crs": (Role.PROFILES,),
    "observations.units": (Role.PROFILES,),
    "observations.below_detection": (Role.PROFILES,),
    "observations.sites.table": (Role.CONTENT,),
    "observations.sites.columns": (Role.PROFILES,),
    "observations.sites.sheet": (Role.PROFILES,),
    "observations.sites.header": (Role.PROFILES,),
    "observations.sites.encoding": (Role.PROFILES,),
    "observations.sites.delimiter": (Role.PROFILES,),
    "observations.sites.decimal": (Role.PROFILES,),
    "observations.sites.thousands": (Role.PROFILES,),
    "observations.sites.missing": (Role.PROFILES,),
    "observations.sites.crs": (Role.PROFILES,),
    "observations.sites.key": (Role.PROFILES,),
    "observations.wide": (Role.PROFILES,),
    "observations.depth_zero": (Role.PROFILES,),
    "observations.on_bad_row": (Role.PROFILES,),
    "observations.at_site": (Role.PROFILES,),
    "observations.harmonise": (Role.PROFILES,),
    "observations.som_to_soc": (Role.PROFILES,),
    "observations.bulk_density.function": (Role.PROFILES,),
    "observations.errors.draw": (Role.PROFILES,),
    "observations.errors.som_to_soc": (Role.PROFILES,),
    "observations.errors.bulk_density": (Role.PROFILES,),
    "observations.errors.coarse_fragments": (Role.PROFILES,),
    "observations.errors.positions": (Role.PROFILES,),
    "observations.errors.layer_division": (Role.PROFILES,),
    "observations.sure_of": (Role.NOTHING,),
    "target.name": (Role.PROFILES, Role.MAP),
    "target.units": (Role.PROFILES, Role.MAP),
    "target.column": (Role.PROFILES,),
    "target.label": (Role.REPORT,),
    "target.title": (Role.TABLES, Role.REPORT),
    "depths": (Role.PROFILES, Role.MAP),
    "selection.screen": (Role.SELECT,),
    "selection.alpha": (Role.SELECT,),
    "selection.vif": (Role.SELECT,),
    "selection.keep": (Role.SELECT,),
    "selection.drop": (Role.SELECT,),
    "model.families": (Role.TRAIN,),
    "model.mapped": (Role.TRAIN,),
    "model.validation.folds": (Role.TRAIN,),
    "model.validation.repeats": (Role.SCORES,),
    "model.validation.schemes": (Role.SCORES,),
    "model.validation.block_km": (Role.TRAIN,),
    "model.validation.tuning": (Role.TRAIN,),
    "model.validation.coverage": (Role.SCORES,),
    "model.validation.independent": (Role.REPORT,),
    "model.replicates": (Role.TRAIN,),
    "model.interval": (Role.MAP,),
    "model.prediction_interval": (Role.SCORES, Role.MAP),
    "model.statistics": (Role.MAP,),
    "model.residual_error": (Role.SCORES, Role.MAP),
    "model.thresholds": (Role.MAP,),
    "model.quantiles": (Role.MAP,),
    "model.seed": (Role.TRAIN, Role.TABLES),
    "zones": (Role.SCORES, Role.MAP),
    "cluster": (Role.NOTHING,),
    "output.dir": (Role.NOTHING,),
    "output.licence": (Role.REPORT,),
    "output.providers": (Role.REPORT,),
    "output.period": (Role.REPORT,),
    "figures.permafrost": (Role.REPORT,),
    "truth": (Role.CONTENT,),
}
"""Key → what it decides over. `*` is any covariate, any term under its `of`, and the source of `zones`."""
FILES: dict[str, tuple[Role, str]] = {
    "domain.boundary": (Role.CUBE, "the boundary's file"),
    "observations.table": (Role.PROFILES, "the profile table"),
    "observations.sites.table": (Role.PROFILES, "the table of sites"),
    "covariates.*.about": (Role.REPORT, "the description of {name}"),
    "model.validation.independent": (Role.REPORT, "the table of independent sites{name}"),
    "truth": (Role.REPORT, "the truth's files"),
}
"""Key that names a file → what the file's content decides over, and what messages call it."""
UNDECIDED = (Role.PROFILES, Role.CUBE)
"""What a key that is not listed decides over: everything."""


def roles_of(key: str) -> tuple[Role, ...]:
    """Return the roles of a key: what it affects."""
    return next((DECISIONS[name] for name in _sections(key) if name in DECISIONS), UNDECIDED)


def role_of_file(name: str) -> Role:
    """Return the role of a file's content, by its name in messages; a covariate's affects the cube."""
    for role, called in FILES.values():
        before, _, after = called.partition("{name}")
        if name == called or (before != called and name.startswith(before) and name.endswith(after)):
            return role
    return Role.CUBE


def _sections(key: str) -> Iterator[str]:
    """Yield the key itself and the sections that it stands in, the innermost first."""
    parts = key.split(".")
    yield from (".".join(parts[:n]) for n in range(len(parts), 0, -1))


def schema_keys(model: type[BaseModel] = RunFile, prefix: str = "") -> list[str]:
    """Return every key of the run file that is not a section; `*` stands for the name of a covariate."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        inner = [m for m in _models(field.annotation) if not issubclass(m, SourceSpec)]
        sections = [m for m in inner if get_origin(_plain(field.annotation)) not in (tuple, list)]
        if name == "covariates" and model is RunFile:
            keys += _keys_of_a_source()
        elif sections and roles_of(key) == UNDECIDED:
            for section in sections:
                keys += schema_keys(section, f"{key}.")
        else:
            keys.append(key)
    return keys


def _keys_of_a_source() -> list[str]:
    """Return the keys of all kinds of source; the entries of `of` have the keys of a covariate."""
    plain = [[f"{_OF_SOURCE}{name}"] if name != "stac" else schema_keys(StacSpec, f"{_OF_SOURCE}stac.")
             for name in SOURCE_KEYS if name != "of"]  # fmt: skip
    return [key for keys in plain for key in keys]


def _plain(kind: Any) -> Any:
    """Return a type without `Annotated` and `| None`."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    others = [arg for arg in get_args(kind) if arg is not NoneType]
    return _plain(others[0]) if NoneType in get_args(kind) and len(others) == 1 else kind


def _models(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for arg in get_args(kind) for model in _models(arg)]


def settings(entries: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield every setting of a dumped run file: its key in the schema, the name of its part, and its value.

    The part is what a message names: `domain`, `covariates.ai`, `model.validation`.
    """
    for key, value in entries.items():
        match key:
            case "covariates":
                for name, entry in value.items():
                    yield from ((k, f"covariates.{name}", (inner, v)) for k, inner, v in _of_source(entry, ""))
            case "zones" if isinstance(value, dict):
                yield from ((k, "zones", (inner, v)) for k, inner, v in _of_source(value, ""))
            case "model":
                for name, entry in value.items():
                    yield from _flat(f"model.{name}", f"model.{name}", entry)
            case _:
                yield from _flat(key, key, value)


def _flat(key: str, part: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict) and key not in DECISIONS:
        for name, entry in value.items():
            yield from _flat(f"{key}.{name}", part, entry)
    elif value is not None or not any(name.startswith(f"{key}.") for name in DECISIONS):
        yield key, part, (key, _ordered(value) if key.endswith("families") else value)


def _of_source(entry: dict[str, Any], within: str) -> Iterator[tuple[str, str, Any]]:
    """Yield keys of a source in the schema, where they stand in the entry, and their values.

    Keys of all kinds of source, in one order: what an entry leaves out is what it is without.
    """
    for name in SOURCE_KEYS:
        if name in _OF_REGISTERED and "source" not in entry:
            continue  # of entries from before there were any
        value = entry.get(name, DEFAULTS[name])
        if name == "of" and value:
            for term, inner in value.items():
                yield from _of_source(inner, f"{within}of.{term}.")
        elif name == "stac" and value:
            yield from ((f"{_OF_SOURCE}stac.{k}", f"{within}stac.{k}", v) for k, v in value.items())
        elif name == "stac":
            yield from ((f"{_OF_SOURCE}stac.{k}", f"{within}stac.{k}", None) for k in StacSpec.model_fields)
        elif name != "of":
            yield f"{_OF_SOURCE}{name}", f"{within}{name}", _ordered(value)


def _ordered(value: Any) -> Any:
    """Return mappings as pairs: the order of classes is that of their codes, that of layers the order of a sum."""
    if isinstance(value, dict):
        return [[key, _ordered(inner)] for key, inner in value.items()]
    return [_ordered(inner) for inner in value] if isinstance(value, list) else value


def table() -> str:
    """Return the decisions as a table in Markdown."""
    by_roles: dict[tuple[Role, ...], list[str]] = {}
    for key, roles in DECISIONS.items():
        by_roles.setdefault(roles, []).append(f"`{key}`")
    rows = [f"| {', '.join(keys)} | {'; '.join(AGAIN[role] for role in roles)} |" for roles, keys in by_roles.items()]
    return "\n".join(["| key | done again when it changes |", "|---|---|", *rows])


if __name__ == "__main__":
    print(table())
