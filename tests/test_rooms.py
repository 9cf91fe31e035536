"""The layout: `engine` knows nothing of `pipelines`, and no room needs what is built on it."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
           for package in ("engine", "pipelines") for file in (ROOT / package).rglob("*.py")}  # fmt: skip


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


@pytest.mark.parametrize(("package", "depth"), [("engine", 2), ("engine", 9), ("pipelines", 9)])
def test_what_is_built_on_what_has_one_direction(package, depth):
    """Of the engine's rooms, and of all modules."""

    def part(module: str) -> str:
        return ".".join(module.split(".")[:depth])

    below = defaultdict(set)
    for name, file in MODULES.items():
        if name.startswith(f"{package}."):
            below[part(name)] |= {part(m) for m in imported(file) if m.startswith(f"{package}.")} - {part(name)}
    assert len(below) > 10
    TopologicalSorter(below).prepare()  # raises CycleError, naming them
