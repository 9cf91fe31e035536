"""Every example in the docstrings of the package runs, in the folder of a small finished run."""

import doctest
import shutil
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType

import matplotlib
import pytest
from public_docstrings import problems, public

import gelisol

MODULES = ["gelisol", *(f"gelisol.{module.name}" for module in iter_modules(gelisol.__path__))]


def examples(name: str) -> list[doctest.DocTest]:
    module = import_module(name)
    return [test for test in doctest.DocTestFinder().find(module, globs={"gelisol": gelisol}) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = shutil.copytree(whole, tmp_path / "run")
    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for test in examples(name):
        runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def test_every_public_function_has_an_example():
    without = [
        name
        for name in gelisol.__all__
        if isinstance(found := getattr(gelisol, name), FunctionType) and ">>> " not in (found.__doc__ or "")
    ]
    assert not without


def test_docstrings_keep_the_rules_of_numpydoc():
    assert len(list(public())) > 15
    assert problems() == []
