"""A run on a cluster that grows and shrinks in every stage: all workers take part, and the results are the same."""

import functools
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from distributed import LocalCluster, SchedulerPlugin
from distributed.utils import key_split
from faults import assert_same_results
from small_run import SmallRun

from engine.execution import tasks

SIZES = {2: 8, 12: 2, 17: 16}
"""After so many pieces of work of a stage → workers that are wanted from then on."""
WAIT_S = 0.1
"""What each piece of work takes at least, so that workers can join meanwhile."""
STAGES = ("cube", "validate", "train", "map", "cog")


class Scale(SchedulerPlugin):
    """Scales the cluster by the work that is done, and counts who did it."""

    def __init__(self, cluster: LocalCluster):
        self.cluster, self.done = cluster, Counter()
        self.took_part: dict[str, set[str]] = defaultdict(set)
        self.waits: dict[str, list[float]] = defaultdict(list)
        self.joined: dict[str, float] = {}
        self.stage = ""

    def add_worker(self, scheduler, worker):
        self.joined[worker] = time.monotonic()

    def transition(self, key, start, finish, *args, **kwargs):
        stage = key_split(key)
        if stage not in STAGES:
            return
        if start in ("waiting", "queued", "no-worker") and finish == "processing":
            if stage != self.stage:  # who joined before it began has waited for the stage
                self.stage, self.joined = stage, {}
            on = self.cluster.scheduler.tasks[key].processing_on.address
            if (when := self.joined.pop(on, None)) is not None:
                self.waits[stage].append(time.monotonic() - when)
        if start == "processing" and finish == "memory":
            self.done[stage] += 1
            self.took_part[stage].add(kwargs["worker"])
            if size := SIZES.get(self.done[stage]):
                self.cluster.scale(size)


@pytest.mark.slow
def test_workers_join_and_leave_in_every_stage(run: SmallRun, tmp_path: Path, gelisol, on_scheduler, monkeypatch):
    """1 → 8 → 2 → 16 workers in each; counted: who took part, and how long the new ones waited for work."""
    plain = tasks._run

    @functools.wraps(plain)  # workers are threads of this process and find it under the name of the plain one
    def slower(*arguments):
        time.sleep(WAIT_S)
        return plain(*arguments)

    monkeypatch.setattr(tasks, "_run", slower)
    run.set("model.validation.repeats", 45)
    run.set("model.replicates", 35)
    run.set("domain.resolution", 2500)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        plugin = Scale(cluster)
        cluster.scheduler.add_plugin(plugin, name="scale")
        where = "cluster={kind: address, address: '" + cluster.scheduler_address + "'}"
        result = gelisol("run", run.path, "--until", "map", "--set", where, "--set", "domain.chunk=16")  # 5 × 7 blocks
        assert result.exit_code == 0, result.output
    monkeypatch.undo()
    expected = tmp_path / "expected"
    result = gelisol("run", run.path, "--until", "map", "--out", expected, *on_scheduler)
    assert result.exit_code == 0, result.output
    for stage in ("cube", "validate", "train", "map"):
        assert plugin.done[stage] >= 35, plugin.done
        assert len(plugin.took_part[stage]) >= 10, (stage, len(plugin.took_part[stage]))
        # The sixteen share two cores, and one interpreter with the scheduler.
        assert max(plugin.waits[stage]) < 5.0, (stage, plugin.waits[stage])
    assert_same_results(run.out, expected)
