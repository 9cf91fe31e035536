"""A run: the stages in their order, on a cluster, each done once and recorded."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from distributed import Client
from ruamel.yaml import YAML

import engine
from engine.cluster import local_client, peak_memory, remote_client
from engine.ledger import Ledger, key_of
from engine.outputs.store import staged
from engine.sources import SourceSpec
from engine.sources.remote import is_remote, place_of, read_bytes
from pipelines import STAGES
from pipelines.config import Cluster
from pipelines.prepare import Prepared
from pipelines.progress import Display
from pipelines.provenance import Provenance
from pipelines.stages import ARTEFACTS, FUNCTIONS, NEED_CLUSTER, Context


def stage_keys(prepared: Prepared) -> dict[str, str]:
    """A key per stage of all that its artefacts depend on."""
    config = prepared.config
    entries = config.model_dump(mode="json")
    boundary = read_bytes(place_of(config.domain.boundary, prepared.base)).hex() if config.domain.boundary else ""
    sources = {name: summary.fingerprint for name, summary in prepared.summaries.items()}
    table = read_bytes(place_of(config.observations.table, prepared.data)).hex()
    version = engine.__version__
    keys = {
        "profiles": key_of(version, entries["observations"], entries["depths"], table),
        "cube": key_of(version, entries["domain"], boundary, entries["covariates"], entries["zones"], sources),
    }
    keys["select"] = key_of(keys["profiles"], keys["cube"], entries["selection"])
    keys["train"] = key_of(keys["select"], entries["model"])
    keys["map"] = key_of(keys["train"], entries["name"], entries["title"], entries["synthetic"])
    keys["report"] = key_of(keys["map"], entries["truth"])
    return keys


def stage_states(prepared: Prepared) -> dict[str, str]:
    """Stage → `done`, `stale` (done before something it depends on changed) or `to do`."""
    ledger, states = Ledger(prepared.directory), {}
    for stage, key in stage_keys(prepared).items():
        done = ledger.is_done(stage, key, _artefacts(prepared.directory, stage))
        states[stage] = "done" if done else "stale" if ledger.was_done(stage) else "to do"
    return states


def execute(
    prepared: Prepared, *, until: str = STAGES[-1], fresh: bool = False, display: Display | None = None
) -> Path:
    """Run every stage that is not done yet, up to and including `until`.

    Parameters
    ----------
    fresh : bool
        Do all of them again.

    Returns
    -------
    Path
        The results folder.
    """
    display = display or Display()
    directory = prepared.directory
    directory.mkdir(parents=True, exist_ok=True)
    if fresh:
        (directory / "ledger.json").unlink(missing_ok=True)
    ledger, keys = Ledger(directory), stage_keys(prepared)
    wanted = STAGES[: STAGES.index(until) + 1]
    todo = [s for s in wanted if not ledger.is_done(s, keys[s], _artefacts(directory, s))]
    for stage in wanted:
        if stage not in todo:
            display.say(f"{stage}: done before, kept")
    provenance = Provenance(directory)
    _describe(prepared, provenance)
    write_run_file(prepared)
    with _cluster(prepared.config.cluster, todo) as client:
        if client is not None:
            display.say(f"cluster: {_describe_cluster(client)}")
            provenance.add(cluster={"workers": len(client.nthreads()), "threads": sum(client.nthreads().values())})
        for stage in todo:
            ledger.begin(stage)
            started = time.monotonic()
            facts = FUNCTIONS[stage](Context(prepared, client, display, provenance, keys[stage]))
            if client is not None:
                provenance.add(peak_memory={"worker_bytes": peak_memory(client)})
            provenance.stage(stage, time.monotonic() - started, **facts)
            ledger.finish(stage, keys[stage])
    return directory


def _artefacts(directory: Path, stage: str) -> list[Path]:
    return [directory / name for name in ARTEFACTS[stage]]


@contextmanager
def _cluster(spec: Cluster, todo: list[str]) -> Iterator[Client | None]:
    """The cluster of the run file; none if no stage to do needs one."""
    source: AbstractContextManager[Client | None]
    if not NEED_CLUSTER.intersection(todo):
        source = nullcontext()
    elif spec.kind == "address":
        assert spec.address is not None
        source = remote_client(spec.address)
    else:
        source = local_client(spec.workers, spec.threads, spec.memory)
    with source as client:
        yield client


def _describe_cluster(client: Client) -> str:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = sum(worker["nthreads"] for worker in workers)
    memory = sum(worker["memory_limit"] for worker in workers)
    return f"{len(workers)} workers, {threads} threads, {memory / 2**30:.1f} GiB, dashboard {client.dashboard_link}"


def _describe(prepared: Prepared, provenance: Provenance) -> None:
    grid, config = prepared.grid, prepared.config
    provenance.add(
        seed=config.model.seed,
        sources={
            name: {
                "files": len(s.files),
                "bytes": s.bytes,
                "fingerprint": s.fingerprint,
                "resolution": s.resolution,
                "crs_unit": "degree" if s.crs.geographic else "metre",
                "period": s.period,
            }
            for name, s in prepared.summaries.items()
        },
        grid={
            **provenance.record.get("grid", {}),
            "crs": str(grid.geobox.crs),
            "shape": list(grid.shape),
            "resolution": config.domain.resolution,
            "chunk": grid.chunk,
            "equal_area": grid.is_equal_area,
        },
    )
    provenance.write()


def write_run_file(prepared: Prepared) -> None:
    """Leave the resolved run file in the results folder, its paths relative to that folder."""
    entries = prepared.config.model_dump(mode="json", exclude_none=True)

    def relative(path: str, base: Path = prepared.data) -> str:
        if is_remote(path) or Path(path).is_absolute():
            return path
        return Path(os.path.relpath(base / path, prepared.directory)).as_posix()

    def moved(spec: SourceSpec) -> dict[str, Any]:
        there = spec.with_paths(relative, lambda about: relative(about, prepared.base))
        return there.model_dump(mode="json", exclude_none=True)

    config = prepared.config
    entries["covariates"] = {name: moved(spec) for name, spec in config.covariates.items()}
    if isinstance(config.zones, SourceSpec):
        entries["zones"] = moved(config.zones)
    entries["observations"]["table"] = relative(entries["observations"]["table"])
    if "boundary" in entries["domain"]:
        entries["domain"]["boundary"] = relative(entries["domain"]["boundary"], prepared.base)
    if "truth" in entries:
        entries["truth"] = relative(entries["truth"], prepared.base)
    entries["output"]["dir"] = entries["data"] = "."
    # The round-trip representer keeps the order of keys; the safe one sorts them.
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 1000
    with staged(prepared.directory / "run.yaml") as stage, stage.open("w", encoding="utf-8") as file:
        yaml.dump(entries, file)
