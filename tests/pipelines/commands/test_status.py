"""How far a run is, from its folder alone."""

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.execution.ledger import Entry, Ledger
from engine.execution.lock import LOCK, Owner, locked
from engine.storage.atomic import staged
from pipelines.commands.status import read_status
from pipelines.progress import EVENTS, Display


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def add(out: Path, *events: dict) -> None:
    with (out / EVENTS).open("a") as file:
        for event in events:
            file.write(json.dumps({"time": "2026-01-01T00:00:00+00:00", **event}) + "\n")


BUSY = (
    {"event": "run_started", "stages": [], "todo": []},
    {"event": "stage_started", "stage": "map"},
    {"event": "step_started", "step": "map", "unit": "blocks"},
    {"event": "progress", "step": "map", "unit": "blocks", "done": 3, "total": 9},
)


def test_a_finished_run(out: Path, gelisol):
    status = read_status(out)
    assert (status.state, status.owner, status.step) == ("done", "", {})
    assert status.stages == {**dict.fromkeys(("profiles", "cube", "select", "train", "map"), "done"), "report": "to do"}
    assert "done" in gelisol("status", out).stdout


def test_a_run_that_works(out: Path, gelisol):
    (out / LOCK).write_text(json.dumps(asdict(Owner.me())))
    add(out, *BUSY)
    status = read_status(out)
    assert status.state == "running" and status.stages["map"] == "running"
    assert status.step == {"step": "map", "unit": "blocks", "done": 3, "total": 9}
    shown = gelisol("status", out).stdout
    assert "now at map, 3 of 9 blocks" in shown and f"running: process {Owner.me().pid}" in shown


def test_a_run_whose_process_is_gone(out: Path, gelisol):
    (out / LOCK).write_text(json.dumps(asdict(replace(Owner.me(), born=1.0))))
    add(out, *BUSY)
    assert read_status(out).state == "interrupted"
    assert "was at map, 3 of 9 blocks" in gelisol("status", out).stdout


def test_a_run_that_failed_says_why(out: Path, gelisol):
    add(out, *BUSY, {"event": "run_failed", "error": "RunError", "text": "no space is left"})
    assert "no space is left" in gelisol("status", out).stdout
    found = json.loads(gelisol("status", out, "--json").stdout)
    assert (found["state"], found["stages"]["map"], found["text"]) == ("failed", "failed", "no space is left")


def test_a_run_that_has_said_nothing_yet(out: Path, gelisol, tmp_path: Path):
    """It has no part in how the one before has ended; and a folder in which it is the first is a results folder."""
    add(out, *BUSY, {"event": "run_failed", "error": "RunError", "text": "no space is left"})
    for folder in (out, tmp_path / "new"):
        with locked(folder):
            status = read_status(folder)
            assert (status.state, status.step, status.text) == ("running", {}, "")
            assert "no space is left" not in gelisol("status", folder).stdout


def test_a_run_that_begins_while_it_is_looked_at(out: Path, monkeypatch):
    """Its events, beside the lock that was not there yet, would be those of a run that was interrupted."""
    with ExitStack() as run:

        def begin(folder: Path) -> Ledger:
            if not (folder / LOCK).exists():
                run.enter_context(locked(folder))
                add(folder, *BUSY)
            return Ledger(folder)

        monkeypatch.setattr("pipelines.commands.status.Ledger", begin)
        assert read_status(out).state == "running"


@pytest.mark.parametrize("where", ["folder", "store"])
def test_readers_beside_a_run(where: str, bucket, tmp_path: Path, monkeypatch):
    """Whatever is written at that moment, they see a run that works or one that is done, and whole files."""
    monkeypatch.setattr("engine.storage.append_log.EVERY_S", 0.02)
    place = tmp_path / "out" if where == "folder" else bucket

    def write() -> None:
        for _ in range(8):
            display = Display(style="lines")
            with locked(place), display.recorded(place):
                display.event("run_started", stages=[], todo=["map"])
                ledger = Ledger(place)
                ledger.begin("map")
                display.event("stage_started", stage="map")
                with staged(place / "a.zarr") as stage:
                    stage.mkdir()
                    for name in ("zarr.json", "c"):
                        (stage / name).write_bytes(b"1")
                ledger.finish("map", Entry(key="k"))
                display.event("stage_done", stage="map")
                display.event("run_done")

    write()
    states = set()
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        while not writer.done():
            status = read_status(place)
            states.add(status.state)
            assert status.stages["map"] in ("done", "to do", "running")
        writer.result()
    states.add(read_status(place).state)
    assert states <= {"running", "done"} and "done" in states


def test_a_line_that_was_being_written(out: Path):
    add(out, *BUSY)
    with (out / EVENTS).open("a") as file:
        file.write('{"time": "2026-01-01T00:0')
    assert read_status(out).step["done"] == 3


def test_no_results_folder(gelisol, tmp_path: Path):
    result = gelisol("status", tmp_path)
    assert result.exit_code == 1 and "no run has worked here" in result.stderr


def test_one_block_is_said_as_one(out: Path, gelisol):
    add(out, {"event": "run_started"}, {"event": "progress", "step": "map", "unit": "blocks", "done": 0, "total": 1})
    assert "was at map, 0 of 1 block\n" in gelisol("status", out).stdout


def test_events_for_machines(capsys, tmp_path: Path):
    display = Display(style="json")
    with display.recorded(tmp_path), display.stage("map", "blocks") as progress:
        for done in range(2, 5):
            progress(done, 4)
    shown = capsys.readouterr()
    assert shown.err == ""
    events = [json.loads(line) for line in shown.out.splitlines()]
    assert [e["event"] for e in events] == ["step_started", "progress", "progress", "step_done", "said", "said"]
    assert (events[3]["total"], events[3]["done_before"]) == (4, 2)
    assert (tmp_path / EVENTS).read_text() == shown.out
    assert display.forget_steps()["map"]["done_before"] == 2 and display.forget_steps() == {}


@pytest.mark.slow
def test_sigterm_stops_a_run_in_order(run):
    """As a batch system does it: exit code 3, the lock let go, and how to go on."""
    command = [Path(sys.executable).with_name("gelisol"), "run", run.path, "--until", "train"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run.out / EVENTS).exists() or "stage_started" not in (run.out / EVENTS).read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "Stopped. What is done is kept: the same command goes on from there." in said
    assert not (run.out / LOCK).exists()
    assert read_status(run.out).state == "failed"
