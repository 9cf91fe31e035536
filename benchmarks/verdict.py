"""How often the verdict is wrong: made-up regions of which it is known whether the covariates hold information.

A region is judged as any run is, up to the map; what is done is kept, so that the same command goes on from there.

Examples
--------
    python benchmarks/verdict.py --out /tmp/verdict            # 30 regions of each kind
    python benchmarks/verdict.py --out /tmp/verdict --regions 3
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import pandas as pd
from distributed import LocalCluster
from machine import publish, table

from pipelines.prepare import open_run
from pipelines.progress import Display
from pipelines.run import execute
from pipelines.soil_carbon.results import read_results
from pipelines.soil_carbon.summary import write_summary
from pipelines.virtual.trial_region import TrialRegion, write_region

KINDS = {
    "noise, clustered": {"information": 0.0, "clusters": 12},
    "noise, spread": {"information": 0.0},
    "correlated noise, clustered": {"information": 0.0, "correlated": 0.7, "clusters": 12},
    "signal, clustered": {"information": 0.6, "clusters": 12},
    "signal, spread": {"information": 0.6},
    "correlated rest, spread": {"information": 0.6, "correlated": 0.7},
}
"""Of regions: noise says that the covariates know nothing of the density."""
LEVELS = ("supported", "weak", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=30, help="of each kind")
    parser.add_argument("--out", type=Path, required=True, help="folder of the regions and of what was found in them")
    parser.add_argument("--publish", action="store_true", help="also write the table into README.md")
    arguments = parser.parse_args()
    found = arguments.out / "verdicts.csv"
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = set(pd.read_csv(found)[["kind", "seed"]].itertuples(index=False, name=None)) if found.exists() else set()
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
                      dashboard_address=None) as cluster:  # fmt: skip
        for seed in range(arguments.regions):
            for kind, settings in KINDS.items():
                if (kind, seed) not in done:
                    folder = arguments.out / "region"
                    shutil.rmtree(folder, ignore_errors=True)
                    add(
                        found, {"kind": kind, "seed": seed, **judged(folder, cluster.scheduler_address, seed, settings)}
                    )
    shown = summarised(pd.read_csv(found))
    print(shown)
    if arguments.publish:
        publish("verdict.py", shown)


def judged(folder: Path, scheduler: str, seed: int, settings: dict) -> dict:
    """A region's verdict and what it rests on."""
    run_file = write_region(folder, TrialRegion(seed, **settings))
    on_scheduler = f"cluster={{kind: address, address: '{scheduler}'}}"
    prepared = open_run(run_file, (on_scheduler,), folder / "out")
    execute(prepared, until="map", display=Display(style="lines"), log_level="ERROR")
    verdict = write_summary(read_results(folder / "out"))
    evidence = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))["evidence"]
    skill = evidence["depths"][0]["skill"]
    return {
        "verdict": verdict.level, "codes": " ".join(sorted({reason.code for reason in verdict.against})),
        "skill": skill["value"], "lower": skill["lower"], "groups": skill["groups"],
        "random": evidence["skills"]["random"]["xgboost"], "outside": evidence["outside"],
    }  # fmt: skip


def add(file: Path, row: dict) -> None:
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def summarised(found: pd.DataFrame) -> str:
    """A row per kind of region: verdicts, and the mean skill under random folds and under those that count."""
    rows = [["regions", "number", *LEVELS, "R² at random", "R² of kNNDM", "bound above 0"]]
    for kind, own in found.groupby("kind", sort=False):
        counts = own["verdict"].value_counts()
        rows.append(
            [str(kind), str(len(own)), *(str(counts.get(level, 0)) for level in LEVELS),
             f"{own['random'].mean():.2f}", f"{own['skill'].mean():.2f}", str(int((own["lower"] > 0).sum()))]
        )  # fmt: skip
    return table(rows)


if __name__ == "__main__":
    main()
