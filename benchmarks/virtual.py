"""The virtual region from raw files to report: how long, how much memory, how near the truth.

Examples
--------
    python benchmarks/virtual.py                            # small, as `make demo`
    python benchmarks/virtual.py --size full --repeats 100  # the study's whole protocol
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil

from engine.storage.zarr_store import open_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--repeats", type=int, help="repeats of the cross-validation; default: the demo's")
    parser.add_argument("--out", type=Path, help="keep the results in this folder")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary) / "virtual"
        settings = ["--set", f"model.validation.repeats={arguments.repeats}"] if arguments.repeats else []
        started = time.monotonic()
        subprocess.run(
            [Path(sys.executable).with_name("gelisol"), "demo", "--size", arguments.size, "--out", out, *settings],
            check=True,
        )
        report(out, arguments.size, time.monotonic() - started)


def report(out: Path, size: str, seconds: float) -> None:
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    machine = platform.processor() or platform.machine()
    print(f"\n{machine}, {psutil.cpu_count()} cores, Python {platform.python_version()}")
    print(f"virtual region, {size}: {record['grid']['cells_mapped']:,} cells mapped, {seconds:.0f} s in all\n")
    for stage, facts in record["stages"].items():
        print(f"  {stage:<10}{facts['seconds']:8.1f} s")
    print(f"  peak memory of a worker {record['peak_memory']['worker_bytes'] / 1e9:.2f} GB\n")
    scores = pd.read_csv(out / "validation.csv").groupby(["scheme", "family"], sort=False).mean(numeric_only=True)
    print(scores.drop(columns="repeat").round(2).to_string(), "\n")
    drivers = pd.read_csv(out / "importance.csv").query("kind == 'covariate'")
    shares = zip(drivers["label"], drivers["gain_percent"], strict=True)
    print("gain:", ", ".join(f"{label} {percent:.1f} %" for label, percent in shares), "\n")
    stocks = pd.read_csv(out / "stocks.csv").query("zone == 'total'").set_index("depth")
    maps, truth = open_dataset(out / "maps.zarr"), open_dataset(out / "input" / "truth.zarr")
    for depth in maps["depth"].values:
        mapped = maps["mean"].sel(depth=depth).values
        true = truth["socd"].sel(depth=depth).values
        known = np.isfinite(mapped) & np.isfinite(true)
        total = stocks.loc[depth, "area_km2"] * true[known].mean() * 1e-6
        stock, lower, upper = stocks.loc[depth, ["stock_pg", "stock_lower_pg", "stock_upper_pg"]]
        r = np.corrcoef(mapped[known], true[known])[0, 1]
        totals = f"{stock:.2f} Pg C ({lower:.2f}–{upper:.2f}), truth {total:.2f}"
        print(f"{depth} cm: {totals}; the maps correlate by {r:.2f}")
    print("\n" + pd.read_csv(out / "coverage.csv").round(3).to_string(index=False))


if __name__ == "__main__":
    main()
