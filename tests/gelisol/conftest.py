"""The small run of tests/pipelines, run by the command line up to its report."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "pipelines"))

import small_run

from pipelines.cli import app


@pytest.fixture(scope="session")
def threads() -> Iterator[Client]:
    """A cluster in this process, so that it starts at once."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None, protocol="tcp") as client:
        yield client


@pytest.fixture(scope="session")
def whole(made_once: Callable[[str, Callable[[Path], object]], Path], threads: Client) -> Path:
    """Folder of the small run: run.yaml, data, and finished results in `out`; not to be changed."""

    def make(folder: Path) -> None:
        run_file = small_run.write(folder / "run")
        cluster = f"cluster={{kind: address, address: '{threads.scheduler.address}'}}"
        result = CliRunner().invoke(app, ["run", str(run_file), "--set", cluster])
        assert result.exit_code == 0, result.output

    return made_once("whole", make) / "run"


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished results."""
    return Path(shutil.copytree(whole / "out", tmp_path / "out"))
