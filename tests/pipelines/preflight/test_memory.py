"""Memory is projected, compared with the workers' limits, and measured."""

import json
from pathlib import Path

import pytest

from engine.errors import InputError
from pipelines.preflight.memory import project, require_memory
from pipelines.preflight.prepare import open_run


def prepared(pristine: Path, *settings: str):
    return open_run(pristine / "run.yaml", settings)


def test_it_grows_with_what_it_depends_on(pristine: Path):
    small = prepared(pristine, "domain.resolution=250", "domain.chunk=128")
    base = project(small)
    assert base.cells == 128 * 128
    assert base.worker(4) - base.worker(3) == pytest.approx(base.worker(2) - base.worker(1)) and base.worker(
        2
    ) > base.worker(1)
    assert project(small, 512).worker(1) > base.worker(1)
    more = prepared(pristine, "domain.resolution=250", "domain.chunk=128", "model.replicates=400")
    assert project(more).worker(1) > base.worker(1)


def test_a_block_is_no_larger_than_the_grid(pristine: Path):
    assert project(prepared(pristine, "domain.chunk=8192")).cells == 40 * 50


def test_what_cannot_fit_is_refused_with_numbers_and_advice(pristine: Path):
    run = prepared(pristine, "domain.resolution=25", "domain.chunk=4096", "cluster.threads=4", "cluster.workers=2")
    with pytest.raises(InputError) as error:
        require_memory(run, 2e9, 4)
    (text,) = map(str, error.value.problems)
    assert "a worker needs about" in text and "but has 2.0 GB" in text
    assert "each of 4 threads to do a block of 16,777,216 cells in the stage `" in text
    assert "`cluster.memory`" in text and "`cluster.workers`" in text
    smaller = int(text.partition("domain.chunk: ")[2].partition("`")[0])
    assert project(run, smaller).worker(4) <= 2e9 < project(run, 2 * smaller).worker(4)
    assert require_memory(run, 0, 4) == project(run)  # no limit
    assert require_memory(run, project(run).worker(4), 4) == project(run)


def test_the_run_is_refused_before_it_computes(run, gelisol):
    settings = ["domain.resolution=25", "domain.chunk=4096", "cluster.memory=600MB"]
    result = gelisol("run", run.path, *(part for s in settings for part in ("--set", s)))
    assert result.exit_code == 1, result.output
    assert "a worker needs about" in result.stderr and "has 0.6 GB" in result.stderr
    assert not list(run.out.glob("*.zarr")) and not (run.out / "ledger.json").exists()
    checked = gelisol("check", run.path, *(part for s in settings for part in ("--set", s)))
    assert checked.exit_code == 1 and "a worker needs about" in checked.stderr and "has 0.6 GB" in checked.stderr


def test_it_is_measured(finished: Path):
    record = json.loads((finished / "provenance.json").read_text())
    memory = record["peak_memory"]
    assert memory["worker_bytes"] > 50e6 and memory["projected_bytes"] > 400e6 and memory["limit_bytes"] > 0
    for stage in ("cube", "train", "map"):
        assert record["stages"][stage]["peak_worker_bytes"] > 50e6
    assert record["stages"]["map"]["steps"]["map"]["total"] == 4
    assert record["stages"]["train"]["steps"]["train"]["done_before"] == 0
