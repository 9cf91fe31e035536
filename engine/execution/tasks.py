"""Many tasks, few in flight: the scheduler never holds more than it needs, and each result is used as it comes."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, count, islice
from threading import get_ident
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from distributed import Client, as_completed, get_worker, wait
from distributed.client import CancelledError

from engine.execution.cluster import most_workers
from engine.execution.task_errors import Failure, failure_of, faults_of_cluster, may_pass, no_workers

Item = TypeVar("Item")
IN_FLIGHT_PER_THREAD = 2
"""Tasks handed out per worker thread: one to run and one to be ready when it ends."""
AHEAD_S = 10.0
"""Seconds of work handed out to a cluster that grows with its work: Dask adds a worker for every five (its
`target_duration`), so that what it sees must be work for the largest number of workers."""
MOST_AHEAD = 4096
"""Tasks that are handed out at most for that; a scheduler's load is bounded by the workers otherwise."""
WAITS = (1.0, 5.0, 20.0)
"""Seconds between the tries of a task that reads files of others."""
TOPIC = "gelisol"
"""Dask topic on which tasks tell the client of what passes by itself."""
NO_WORKERS_S = 300.0
"""How long there may be no worker that works, s; nodes that were taken back need time to be replaced."""
_LOOK_EVERY_S = 5.0
_COUNT_EVERY_S = 0.25
"""How often the workers' threads are counted, s: so long may a new worker wait for its first task."""
_PATIENCE = 10.0
"""Seconds that running tasks get to end after an error."""
_ARRIVAL_S = 0.2
"""Seconds in which what was submitted surely reaches a worker; Dask's client sends a batch every 0.01 s."""


class Progress(Protocol):
    """Receiver of progress: a display, a log or a function that does nothing."""

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` tasks are finished."""
        ...


def silent(done: int, total: int) -> None:
    """Ignore progress."""


def run_each(
    client: Client,
    function: Callable[..., Any],
    items: Iterable[Item],
    *shared: Any,
    total: int,
    before: int = 0,
    waits: tuple[float, ...] = (),
    progress: Progress = silent,
    name: str = "task",
) -> Iterator[tuple[Item, Any]]:
    """Run `function(item, *shared)` on the cluster for every item.

    Parameters
    ----------
    items : iterable
        Taken as needed; never held all at once.
    shared : picklable
        Small arguments that all tasks have in common. Data go by path.
    total, before : int
        Number of pieces of work, and how many of them were done before and are not among the items; for the progress.
    waits : tuple of float
        Seconds after which a task that could not read a file tries again, once for each: a server or an object store
        that does not answer for a while, a disk that is away. Other errors are final.
    name : str
        What a task does, for messages and the dashboard.

    Yields
    ------
    (item, result), in the order in which tasks finish.

    Raises
    ------
    GelisolError
        See `engine.execution.task_errors`: the input's fault as the task has raised it; `RunError` if workers keep
        dying under a task, all of them stay away, the scheduler is lost, a disk is full or away. What else a task
        raises is a fault of this program, and raised as it is.
    """
    thread = get_ident()
    remaining, numbers, run = iter(items), count(), uuid4().hex[:8]
    waiting: dict[Any, Item] = {}
    room, watch = _Room(client), _Watch(client, name)
    # Of this client, whichever is the current one: its futures are settled in its own loop.
    completed = as_completed([], loop=client.loop, with_results=True)

    def hand_out() -> None:
        """Submit as many tasks as the workers that are there now can use."""
        for item in islice(remaining, max(0, room.tasks - len(waiting))):
            future = client.submit(
                _run, function, item, waits, *shared, pure=False, key=f"{name}-{run}-{next(numbers)}", retries=0
            )
            waiting[future] = item
            completed.add(future)

    def look() -> None:
        watch.look()
        if room.count():
            hand_out()

    done = before
    progress(done, total)
    hand_out()
    try:
        with faults_of_cluster(name):
            for future, (result, seconds) in _as_ready(completed, look):
                item = waiting.pop(future)
                future.release()
                room.learn(seconds)
                look()
                hand_out()
                done += 1
                progress(done, total)
                yield item, result
    finally:
        # After an error: what runs already may still write, so let it end before the caller tidies up.
        # A generator that nobody holds is closed wherever memory is collected, perhaps in a thread of the client or of
        # the scheduler, which cannot wait for itself: its futures are released with it.
        if waiting and client.status == "running" and get_ident() == thread:
            with suppress(TimeoutError, CancelledError, OSError):
                running = _with_workers(client, waiting)
                client.cancel([future for future in waiting if future not in running])
                with client.as_current():
                    wait(list(running), timeout=_PATIENCE)
            client.cancel(list(waiting))


def _with_workers(client: Client, waiting: Iterable[Any]) -> set[Any]:
    """Return the futures that workers hold.

    What was submitted a moment ago is sent in a batch, which a question to the scheduler overtakes. So it is asked
    until all are known, or for a while: tasks that no worker has yet are never named.
    """
    until = time.monotonic() + _ARRIVAL_S
    while True:
        pending = [future for future in waiting if not future.done()]
        known = set(chain.from_iterable(client.processing().values()))
        held = {future for future in pending if future.key in known}
        if len(held) == len(pending) or time.monotonic() > until:
            return held
        time.sleep(_ARRIVAL_S / 20)


class _Room:
    """Number of tasks to keep in flight, by the threads of the current workers.

    Attributes
    ----------
    threads : int
        Threads of the workers, as they were last counted.
    """

    def __init__(self, client: Client):
        self._client, self._most = client, most_workers(client)
        self._counted, self._seconds, self._tasks = time.monotonic(), 0.0, 0
        self.threads, self._workers = 0, 0
        self._take()

    def _take(self) -> None:
        threads = self._client.nthreads()
        self.threads, self._workers = sum(threads.values()), len(threads)

    def count(self) -> bool:
        """Count threads anew, now and then; whether there are others than before."""
        if (now := time.monotonic()) - self._counted < _COUNT_EVERY_S:
            return False
        self._counted, before = now, self.threads
        self._take()
        return self.threads != before

    def learn(self, seconds: float) -> None:
        """Take note of how long a task took."""
        self._seconds, self._tasks = self._seconds + seconds, self._tasks + 1

    @property
    def tasks(self) -> int:
        """Tasks to have in flight. Of a cluster that grows by itself, as many as its largest size could use."""
        present = max(self.threads, 1) * IN_FLIGHT_PER_THREAD  # where there is no worker yet, the first finds work
        if self._most is None:
            return present
        threads = self._most * max(math.ceil(self.threads / max(self._workers, 1)), 1)
        seconds = max(self._seconds / self._tasks, 1e-3) if self._tasks else AHEAD_S
        wanted = threads * max(IN_FLIGHT_PER_THREAD, math.ceil(AHEAD_S / seconds))
        return max(present, min(wanted, max(MOST_AHEAD, threads * IN_FLIGHT_PER_THREAD)))


class _Watch:
    """Notices that there has been no worker for long; without it, a run would wait for ever."""

    def __init__(self, client: Client, name: str):
        self._client, self._name = client, name
        self._looked = self._fit = time.monotonic()

    def look(self) -> None:
        """Look after the workers, now and then; an error if all have been away, or paused, for too long."""
        if (now := time.monotonic()) - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["status"] == "running" for worker in workers):
            self._fit = now
        elif now - self._fit > NO_WORKERS_S:
            raise no_workers(self._name, paused=bool(workers), seconds=NO_WORKERS_S)


def _as_ready(completed: as_completed, look: Callable[[], None]) -> Iterator[tuple[Any, tuple[Any, float]]]:
    """Yield futures as they finish, with their results and durations; `look` is called meanwhile.

    Results are fetched in the background: one that is lost with its worker, and computed again, keeps no other waiting.
    """
    while completed.count():
        if not completed.has_ready():
            with completed.thread_condition:
                completed.thread_condition.wait(timeout=0.1)
            look()
            continue
        future, result = next(completed)
        if isinstance(result, CancelledError):
            raise result
        if isinstance(result, Failure):
            raise result.error
        yield future, result


def _run(function: Callable[..., Any], item: Any, waits: tuple[float, ...], *shared: Any) -> Any:
    """Run one task and return its result and duration, or a `Failure`; transient errors are retried."""
    started = time.monotonic()
    for seconds in (*waits, None):
        try:
            return function(item, *shared), time.monotonic() - started
        except Exception as error:
            again = seconds is not None and may_pass(error)
            if (failure := failure_of(error)) is None:
                raise
            if seconds is None or not again:
                return failure
            _tell(f"{failure.error}; trying again in {seconds:g} s")
        time.sleep(seconds)
    raise AssertionError("the last try returns or raises")


def _tell(text: str) -> None:
    get_worker().log_event(TOPIC, text)
