"""The small run of the pipelines' tests, to be run elsewhere."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))

import small_run


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run, never touched: its folder."""
    return small_run.write(tmp_path_factory.mktemp("small") / "run").parent


@pytest.fixture
def run(small: Path, tmp_path: Path) -> small_run.SmallRun:
    """A copy of the small run."""
    return small_run.SmallRun(Path(shutil.copytree(small, tmp_path / "run")))
