"""Settings of the documentation: `make docs` builds it with Sphinx, without a network."""

import os
import re
from importlib import import_module
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from sphinx.util import logging

HERE = Path(__file__).parent
ROOT = HERE.parent
REPOSITORY = "https://github.com/gelisol/gelisol/blob/main"

project = "Gelisol"
author = "The Gelisol developers"
copyright = author
version = release = installed("gelisol")

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["*.py"]  # of this folder: settings and checks, not notebooks
default_role = "code"

# Every page, link, anchor and docstring must be sound: `make docs` makes errors of warnings.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# Notebooks are scripts whose cells begin with `# %%`; they are run when the site is built, in a folder of their own.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
suppress_warnings = ["myst-nb.lexer"]  # of notebooks that are not run: make docs NOTEBOOKS=off
os.environ["PYTHONWARNINGS"] = "ignore:Port 8787 is already in use:UserWarning"  # of Dask, beside another build

autodoc_typehints = "none"  # docstrings name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "Gelisol"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "github_url": "https://github.com/gelisol/gelisol",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}

_OUTWARD = re.compile(r"\]\((\.\.[^)\s#]*)(#[^)\s]*)?\)")


def link_to_repository(app: Any, page: str, source: list[str]) -> None:
    """Point links at files outside the site to the repository."""
    folder = (HERE / page).parent

    def replaced(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if target.is_relative_to(HERE):
            return match[0]
        if not target.exists():
            logging.getLogger(__name__).warning("%s: links to %s, which does not exist", page, match[1])
        return f"]({REPOSITORY}/{target.relative_to(ROOT).as_posix()}{match[2] or ''})"

    source[0] = _OUTWARD.sub(replaced, source[0])


def load_public_names() -> None:
    """Load all that `gelisol` offers, so that autodoc finds the names that it loads on their first use."""
    gelisol = import_module("gelisol")
    for name in gelisol.__all__:
        getattr(gelisol, name)


def setup(app: Any) -> None:
    """Connect what is above to the build."""
    load_public_names()
    app.connect("source-read", link_to_repository)
