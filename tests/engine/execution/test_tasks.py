"""Many tasks, few in flight."""

import errno
import os
import time
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from distributed import Client, LocalCluster

from engine.errors import InputError, RunError
from engine.execution.tasks import IN_FLIGHT_PER_THREAD, TOPIC, run_each
from engine.storage.atomic import staged


def square(item: int, plus: int = 0) -> int:
    return item * item + plus


def slow_if_first(item: int) -> int:
    time.sleep(0.3 if item == 0 else 0.01)
    return item


def fail_at_three(item: int) -> int:
    if item == 3:
        raise InputError(["block 3: bad", "block 3: worse"])
    return item


def fail_for_a_reason(item: int) -> None:
    """As GDAL's errors do: one that cannot be pickled is behind the one that is raised."""
    try:
        raise Unpicklable
    except Unpicklable as error:
        raise InputError(f"block {item}: cannot be read") from error


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not this one")


def die(item: int) -> None:
    os._exit(1)


def test_every_item_with_its_result(client):
    found = dict(run_each(client, square, range(20), 5, total=20))
    assert found == {i: i * i + 5 for i in range(20)}
    assert dict(run_each(client, square, [], total=0)) == {}


def test_few_are_in_flight(client):
    """Items are taken as results come: a region of millions of blocks never lies in the scheduler."""
    taken = []

    def items():
        for item in range(40):
            taken.append(item)
            yield item

    limit = IN_FLIGHT_PER_THREAD * sum(client.nthreads().values())
    ahead = []
    for done, _ in enumerate(run_each(client, square, items(), total=40), start=1):
        ahead.append(len(taken) - done)
    assert len(taken) == 40
    assert max(ahead) == limit


def test_results_come_as_they_are_ready(client):
    found = [item for item, _ in run_each(client, slow_if_first, range(10), total=10)]
    assert sorted(found) == list(range(10))
    assert found[0] != 0


def test_progress_counts_up(client):
    seen = []
    list(run_each(client, square, range(5), total=5, progress=lambda done, total: seen.append((done, total))))
    assert seen == [(n, 5) for n in range(6)]


def test_an_error_arrives_as_it_was_raised(client):
    with pytest.raises(InputError) as error:
        list(run_each(client, fail_at_three, range(100), total=100))
    assert list(map(str, error.value.problems)) == ["block 3: bad", "block 3: worse"]
    assert dict(run_each(client, square, range(3), total=3)) == {0: 0, 1: 1, 2: 4}


def test_an_error_arrives_whatever_is_behind_it(client):
    with pytest.raises(InputError, match="block 1: cannot be read"):
        list(run_each(client, fail_for_a_reason, [1], total=1))


def test_who_stops_listening_stops_the_tasks(client):
    taken, before = [], set(client.futures)
    tasks = run_each(client, square, (taken.append(i) or i for i in range(1000)), total=1000)
    next(tasks)
    tasks.close()
    assert len(taken) < 20
    assert set(client.futures) <= before


def test_tasks_that_nobody_holds_end_quietly_in_any_thread(client):
    """Python may collect an abandoned generator in the thread of the client's own loop."""
    tasks = run_each(client, square, range(1000), total=1000)
    next(tasks)

    async def close() -> None:
        tasks.close()

    client.sync(close)
    assert dict(run_each(client, square, range(3), total=3)) == {0: 0, 1: 1, 2: 4}


def test_tasks_abandoned_in_the_thread_of_the_scheduler_do_not_wait_for_it():
    """Memory is collected in any thread: there, waiting for an answer of the scheduler would be waiting for itself."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster.scheduler_address) as elsewhere,
    ):
        assert elsewhere.loop is not cluster.loop
        tasks = run_each(elsewhere, square, range(1000), total=1000)
        next(tasks)

        async def close() -> None:
            tasks.close()

        cluster.sync(close, callback_timeout=30)
        assert dict(run_each(elsewhere, square, range(3), total=3)) == {0: 0, 1: 1, 2: 4}


def write_until(item: int, folder: Path) -> None:
    """Fails at once, or goes on writing for a while."""
    if item == 0:
        raise InputError("block 0: bad")
    end = time.time() + 0.2
    while time.time() < end:
        (folder / str(item)).mkdir(parents=True, exist_ok=True)
        (folder / str(item) / f"{time.time()}").touch()


def test_tasks_that_still_write_when_one_fails(client, tmp_path):
    """The error that is shown is the task's, not that of tidying up behind it, and nothing is left.

    Several times: the first task may fail before the scheduler has been told of the others.
    """
    for n in range(8):
        with pytest.raises(InputError, match="block 0: bad"), staged(tmp_path / f"cube{n}") as stage:
            stage.mkdir()
            list(run_each(client, write_until, range(4), stage, total=4))
    time.sleep(0.3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
def test_workers_that_die_are_a_failed_run(client, monkeypatch):
    scheduler = client.cluster.scheduler
    monkeypatch.setattr(scheduler, "allowed_failures", 0)  # as after three tries
    with pytest.raises(RunError, match=r"blocks: the workers that ran .* died, most often for lack of memory"):
        list(run_each(client, die, [1], total=1, name="blocks"))
    client.wait_for_workers(2, timeout=120)
    assert dict(run_each(client, square, range(3), total=3)) == {0: 0, 1: 1, 2: 4}


def test_workers_that_stay_away_end_the_run(monkeypatch):
    """All workers end, and none comes: an error after a while, not silence for ever."""
    monkeypatch.setattr("engine.execution.tasks.NO_WORKERS_S", 1.0)
    monkeypatch.setattr("engine.execution.tasks._LOOK_EVERY_S", 0.2)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as alone,
    ):
        tasks = run_each(alone, square, range(5), total=5, name="blocks")
        next(tasks)
        cluster.sync(cluster.workers[0].close)
        with pytest.raises(RunError, match=r"blocks: the workers are all gone, and no other has joined, for 1 s now"):
            list(tasks)


def fail_until(item: int, folder: Path, error: type[Exception], times: int) -> int:
    """As a source does that is away for a while."""
    tries = folder / "tries"
    with tries.open("a") as file:
        file.write("x")
    if len(tries.read_text()) > times:
        return item
    if error is InputError:
        raise InputError("tn.tif: cannot be read") from OSError("no answer")
    raise error(5, "no answer")


@pytest.mark.parametrize("error", [InputError, OSError])
def test_what_cannot_be_read_is_tried_again(client, tmp_path, error):
    told = []
    client.subscribe_topic(TOPIC, lambda event: told.append(event[1]))
    found = dict(run_each(client, fail_until, [7], tmp_path, error, 2, total=1, waits=(0.01, 0.01)))
    assert found == {7: 7} and (tmp_path / "tries").read_text() == "xxx"
    end = time.monotonic() + 60
    while len(told) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    client.unsubscribe_topic(TOPIC)
    assert len(told) == 2 and all("no answer" in t or "cannot be read" in t for t in told)
    assert all("trying again in 0.01 s" in t for t in told)


@pytest.mark.parametrize("error", [InputError, OSError])
def test_patience_has_an_end(client, tmp_path, error):
    with pytest.raises(RunError if error is OSError else error, match=r"no answer|cannot be read"):
        list(run_each(client, fail_until, [7], tmp_path, error, 9, total=1, waits=(0.01, 0.01)))
    assert (tmp_path / "tries").read_text() == "xxx"


def cut_off(item: int, folder: Path, times: int) -> int:
    tries = folder / "tries"
    with tries.open("a") as file:
        file.write("x")
    if len(tries.read_text()) > times:
        return item
    raise EndpointConnectionError(endpoint_url="http://store")


def test_a_store_that_is_away_is_tried_again_and_told(client, tmp_path):
    assert dict(run_each(client, cut_off, [7], tmp_path, 2, total=1, waits=(0.01, 0.01))) == {7: 7}
    with pytest.raises(
        RunError, match=r'^the object store failed: Could not connect to the endpoint URL: "http://store"$'
    ):
        list(run_each(client, cut_off, [7], tmp_path, 9, total=1))


def test_other_errors_are_final(client, tmp_path):
    """A bad setting does not get better."""
    seen = tmp_path / "seen"
    with pytest.raises(InputError, match="block 3: bad"):
        list(run_each(client, fail_at_three_and_count, [3], seen, total=1, waits=(0.01,)))
    assert seen.read_text() == "x"


def fail_at_three_and_count(item: int, seen: Path) -> int:
    with seen.open("a") as file:
        file.write("x")
    return fail_at_three(item)


def full(item: int, folder: Path) -> None:
    (folder / "tries").open("a").write("x")
    raise OSError(errno.ENOSPC, "No space left on device", "/data/maps.zarr/mean/c/0")


def test_a_full_disk_is_a_failed_run_at_once(client, tmp_path):
    with pytest.raises(RunError, match=r"no space is left on the disk of /data/maps.zarr/mean/c/0: free some"):
        list(run_each(client, full, [1], tmp_path, total=1, waits=(0.01,)))
    assert (tmp_path / "tries").read_text() == "x"


def test_what_was_done_before_counts(client):
    seen = []
    list(run_each(client, square, range(3), total=5, before=2, progress=lambda done, total: seen.append((done, total))))
    assert seen == [(2, 5), (3, 5), (4, 5), (5, 5)]
