"""A run: the stages in their order, on a cluster, each done once and recorded."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, performance_report
from rich.table import Table

from engine.cluster import connect, peak_memory
from engine.crs_name import crs_text
from engine.errors import InputError
from engine.forest import INSTRUCTION_SETS
from engine.grid import crs_of
from engine.ledger import RECORDS, Entry, Ledger, digest_of
from engine.lock import locked
from engine.outputs.place import OutPath, said_by_store
from engine.outputs.store import all_unfinished, remove
from engine.tasks import TOPIC
from engine.words import counted
from engine.workers import check_workers
from pipelines import STAGES
from pipelines.config import Cluster
from pipelines.headline import read_headline
from pipelines.keys import ALSO_WRITES, ARTEFACTS, STORES, stage_keys, stage_parts
from pipelines.memory import Projection, require_memory
from pipelines.prepare import Prepared
from pipelines.progress import Display
from pipelines.provenance import Provenance
from pipelines.resolved import write_run_file
from pipelines.source_list import descriptions
from pipelines.stages import FUNCTIONS, NEED_CLUSTER, Context


def execute(
    prepared: Prepared,
    *,
    until: str = STAGES[-1],
    fresh: bool = False,
    display: Display | None = None,
    log_level: str = "INFO",
    performance: Path | None = None,
) -> OutPath:
    """Run every stage that is not done yet, up to and including `until`.

    Parameters
    ----------
    fresh : bool
        Do all of them again.
    log_level : str
        Of `gelisol.log`.
    performance : Path, optional
        Where to write Dask's performance report, an HTML page.

    Returns
    -------
    OutPath
        The results folder.

    Raises
    ------
    RunError
        If another run works in the folder, or the run fails.
    InputError
        If the workers do not fit the run.
    """
    display = display or Display()
    directory = prepared.directory
    with locked(directory) as former, display.recorded(directory, log_level), _told(display):
        if former:
            display.say(f"an earlier run ended without a word ({former}); this one goes on from what it left")
        if fresh:
            _start_over(directory)
        ledger, keys = Ledger(directory), stage_keys(prepared)
        wanted = STAGES[: STAGES.index(until) + 1]
        todo = _todo(ledger, keys, wanted, directory)
        display.event("run_started", directory=str(directory), stages=wanted, todo=todo)
        for stage in wanted:
            if stage not in todo:
                display.say(f"{stage}: done before, kept")
        provenance = Provenance(directory)
        _describe(prepared, provenance)
        write_run_file(prepared)
        with _cluster(prepared, todo, display, provenance, performance) as client:
            for stage in todo:
                _do(stage, Context(prepared, client, display, provenance, keys[stage]), ledger)
        if until == STAGES[-1]:
            say_headline(display, directory)
    return directory


def say_headline(display: Display, directory: OutPath) -> None:
    """End with what a run comes to, and what its validation says of that."""
    if headline := read_headline(directory):
        for line in headline.lines():
            display.say(line)


def _todo(ledger: Ledger, keys: dict[str, str], wanted: tuple[str, ...], directory: OutPath) -> list[str]:
    """Stages that are not done, and those that complete an artefact which is made again."""
    todo: list[str] = []
    for stage in wanted:
        again = {name for before in todo for name in ARTEFACTS[before]}
        done = ledger.is_done(stage, keys[stage], [directory / name for name in ARTEFACTS[stage]])
        if not done or again.intersection(ALSO_WRITES.get(stage, ())):
            todo.append(stage)
    return todo


def _do(stage: str, context: Context, ledger: Ledger) -> None:
    """One stage, recorded once all that it leaves is on disk."""
    display, provenance, client = context.display, context.provenance, context.client
    ledger.begin(stage)
    display.event("stage_started", stage=stage)
    if client is not None:
        peak_memory(client)  # from here on
    display.forget_steps()
    started = time.monotonic()
    facts = FUNCTIONS[stage](context)
    seconds = time.monotonic() - started
    memory = {"peak_worker_bytes": peak_memory(client)} if client is not None else {}
    provenance.stage(stage, seconds, **facts, **memory, steps=display.forget_steps())
    if client is not None:
        peaks = [entry.get("peak_worker_bytes", 0) for entry in provenance.record["stages"].values()]
        provenance.add(peak_memory=provenance.record.get("peak_memory", {}) | {"worker_bytes": max(peaks)})
        provenance.write()
    record_stage(stage, context.prepared, ledger)
    display.event("stage_done", stage=stage, seconds=round(seconds, 3), **memory)


def record_stage(stage: str, prepared: Prepared, ledger: Ledger) -> None:
    """Enter a stage that has just been done into the ledger."""
    key, parts = stage_keys(prepared)[stage], stage_parts(prepared)[stage]
    ledger.finish(stage, Entry(key=key, parts=parts, digests=_digests(prepared.directory, stage)))


def amend_report(directory: OutPath) -> None:
    """Enter into the ledger that the report was written once more."""
    ledger = Ledger(directory)
    if entry := ledger.entry("report"):
        ledger.finish("report", entry.model_copy(update={"digests": _digests(directory, "report")}))


def _digests(directory: OutPath, stage: str) -> dict[str, str]:
    """Checksums of what a stage leaves; stores have their own, block by block."""
    names = [name for name in ARTEFACTS[stage] if name != STORES.get(stage)]
    return {name: digest_of(directory / name) for name in (*names, *ALSO_WRITES.get(stage, ()))}


def _start_over(directory: OutPath) -> None:
    """Forget what was done, and remove what was begun."""
    (directory / "ledger.json").unlink(missing_ok=True)
    remove(directory / RECORDS)
    for left in all_unfinished(directory):
        remove(left)


@contextmanager
def _told(display: Display) -> Iterator[None]:
    """Leave in the log and among the events how the run ended."""
    try:
        yield
    except BaseException as error:
        text = said_by_store(error) or str(error) or type(error).__name__
        display.log(text, logging.ERROR)
        display.event("run_failed", error=type(error).__name__, text=text)
        raise
    display.event("run_done")


@contextmanager
def _cluster(
    prepared: Prepared, todo: list[str], display: Display, provenance: Provenance, performance: Path | None
) -> Iterator[Client | None]:
    """The cluster of the run file, found fit for the run; none if no stage to do needs one."""
    if not NEED_CLUSTER.intersection(todo):
        yield None
        return
    spec = prepared.config.cluster
    with ExitStack() as stack:
        client = stack.enter_context(connect(**_arguments(spec, prepared.base)))
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        threads, limit = max(w["nthreads"] for w in workers), min(w["memory_limit"] for w in workers)
        display.say(_describe_cluster(client, workers))
        if spec.kind != "local":
            _require_fit_workers(client, prepared, display)
        projection = require_memory(prepared, limit, threads)
        provenance.add(
            cluster={"workers": len(client.nthreads()), "threads": sum(client.nthreads().values())},
            peak_memory=_projected(projection, threads, limit),
        )
        client.subscribe_topic(TOPIC, lambda event: display.say(f"warning: {event[1]}"))
        if performance is not None:
            stack.enter_context(performance_report(filename=str(performance)))
        yield client


def _arguments(spec: Cluster, base: Path) -> dict[str, Any]:
    """The cluster section as arguments of `connect`; paths of certificates start from the run file's folder."""
    tls = {name: str(base / path) for name, path in spec.tls.model_dump().items()} if spec.tls else None
    adaptive = (spec.adaptive.minimum, spec.adaptive.maximum) if spec.adaptive else None
    return {**spec.model_dump(), "tls": tls, "adaptive": adaptive}


def _projected(projection: Projection, threads: int, limit: int) -> dict[str, int]:
    return {"projected_bytes": round(projection.worker(threads)), "limit_bytes": limit}


def _require_fit_workers(client: Client, prepared: Prepared, display: Display) -> None:
    """Show one table of what workers lack or have otherwise, and stop if the run would fail or its numbers differ."""
    files = [file for summary in prepared.summaries.values() for file in summary.files]
    mismatches = check_workers(client, files, prepared.directory)
    if not mismatches:
        return
    table = Table("worker", "what", "here", "there", title="Workers that differ", title_justify="left")
    for m in mismatches:
        table.add_row(m.worker, m.what, m.here, m.there)
    display.show(table)
    if fatal := [m for m in mismatches if m.fatal]:
        what = ", ".join(dict.fromkeys(m.what for m in fatal))
        raise InputError(
            f"cluster: {len({m.worker for m in fatal})} of {counted(len(client.nthreads()), 'worker')} cannot do this "
            f"run ({what}; see the table, e.g. {fatal[0].what}: here {fatal[0].here}, there {fatal[0].there}). Install "
            "the same versions there, and let the workers see the same files."
        )
    display.say("warning: set OMP_NUM_THREADS=1 and its like for the workers; threads within threads slow them down")


def _describe_cluster(client: Client, workers: Any) -> str:
    threads = sum(worker["nthreads"] for worker in workers)
    memory = sum(worker["memory_limit"] for worker in workers)
    link = client.dashboard_link
    power = f"{counted(len(workers), 'worker')}, {counted(threads, 'thread')}, {memory / 2**30:.1f} GiB"
    return f"cluster: {power}, dashboard {link}"


def _describe(prepared: Prepared, provenance: Provenance) -> None:
    grid, config = prepared.grid, prepared.config
    about = descriptions(config, prepared.base)
    provenance.add(
        kernel=INSTRUCTION_SETS[0] if INSTRUCTION_SETS else "plain",
        seed=config.model.seed,
        sources={
            name: {
                "files": len(s.files),
                "bytes": s.bytes,
                "fingerprint": s.fingerprint,
                "resolution": s.resolution,
                "crs_unit": "degree" if s.crs.geographic else "metre",
                "period": s.period,
                "about": about.get(name, []),
            }
            for name, s in prepared.summaries.items()
        },
        grid={
            **provenance.record.get("grid", {}),
            "crs": crs_text(crs_of(grid.geobox)),
            "shape": list(grid.shape),
            "resolution": config.domain.resolution,
            "chunk": grid.chunk,
            "equal_area": grid.is_equal_area,
        },
    )
    provenance.write()
