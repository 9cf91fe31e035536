"""The run file: a YAML document, read into its types; every problem is reported with its key and line."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from engine.errors import Finding, InputError
from engine.sources.entry import KINDS, SOURCE_KEYS
from engine.sources.spec import SourceSpec, StacSpec
from engine.storage.paths import OutPath, is_on_disk
from pipelines.runfile.model_section import FamilySpec, Selection, Validation
from pipelines.runfile.nearest import nearest
from pipelines.runfile.observations_section import PROFILE_COLUMNS, Observations, SiteTable
from pipelines.runfile.schema import (
    TLS,
    Adaptive,
    Cluster,
    Domain,
    Draft,
    Mask,
    Model,
    Output,
    RunFile,
    dangling_references,
)

__all__ = [
    "PROFILE_COLUMNS", "Cluster", "Domain", "Draft", "Mask", "Model", "Observations", "Output", "Reading", "RunFile",
    "Validation", "load", "read",
]  # fmt: skip

_SECTIONS: dict[str, type[BaseModel]] = {
    "domain": Domain,
    "mask": Mask,
    "observations": Observations,
    "sites": SiteTable,
    "model": Model,
    "validation": Validation,
    "selection": Selection,
    "families": FamilySpec,
    "cluster": Cluster,
    "tls": TLS,
    "adaptive": Adaptive,
    "output": Output,
}


@dataclass(frozen=True)
class Reading:
    """A run file as read: the whole run, or a draft and what is wrong with it."""

    run: RunFile | Draft
    base: Path
    problems: tuple[Finding, ...] = ()


def load(path: str | OutPath, overrides: tuple[str, ...] = ()) -> tuple[RunFile, Path]:
    """Read a run file that must be sound.

    Parameters
    ----------
    path : path
        The YAML file.
    overrides : tuple of str
        `key.subkey=value` settings that replace the file's; the value is read as YAML.

    Returns
    -------
    RunFile, Path
        The run, and the folder that its relative paths start from.

    Raises
    ------
    InputError
        With every problem found, each naming its key and, where it has one, its line.
    """
    reading = read(path, overrides)
    if isinstance(reading.run, Draft):
        raise InputError(reading.problems)
    return reading.run, reading.base


def read(path: str | OutPath, overrides: tuple[str, ...] = ()) -> Reading:
    """Read a run file as far as it is sound; parameters as for `load`.

    Raises
    ------
    InputError
        If it is no YAML mapping at all, or a setting is not of the form key=value.
    """
    path = Path(path) if isinstance(path, str) else path
    document = _document(path)
    original = _plain(document)
    for override in overrides:
        _override(document, override)
    # One on an object store has been resolved: its paths are absolute.
    entries, base = _plain(document), path.resolve().parent if is_on_disk(path) else Path.cwd()
    try:
        return Reading(RunFile.model_validate(entries), base)
    except ValidationError as error:
        draft = Draft.of(entries)
        problems = [*_explained(error), *((k, f"`{'.'.join(k)}`: {text}") for k, text in dangling_references(draft))]
        return Reading(draft, base, tuple(
            Finding(
                text,
                ".".join(map(str, keys)),
                place=_set_by(keys, overrides, original) or f"{path}{_line(document, keys)}",
            )
            for keys, text in problems
        ))  # fmt: skip


def _document(path: OutPath) -> dict[str, Any]:
    """Parse the YAML mapping, with the lines of its keys."""
    try:
        document = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such run file. `gelisol init DOMAIN` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{path}, line {line}: not valid YAML: {error.problem}.") from None
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(document, dict):
        what = "an empty file" if document is None else "a list" if isinstance(document, list) else "a single value"
        raise InputError(f"{path}: expected keys such as `name:` and `domain:`, found {what}.")
    return document


def _plain(node: Any) -> Any:
    """Strip the YAML round-trip types."""
    if isinstance(node, dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _override(document: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(f"--set {text}: expected key.subkey=value, e.g. --set model.replicates=20")
    *parents, last = key.split(".")
    node = document
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {text}: {parent!r} holds a single value, it has no {last!r}")
        node = child
    try:
        node[last] = YAML(typ="safe", pure=True).load(value)
    except MarkedYAMLError as error:
        raise InputError(f"--set {text}: {value!r} is not valid YAML: {error.problem}") from None


def _set_by(keys: tuple[Any, ...], overrides: tuple[str, ...], original: Any) -> str:
    """Return the last `--set KEY` that set nested keys, or all that they are in; else ""."""
    for override in reversed(overrides):
        name = override.partition("=")[0]  # the value may hold a password
        given = tuple(name.split("."))
        within = keys[: len(given)] == given
        # A section that the file does not have is there for what is set in it.
        around = given[: len(keys)] == keys and not _has(original, keys)
        if within or around:
            return f"--set {name}"
    return ""


def _has(node: Any, keys: tuple[Any, ...]) -> bool:
    for part in keys:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


_UNION_MEMBERS = ("str", "int", "float")
_BY_TAG = {f"[{kind.__name__}]": kind for kind in KINDS.values()}
"""How pydantic's locations name kinds of source."""
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "too_short": "at least one entry",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores",
}
"""What pydantic's errors mean for the writer of a run file; for others its own message does."""


def _keys(location: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return pydantic's location without the names of union members and the like."""
    return tuple(part for part in location if isinstance(part, int) or not ("[" in str(part) or part in _UNION_MEMBERS))


def _line(document: Any, keys: tuple[Any, ...]) -> str:
    """Return `, line N` of the deepest of nested keys that the document has."""
    line: int | None = None
    node = document
    for part in keys:
        try:
            where = node.lc.item(part) if isinstance(part, int) else node.lc.key(part)
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
        if where is not None:
            line = where[0]
    return "" if line is None else f", line {line + 1}"


def _explained(error: ValidationError) -> list[tuple[tuple[Any, ...], str]]:
    """Return keys and their errors, in words that fit a run file; those that concern the whole run are left out."""
    by_keys: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for details in error.errors():
        by_keys.setdefault(_keys(details["loc"]), []).append(dict(details))
    # Where a key may hold this or that, the member of the union that came further has the better message.
    return [
        (keys, _explain(keys, found))
        for keys, found in by_keys.items()
        if keys and not any(len(other) > len(keys) and other[: len(keys)] == keys for other in by_keys)
    ]


def _explain(keys: tuple[Any, ...], found: list[dict[str, Any]]) -> str:
    key, error = ".".join(str(k) for k in keys), found[0]
    match error["type"]:
        case "extra_forbidden":
            return _not_here(key, str(keys[-1]), _section_of(error["loc"]))
        case "missing":
            return f"`{key}` is missing"
        case "value_error":
            return f"`{key}`: {error['ctx']['error']}"
        case _:
            expected = " or ".join(_EXPECTED.get(e["type"], e["msg"].removeprefix("Input should be ")) for e in found)
            return f"`{key}`: expected {expected}; found {error['input']!r}"


def _not_here(key: str, name: str, section: type[BaseModel]) -> str:
    """Explain that a key does not apply to a kind of source, or does not exist, and which one may be meant."""
    if not issubclass(section, SourceSpec):
        return f"unknown key `{key}`{nearest(name, section.model_fields)}"
    here = [other for other in SOURCE_KEYS if other in section.model_fields]
    if name not in SOURCE_KEYS:
        return f"unknown key `{key}`{nearest(name, here)}"
    close = difflib.get_close_matches(name, here, n=1)
    return f"`{key}` does not apply to {section.kind}; " + (f"did you mean `{close[0]}`?" if close else "leave it out")


def _section_of(location: tuple[Any, ...]) -> type[BaseModel]:
    """Return the section that has the key at fault."""
    model: type[BaseModel] = RunFile
    for part in location[:-1]:
        if part in _BY_TAG:
            model = _BY_TAG[part]
        elif issubclass(model, SourceSpec):
            model = StacSpec if part == "stac" else model
        else:
            model = _SECTIONS.get(str(part), model)
    return model
