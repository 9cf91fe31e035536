"""Map a made-up circumpolar region at 1 km on this machine: time, memory, how true the first estimate was, and where
the time goes.

    python benchmarks/circumpolar.py                    # 36 million cells, 100 replicates
    python benchmarks/circumpolar.py --growth           # 1 to 40 million cells; tables into benchmarks/README.md
    python benchmarks/circumpolar.py --plain            # without the joint model of the errors

Covariates are made up: smooth fields with noise on EASE-Grid 2.0 North, on land that is made up, too. The model is a
real one: 100 bootstrap replicates of 300 trees of depth 4, trained on 500 sites of that cube.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from breakdown import BLOCKS, breakdown
from machine import Memory, describe, publish, table
from made_up import REPLICATES, ROUNDS, a_grid, a_plan, make_cube, train

from engine.ensemble.trained import Ensemble
from engine.execution.cluster import local_client
from engine.formatting import counted
from engine.mapping.blockwise import map_region
from engine.storage.zarr_store import array
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import ErrorModel
from pipelines.progress import Display

GROWTH = (1e6, 4e6, 16e6, 40e6)
ESTIMATES_S = (10, 60)
DRAWN = 1400
"""Cells along each side of the square that draws are made of; about half of it is land."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=36e6, help="valid cells (default: 36 million)")
    parser.add_argument("--workers", type=int, default=None, help="worker processes (default: one a core)")
    parser.add_argument("--growth", action="store_true", help="1, 4, 16 and 40 million cells")
    parser.add_argument("--plain", action="store_true", help="without the joint model of the errors")
    parser.add_argument("--out", type=Path, default=Path("out/circumpolar"), help="folder for cube and maps")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    sizes_ = GROWTH if options.growth else (options.cells,)
    rows = [measure(cells, options.workers, options.out, not options.plain) for cells in sizes_]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    text = "\n\n".join([f"Measured on: {describe()}.", sizes(rows), parts(rows[-1], options.out, not options.plain)])
    if not options.plain:
        text += "\n\n" + draws(rows[-1], options.out)
    print(text)
    if options.growth:
        publish("circumpolar.py", text)


def measure(cells: float, workers: int | None, out: Path, joint: bool) -> dict[str, float]:
    """Make a cube of so many valid cells, train on it, map it."""
    shutil.rmtree(out, ignore_errors=True)
    grid, display = a_grid(cells), Display()
    with local_client(workers) as client, Memory() as memory:
        threads = sum(client.nthreads().values())
        started = time.monotonic()
        make_cube(client, grid, out / "cube.zarr", display)
        cube = time.monotonic() - started
        ensemble = train(client, grid, out, display)
        training = time.monotonic() - started - cube
        plan, coords, attrs = a_plan(grid, out, ensemble, joint)
        memory.start_again()
        watch = Estimate()
        with display.stage("map", "block") as progress:
            whole, _ = map_region(
                client, plan, out / "maps.zarr", coords, attrs, lambda *n: (progress(*n), watch(*n)), key="benchmark"
            )
        seconds = time.monotonic() - watch.started
    return {
        "wanted": cells,
        "cells": int(whole.map.cells[-1]),
        "blocks": grid.n_blocks,
        "block_side": grid.chunk,
        "workers": threads,
        "cube_seconds": cube,
        "training_seconds": training,
        "seconds": seconds,
        "memory_gb": memory.peak / 1e9,
        "row_trees_per_second": whole.map.cells[-1] * REPLICATES * ROUNDS / seconds,
    } | {f"estimate_after_{after}_s": estimate for after, estimate in watch.estimates.items()}


class Estimate:
    """What the progress promises, after some seconds, that the whole takes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.estimates: dict[int, float] = {}

    def __call__(self, done: int, total: int) -> None:
        passed = time.monotonic() - self.started
        for after in ESTIMATES_S:
            if passed >= after and done and after not in self.estimates:
                self.estimates[after] = passed * total / done


def sizes(rows: list[dict[str, float]]) -> str:
    """Time and memory of each size."""
    headings = ["million cells", "blocks", "workers", "cube, s", "training, s", "map, s"]
    headings += [*(f"promised after {after} s" for after in ESTIMATES_S), "10⁹ trees a second", "memory in all, GB"]
    lines = [headings]
    for row in rows:
        promised = [row.get(f"estimate_after_{after}_s") for after in ESTIMATES_S]
        lines.append([
            f"{row['cells'] / 1e6:.1f}", f"{row['blocks']:.0f} of {row['block_side']:.0f}²", f"{row['workers']:.0f}",
            f"{row['cube_seconds']:.0f}", f"{row['training_seconds']:.0f}", f"{row['seconds']:.0f}",
            *("" if seconds is None else f"{seconds:.0f} s" for seconds in promised),
            f"{row['row_trees_per_second'] / 1e9:.1f}", f"{row['memory_gb']:.2f}",
        ])  # fmt: skip
    return table(lines)


def parts(row: dict[str, float], out: Path, joint: bool) -> str:
    """Where the time of the last map went."""
    grid = a_grid(row["wanted"])
    plan, *_ = a_plan(grid, out, Ensemble(out / "ensemble"), joint)
    text, of_cell = breakdown(plan, out / "maps.zarr")
    busy = row["cells"] * of_cell / 1e6 / row["workers"]
    return (
        f"What a core does for each valid cell, in {BLOCKS} blocks, full and partly empty ones:\n\n{text}\n\n"
        f"At that rate the {row['workers']:.0f} workers are busy for {busy:.0f} s of the {row['seconds']:.0f} s. "
        "The rest is checksums, waiting for the disk, Dask, and what workers take from each other's caches and memory."
    )


def draws(row: dict[str, float], out: Path) -> str:
    """How long draws of part of the map take, from the cube and the ensemble on disk."""
    grid = a_grid(row["wanted"])
    plan, *_ = a_plan(grid, out, Ensemble(out / "ensemble"))
    assert plan.errors is not None and plan.zones is not None
    height, width = grid.shape
    rows, cols = (slice((n - min(n, DRAWN)) // 2, (n + min(n, DRAWN)) // 2) for n in (height, width))
    started = time.monotonic()
    ensemble, errors = Ensemble(plan.ensemble), ErrorModel.load(plan.errors)
    values = {name: np.asarray(array(plan.cube, name)[rows, cols]) for name in ensemble.features.covariates}
    cells = np.flatnonzero(ensemble.features.complete(values))
    row_of, col_of = np.divmod(cells, cols.stop - cols.start)
    x, y = grid.geobox.pix2wld(col_of + cols.start + 0.5, row_of + rows.start + 0.5)
    design = ensemble.features.matrix({name: of_block.ravel()[cells] for name, of_block in values.items()})
    zone = np.asarray(array(plan.cube, plan.zones)[rows, cols]).ravel()[cells].astype("int64")
    predicted = ensemble.predict_all(design)
    columns = errors.basis.columns(predicted.mean(axis=0), design, zone)
    drawn = Draws.of(errors, len(predicted)).at(np.asarray(x), np.asarray(y), columns, predicted)
    seconds = time.monotonic() - started
    return (
        f"{len(drawn)} draws of {counted(drawn.shape[1], 'depth')} over {len(cells) / 1e6:.2f} million cells in the "
        f"middle of it, from what is on disk: {seconds:.1f} s."
    )


if __name__ == "__main__":
    sys.exit(main())
