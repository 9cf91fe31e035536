"""Workers that join while a stage runs, against as many that were there from the start.

    python benchmarks/joining.py                 # a table to the screen and into benchmarks/README.md

Tasks sleep as long as a block takes, so that what is measured is how work reaches workers and not this machine's cores.
"""

import argparse
import time
from collections.abc import Callable

from distributed import Client, LocalCluster, SchedulerPlugin
from machine import describe, publish, table

from engine.execution.cluster import connect
from engine.execution.tasks import run_each

TASKS, SECONDS, WORKERS = 480, 0.2, 8
OPTIONS = {
    "processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1,
}  # fmt: skip


class Waits(SchedulerPlugin):
    """How long each worker that joins waits for its first task, and how long workers were there in all, s."""

    def __init__(self, cluster: LocalCluster):
        self.cluster = cluster
        self.joined: dict[str, float] = {}
        self.since = dict.fromkeys(cluster.scheduler.workers, time.monotonic())
        self.present = 0.0
        self.waited: list[float] = []
        cluster.scheduler.add_plugin(self, name="waits")

    def add_worker(self, scheduler, worker):
        self.joined[worker] = self.since[worker] = time.monotonic()

    def remove_worker(self, scheduler, worker, **_):
        self.present += time.monotonic() - self.since.pop(worker)

    def total(self) -> float:
        return self.present + sum(time.monotonic() - since for since in self.since.values())

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "processing":
            worker = self.cluster.scheduler.tasks[key].processing_on.address
            if worker in self.joined:
                self.waited.append(time.monotonic() - self.joined.pop(worker))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [["workers", "time, s", "share of the workers' time that was used", "longest wait for a first task, s"]]
    for name, start, sizes in (
        (f"{WORKERS} from the start", WORKERS, {}),
        (f"1, and {WORKERS} after three tasks", 1, {3: WORKERS}),
        (f"1 → {WORKERS} → 2 → 16", 1, {3: WORKERS, 120: 2, 160: 16}),
    ):
        with LocalCluster(n_workers=start, **OPTIONS) as cluster, Client(cluster) as client:
            waits = Waits(cluster)
            seconds = run(client, lambda done, sizes=sizes, to=cluster: scale(to, sizes.get(done)))
            rows.append(row(name, seconds, waits))
    with connect("distributed.LocalCluster", adaptive=(1, WORKERS), options={"n_workers": 1, **OPTIONS}) as client:
        waits = Waits(client.cluster)
        rows.append(row(f"adaptive, 1 to {WORKERS}", run(client, lambda done: None), waits))
    text = "\n\n".join(
        [
            f"Measured on: {describe()}.",
            f"{TASKS} tasks of {SECONDS:g} s each, on workers of one thread. The workers' time is that of those that "
            "were there, moment by moment, until the last task was done.",
            table(rows),
        ]
    )
    print(text)
    publish("joining.py", text)


def scale(cluster: LocalCluster, size: int | None) -> None:
    if size:
        cluster.scale(size)


def run(client: Client, after: Callable[[int], None]) -> float:
    """Seconds that the tasks took; `after` is called with the number that are done."""
    began = time.monotonic()
    for done, _ in enumerate(run_each(client, pause, range(TASKS), total=TASKS), start=1):
        after(done)
    return time.monotonic() - began


def pause(item: int) -> int:
    time.sleep(SECONDS)
    return item


def row(name: str, seconds: float, waits: Waits) -> list[str]:
    longest = f"{max(waits.waited):.2f}" if waits.waited else "–"
    return [name, f"{seconds:.1f}", f"{TASKS * SECONDS / waits.total():.0%}", longest]


if __name__ == "__main__":
    main()
