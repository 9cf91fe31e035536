"""A run: the stages in their order, on a cluster, each done once and recorded."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, performance_report
from rich.table import Table

from engine.ensemble.manifest import damaged_files, read_manifest
from engine.errors import Finding, InputError, RunError
from engine.execution.cluster import connect, peak_memory
from engine.execution.ledger import RECORDS, Entry, Ledger, Records, digest_of, key_of
from engine.execution.lock import locked
from engine.execution.tasks import TOPIC
from engine.execution.versions import versions
from engine.execution.worker_checks import check_workers
from engine.extras import missing
from engine.forest import INSTRUCTION_SETS
from engine.formatting import counted
from engine.grid.crs_name import crs_text
from engine.grid.grid import crs_of
from engine.storage.atomic import all_unfinished, remove
from engine.storage.paths import OutPath, said_by_store
from pipelines import STAGES
from pipelines.preflight.input_fingerprints import changed_since
from pipelines.preflight.memory import Projection, require_memory
from pipelines.progress import Display
from pipelines.run.provenance import Provenance
from pipelines.run.registered import require_known
from pipelines.run.resolved_runfile import write_run_file
from pipelines.run.stage_keys import (
    ALSO_WRITES,
    ARTEFACTS,
    STORES,
    Keys,
    RunKeys,
)
from pipelines.run.stage_versions import of_stage, version_notes
from pipelines.run.stages import FUNCTIONS, NEED_CLUSTER, REPORT, Context
from pipelines.runfile.descriptions import descriptions
from pipelines.runfile.reader import Cluster, RunFile
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.results.headline import read_headline
from pipelines.soil_carbon.results.labels import write_words


def execute(
    prepared: Prepared,
    *,
    until: str = STAGES[-1],
    fresh: bool = False,
    display: Display | None = None,
    log_level: str = "INFO",
    performance: Path | None = None,
    client: Client | None = None,
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
    client : Client, optional
        Of a cluster that is there already, instead of the run file's; it is left as it is.

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
    if until == STAGES[-1] and (problem := missing("report", REPORT)):
        raise InputError(f"{problem}; or stop before it: --until {STAGES[-2]}")
    display = display or Display()
    directory = prepared.directory
    with locked(directory) as former, display.recorded(directory, log_level), _told(display):
        if former:
            display.say(f"an earlier run ended without a word ({former}); this one goes on from what it left")
        if fresh:
            _start_over(directory)
        run = _Run(prepared, display, Ledger(directory), RunKeys(prepared, versions()))
        for note in version_notes(run.ledger, run.keys.here):
            display.say(Finding.warning(note))
        wanted = STAGES[: STAGES.index(until) + 1]
        todo = run.todo(wanted)
        display.event("run_started", directory=str(directory), stages=wanted, todo=todo)
        for stage in wanted:
            if stage not in todo and not (stage == "map" and "train" in todo):
                display.say(f"{stage}: done before, kept")
        provenance = Provenance(directory)
        _describe(prepared, provenance)
        write_run_file(prepared)
        with _cluster(prepared, todo, display, provenance, performance, client) as connected:
            for stage in wanted:
                # What stage `train` leaves decides over the map, and is known by now.
                if stage == "map" and "train" in todo:
                    if stage not in run.todo((stage,)):
                        display.say("map: the ensemble and the area of applicability have not changed; kept")
                        continue
                elif stage not in todo:
                    continue
                run.do(stage, connected, provenance)
        if until == STAGES[-1]:
            say_headline(display, directory)
    return directory


def say_headline(display: Display, directory: OutPath) -> None:
    """Print the run's main results and the verdict of its validation."""
    if headline := read_headline(directory):
        for line in headline.lines():
            display.say(line)


@dataclass
class _Run:
    """A run under way.

    Attributes
    ----------
    keys : RunKeys
        What the stages depend on.
    changed : set of str
        Inputs that have changed since they were read, of which the user knows.
    """

    prepared: Prepared
    display: Display
    ledger: Ledger
    keys: RunKeys
    changed: set[str] = field(default_factory=set)

    def todo(self, wanted: tuple[str, ...]) -> list[str]:
        """Return stages to do, and those that complete an artefact which is made again."""
        todo: list[str] = []
        keys = self.keys.stages(self.ledger)
        for stage in wanted:
            again = {name for before in todo for name in ARTEFACTS[before]}
            paths = [self.prepared.directory / name for name in ARTEFACTS[stage]]
            done = self.ledger.is_done(stage, keys[stage], paths)
            if not done or again.intersection(ALSO_WRITES.get(stage, ())):
                todo.append(stage)
        return todo

    def do(self, stage: str, client: Client | None, provenance: Provenance) -> None:
        """Run one stage and record it, with all it depended on at its start, once its artefacts are on disk."""
        display, ledger = self.display, self.ledger
        parts, keys = self.keys.parts(ledger)[stage], self.keys.of(stage, ledger)
        of_stage_here = of_stage(stage, self.keys.here)
        context = Context(self.prepared, client, display, provenance, keys, self.keys.scratch())
        ledger.begin(stage, of_stage_here)
        display.event("stage_started", stage=stage)
        if client is not None:
            peak_memory(client)  # from here on
        display.forget_steps()
        started = time.monotonic()
        if stage == "report":
            update_words(self.prepared.config, self.prepared.directory, ledger)
        facts = FUNCTIONS[stage](context)
        seconds = time.monotonic() - started
        memory = {"peak_worker_bytes": peak_memory(client)} if client is not None else {}
        self.look_at_inputs(stage, keys)
        provenance.stage(stage, seconds, **facts, **memory, versions=of_stage_here, steps=display.forget_steps())
        if client is not None:
            peaks = [entry.get("peak_worker_bytes", 0) for entry in provenance.record["stages"].values()]
            provenance.add(peak_memory=provenance.record.get("peak_memory", {}) | {"worker_bytes": max(peaks)})
            provenance.write()
        directory = self.prepared.directory
        entry = Entry(key=keys.stage, parts=parts, digests=_digests(directory, stage), versions=of_stage_here)
        pieces, leaves = keys.pieces if stage in STORES else "", left_by(directory) if stage == "train" else ""
        ledger.finish(stage, entry.model_copy(update={"pieces": pieces, "leaves": leaves}))
        display.event("stage_done", stage=stage, seconds=round(seconds, 3), **memory)

    def look_at_inputs(self, stage: str, keys: Keys) -> None:
        """Tell of inputs that have changed since they were read; what was recorded of them stays as it was then.

        Raises
        ------
        RunError
            If the files of a covariate changed while blocks of the cube were read from them.
        """
        prepared = self.prepared
        found = set(
            changed_since(
                prepared.inputs, prepared.config, prepared.base,
                lambda: {name: source.summary() for name, source in prepared.plan.sources.items()},
                remote=stage == "cube",
            )
        )  # fmt: skip
        of_cube = sorted(name for name in found if name.startswith("files of "))
        if stage == "cube" and of_cube:
            Records.of(prepared.directory / STORES[stage], keys.pieces).clear()
            remove(prepared.directory / STORES[stage])
            raise RunError(
                f"{', '.join(of_cube)} changed while the cube was made of them, so that its blocks may be of two "
                "states; none is kept. Run again once the files no longer change."
            )
        for name in sorted(found - self.changed):
            self.display.say(
                Finding.warning(
                    f"{name} changed since this run began; this run continues with its old content, and the next one "
                    "repeats what depends on it"
                )
            )
        self.changed |= found


def left_by(directory: OutPath) -> str:
    """Hash of what the stage `train` leaves for the map."""
    manifest = read_manifest(directory / "ensemble")
    return key_of(manifest.digest, digest_of(directory / "applicability.npz"))


def amend_report(directory: OutPath) -> None:
    """Enter into the ledger that the report was written once more."""
    ledger = Ledger(directory)
    if entry := ledger.entry("report"):
        ledger.finish("report", entry.model_copy(update={"digests": _digests(directory, "report")}))


def update_words(config: RunFile, directory: OutPath, ledger: Ledger) -> None:
    """Write labels, titles and groups into results that were made with others, and enter what that changes."""
    sound = not damaged_files(directory / "ensemble")
    if write_words(config, directory) and sound and (entry := ledger.entry("train")):
        ledger.finish("train", entry.model_copy(update={"digests": _digests(directory, "train")}))


def _digests(directory: OutPath, stage: str) -> dict[str, str]:
    """Return checksums of a stage's artefacts; stores have their own, block by block."""
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
    prepared: Prepared,
    todo: list[str],
    display: Display,
    provenance: Provenance,
    performance: Path | None,
    given: Client | None,
) -> Iterator[Client | None]:
    """Provide the given cluster, or else that of the run file, checked for the run; None if no stage needs one."""
    if not NEED_CLUSTER.intersection(todo):
        yield None
        return
    spec = prepared.config.cluster
    with ExitStack() as stack:
        client = given or stack.enter_context(connect(**_arguments(spec, prepared.base)))
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        threads, limit = max(w["nthreads"] for w in workers), min(w["memory_limit"] for w in workers)
        display.say(_describe_cluster(client, workers))
        if given or spec.kind != "local":
            _require_fit_workers(client, prepared, display)
        require_known(client, prepared.config)
        projection = require_memory(prepared, limit, threads)
        provenance.add(
            cluster={"workers": len(client.nthreads()), "threads": sum(client.nthreads().values())},
            peak_memory=_projected(projection, threads, limit),
        )
        client.subscribe_topic(TOPIC, lambda event: display.say(Finding.warning(event[1])))
        if performance is not None:
            stack.enter_context(performance_report(filename=str(performance)))
        yield client


def _arguments(spec: Cluster, base: Path) -> dict[str, Any]:
    """Return the cluster section as arguments of `connect`; paths of certificates start from the run file's folder."""
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
            Finding(
                f"{len({m.worker for m in fatal})} of {counted(len(client.nthreads()), 'worker')} cannot do this "
                f"run ({what}; see the table, e.g. {fatal[0].what}: here {fatal[0].here}, there {fatal[0].there}). "
                "Install the same versions there, and let the workers see the same files.",
                "cluster",
            )
        )
    advice = "set OMP_NUM_THREADS=1 and its like for the workers; threads within threads slow them down"
    display.say(Finding.warning(advice))


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
                "fingerprint": prepared.inputs[f"files of {name}"],
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
