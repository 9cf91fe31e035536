"""Workers that join late, leave early, or come as there is work: the tasks in flight follow those that are there."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from distributed import Client, LocalCluster, SchedulerPlugin

from engine.errors import RunError
from engine.execution.cluster import connect, most_workers
from engine.execution.tasks import AHEAD_S, IN_FLIGHT_PER_THREAD, MOST_AHEAD, _Room, run_each

WORKERS = {
    "processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1,
    "memory_limit": 0,  # of the one process that all of them and the tests share
}  # fmt: skip


class Record(SchedulerPlugin):
    """Who joined when, and who was given which task."""

    def __init__(self) -> None:
        self.joined: dict[str, float] = {}
        self.first: dict[str, float] = {}
        self.ran: Counter[str] = Counter()
        self.held = 0

    def start(self, scheduler):
        self.scheduler = scheduler

    def add_worker(self, scheduler, worker):
        self.joined[worker] = time.monotonic()

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "processing" and (ts := self.scheduler.tasks.get(key)) and ts.processing_on:
            self.first.setdefault(ts.processing_on.address, time.monotonic())
        if start == "processing" and finish == "memory":
            self.ran[kwargs["worker"]] += 1
        self.held = max(self.held, sum(ts.state in ("queued", "processing") for ts in self.scheduler.tasks.values()))


@contextmanager
def cluster_of(workers: int) -> Iterator[tuple[LocalCluster, Client, Record]]:
    with LocalCluster(n_workers=workers, **WORKERS) as cluster, Client(cluster) as client:
        record = Record()
        record.start(cluster.scheduler)
        cluster.scheduler.add_plugin(record, name="record")
        yield cluster, client, record


def pause(item: int, seconds: float = 0.1) -> int:
    time.sleep(seconds)
    return item


def test_workers_that_join_and_leave_are_used():
    """1 → 8 → 2 → 16 workers: each that joins is used (how soon: `benchmarks/joining.py`), and no result is lost."""
    sizes = {3: 8, 60: 2, 90: 16}
    with cluster_of(1) as (cluster, client, record):
        found = []

        def items():
            for item in range(3000):
                if item > 260 and len(record.joined) == 7 + 14 and record.joined.keys() == record.first.keys():
                    return
                yield item

        for item, result in run_each(client, pause, items(), total=3000):
            found.append(result)
            assert item == result
            if size := sizes.get(len(found)):
                cluster.scale(size)
        assert sorted(found) == list(range(len(found)))
        late = record.joined.keys() - record.first.keys()
        assert not late, f"never used: {late} of {len(record.joined)}"
        assert len(record.joined) == 7 + 14
        assert record.held <= IN_FLIGHT_PER_THREAD * 16


def test_few_are_in_flight_after_workers_have_left():
    """Sixteen, then one: nothing new is handed out until the one has worked off what the others left."""
    with cluster_of(16) as (cluster, client, _):
        taken, ahead = 0, []

        def items():
            nonlocal taken
            for item in range(120):
                taken += 1
                yield item

        for done, _ in enumerate(run_each(client, pause, items(), 0.03, total=120), start=1):
            if done == 20:
                cluster.scale(1)
            if done > 80:
                ahead.append(taken - done)
        assert max(ahead) <= IN_FLIGHT_PER_THREAD * 2


def test_the_first_worker_may_join_after_the_stage_has_begun():
    with cluster_of(0) as (cluster, client, _):
        threading.Timer(0.5, cluster.scale, [2]).start()
        assert dict(run_each(client, pause, range(4), 0.01, total=4)) == {n: n for n in range(4)}


def test_no_worker_at_all_is_an_error_after_a_while(monkeypatch):
    monkeypatch.setattr("engine.execution.tasks.NO_WORKERS_S", 0.5)
    monkeypatch.setattr("engine.execution.tasks._LOOK_EVERY_S", 0.1)
    with cluster_of(0) as (_, client, _record), pytest.raises(RunError, match="the workers are all gone"):
        list(run_each(client, pause, range(4), total=4))


@pytest.mark.parametrize("seconds", [0.05, 0.5])
def test_an_adaptive_cluster_reaches_its_maximum(seconds):
    """Dask adds workers for the work that it sees, so it must see work for all that there may be."""
    options = {"n_workers": 1, **WORKERS}
    with connect("distributed.LocalCluster", adaptive=(1, 8), options=options, timeout=30) as client:
        assert most_workers(client) == 8
        most = 0
        for number, _ in enumerate(run_each(client, pause, range(10_000), seconds, total=10_000)):
            most = max(most, len(client.nthreads()) if number % 5 == 0 else 0)
            if most == 8 or number * seconds > 60:
                break
        assert most == 8


def test_an_adaptive_scheduler_of_others_sees_work_for_all_workers():
    with cluster_of(1) as (cluster, _, record):
        record.joined.clear()
        cluster.adapt(minimum=1, maximum=6, interval="200ms")
        with connect("address", address=cluster.scheduler_address, adaptive=(1, 6)) as client:
            for number, _ in enumerate(run_each(client, pause, range(10_000), 0.2, total=10_000)):
                if len(record.joined) >= 5 or number > 600:
                    break
        assert len(record.joined) >= 5


class _Threads:
    """A client of so many workers."""

    def __init__(self, workers: int, threads: int):
        self._threads = {f"tcp://10.0.0.{n}:1": threads for n in range(workers)}

    def nthreads(self):
        return self._threads


@pytest.mark.parametrize(("workers", "threads", "most", "seconds", "tasks"), [
    (4, 2, None, 1.0, 16),                    # fixed: two a thread
    (4, 2, None, 0.001, 16),
    (0, 0, None, 1.0, 2),                     # nobody yet: what the first can use
    (1, 2, 10, 1.0, 10 * 2 * int(AHEAD_S)),   # ten seconds of work for ten workers
    (1, 2, 10, 60.0, 10 * 2 * 2),             # long tasks: two a thread
    (0, 0, 10, 60.0, 10 * 2),
    (1, 1, 1000, 0.01, MOST_AHEAD),           # short ones: bounded
    (1, 1, 5000, 0.01, 10_000),
])  # fmt: skip
def test_how_many_tasks_are_handed_out(monkeypatch, workers, threads, most, seconds, tasks):
    monkeypatch.setattr("engine.execution.tasks.most_workers", lambda client: most)
    room = _Room(_Threads(workers, threads))
    room.learn(seconds)
    assert room.tasks == tasks
