"""How honest intervals are: made-up regions whose truth is known, sampled well and badly, at every support.

Every region of every design is trained as a run would train it, but without files, in cells of 5 km and with fixed
hyperparameters: some ten seconds. The result of each is kept in the folder, so that the same command goes on from
there; what other code has made is made again.

Examples
--------
    python benchmarks/honesty.py --out /tmp/honesty                    # 50 regions of every design, on all cores
    python benchmarks/honesty.py --out /tmp/honesty --designs random --regions 10
    python benchmarks/honesty.py --out /tmp/honesty-small --small      # does it work?
    python benchmarks/honesty.py --out /tmp/honesty --publish          # also writes the tables into README.md
"""

import argparse
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from honest_intervals import LEVELS, Answer, after, before
from honest_regions import (
    DESIGNS,
    LABELS,
    Region,
    Sites,
    applicable,
    landscape_of,
    new_cores,
    region_of,
    sites_of,
    train,
)
from machine import publish, table
from threadpoolctl import threadpool_limits

from engine.ensemble.out_of_bag import out_of_bag_means
from engine.ensemble.trained import Ensemble
from engine.mapping.blockwise import MapTotals
from pipelines.soil_carbon.results.representativeness import representativeness_table
from pipelines.soil_carbon.verdict.rules import SHIFT

REPLICATES, DRAWS = 100, 200
SMALL = {"regions": 2, "replicates": 10, "draws": 20}
CODE = ("engine/ensemble", "engine/models", "engine/uncertainty", "engine/validation", "pipelines/virtual")
WITHIN = 0.03
"""How far coverage may be from nominal at the levels of `HELD`; simulation error is allowed for on top."""
HELD = (0.8, 0.9, 0.95)
APPLICABLE = "applicable"
"""Cells and cores inside the area of applicability."""
BIAS = 0.015
"""Largest mean relative bias of a zone's stock."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, one file a region and design")
    parser.add_argument("--regions", type=int, default=50)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of the joint model")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--small", action="store_true", help="2 regions with few replicates, to see that it works")
    parser.add_argument("--publish", action="store_true", help="also write the tables into README.md")
    arguments = parser.parse_args()
    if arguments.small:
        vars(arguments).update(SMALL)
    settings = Settings(arguments.replicates, arguments.draws, digest_of_code())
    arguments.out.mkdir(parents=True, exist_ok=True)
    run(arguments.out, range(arguments.regions), arguments.designs, settings, arguments.workers)
    found = read(arguments.out, range(arguments.regions), arguments.designs, settings)
    shown = report(found)
    print(shown)
    if arguments.publish:
        publish("honesty.py", shown)


@dataclass(frozen=True)
class Settings:
    """What a result depends on beside region and design: results of others are not mixed in.

    Attributes
    ----------
    code : str
        Digest of the code that decides over the numbers.
    """

    replicates: int
    draws: int
    code: str


def digest_of_code() -> str:
    """Eight digits that change with any file of the models, of their errors, of the regions and of this benchmark."""
    here = Path(__file__).parent
    folders = [here.parent / part for part in CODE]
    files = sorted([*here.glob("hones*.py"), *(file for folder in folders for file in folder.rglob("*.py"))])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def file_of(folder: Path, number: int, design: str, settings: Settings) -> Path:
    """Where the result of a region is kept."""
    made_by = f"{settings.replicates}x{settings.draws}-{settings.code}"
    return folder / f"{design}-{number:03d}-{made_by}.json"


def run(folder: Path, regions: Iterable[int], designs: Iterable[str], settings: Settings, workers: int) -> None:
    """Make what is not there yet, region by region."""
    todo = [(n, [d for d in designs if not file_of(folder, n, d, settings).exists()]) for n in regions]
    todo = [(number, missing) for number, missing in todo if missing]
    if workers == 1:
        for done, (number, missing) in enumerate(todo, start=1):
            make(folder, number, missing, settings)
            print(f"region {number}: {done} of {len(todo)}", flush=True)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(workers, len(todo))), mp_context=context) as pool:
        tasks = [pool.submit(make, folder, number, missing, settings) for number, missing in todo]
        for done, task in enumerate(as_completed(tasks), start=1):
            print(f"region {task.result()}: {done} of {len(tasks)}", flush=True)


def make(folder: Path, number: int, designs: list[str], settings: Settings) -> int:
    """One region, by all designs; returns its number."""
    with threadpool_limits(1):
        landscape = landscape_of(number)
        region = region_of(landscape, number)
        cores = new_cores(landscape, region, number)
        for design in designs:
            sites = sites_of(landscape, region, number, DESIGNS[design])
            ensemble = train(sites, settings.replicates, seed=number)
            given = (region, sites, ensemble, ensemble.predict_all(region.covariates), cores)
            inside = applicable(region, sites, ensemble, seed=number)
            rows = []
            for answer in (*before(*given), *after(*given, draws=settings.draws, seed=number)):
                rows += scored(answer)
                if answer.support in ("cell", "core"):
                    rows += scored(answer.only(inside if answer.support == "cell" else inside[cores.cell], APPLICABLE))
            file = file_of(folder, number, design, settings)
            part = file.with_suffix(".part")
            content = {"shift": shift_of(region, sites, ensemble, given[3]), "rows": rows}
            part.write_text(json.dumps(content), encoding="utf-8")
            part.replace(file)
    return number


def shift_of(region: Region, sites: Sites, ensemble: Ensemble, predicted: np.ndarray) -> float:
    """How much richer than their zones the map takes the sites' ground to be, as the verdict does, in its SDs."""
    groups = np.stack([*(region.zone == code for code in range(1, 1 + int(region.zone.max()))), region.zone > 0])
    mean = predicted.mean(axis=0, dtype="float64")
    nothing = np.zeros((1, len(groups)))
    totals = MapTotals(
        cells=groups.sum(axis=1), area=groups.sum(axis=1).astype("float64"), predicted=nothing, replicate=nothing[None],
        mean=(groups @ mean)[None], square=(groups @ mean**2)[None],
    )  # fmt: skip
    at_sites = out_of_bag_means(ensemble.out_of_bag, ensemble.coefficients)[:, 0]
    table = representativeness_table(at_sites, sites.zone.astype(str), totals, [str(z) for z in range(1, len(groups))])
    return float(table["shift"].iloc[-1])


def scored(answer: Answer) -> list[dict]:
    """How an answer fared at every depth; nothing where it is of nothing.

    Coverage in three parts, mean width and interval score (Gneiting & Raftery 2007), all over the groups or cells of
    one region.
    """
    truth = answer.truth
    if len(truth) == 0:
        return []
    low, high = answer.lower, answer.upper
    below, above = (truth < low).mean(axis=1), (truth > high).mean(axis=1)
    penalty = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    score = high - low + 2 / (1 - np.array(LEVELS)[:, None, None]) * penalty
    off = answer.centre - truth
    return [
        {
            "method": answer.method, "support": answer.support, "depth": depth, "n": len(truth),
            "below": below[:, d].tolist(), "above": above[:, d].tolist(),
            "width": (high - low)[:, :, d].mean(axis=1).tolist(), "score": score[:, :, d].mean(axis=1).tolist(),
            "bias": float(off[:, d].mean() / truth[:, d].mean()), "square": float(np.square(off[:, d]).mean()),
        }
        for d, depth in enumerate(LABELS)
    ]  # fmt: skip


def read(folder: Path, regions: Iterable[int], designs: Iterable[str], settings: Settings) -> pd.DataFrame:
    """All results: a row for every region, design, method, support and depth; lists over `LEVELS` become columns."""
    rows = []
    for design in designs:
        for number in regions:
            content = json.loads(file_of(folder, number, design, settings).read_text(encoding="utf-8"))
            for row in content["rows"]:
                flat = {name: value for name, value in row.items() if not isinstance(value, list)}
                for name, values in row.items():
                    if isinstance(values, list):
                        flat |= {f"{name}_{level:g}": value for level, value in zip(LEVELS, values, strict=True)}
                rows.append({"design": design, "region": number, "shift": content["shift"], **flat})
    found = pd.DataFrame(rows)
    for level in LEVELS:
        found[f"coverage_{level:g}"] = 1 - found[f"below_{level:g}"] - found[f"above_{level:g}"]
    return found


def summarised(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means over the regions, with their simulation errors (`se_…`): regions are independent, their groups are not."""
    keys = [*by, "region"]
    values = [name for name in found if name not in ("design", "method", "support", "depth", "region", "shift")]
    of_region = found.groupby(keys, sort=False)[values].mean().reset_index()
    groups = of_region.groupby(by, sort=False)
    result = groups[values].mean()
    result["rmse"] = np.sqrt(result["square"])
    result["se_bias"] = groups["bias"].std() / np.sqrt(groups.size())
    for level in LEVELS:
        # No smaller than that of honest intervals of independent groups: all or none inside would have no error.
        least = np.sqrt(level * (1 - level) / (groups.size() * result["n"]))
        measured = groups[f"coverage_{level:g}"].std() / np.sqrt(groups.size())
        result[f"se_coverage_{level:g}"] = np.fmax(measured, least)
    return result.reset_index()


def report(found: pd.DataFrame) -> str:
    """The tables: by depth for sites at random, over all depths for the others; then what does not hold."""
    parts = []
    for design in found["design"].unique():
        own = found[found["design"] == design]
        depths = ["depth"] if design == "random" else []
        title = f"Sites: {design}, {own['region'].nunique()} regions{'' if depths else ', mean over depths'}."
        parts += [title, table(as_table(summarised(own, ["method", "support", *depths]), depths)), typical(own)]
    if len(own := found[found["design"] == "random"]):
        parts.append("Not held with sites at random: " + ("; ".join(failures(own)) or "nothing") + ".")
    return "\n\n".join(parts)


def typical(found: pd.DataFrame) -> str:
    """Whether the verdict would say that the sites are not typical of the region."""
    shift = found.groupby("region")["shift"].first()
    return (
        f"Sites on richer (+) or poorer ground than the rest of their zones, SDs of the map: {shift.min():+.2f} to "
        f"{shift.max():+.2f}; by more than {SHIFT:g} in {(shift.abs() > SHIFT).sum()} of {len(shift)} regions."
    )


def as_table(mean: pd.DataFrame, depths: list[str]) -> list[list[str]]:
    """One row for each support and depth, before → after."""
    shown = [
        *((f"inside {level:.0%}", f"coverage_{level:g}", "{:.1%}", f"se_coverage_{level:g}") for level in LEVELS),
        ("width of 95 %", "width_0.95", "{:.2f}", ""),
        ("score of 95 %", "score_0.95", "{:.2f}", ""),
        ("bias", "bias", "{:+.1%}", "se_bias"),
        ("RMSE", "rmse", "{:.3f}", ""),
    ]
    rows = [["support", *depths, *(title for title, *_ in shown)]]
    keys = ["support", *depths]
    for key, own in mean.groupby(keys, sort=False):
        one = own.set_index("method")
        methods = [name for name in ("before", "after") if name in one.index]
        row = [str(part) for part in key]
        for _, column, form, error in shown:
            text = " → ".join(form.format(one.loc[name, column]) for name in methods)
            row.append(f"{text} ± {100 * one[error].max():.1f}" if error else text)
        rows.append(row)
    return rows


def failures(found: pd.DataFrame) -> list[str]:
    """What the joint model promises and, by more than twice the simulation error, does not do.

    RMSE and score are compared region by region.
    """
    keys = ["support", "depth"]
    mean = summarised(found[found["method"] == "after"], keys).set_index(keys)
    missed = []
    for (support, depth), own in mean.iterrows():
        where = f"{support}, {depth} cm"
        for level in HELD:
            off = own[f"coverage_{level:g}"] - level
            if abs(off) > WITHIN + 2 * own[f"se_coverage_{level:g}"]:
                missed.append(f"{where}: {level + off:.1%} inside {level:.0%}")
        if support in ("forest", "grassland", "wetland", "total") and abs(own["bias"]) > BIAS + 2 * own["se_bias"]:
            missed.append(f"{where}: bias {own['bias']:+.1%}")
    paired = found.pivot_table(index=["region", *keys], columns="method", values=["square", "score_0.95"]).dropna()
    for column, name, form in (("square", "RMSE", np.sqrt), ("score_0.95", "score", float)):
        for (support, depth), own in paired[column].groupby(keys, sort=False):
            worse = own["after"] - own["before"]
            if worse.mean() > 2 * worse.std() / np.sqrt(len(worse)):
                old, new = (form(own[method].mean()) for method in ("before", "after"))
                missed.append(f"{support}, {depth} cm: {name} {old:.3g} → {new:.3g}")
    return missed


if __name__ == "__main__":
    main()
