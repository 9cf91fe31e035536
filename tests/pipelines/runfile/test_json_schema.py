"""The JSON Schema takes the run files that the reader takes, and refuses keys that nobody knows."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from pipelines.runfile.json_schema import FILE, HEAD, json_schema
from pipelines.runfile.reader import load, read
from pipelines.runfile.schema import RunFile

ROOT = Path(__file__).parents[3]
RUN_FILES = sorted((ROOT / "catalogs").glob("*/run*.yaml"))
VALIDATOR = Draft202012Validator(json_schema())


def document(path: Path) -> Any:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(path)))


def messages(entries: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(entries)]


def test_it_is_a_schema():
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_run_files_of_the_catalogue(path):
    assert isinstance(read(path).run, RunFile)
    assert messages(document(path)) == []


def test_the_run_file_of_the_demo(tmp_path):
    from pipelines.virtual import make

    path = make(tmp_path / "input", "small")
    load(path)
    assert messages(document(path)) == []


SHORT: dict[tuple[str, ...], Any] = {
    ("model", "families"): [{"name": "rf", "parameters": {"max_features": 0.5}}, "svm"],
    ("covariates", "temperature", "months"): [6, 7, 8],
    ("covariates", "temperature", "href"): ["a.nc", "b.nc"],
    ("observations", "missing"): -9999,
    ("observations", "crs"): 4326,
}


@pytest.mark.parametrize("keys", SHORT, ids=".".join)
def test_short_forms_that_the_reader_takes(keys):
    entries = document(ROOT / "catalogs" / "blank" / "run.yaml")
    changed(entries, keys, SHORT[keys])
    RunFile.model_validate(entries)
    assert messages(entries) == []


def changed(entries: Any, keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        entries = entries[key]
    entries[keys[-1]] = value


@pytest.mark.parametrize(
    "keys",
    [("colour",), ("domain", "colour"), ("covariates", "temperature", "colour"), ("model", "colour"),
     ("model", "validation", "colour"), ("observations", "colour"), ("output", "colour")],
    ids=".".join,
)  # fmt: skip
def test_unknown_keys_are_refused(keys):
    entries = document(ROOT / "catalogs" / "blank" / "run.yaml")
    entries["model"].setdefault("validation", {})
    assert messages(entries) == []
    changed(entries, keys, "red")
    with pytest.raises(ValueError, match="colour"):
        RunFile.model_validate(entries)
    assert any("'colour' was unexpected" in text or "not valid under any" in text for text in messages(entries))


def test_init_leaves_the_schema_and_its_line(gelisol, tmp_path):
    for domain in ("blank", "circumpolar", "northeast-china", "qinghai-tibet"):
        folder = tmp_path / domain
        assert gelisol("init", domain, folder).exit_code == 0
        assert json.loads((folder / FILE).read_text(encoding="utf-8")) == json_schema()
        for path in folder.glob("run*.yaml"):
            assert path.read_text(encoding="utf-8").startswith(HEAD)
            assert isinstance(read(path).run, RunFile)


def test_the_command_prints_it(gelisol):
    result = gelisol("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_completion_is_offered(gelisol):
    assert "--install-completion" in gelisol("--help").output
