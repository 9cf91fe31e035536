"""The layout: `engine` knows nothing of `pipelines`, neither of `gelisol`, and no room needs what is built on it."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
           for package in ("engine", "pipelines", "gelisol") for file in (ROOT / package).rglob("*.py")}  # fmt: skip


def imported(file: Path) -> set[str]:
    """Our modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {node.module}
    return found & MODULES.keys()


def test_the_engine_knows_no_soil():
    known = {f"{name} imports {other}" for name, file in MODULES.items() if name.startswith("engine")
             for other in imported(file) if other.startswith("pipelines")}  # fmt: skip
    assert not known


def test_no_room_knows_the_door():
    known = {f"{name} imports {other}" for name, file in MODULES.items() if not name.startswith("gelisol")
             for other in imported(file) if other.startswith("gelisol")}  # fmt: skip
    assert not known


FOLDERS = sorted({name.rpartition(".")[0] for name in MODULES} - {""})


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_built_on_what_has_one_direction(folder):
    """Between the modules and folders of every folder; a folder's `__init__` stands for what it offers."""
    below = defaultdict(set)
    for name, file in MODULES.items():
        if name.startswith(f"{folder}."):
            here = part(name, folder)
            below[here] |= {part(m, folder) for m in imported(file) if m.startswith(f"{folder}.")} - {here}
    TopologicalSorter(below).prepare()  # raises CycleError, naming them


def test_all_modules_are_looked_at():
    assert len(MODULES) > 250 and {"engine.sources.netcdf", "pipelines.soil_carbon.profiles"} <= set(FOLDERS)


def part(module: str, folder: str) -> str:
    """What of a folder a module is in."""
    return module[len(folder) + 1 :].partition(".")[0]
