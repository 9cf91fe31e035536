"""One run per folder, and a lock that does not outlive its owner."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.execution.lock import LOCK, STALE_S, Owner, _give_sign, _take, held, locked
from engine.storage.atomic import write_file


def leave(folder: Path, owner: Owner, age_s: float = 0) -> None:
    """A lock of somebody else's."""
    (folder / LOCK).write_text(json.dumps(asdict(owner)))
    then = time.time() - age_s
    os.utime(folder / LOCK, (then, then))


def a_dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_second_is_refused_and_told_who_is_first(tmp_path):
    with locked(tmp_path / "out") as former:
        assert former is None
        with pytest.raises(RunError, match=rf"another run works here: process {os.getpid()} of .* on .*, started 20"):
            locked(tmp_path / "out").__enter__()
        assert held(tmp_path / "out").alive
    assert held(tmp_path / "out") is None
    with locked(tmp_path / "out"):
        pass


def test_an_error_lets_go(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    assert held(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "age_s"),
    [
        (lambda me: replace(me, pid=a_dead_process()), 0),
        (lambda me: replace(me, born=me.born - 100), 0),  # the number is another process's by now
        (lambda me: replace(me, host="another"), STALE_S + 10),
    ],
    ids=["process gone", "number used again", "machine silent"],
)
def test_a_stale_lock_is_taken_over(tmp_path, change, age_s):
    owner = change(Owner.me())
    leave(tmp_path, owner, age_s)
    assert not held(tmp_path).alive
    with locked(tmp_path) as former:
        assert former == owner
        assert held(tmp_path).owner.pid == os.getpid()


def test_a_run_on_another_machine_is_alive_while_its_heart_beats(tmp_path):
    leave(tmp_path, replace(Owner.me(), host="another"), age_s=STALE_S - 60)
    with pytest.raises(RunError, match="on another"):
        locked(tmp_path).__enter__()


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.execution.lock.BEAT_S", 0.05)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 30
        while held(tmp_path).silent_s > 60:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_lock_that_was_taken_over_is_not_removed(tmp_path):
    with locked(tmp_path):
        other = replace(Owner.me(), host="another")
        leave(tmp_path, other)
    assert held(tmp_path).owner == other


@pytest.mark.parametrize("text", ["", "{}", '{"host": "a"'])
def test_what_is_no_lock_is_none(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    assert held(tmp_path) is None
    with locked(tmp_path) as former:
        assert former is None


def test_of_many_that_start_together_one_works(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from engine.execution.lock import locked\n"
        "from engine.errors import RunError\n"
        "folder = Path(sys.argv[1])\n"
        "(folder / sys.argv[2]).touch()\n"
        "while not (folder / 'go').exists(): time.sleep(0.001)\n"
        "try:\n"
        "    with locked(folder / 'out'):\n"
        "        while not (folder / 'end').exists(): time.sleep(0.01)\n"
        "        print('works')\n"
        "except RunError: print('refused')\n"
    )
    names = ("a", "b", "c", "d")
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, name], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    while not all((tmp_path / name).exists() for name in names):
        time.sleep(0.05)
    (tmp_path / "go").touch()
    while sum(process.poll() is not None for process in processes) < 3:
        time.sleep(0.05)
    (tmp_path / "end").touch()
    said = sorted(p.communicate(timeout=60)[0].strip() for p in processes)
    assert said == ["refused"] * 3 + ["works"]


# On an object store


def test_the_second_is_refused_on_an_object_store(bucket):
    with locked(bucket) as former:
        assert former is None
        with pytest.raises(RunError, match=rf"another run works here: process {os.getpid()} of "):
            locked(bucket).__enter__()
        assert held(bucket).alive
    assert held(bucket) is None


def test_of_two_that_find_a_stale_lock_one_takes_it(bucket):
    """Both have looked before either writes."""
    write_file(bucket / LOCK, json.dumps(asdict(replace(Owner.me(), born=1.0))).encode())
    before = held(bucket)
    assert not before.alive
    first, second = (replace(Owner.me(), started=text) for text in ("first", "second"))
    _take(bucket, first, before)
    with pytest.raises(RunError, match=r"another run works here: .* started first"):
        _take(bucket, second, before)
    assert held(bucket).owner == first


def test_a_run_of_another_machine_on_an_object_store(bucket, monkeypatch):
    """Known by its heartbeat, which is that the lock is written anew; one that was taken away is left to its owner."""
    me = Owner.me()
    write_file(bucket / LOCK, json.dumps(asdict(replace(me, host="another"))).encode())
    assert held(bucket).alive
    monkeypatch.setattr("engine.execution.lock.time.time", lambda: time.monotonic() + 1e10)
    assert held(bucket).silent_s > STALE_S and not held(bucket).alive
    monkeypatch.undo()
    write_file(bucket / LOCK, json.dumps(asdict(me)).encode())
    written = (bucket / LOCK).stat().st_mtime
    time.sleep(1.1)  # the store counts in seconds
    _give_sign(bucket / LOCK, me)
    assert (bucket / LOCK).stat().st_mtime > written
    other = replace(me, host="another")
    write_file(bucket / LOCK, json.dumps(asdict(other)).encode())
    _give_sign(bucket / LOCK, me)
    assert held(bucket).owner == other
