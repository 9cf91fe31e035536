"""No code decides by words of a message: findings have a key and a level, errors a type."""

import ast
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
ROOTS = ("engine", "pipelines", "gelisol")
MESSAGES = frozenset(
    {
        "problem",
        "problems",
        "finding",
        "findings",
        "note",
        "notes",
        "warning",
        "message",
        "error",
        "doubt",
        "reason",
    }
)
"""Names and attributes that hold what is told to the user, or what an error says."""
TESTS = {"startswith", "endswith", "removeprefix", "removesuffix", "match", "fullmatch", "search", "find", "index"}
SPLITS = {"partition", "rpartition", "split", "splitlines"}
"""What takes a message apart; of an error its first line may be shown."""
OTHERS = {
    "engine/sources/netcdf/containers.py": "xarray raises the same ValueError for whatever it cannot open",
    "engine/sources/polygons.py": "GDAL warns of open rings by one kind of warning for all",
    "engine/sources/tiles.py": "GDAL raises the same error for a lost connection and a damaged file",
    "gelisol/_execute.py": "Dask raises a bare RuntimeError where a worker cannot start",
    "pipelines/soil_carbon/profile_table/text.py": "pandas gives the line of a bad row in words only",
}
"""Libraries whose errors say in words only what has happened."""


def decisions(source: str) -> list[int]:
    """Lines that compare, search or take apart a message."""
    nodes = list(ast.walk(ast.parse(source)))
    kept = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_call_of_str(node.value) and _is_message(node.value, MESSAGES)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return sorted(node.lineno for node in nodes if _decides(node, MESSAGES | kept))


def _decides(node: ast.AST, names: frozenset[str]) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        words = [side for side in sides if isinstance(side, ast.JoinedStr | ast.Constant) and _is_text(side)]
        return bool(words) and any(_is_message(side, names) for side in sides)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of, called = node.func.value, node.func.attr
    if called in SPLITS:
        return _is_message(of, names) and not _is_call_of_str(of)
    return called in TESTS and any(_is_message(part, names) for part in (of, *node.args))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 2
    )


def _is_call_of_str(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str"


def _is_message(node: ast.expr, names: frozenset[str]) -> bool:
    if _is_call_of_str(node):
        assert isinstance(node, ast.Call)
        return any(_is_message(part, names) for part in node.args)
    if isinstance(node, ast.Name):
        return node.id in names
    return isinstance(node, ast.Attribute) and node.attr in MESSAGES


def test_no_code_decides_by_words():
    found = {
        f"{path.relative_to(HOME)}": lines
        for root in ROOTS
        for path in sorted((HOME / root).rglob("*.py"))
        if (lines := decisions(path.read_text(encoding="utf-8")))
    }
    assert {file: lines for file, lines in found.items() if file not in OTHERS} == {}
    assert OTHERS.keys() <= found.keys(), "no longer needed"


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ('"warning: " in note', True),
        ('"no such file" not in problem', True),
        ('note.startswith("warning:")', True),
        ('str(error) == "gone"', True),
        ('problem.message.partition(": ")[2]', True),
        ("PATTERN.fullmatch(problem)", True),
        ('"failed" in str(error)', True),
        ('text = str(error)\nfailed = "failed" in text', True),
        ("note.level is Level.WARNING", False),
        ('problem.key.startswith("model.")', False),
        ('str(error).partition("\\n")[0]', False),
        ('name in ("a", "b")', False),
    ],
)
def test_what_counts_as_a_decision(code, is_one):
    assert bool(decisions(code)) == is_one


VERBS = {"compute", "draw", "fit", "make", "map", "measure", "predict", "read", "sample", "test", "write"}
"""What a function does, beside returning something: such a verb opens the docstring itself."""


def test_a_docstring_opens_with_one_verb():
    """`Return map one block` is not a sentence."""
    found = [
        f"{file.relative_to(HOME)}: {text}"
        for root in ROOTS
        for file in (HOME / root).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and (text := (ast.get_docstring(node) or "").partition("\n")[0]).startswith("Return ")
        and text.split()[1] in VERBS
        and text.split()[2] in {"a", "all", "an", "each", "on", "one", "the"}
    ]
    assert not found
