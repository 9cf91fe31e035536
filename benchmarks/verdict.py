"""How often the verdict is wrong: made-up regions of which it is known whether the covariates hold information.

By default only the skill is measured, which decides on `none` and without which nothing is `supported`: two seconds a
region. With --whole, regions are judged by whole runs up to the map, some twenty seconds each. What is done is kept, so
that the same command goes on from there.

Examples
--------
    python benchmarks/verdict.py --out /tmp/verdict            # 30 regions of each kind
    python benchmarks/verdict.py --out /tmp/verdict --regions 3 --whole
"""

import argparse
import csv
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import LocalCluster
from machine import publish, table
from pyproj import Transformer
from xgboost import XGBRegressor

from engine.statistics.variogram import fit_variogram
from engine.validation.folds import default_block_size_km, knndm_folds, random_folds, squares
from engine.validation.interval_coverage import LEVELS as LEVELS_OF_INTERVALS
from engine.validation.skill import Skill, training_means
from pipelines.preflight.prepare import open_run
from pipelines.progress import Display
from pipelines.run.execute import execute
from pipelines.soil_carbon.results.read_results import read_results
from pipelines.soil_carbon.verdict.rules import LEVELS, AtDepth, Covered, Evidence, SkillFound, judge
from pipelines.soil_carbon.verdict.summary import write_summary
from pipelines.virtual.trial_region import CELL, CRS, PARAMETERS, TrialRegion, make_region, write_region

KINDS = {
    "noise, clustered": {"information": 0.0, "clusters": 12},
    "noise, spread": {"information": 0.0},
    "correlated noise, clustered": {"information": 0.0, "correlated": 0.7, "clusters": 12},
    "signal, clustered": {"information": 0.6, "clusters": 12},
    "signal, spread": {"information": 0.6},
    "correlated rest, spread": {"information": 0.6, "correlated": 0.7},
}
"""Of regions: noise says that the covariates know nothing of the density."""
FOLDS, REPEATS = 10, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=30, help="of each kind")
    parser.add_argument("--whole", action="store_true", help="whole runs, with coverage and area of applicability")
    parser.add_argument("--out", type=Path, required=True, help="folder of the regions and of what was found in them")
    parser.add_argument("--publish", action="store_true", help="also write the table into README.md")
    arguments = parser.parse_args()
    found = arguments.out / ("verdicts.csv" if arguments.whole else "skills.csv")
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = set(pd.read_csv(found)[["kind", "seed"]].itertuples(index=False, name=None)) if found.exists() else set()
    with ExitStack() as stack:
        scheduler = ""
        if arguments.whole:
            options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
            scheduler = stack.enter_context(LocalCluster(1, threads_per_worker=1, **options)).scheduler_address
        for seed in range(arguments.regions):
            for kind, settings in KINDS.items():
                if (kind, seed) in done:
                    continue
                region = TrialRegion(seed, **settings)
                facts = judged(arguments.out / "region", scheduler, region) if scheduler else by_skill(region)
                add(found, {"kind": kind, "seed": seed, **facts})
    shown = summarised(pd.read_csv(found))
    print(shown)
    if arguments.publish:
        publish("verdict.py", shown)


def by_skill(region: TrialRegion) -> dict:
    """The best verdict that the skill allows, and the skill that the map truly has for new profiles anywhere."""
    made = make_region(region)
    x = np.column_stack([values[made.rows, made.cols] for values in made.fields.values()]).astype("float32")
    y, lon, lat = (made.sites[name].to_numpy() for name in ("socd_0-10", "lon", "lat"))
    rng = np.random.default_rng([region.seed, 1])
    side = CELL * (made.inner.stop - made.inner.start) / 1000
    cells = rng.uniform(-side / 2, side / 2, (2, 5000)) * 1000
    domain = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(*cells)
    folds = {
        "random": np.stack([random_folds(len(y), FOLDS, rng) for _ in range(REPEATS)]),
        "knndm": np.stack([knndm_folds(lon, lat, *domain, FOLDS, rng).folds for _ in range(REPEATS)]),
    }
    range_km = fit_variogram(lon, lat, y, rng).range_km
    largest = default_block_size_km(side**2, FOLDS)
    groups = squares(lon, lat, min(range_km, largest) if range_km > 0 else largest)
    skills = {
        scheme: Skill.of(y, held_out(x, y, rows), training_means(y, rows), groups) for scheme, rows in folds.items()
    }
    own = skills["knndm"]
    skill = SkillFound(
        value=own.value, lower=own.lower, upper=own.upper, n=own.n, groups=own.groups, rmse=own.rmse,
        rmse_of_mean=own.rmse_of_mean,
    )  # fmt: skip
    sound = tuple(Covered(nominal=p, measured=p, n=own.n) for p in LEVELS_OF_INTERVALS)
    at = AtDepth(depth="0-10", skill=skill, coverage=sound)
    verdict = judge(Evidence(schemes=("random", "knndm"), depths=(at,), outside=0.0, skills={}, mapped="xgboost"))
    everywhere = np.column_stack([values[made.inner, made.inner].ravel() for values in made.fields.values()])
    observable = made.observable[made.inner, made.inner].ravel()
    predicted = XGBRegressor(**PARAMETERS, n_jobs=1).fit(x, y).predict(everywhere.astype("float32"))
    true = 1 - ((observable - predicted) ** 2).sum() / ((observable - y.mean()) ** 2).sum()
    return {
        "verdict": verdict.level, "codes": " ".join(sorted({reason.code for reason in verdict.against})),
        "skill": own.value, "lower": own.lower, "groups": own.groups, "random": skills["random"].value, "true": true,
    }  # fmt: skip


def held_out(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Predictions by models of the other folds, shape (repeats, sites)."""
    predicted = np.empty(folds.shape)
    for row, fold in zip(predicted, folds, strict=True):
        for number in np.unique(fold):
            test = fold == number
            row[test] = XGBRegressor(**PARAMETERS, n_jobs=1).fit(x[~test], y[~test]).predict(x[test])
    return predicted


def judged(folder: Path, scheduler: str, region: TrialRegion) -> dict:
    """A region's verdict by a whole run, and what it rests on."""
    shutil.rmtree(folder, ignore_errors=True)
    run_file = write_region(folder, region)
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
    """A row per kind of region: verdicts, and the mean skill under random folds, under kNNDM, and in truth."""
    known = "true" in found
    header = [
        "regions",
        "number",
        *LEVELS,
        "R² at random",
        "R² of kNNDM",
        *(["true R²", "bound above it"] if known else []),
    ]
    rows = [header]
    for kind, own in found.groupby("kind", sort=False):
        counts = own["verdict"].value_counts()
        row = [str(kind), str(len(own)), *(str(counts.get(level, 0)) for level in LEVELS)]
        row += [f"{own[name].mean():.2f}" for name in ("random", "skill", *(["true"] if known else []))]
        rows.append(row + ([str(int((own["lower"] > own["true"]).sum()))] if known else []))
    return table(rows)


if __name__ == "__main__":
    main()
