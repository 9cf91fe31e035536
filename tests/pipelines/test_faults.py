"""What a run survives. Each test does harm, then compares maps and tables bit for bit with an undisturbed run, and
counts how many blocks, replicates and files were worked on again."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import (
    BLOCKS,
    COGS,
    REPEATS,
    REPLICATES,
    FaultyRun,
    assert_found_and_mended,
    assert_same_results,
    assert_same_store,
)
from small_run import SmallRun

from pipelines import STAGES

ONCE = Counter(cube=BLOCKS, validate=REPEATS, train=REPLICATES, map=BLOCKS, cog=COGS)
"""Pieces of work of an undisturbed run."""


@pytest.fixture
def faulty(run: SmallRun, tmp_path: Path) -> FaultyRun:
    return FaultyRun(run, tmp_path / "faults")


def again(faulty: FaultyRun) -> dict[str, int]:
    """Pieces of work that were begun more than once."""
    return {step: n - ONCE[step] for step, n in faulty.calls().items() if n != ONCE[step]}


@pytest.mark.slow
def test_workers_killed_in_every_stage_and_one_out_of_memory(run: SmallRun, tmp_path: Path, finished: Path):
    """The nanny starts another worker, and only what the dead one was doing is done again."""
    faulty = FaultyRun(run, tmp_path / "faults", workers=2)
    faulty.settings.append("cluster.memory=2GB")
    killed = {"cube": 5, "validate": 1, "train": 3, "map": 6, "cog": 4}
    faulty.faults(*((step, nth, "kill_worker") for step, nth in killed.items()), ("map", 9, "eat_memory"))
    code, said = faulty.go("--until", "map")
    assert code == 0, said
    assert faulty.harm_done() == 6
    assert again(faulty) == {**dict.fromkeys(killed, 1), "map": 2}
    assert_same_results(run.out, finished)


@pytest.mark.slow
def test_client_killed_in_every_stage(faulty: FaultyRun, finished: Path):
    """Rerun after rerun goes on where the one before was killed; the lock that it left is known to be stale."""
    out, nth = faulty.run.out, {"cube": 5, "train": 3, "map": 6}
    for stage in STAGES:
        if stage in nth:
            faulty.faults((stage, nth[stage], "kill_client"))
            code, said = faulty.go()
            assert code == -9, said
        else:  # works in the client itself
            said = kill_at(stage, faulty)
        assert ("an earlier run ended without a word (process" in said) == (stage != "profiles")
        if stage == "report":
            assert f"map: 5 of {BLOCKS} blocks were done before" in said
    code, said = faulty.go()
    assert code == 0, said
    # The piece that was written and not yet recorded when the client was killed, each time.
    assert again(faulty) == dict.fromkeys(nth, 1)
    assert_same_results(out, finished)
    assert (out / "report.html").stat().st_size > 100_000


def kill_at(stage: str, faulty: FaultyRun) -> str:
    """Kill a run as soon as it has begun a stage; what it said until then."""
    process = faulty.start()
    while f'"stage_started", "stage": "{stage}"' not in events(faulty.run.out):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    return "".join(process.communicate())


def events(out: Path) -> str:
    return (out / "events.jsonl").read_text() if (out / "events.jsonl").exists() else ""


class Daemons:
    """A scheduler and a worker, as processes of their own."""

    def __init__(self, folder: Path):
        self.address_file = folder / "scheduler.json"
        self.address_file.unlink(missing_ok=True)
        preload = str(Path(__file__).with_name("fault_preload.py"))
        environment = os.environ | {"GELISOL_FAULTS": str(folder)}
        dask = [sys.executable, "-m", "dask"]
        self.scheduler = subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
             "--scheduler-file", self.address_file],
            env=environment, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not (self.address_file.exists() and self.address_file.read_text().endswith("}")):  # whole
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        (folder / "pid").write_text(str(self.scheduler.pid))
        self.address = json.loads(self.address_file.read_text())["address"]
        self.worker = subprocess.Popen(
            [*dask, "worker", self.address, "--nthreads", "1", "--no-dashboard", "--preload", preload,
             "--local-directory", folder],
            env=environment, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def end(self) -> None:
        for process in (self.worker, self.scheduler):
            process.terminate()
            process.wait(timeout=120)


@pytest.fixture
def daemons(faulty: FaultyRun) -> Iterator[list[Daemons]]:
    started: list[Daemons] = []
    yield started
    for pair in started:
        pair.end()


@pytest.mark.slow
def test_scheduler_killed(faulty: FaultyRun, daemons: list[Daemons], finished: Path):
    """The run ends with a message, and goes on with another scheduler."""
    faulty.faults(("map", 6, "kill_pid"))
    for expected in (3, 0):
        daemons.append(Daemons(faulty.folder))
        faulty.settings = ["domain.chunk=16", f"cluster={{kind: address, address: '{daemons[-1].address}'}}"]
        code, said = faulty.go("--until", "map")
        assert code == expected, said
        if expected == 3:
            assert "map: the connection to the Dask scheduler was lost" in said
            assert "the same command goes on from there" in said
            daemons[-1].end()
    assert set(again(faulty)) <= {"map"} and again(faulty).get("map", 0) <= 1
    assert_same_results(faulty.run.out, finished)


@pytest.mark.slow
def test_a_full_disk(faulty: FaultyRun, finished: Path, tmp_path: Path):
    """A clear message, nothing half-written, and once there is space the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        faulty.run.out = disk / "out"
        faulty.faults(("map", 6, "fill_disk"))
        code, said = faulty.go("--until", "map", "--out", str(faulty.run.out))
        assert code == 3, said
        assert "no space is left on the disk" in said and "Traceback" not in said
        assert not (faulty.run.out / "maps.zarr").exists()
        assert json.loads((faulty.run.out / "ledger.json").read_text())["stages"].keys() == {
            "profiles", "cube", "select", "train",
        }  # fmt: skip
        (disk / "ballast").unlink()
        code, said = faulty.go("--until", "map", "--out", str(faulty.run.out))
        assert code == 0, said
        assert set(again(faulty)) == {"map"} and again(faulty)["map"] <= 2
        assert_same_results(faulty.run.out, finished)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_source_that_is_away_for_a_while(faulty: FaultyRun, finished: Path):
    """The block waits and tries again; the log says so."""
    faulty.faults(("cube", 1, "hide"), file=str(faulty.run.data / "tn.tif"))
    code, said = faulty.go("--until", "cube")
    assert code == 0, said
    assert "warning: " in said and "trying again in" in said
    assert "WARNING" in (faulty.run.out / "gelisol.log").read_text()
    assert again(faulty).keys() == {"cube"} and again(faulty)["cube"] <= 3
    assert_same_store(faulty.run.out / "cube.zarr", finished / "cube.zarr")


@pytest.mark.slow
def test_two_runs_on_one_folder(faulty: FaultyRun, gelisol):
    """The second is refused, with the first one named, and does not disturb it."""
    faulty.faults(("cube", 3, "wait"))
    first = faulty.start("--until", "cube")
    while not (faulty.folder / "waiting").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    before = (faulty.run.out / "run.lock").read_bytes()
    second = gelisol("run", faulty.run.path)
    assert second.exit_code == 3
    assert f"another run works here: process {first.pid} of " in second.stderr
    shown = json.loads(gelisol("status", faulty.run.out, "--json").stdout)
    assert (shown["state"], shown["stages"]["cube"]) == ("running", "running")
    assert shown["step"]["step"] == "cube" and shown["step"]["total"] == BLOCKS
    assert gelisol("check", faulty.run.path, "--deep").exit_code == 3
    assert (faulty.run.out / "run.lock").read_bytes() == before
    (faulty.folder / "go").touch()
    _, said = first.communicate(timeout=300)
    assert first.returncode == 0, said
    assert again(faulty) == {}
    assert json.loads(gelisol("status", faulty.run.out, "--json").stdout)["state"] == "done"


def test_a_damaged_block_is_found_and_mended(
    finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler: list[str]
):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    chunk = out / "maps.zarr" / "mean" / "c" / "1" / "0" / "1"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    (out / "cube.zarr" / "tn" / "c" / "0" / "0").unlink()
    arguments = [pristine / "run.yaml", "--out", out, *on_scheduler]
    assert gelisol("check", *arguments).exit_code == 0
    assert_found_and_mended(out, finished, chunk, gelisol, arguments)
