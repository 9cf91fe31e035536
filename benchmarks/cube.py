"""The ten covariates of the virtual region on its grid: the stage `cube` beside the usual recipes (`recipes.py`).

    python benchmarks/cube.py                  # full size, two workers: table to the screen and into README.md
    python benchmarks/cube.py --size small     # a quick look; the README stays as it is

Each way runs in processes of its own, from closed files to a whole Zarr store, a few times, in turns. The files are
read once before, so that all find them in the system's cache. Memory is that of client, scheduler and workers together.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import recipes
import xarray as xr
from machine import Memory, cpu_seconds, describe, publish

from engine.cube.build import DOMAIN, CubePlan, build_cube
from engine.execution.cluster import local_client
from engine.sources.opening import open_source
from engine.storage.zarr_store import open_dataset
from pipelines.preflight.prepare import open_run
from pipelines.soil_carbon.prepared import Prepared
from pipelines.virtual import make

TARGET_S = 60
"""Within what two workers are to be done, s."""
OURS = "gelisol, stage `cube`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--input", type=Path, default=Path("out/cube-benchmark"), help="folder of the virtual region")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    folder = options.input / options.size
    if not (folder / "run.yaml").exists():  # written last
        make(folder, options.size, on_step=print)
    for file in folder.joinpath("raw").rglob("*.*"):
        file.read_bytes()
    prepared = open_run(folder / "run.yaml")
    with TemporaryDirectory(dir=options.input) as stores:
        spent = measure(folder / "run.yaml", Path(stores), options.workers, options.repeats)
        text = report(prepared, Path(stores), spent, options.workers)
    print(text)
    if options.size == "full":
        publish("cube.py", text)


@dataclass(frozen=True)
class Spent:
    """What one go took: seconds, seconds of processors, bytes."""

    wall: float
    cpu: float
    memory: int


def gelisol(prepared: Prepared, path: Path) -> None:
    """What a run does for its stage `cube`, the opening of the sources included."""
    from distributed import get_client

    specs = prepared.config.covariates
    sources = {name: open_source(name, spec, prepared.data) for name, spec in specs.items()}
    build_cube(get_client(), CubePlan.make(prepared.grid, sources), path, {}, key="benchmark")


WAYS: dict[str, Callable[[Prepared, Path], None]] = {
    OURS: gelisol,
    "odc-geo `xr_reproject`, `to_zarr`": recipes.odc_geo,
    "rioxarray `reproject_match`, `to_zarr`": recipes.reproject_match,
}


def measure(run_file: Path, stores: Path, workers: int, repeats: int) -> dict[str, list[Spent]]:
    """Every way so many times, in turns; the stores of the last turn stay."""
    spent: dict[str, list[Spent]] = {way: [] for way in WAYS}
    for turn in range(repeats):
        for number, way in enumerate(WAYS):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
                path = stores / f"{turn}-{number}.zarr"
                spent[way].append(apart.submit(go, way, run_file, path, workers).result())
    return spent


def go(way: str, run_file: Path, path: Path, workers: int) -> Spent:
    """Once, on a cluster of its own."""
    prepared = open_run(run_file)
    with local_client(workers), Memory(0.1) as memory:
        started, used = time.monotonic(), cpu_seconds()
        WAYS[way](prepared, path)
        return Spent(time.monotonic() - started, cpu_seconds() - used, memory.peak)


def report(prepared: Prepared, stores: Path, spent: dict[str, list[Spent]], workers: int) -> str:
    """What all of it was, as the README has it."""
    turn = len(spent[OURS]) - 1
    ours = open_dataset(stores / f"{turn}-0.zarr")
    inside = ours[DOMAIN].values == 1
    lines = ["| | s | s, fastest–slowest | processor s | peak memory, GB | largest difference of means | same class |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for number, (way, goes) in enumerate(spent.items()):
        wall = sorted(go.wall for go in goes)
        theirs = xr.open_zarr(stores / f"{turn}-{number}.zarr", consolidated=False)
        lines.append(
            f"| {way} | {statistics.median(wall):.1f} | {wall[0]:.1f}–{wall[-1]:.1f} | "
            f"{statistics.median(go.cpu for go in goes):.1f} | {max(go.memory for go in goes) / 1e9:.2f} | "
            + (" | |" if way == OURS else f"{_difference(prepared, ours, theirs, inside)} |")
        )
    height, width = prepared.grid.shape
    seconds = statistics.median(go.wall for go in spent[OURS])
    return "\n\n".join([
        f"Measured on: {describe()}.",
        f"{len(prepared.config.covariates)} covariates, {height} × {width} cells of "
        f"{prepared.config.domain.resolution:g} m of which {inside.sum():,} in the domain, {workers} workers of one "
        f"thread, {turn + 1} times each: {seconds:.0f} s; the target is {TARGET_S} s.",
        "\n".join(lines),
    ])  # fmt: skip


def _difference(prepared: Prepared, ours: xr.Dataset, theirs: xr.Dataset, inside: np.ndarray) -> str:
    """The largest difference of means over the domain, in SDs of the covariate; share of cells of the same class."""
    largest, same = (0.0, ""), []
    for name, spec in prepared.config.covariates.items():
        one, other = ours[name].values, theirs[name].values
        if spec.is_categorical:
            same.append(float((one == other)[inside].mean()))
            continue
        known = inside & np.isfinite(one) & np.isfinite(other)
        one, other = one[known].astype("float64"), other[known].astype("float64")
        largest = max(largest, (abs(one.mean() - other.mean()) / one.std(), name))
    return f"{largest[0]:.1g} SD ({largest[1]}) | {min(same):.1%}"


if __name__ == "__main__":
    sys.exit(main())
