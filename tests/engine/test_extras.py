"""Without an extra, what needs it says how to install it; all else works."""

import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
EXTRAS = {
    "stac": ("pystac_client", "requests"),
    "s3": ("s3fs",),
    "report": ("matplotlib", "contourpy", "PIL"),
    "search": ("dask_ml",),
}
ALL = tuple(name for names in EXTRAS.values() for name in names)


def python(code: str, blocked: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = BLOCK.format(blocked=set(blocked)) + code
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)


def command(blocked: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("from pipelines.cli import main; sys.argv[0] = 'gelisol'; main()", blocked, *arguments)


def test_everything_else_is_imported_without_extras():
    code = """
import pipelines.run.execute, pipelines.preflight.prepare, pipelines.soil_carbon.results.read_results
import engine.models.tuning, engine.sources.opening, engine.mapping.blockwise
assert not {"pystac_client", "s3fs", "matplotlib", "dask_ml", "numba", "bokeh"} & set(sys.modules)
"""
    done = python(code, (*ALL, "bokeh"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("stac", ("search", "https://127.0.0.1:9/v1")),
        ("report", ("demo", "--out", "{folder}")),
        ("search", ("demo", "--out", "{folder}")),
        ("s3", ("status", "s3://bucket/prefix")),
    ],
)
def test_a_command_says_which_extra_it_needs(extra, arguments, tmp_path):
    done = command(EXTRAS[extra], *(text.format(folder=tmp_path / "out") for text in arguments))
    assert done.returncode == 1, done.stderr
    assert f'pip install "gelisol[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_file_says_which_extras_it_needs(tmp_path):
    (tmp_path / "run.yaml").write_text(
        """
name: north
domain: {bounds: [100, 50, 101, 51], crs: EPSG:6931, resolution: 10000}
covariates:
  a: {stac: {api: "https://127.0.0.1:9/v1", collection: c, asset: v}, units: "1", group: g}
  b: {href: "s3://bucket/b.tif", units: "1", group: g}
observations: {table: profiles.csv}
depths: [[0, 10]]
output: {dir: out}
"""
    )
    done = command(ALL, "run", str(tmp_path / "run.yaml"))
    assert done.returncode == 1
    for extra in ("stac", "s3", "search"):
        assert f'pip install "gelisol[{extra}]"' in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_extras_of_the_wheel_are_those_that_messages_name():
    from engine.extras import MODULES

    assert {name: set(modules) for name, modules in EXTRAS.items()} == {n: set(m) for n, m in MODULES.items()}
    text = (Path(__file__).parents[2] / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in MODULES)
