"""What is said of a run where there is no terminal."""

import logging
from pathlib import Path

import pytest
from rich.table import Table
from small_run import SmallRun

from engine.errors import InputError
from pipelines.progress import Display

LONG = "covariates.mat: " + "a sentence that goes on and on " * 8


def test_lines_and_tables_of_a_log_are_not_cut_at_80_columns(capsys: pytest.CaptureFixture[str]):
    display, table = Display(), Table("what", "here", "there")
    table.add_row("results folder", "/results/of/a/long/name is writable", "writes to a folder that is not this one")
    display.say(LONG)
    display.show(table)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == LONG
    assert any("is writable" in line and "that is not this one" in line for line in lines)


def fail(*_, **__):
    raise TypeError(LONG)


def refuse(*_):
    raise InputError("covariates.tn: is damaged")


def test_an_unexpected_error_is_told_in_whole_lines(run: SmallRun, gelisol, monkeypatch: pytest.MonkeyPatch):
    run.out.mkdir()
    monkeypatch.setattr("pipelines.run.execute.execute", fail)
    said = gelisol("run", run.path, "--out", run.out).stderr.splitlines()
    where = run.out / "gelisol-error.log"
    assert said == [
        f"The run failed unexpectedly: TypeError: {LONG}",
        f"Details are in {where}; what is done is kept. Please report this.",
    ]
    assert "Traceback" in where.read_text()


def test_bad_input_leaves_no_traceback_of_a_worker_in_this_process(
    run: SmallRun, gelisol, on_scheduler, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """What only the reading of a block meets; the scheduler's worker is a thread of this process."""
    monkeypatch.setattr("engine.cube.build.Readings.values", refuse)
    with caplog.at_level(logging.INFO, logger="distributed"):
        result = gelisol("run", run.path, "--until", "cube", *on_scheduler)
    assert result.exit_code == 1 and "covariates.tn: is damaged" in result.stderr
    assert "Compute Failed" not in caplog.text + result.output + (run.out / "gelisol.log").read_text()


def test_a_performance_report_on_request(run: SmallRun, gelisol, on_scheduler, tmp_path: Path):
    page = tmp_path / "performance.html"
    result = gelisol("run", run.path, "--until", "cube", "--performance-report", page, *on_scheduler)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert "<html" in text and "Dask Performance Report" in text
    assert "cube-" in text  # its tasks
