"""What a task of the map costs, and what follows for 10, 100 and 1,000 workers; checked against 1 and 2 real ones.

    python benchmarks/scaling.py                 # tables to the screen and into benchmarks/README.md

The costs that are found are those of `engine.grid.chunking.MAP`, from which the size of blocks is chosen.
"""

import argparse
import os
import pickle
import shutil
import sys
import time
from pathlib import Path

from distributed import Client
from machine import cpu_seconds, describe, publish, table
from made_up import a_grid, a_plan, make_cube, train

from engine.ensemble.trained import Ensemble, load_ensemble
from engine.execution.cluster import local_client
from engine.execution.ledger import Records
from engine.execution.tasks import run_each
from engine.grid.chunking import CHUNKS, WORKERS, Cost, OneMachine
from engine.grid.grid import Block, Grid
from engine.mapping.blockwise import MapPlan, map_region
from engine.validation.applicability import Applicability
from pipelines.progress import Display

TASKS = 2000
SMALL, LARGE = 128, 512
"""Block sides whose times tell the cost of a block from that of a cell."""
CIRCUMPOLAR = 36e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=4e6, help="valid cells that are mapped (default: 4 million)")
    parser.add_argument("--out", type=Path, default=Path("out/scaling"), help="folder for cubes and maps")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    display = Display()
    grids = {chunk: a_grid(options.cells, chunk) for chunk in (SMALL, LARGE)}
    with local_client(2) as client:
        for chunk, grid in grids.items():
            make_cube(client, grid, options.out / f"{chunk}" / "cube.zarr", display)
        ensemble = train(client, grids[LARGE], options.out / f"{LARGE}", display)
        for name in ("ensemble", "applicability.npz"):
            (options.out / f"{SMALL}" / name).symlink_to((options.out / f"{LARGE}" / name).resolve())
    seconds: dict[tuple[int, int], float] = {}
    used: dict[tuple[int, int], float] = {}
    for workers in (1, 2):
        with local_client(workers) as client:
            per_task = time_of_tasks(client)
            start = time_of_start(client, a_plan(grids[LARGE], options.out / f"{LARGE}", ensemble)[0])
            for chunk, grid in grids.items():
                before = cpu_seconds()
                seconds[workers, chunk], cells = time_of_map(client, grid, options.out / f"{chunk}", ensemble, display)
                used[workers, chunk] = cpu_seconds() - before
    cost = fit(start, per_task, cells, grids, seconds)
    beside = (used[1, SMALL] - seconds[1, SMALL]) / grids[SMALL].n_blocks
    shared = OneMachine(os.cpu_count() or 1, beside)
    text = "\n\n".join(
        [
            f"Measured on: {describe()}.",
            f"{cells / 1e6:.1f} million cells, 100 replicates of 300 trees. A worker starts in {cost.start:.1f} s; a "
            f"task costs client and scheduler {cost.task * 1e3:.1f} ms, a block {cost.block * 1e3:.0f} ms and a cell "
            f"{cost.cell * 1e6:.2f} µs of a worker.",
            f"Beside the worker's time, a block takes {shared.beside * 1e3:.0f} ms of a core: client, scheduler, and "
            f"the threads in which a worker compresses and writes. On one machine, {shared.cores} cores do all this.",
            check(cost, shared, cells, grids, seconds),
            "One worker's times are what the costs come from; those of two are the check.",
            predict(cost, cells, grids[LARGE], options.out, ensemble),
        ]
    )
    print(text)
    publish("scaling.py", text)


def time_of_tasks(client: Client) -> float:
    """Seconds per task that does nothing."""
    started = time.monotonic()
    for _ in run_each(client, int, range(TASKS), total=TASKS):
        pass
    return (time.monotonic() - started) / TASKS


def time_of_start(client: Client, plan: MapPlan) -> float:
    """Seconds in which every worker gets ready."""
    started = time.monotonic()
    client.run(get_ready, plan)
    return time.monotonic() - started


def get_ready(plan: MapPlan) -> None:
    """What a worker does before its first block."""
    assert load_ensemble(plan.ensemble, plan.digest).forest
    Applicability.load(plan.applicability)


def time_of_map(client: Client, grid: Grid, out: Path, ensemble: Ensemble, display: Display) -> tuple[float, int]:
    """Seconds of a map on workers that are ready, and its cells."""
    plan, coords, attrs = a_plan(grid, out, ensemble)
    started = time.monotonic()
    with display.stage(f"map, blocks of {grid.chunk}", "block") as progress:
        whole, _ = map_region(client, plan, out / "maps.zarr", coords, attrs, progress, key="benchmark")
    seconds = time.monotonic() - started
    shutil.rmtree(out / "maps.zarr")
    Records.of(out / "maps.zarr", "benchmark").clear()
    return seconds, int(whole.map.cells[-1])


def fit(start: float, task: float, cells: int, grids: dict[int, Grid], seconds: dict[tuple[int, int], float]) -> Cost:
    """Costs of a block and of a cell from the times of one worker: two equations."""
    small, large = grids[SMALL].n_blocks, grids[LARGE].n_blocks
    block = (seconds[1, SMALL] - seconds[1, LARGE]) / (small - large)
    return Cost(start, task, block, (seconds[1, LARGE] - large * block) / cells)


def check(
    cost: Cost, shared: OneMachine, cells: int, grids: dict[int, Grid], seconds: dict[tuple[int, int], float]
) -> str:
    """What was measured beside what the model says."""
    rows = [["workers", "block side", "blocks", "measured, s", "predicted, s", "off by"]]
    for (workers, chunk), measured in seconds.items():
        blocks = grids[chunk].n_blocks
        predicted = cost.seconds(blocks, cells, workers, shared) - cost.start
        rows.append([
            f"{workers}", f"{chunk}", f"{blocks}", f"{measured:.1f}", f"{predicted:.1f}",
            f"{predicted / measured - 1:+.0%}",
        ])  # fmt: skip
    return table(rows)


def predict(cost: Cost, cells: int, grid: Grid, out: Path, ensemble: Ensemble) -> str:
    """The circumpolar region on more workers than there are here."""
    block = next(iter(grid.blocks()))
    plan, *_ = a_plan(grid, out / f"{LARGE}", ensemble)
    sent = len(pickle.dumps((Block, block, plan)))
    stored = sum(file.stat().st_size for file in (out / f"{LARGE}" / "cube.zarr").rglob("*") if file.is_file())
    rows = [["workers", *(f"blocks of {chunk}" for chunk in CHUNKS[1:]), "chosen"]]
    region = a_grid(CIRCUMPOLAR)
    for workers in WORKERS:
        times = [
            f"{cost.seconds(a_grid(CIRCUMPOLAR, chunk).n_blocks, CIRCUMPOLAR, workers):,.0f} s" for chunk in CHUNKS[1:]
        ]
        rows.append([f"{workers:,}", *times, f"{region.chunk}"])
    return (
        f"Predicted for {CIRCUMPOLAR / 1e6:.0f} million cells. Each task sends {sent / 1e3:.0f} kB to the scheduler; "
        f"workers read {stored / cells:.0f} bytes of the cube a cell.\n\n{table(rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
