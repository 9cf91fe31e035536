"""The import of the package: light, with its public names, and of the packages that belong to it."""

import subprocess
import sys
from pathlib import Path

import pytest

import engine
import gelisol

HEAVY = {
    "dask", "distributed", "geopandas", "matplotlib", "numpy", "odc", "pandas", "pydantic", "pyproj", "rasterio",
    "scipy", "sklearn", "xarray", "xgboost", "zarr",
}  # fmt: skip
ROOT = str(Path(gelisol.__file__).parents[1])


def python(code: str, cwd: Path, *path: Path | str) -> subprocess.CompletedProcess[str]:
    lines = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}; {code}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, cwd=cwd, check=False)


def test_the_import_loads_no_heavy_library(tmp_path: Path):
    """A third of a second, on a machine that has nothing else to do; modules can be counted on any."""
    code = f"import gelisol; dir(gelisol), gelisol.__version__, gelisol.__all__; print({HEAVY} & set(sys.modules))"
    done = python(code, tmp_path, ROOT)
    assert done.stdout == "set()\n", done.stdout + done.stderr


def test_public_names():
    assert dir(gelisol) == sorted(gelisol.__all__)
    assert all(getattr(gelisol, name) is not None for name in gelisol.__all__)
    assert gelisol.__version__ == engine.__version__
    assert (Path(gelisol.__file__).parent / "py.typed").is_file()


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'opne'; it offers .*open"):
        gelisol.opne  # noqa: B018


@pytest.mark.parametrize("name", ["engine", "pipelines"])
@pytest.mark.parametrize("kind", ["package", "folder", "file"])
def test_a_folder_that_hides_ours_is_noticed(tmp_path: Path, name: str, kind: str):
    """As with `python script.py` in a folder that has one; a plain folder hides only what is not on the path."""
    mine = tmp_path / name
    if kind == "file":
        (tmp_path / f"{name}.py").write_text("")
        mine = tmp_path / f"{name}.py"
    else:
        mine.mkdir()
    if kind == "package":
        (mine / "__init__.py").write_text("")
    hidden = f"import importlib.util as u; s = u.spec_from_file_location('gelisol', {gelisol.__file__!r}, " \
             f"submodule_search_locations=[{str(Path(gelisol.__file__).parent)!r}]); m = u.module_from_spec(s); " \
             "sys.modules['gelisol'] = m; s.loader.exec_module(m)"  # fmt: skip
    done = python(hidden, tmp_path, tmp_path)
    expected = f"gelisol needs its own package `{name}` ({ROOT}/{name}), but Python finds {mine} first"
    assert expected in done.stderr, done.stderr
