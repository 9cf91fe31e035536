"""The reference of the run file, written from its types: `python -m pipelines.runfile.reference > docs/run-file.md`."""

import inspect
import sys
from collections.abc import Iterator
from copy import copy
from enum import Enum
from importlib import resources
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from engine.sources.entry import KINDS, SOURCE_KEYS
from engine.sources.spec import SourceSpec
from pipelines.runfile.reader import PROFILE_COLUMNS, RunFile

_WORDS: dict[Any, str] = {str: "text", float: "number", int: "whole number", bool: "true or false", Any: "value"}
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_COLUMNS = {
    "site": "name of the site; its layers share it",
    "lon": "longitude, degrees east, WGS 84",
    "lat": "latitude, degrees north",
    "top": "upper depth of the layer, cm",
    "bottom": "lower depth of the layer, cm",
    "soc": "soil organic carbon, g/kg",
    "som": "soil organic matter, g/kg; SOC = `som_to_soc` · SOM where `soc` is empty",
    "bulk_density": "g/cm³; where empty, from an exponential function of SOC fitted to the others, or a published one",
    "coarse_fragments": "fragments > 2 mm, volume %; where empty, the mean of the soil type",
    "vegetation": "as recorded at the site",
    "soil_type": "as recorded at the site",
    "tn": "total nitrogen, g/kg, or any other quantity that `at_site` names",
    "source": "where the record comes from",
    "position_error": "standard deviation of either coordinate of the place, m; where empty, it is not known",
}
_HEAD = """\
# The run file

A YAML file; `gelisol init blank` writes a commented one, `gelisol check` says what is wrong with yours: unknown keys,
values of the wrong kind, missing files. Paths start from the run file's folder, those of covariates and
observations from its `data` folder; absolute paths stay as they are. `--set KEY=VALUE` replaces a value for one
command, e.g. `--set model.replicates=20` or `--set 'depths=[[0, 10], [0, 30]]'`.

This page is written by `python -m pipelines.runfile.reference`.
"""
_TABLE = """\
## The profile table

One row per site and layer. Other column names are declared in `observations.columns`, other units in
`observations.units`. `site`, `lon`, `lat`, `top`, `bottom` and one of `soc` and `som` are needed. A table may instead
give finished densities, one row per site: `site`, `lon`, `lat` and for every one of `depths` a column such as
`socd_0-30`, kg C/m². [profile-tables.md](profile-tables.md) says how tables in other forms are read: units,
coordinates, encodings, two tables, wide tables, depths as text, heights, bad rows.

| column | content |
|---|---|"""


def reference() -> str:
    """Write the page, in Markdown: a table for every section, the columns of the profile table, and an example."""
    sections = [_section(title, model) for title, model in _models("", RunFile)]
    example = resources.files("catalogs").joinpath("blank", "run.yaml").read_text(encoding="utf-8")
    return "\n".join([_HEAD, *sections, _profile_table(), f"## Example\n\n```yaml\n{example}```\n"])


def _models(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a model and those that its fields hold, each once, with the key it stands under."""
    seen = set()
    waiting = [(path, model)]
    while waiting:
        path, model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        yield path, model
        inner = [
            (f"{path}.{name}".strip(".") + _suffix(field.annotation), found)
            for name, field in _fields(model).items()
            for found in _held(field.annotation)
        ]
        waiting = [*inner, *waiting]


def _held(annotation: Any) -> list[type[BaseModel]]:
    """Return models within a type."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [SourceSpec if issubclass(annotation, SourceSpec) else annotation]
    return [model for part in get_args(annotation) for model in _held(part)]


def _suffix(annotation: Any) -> str:
    return ".NAME" if get_origin(annotation) is dict else ""


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"`{path}`" if path else "Top level"
    columns = ["key", "type", "default", "meaning"]
    rows = [[f"`{name}`", _type(field), _default(field), _meaning(field)] for name, field in _fields(model).items()]
    if model is SourceSpec:
        columns.insert(1, "in entries of")
        rows = [[key, _kinds(name), *rest] for name, (key, *rest) in zip(SOURCE_KEYS, rows, strict=True)]
    lines = [f"| {' | '.join(cells)} |" for cells in [columns, *rows]]
    return "\n".join([f"## {title}\n", f"{_doc(model)}\n", lines[0], f"|{'---|' * len(columns)}", *lines[1:], ""])


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return keys of a section; for a source, those of all its kinds."""
    if model is not SourceSpec:
        return dict(model.model_fields)
    found = {name: copy(field) for kind in KINDS.values() for name, field in kind.model_fields.items()}
    for key in KINDS:
        found[key].default = None  # needed in one kind only
    return {name: found[name] for name in SOURCE_KEYS}


def _kinds(name: str) -> str:
    """Return the kinds of source that a key applies to, by their distinctive keys."""
    having = [f"`{key}`" for key, kind in KINDS.items() if name in kind.model_fields]
    return "all" if len(having) == len(KINDS) else ", ".join(reversed(having))


def _doc(model: type[BaseModel]) -> str:
    """Return the first paragraph of a model's docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def _meaning(field: FieldInfo) -> str:
    held = _held(field.annotation)
    return (field.description or (_doc(held[0]).rstrip(".") if held else "")).replace("|", "\\|")


def _type(field: FieldInfo) -> str:
    limits = [f"{sign} {getattr(m, kind.__name__.lower()):g}" for m in field.metadata for kind, sign in _SIGNS.items()
              if isinstance(m, kind)]  # fmt: skip
    return ", ".join([_words(field.annotation), *limits])


def _words(annotation: Any) -> str:
    """Describe a type in words, without the possibility to leave it out."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0])
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return ", ".join(f"`{part.value}`" for part in annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts if part is not NoneType))
    if origin is dict:
        return f"{_words(parts[0])} → {_words(parts[1])}"
    if origin is tuple and parts[-1] is Ellipsis:
        return f"list of {_words(parts[0])}"
    if origin is tuple:
        return f"[{', '.join(_words(part) for part in parts)}]"
    return _WORDS.get(annotation) or "section"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or isinstance(value, BaseModel):
        return ""
    text = f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else _json(value)
    return f"`{text}`"


def _json(value: Any) -> str:
    return to_json(value, exclude_none=True).decode().replace(",", ", ").replace(":", ": ")


def _profile_table() -> str:
    return "\n".join([_TABLE, *(f"| `{name}` | {_COLUMNS[name]} |" for name in PROFILE_COLUMNS), ""])


if __name__ == "__main__":
    sys.stdout.write(reference())
