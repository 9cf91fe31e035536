"""A small run to spoil, a scheduler to join, and the command line to do it with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import small_run
from distributed import LocalCluster
from typer.testing import CliRunner, Result

from pipelines.cli import app

Gelisol = Callable[..., Result]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def pristine(made_once: MadeOnce) -> Path:
    """The small run, never touched: its folder."""
    return made_once("small", lambda folder: small_run.write(folder / "run")) / "run"


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> small_run.SmallRun:
    """A copy of the small run."""
    return small_run.SmallRun(Path(shutil.copytree(pristine, tmp_path / "run")))


@pytest.fixture(scope="session")
def gelisol() -> Gelisol:
    """The command line: `gelisol("check", path)`."""
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Address of a running scheduler whose worker is a thread of this process, so that it starts at once."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def on_scheduler(scheduler: str) -> list[str]:
    """Settings that run on it."""
    return ["--set", "cluster={kind: address, address: '" + scheduler + "'}"]


@pytest.fixture(scope="session")
def finished(pristine: Path, made_once: MadeOnce, gelisol: Gelisol, on_scheduler: list[str]) -> Path:
    """Results of the small run up to the map; not to be changed."""

    def make(folder: Path) -> None:
        result = gelisol("run", pristine / "run.yaml", "--out", folder / "out", "--until", "map", *on_scheduler)
        assert result.exit_code == 0, result.output

    return made_once("finished", make) / "out"
