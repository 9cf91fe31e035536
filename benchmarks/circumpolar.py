"""Map a made-up circumpolar region at 1 km on this machine: time, memory, and how true the first estimate was.

    python benchmarks/circumpolar.py                    # 36 million cells, 100 replicates
    python benchmarks/circumpolar.py --growth           # memory and time from 1 to 40 million cells

Covariates are made up: smooth fields with noise on EASE-Grid 2.0 North, on land that is made up, too. The model is a
real one: 100 bootstrap replicates of 300 trees of depth 4, trained on 500 sites of that cube.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from machine import describe
from made_up import REPLICATES, ROUNDS, a_grid, a_plan, make_cube, train

from engine.blockwise import map_region
from engine.cluster import local_client
from pipelines.progress import Display


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=36e6, help="valid cells (default: 36 million)")
    parser.add_argument("--workers", type=int, default=None, help="worker processes (default: one a core)")
    parser.add_argument("--growth", action="store_true", help="1, 4, 16 and 40 million cells")
    parser.add_argument("--out", type=Path, default=Path("out/circumpolar"), help="folder for cube and maps")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    print(describe())
    rows = []
    for cells in (1e6, 4e6, 16e6, 40e6) if options.growth else (options.cells,):
        rows.append(measure(cells, options.workers, options.out))
        print(_line(rows[-1]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(cells: float, workers: int | None, out: Path) -> dict[str, float]:
    """Make a cube of so many valid cells, train on it, map it."""
    shutil.rmtree(out, ignore_errors=True)
    grid, display = a_grid(cells), Display()
    with local_client(workers) as client, Memory() as memory:
        threads = sum(client.nthreads().values())
        make_cube(client, grid, out / "cube.zarr", display)
        ensemble = train(client, grid, out, display)
        plan, coords, attrs = a_plan(grid, out, ensemble)
        memory.start_again()
        watch = Estimate()
        with display.stage("map", "blocks") as progress:
            totals, _ = map_region(
                client, plan, out / "maps.zarr", coords, attrs, lambda *n: (progress(*n), watch(*n)), key="benchmark"
            )
        seconds = time.monotonic() - watch.started
    return {
        "cells": int(totals.cells[-1]),
        "workers": threads,
        "seconds": seconds,
        "memory_gb": memory.peak / 1e9,
        "estimate_after_a_minute": watch.total_after_a_minute,
        "row_trees_per_second": totals.cells[-1] * REPLICATES * ROUNDS / seconds,
    }


class Estimate:
    """What the progress promised after one minute."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.total_after_a_minute = float("nan")

    def __call__(self, done: int, total: int) -> None:
        passed = time.monotonic() - self.started
        if passed >= 60 and done and np.isnan(self.total_after_a_minute):
            self.total_after_a_minute = passed * total / done


class Memory:
    """Resident memory of this process and all that it started, looked at every half second."""

    def __enter__(self) -> "Memory":
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def start_again(self) -> None:
        self.peak = 0

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._stop.wait(0.5):
            total = 0
            for process in (this, *this.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


def _line(row: dict[str, float]) -> str:
    estimate = row["estimate_after_a_minute"]
    promised = "" if np.isnan(estimate) else f", promised after a minute: {estimate:.0f} s"
    return (
        f"{row['cells'] / 1e6:.1f} million cells on {row['workers']} workers: {row['seconds']:.0f} s, "
        f"{row['row_trees_per_second'] / 1e9:.2f} billion trees per second, peak {row['memory_gb']:.2f} GB{promised}"
    )


if __name__ == "__main__":
    sys.exit(main())
