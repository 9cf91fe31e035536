"""Pages of the documentation: each is in the navigation, links lead somewhere, notebooks are scripts without data.

Quick, and without a build; `make docs` runs the notebooks and checks the built site.
"""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

from pipelines.runfile.reader import load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))
PAGES = sorted([*DOCS.rglob("*.md"), *NOTEBOOKS])
LINKING = sorted({*PAGES, *ROOT.glob("*.md"), *(ROOT / "deploy").rglob("*.md"), ROOT / "benchmarks" / "README.md"})
_TREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
_FENCED = re.compile(r"^( *)(```+)(?P<directive>\{.*?\})?(?P<text>.*?)^\1\2$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def text_of(page: Path) -> str:
    """A page as Markdown, without its code, with the text of directives."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.split("\n") if line[:1] == "#")
    return _FENCED.sub(lambda match: match["text"] if match["directive"] else "", text)


def entries(page: Path) -> list[Path]:
    """Pages that the navigation has under a page."""
    found = []
    for block in _TREE.findall(page.read_text(encoding="utf-8")):
        names = [line.strip() for line in block.split("\n") if line.strip() and not line.startswith(":")]
        for name in names:
            path = (page.parent / name).resolve()
            there = [path.with_name(path.name + suffix) for suffix in (".md", ".py")]
            assert sum(file.is_file() for file in there) == 1, f"{page.name}: {name} is not one page"
            found += [file for file in there if file.is_file()]
    return found


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().strip() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def test_every_page_is_in_the_navigation_once():
    found, todo = [], [DOCS / "index.md"]
    while todo:
        found.append(page := todo.pop())
        todo += entries(page)
    assert sorted(found) == PAGES


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path):
    for target, anchor in _LINK.findall(text_of(page)):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}: {path.name} has no such heading"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_scripts_on_made_up_data(notebook: Path):
    text = notebook.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.startswith("# %% [markdown]\n# # ")
    assert "made up" in text and "import gelisol" in text
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [value for value in strings if value.startswith(("/", "~", "http", "s3:"))]


def test_the_run_file_of_the_tutorial_is_sound(tmp_path: Path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    config, _ = load(tmp_path / "run.yaml")
    assert config.depth_labels == ("0-10", "0-30") and list(config.covariates) == list(YAML().load(text)["covariates"])


@pytest.fixture(scope="module")
def check_site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_site", DOCS / "check_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="b.html#here">b</a><a href="https://example.org/x">out</a><link rel="canonical" href="//h/x">', ""),
        ('<a href="c.html">c</a>', "leads to no file"),
        ('<a href="b.html#there">b</a>', "leads to no anchor"),
        ('<script src="https://cdn.example.org/x.js"></script>', "from another server"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "from another server"),
        ("<style>@import url('https://fonts.example.org/x');</style>", "from another server"),
        ('<p style="background: url(https://example.org/x.png)">x</p>', "from another server"),
    ],
)
def test_the_check_of_the_site_finds(body: str, problem: str, tmp_path: Path, check_site: ModuleType):
    (tmp_path / "a.html").write_text(body, encoding="utf-8")
    (tmp_path / "b.html").write_text("<h1 id='here'>b</h1>", encoding="utf-8")
    found = check_site.problems(tmp_path)
    assert len(found) == (1 if problem else 0) and problem in "".join(found)


def test_the_check_of_the_site_reads_styles(tmp_path: Path, check_site: ModuleType):
    (tmp_path / "index.html").write_text("<p>x</p>", encoding="utf-8")
    (tmp_path / "x.css").write_text(
        "a { src: url(//fonts.example.org/x.woff2) } b { src: url('y.woff2') }", encoding="utf-8"
    )
    assert check_site.problems(tmp_path) == ["x.css: loads //fonts.example.org/x.woff2"]
