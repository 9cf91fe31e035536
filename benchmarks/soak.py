"""A map of 10⁷ cells while workers are killed at random every 20 seconds; then the result against an undisturbed one.

Examples
--------
    python benchmarks/soak.py                                    # 15 minutes of trouble and more
    python benchmarks/soak.py --cells 1e6 --minutes 2 --workers 2  # a look
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from engine.storage.zarr_store import array, open_dataset
from pipelines.virtual import make

GELISOL = Path(sys.executable).with_name("gelisol")
REGION_KM2 = 558_000
"""Area of the virtual region."""
TABLES = ("stocks.csv", "replicate_totals.csv", "validation.csv", "stock_uncertainty.csv")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=1e7, help="cells that are mapped, about")
    parser.add_argument("--minutes", type=float, default=15, help="map again, under fire, until this time is over")
    parser.add_argument("--every", type=float, default=20, help="seconds between kills, on average")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--out", type=Path, help="keep the results here")
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    arguments = parser.parse_args()
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="gelisol-soak-"))
    try:
        return soak(folder, arguments)
    finally:
        if arguments.out is None:
            shutil.rmtree(folder, ignore_errors=True)


def soak(folder: Path, arguments: argparse.Namespace) -> int:
    run_file = folder / "input" / "run.yaml"
    if not run_file.exists():
        run_file = make(folder / "input", "full", on_step=print)
    resolution = 1000 * (REGION_KM2 / arguments.cells) ** 0.5
    settings = {
        "domain.resolution": f"{resolution:.6g}", "domain.chunk": "256", "model.families": "[xgboost]",
        "model.replicates": str(arguments.replicates), "model.validation.repeats": "2",
        "model.validation.schemes": "[random]", "model.validation.coverage": "0",
        "cluster": f"{{kind: local, workers: {arguments.workers}}}",
    }  # fmt: skip
    command = [GELISOL, "run", run_file, "--until", "map"]
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    calm, storm = folder / "calm", folder / "storm"
    started = time.monotonic()
    subprocess.run([*command, "--out", calm], check=True)
    print(f"undisturbed: {time.monotonic() - started:.0f} s")
    rng, kills, maps, redone = random.Random(arguments.seed), 0, 0, 0
    started = time.monotonic()
    while maps == 0 or time.monotonic() - started < 60 * arguments.minutes:
        process = subprocess.Popen([*command, "--out", storm, *(["--fresh"] if maps else [])])
        kills += shoot(process, rng, arguments.every)
        if process.returncode:
            print(f"FAILED: exit code {process.returncode} after {kills} kills")
            return 1
        maps += 1
        redone += restarts(storm)
        if problems := differences(calm, storm):
            print("FAILED: differs from the undisturbed map:", *problems, sep="\n  ")
            return 1
    grid = json.loads((storm / "provenance.json").read_text())["grid"]
    minutes = (time.monotonic() - started) / 60
    print(
        f"{maps} maps of {grid['cells_mapped']:,} cells in {minutes:.1f} min, {kills} workers killed, "
        f"{redone} restarts noted by Dask; every map and table is the undisturbed one, bit for bit"
    )
    return 0


def shoot(process: subprocess.Popen[bytes], rng: random.Random, every: float) -> int:
    """Kill a worker now and then until the run ends; how many were killed."""
    kills, due = 0, time.monotonic() + rng.expovariate(1 / every)
    while process.poll() is None:
        time.sleep(0.2)
        if time.monotonic() < due:
            continue
        workers = workers_of(process.pid)
        if workers:
            os.kill(rng.choice(workers).pid, signal.SIGKILL)
            kills += 1
        due = time.monotonic() + rng.expovariate(1 / every)
    return kills


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes of a run."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def restarts(out: Path) -> int:
    return (out / "gelisol.log").read_text(encoding="utf-8").count("Restarting worker")


def differences(ours: Path, theirs: Path) -> list[str]:
    """What differs, store by store, a strip of chunks at a time."""
    found = [table for table in TABLES if (ours / table).read_bytes() != (theirs / table).read_bytes()]
    for store in ("cube.zarr", "maps.zarr"):
        with open_dataset(ours / store) as dataset:
            names = list(dataset.data_vars)
        for name in names:
            one, other = array(ours / store, str(name)), array(theirs / store, str(name))
            strip = one.chunks[-2]
            same = all(
                np.array_equal(one[..., row : row + strip, :], other[..., row : row + strip, :], equal_nan=True)
                for row in range(0, one.shape[-2], strip)
            )
            if not same:
                found.append(f"{store}/{name}")
    return found


if __name__ == "__main__":
    sys.exit(main())
