"""Every key of the run file has a decision: what is done again when it changes."""

from pathlib import Path
from typing import Any

import pytest
import small_run

from engine.sources.entry import DEFAULTS, source_spec
from pipelines.runfile.decisions import AGAIN, DECISIONS, FILES, Role, roles_of, schema_keys, settings, table
from pipelines.runfile.schema import RunFile

DOCS = Path(__file__).parents[3] / "docs" / "reliability.md"


@pytest.mark.parametrize("key", schema_keys())
def test_a_key_has_a_decision(key: str):
    """A new key without one counts for everything; decide, in `pipelines.runfile.decisions`."""
    assert key in DECISIONS


def test_there_is_no_decision_without_a_key():
    assert set(DECISIONS) == set(schema_keys())
    assert set(AGAIN) == set(Role)
    assert {key for key, roles in DECISIONS.items() if Role.CONTENT in roles} <= set(FILES) <= set(DECISIONS)


def test_the_decisions_are_documented():
    """Written by `python -m pipelines.runfile.decisions`."""
    assert table() in DOCS.read_text(encoding="utf-8")


def _entries(**changes: Any) -> dict[str, Any]:
    run = RunFile.model_validate(small_run.settings() | changes)
    return run.model_dump(mode="json")


@pytest.mark.parametrize("key", schema_keys())
def test_a_change_of_a_key_is_seen_by_what_depends_on_it_and_by_nothing_else(key: str):
    entries = _entries()
    entries["covariates"]["ai"] = DEFAULTS | entries["covariates"]["ai"]  # the keys of all kinds of source
    if key.startswith("covariates.*.stac."):
        entries["covariates"]["ai"] = {"stac": dict.fromkeys(("api", "collection", "asset", "query", "sign"))}
    *parents, last = key.replace("*", "ai").split(".")
    node = entries
    for parent in parents:  # a section that is not there is made
        node[parent] = {last: None} if node[parent] is None else node[parent]
        node = node[parent]
    assert last in node or key.startswith("domain.mask.")
    before = _by_role(entries)
    node[last] = "another"
    after = _by_role(entries)
    assert {role for role in Role if before.get(role) != after.get(role)} == set(DECISIONS[key])


def _by_role(entries: dict[str, Any]) -> dict[Role, list[Any]]:
    found: dict[Role, list[Any]] = {}
    for key, part, value in settings(entries):
        for role in roles_of(key):
            found.setdefault(role, []).append((part, value))
    return found


def test_terms_and_zones_are_decided_over_as_covariates_are():
    term = source_spec(href="x.tif", label="X").model_dump(mode="json")
    source = source_spec(expression="a + b", of={"a": source_spec(href="a.tif"), "b": source_spec(href="b.tif")})
    entries = _entries(zones={"href": "z.gpkg", "attribute": "code", "classes": {"wet": [1]}, "label": "Zones"})
    entries["covariates"]["sum"] = source.model_dump(mode="json")
    before = _by_role(entries)
    entries["covariates"]["sum"]["of"]["a"] = term | {"href": "a.tif"}
    entries["zones"]["label"] = "Z"
    after = _by_role(entries)
    assert {role for role in Role if before.get(role) != after.get(role)} == {Role.REPORT}
    entries["covariates"]["sum"]["of"]["a"]["scale"] = 2
    assert _by_role(entries)[Role.CUBE] != after[Role.CUBE]
