"""Which interval of a new core: ways to make it follow the place, on made-up regions whose truth is known.

The regions, designs and models are those of `honest_intervals`' benchmark, with other seeds. What each region gives is
kept in the folder, so that the same command goes on from there.

Examples
--------
    python benchmarks/local_width.py --out /tmp/width                  # 13 regions of three designs
    python benchmarks/local_width.py --out /tmp/width --publish        # also writes the table into README.md
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from honest_regions import DESIGNS, Cores, Region, Sites, landscape_of, new_cores, region_of, sites_of, train
from machine import publish, table
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from engine.ensemble.bootstrap import Ensemble
from engine.uncertainty.cells import CellMoments, cell_moments
from engine.uncertainty.core_intervals import core_interval, left_out, signed_quantile
from engine.uncertainty.error_model import ErrorModel, fit_error_model
from engine.uncertainty.variance_components import REST

LEVELS = np.array([0.5, 0.8, 0.9, 0.95])
LOW, HIGH = (1 - LEVELS) / 2, (1 + LEVELS) / 2
FIRST, REGIONS = 200, 13
TRIED = ("random", "clustered", "preferential")
PLAIN, CHOSEN = "jackknife+", "joint, half normal, half left out (`local`)"
FIFTHS = 5


@dataclass(frozen=True)
class Given:
    """What all ways start from, for one output.

    Attributes
    ----------
    mean, expected, sd : ndarray, shape (cores,)
        Mean of the replicates; conditioned on the sites; standard deviation of a core.
    residual, of_sites : ndarray, shape (sites,)
        Out of bag; and left out of the joint model, in standard deviations.
    relative, relative_at_sites : ndarray
        Predictions of the first output over their mean at the sites.
    distance : ndarray, shape (cores, sites)
        Between standardised covariates, root of the mean square.
    """

    mean: np.ndarray
    expected: np.ndarray
    sd: np.ndarray
    residual: np.ndarray
    of_sites: np.ndarray
    relative: np.ndarray
    relative_at_sites: np.ndarray
    distance: np.ndarray


Ends = tuple[np.ndarray, np.ndarray]


def normalised(given: Given) -> Ends:
    """Sizes of residuals over the root of the prediction, times that of the cell, around the mean."""
    sizes = np.abs(given.residual) / np.sqrt(given.relative_at_sites)
    half = _quantiles(sizes, LEVELS) * np.sqrt(given.relative)
    return given.mean - half, given.mean + half


def normal(given: Given) -> Ends:
    """Quantiles of a normal distribution."""
    return given.expected + norm.ppf(LOW)[:, None] * given.sd, given.expected + norm.ppf(HIGH)[:, None] * given.sd


def sizes_left_out(given: Given) -> Ends:
    """Quantiles of the sizes of residuals of sites left out."""
    half = _quantiles(np.abs(given.of_sites), LEVELS) * given.sd
    return given.expected - half, given.expected + half


def signed_left_out(given: Given) -> Ends:
    """Quantiles, with a sign, of residuals of sites left out."""
    lower, upper = (given.expected + _quantiles(given.of_sites, p) * given.sd for p in (LOW, HIGH))
    return lower, upper


def near(width: float, joint: bool) -> Callable[[Given], Ends]:
    """Residuals weighted by nearness in covariates, as they are around the mean, or left out of the joint model."""

    def way(given: Given) -> Ends:
        weight = np.exp(-np.square(given.distance / width) / 2)
        values = given.of_sites if joint else given.residual
        order = np.argsort(values)
        # The new core weighs Σw / n, where n = (Σw)² / Σw² is the effective number of residuals.
        own = np.square(weight).sum(axis=1) / weight.sum(axis=1)
        share = np.cumsum(weight[:, order], axis=1) / (weight.sum(axis=1) + own)[:, None]
        ends = (np.array([np.interp(p, of_core, values[order]) for of_core in share]).T for p in (LOW, HIGH))
        centre, scale = (given.expected, given.sd) if joint else (given.mean, 1.0)
        lower, upper = (centre + end * scale for end in ends)
        return lower, upper

    return way


WAYS: dict[str, Callable[[Given], Ends]] = {
    "residuals over the root of the prediction": normalised,
    "residuals near in covariates, width 0.5": near(0.5, joint=False),
    "residuals near in covariates, width 1": near(1.0, joint=False),
    "joint, normal": normal,
    "joint, sizes of residuals left out": sizes_left_out,
    "joint, residuals left out with their sign": signed_left_out,
    "joint, residuals left out, near, width 0.5": near(0.5, joint=True),
    "joint, residuals left out, near, width 1": near(1.0, joint=True),
}
"""Beside jackknife+ and the way of the product."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, one file a region and design")
    parser.add_argument("--regions", type=int, default=REGIONS)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--publish", action="store_true", help="also write the table into README.md")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(FIRST, FIRST + arguments.regions):
        for design in TRIED:
            file = arguments.out / f"{design}-{number}-{arguments.replicates}.json"
            if not file.exists():
                with threadpool_limits(1):
                    rows = of_region(number, design, arguments.replicates)
                file.write_text(json.dumps(rows), encoding="utf-8")
            found += json.loads(file.read_text(encoding="utf-8"))
    shown = report(pd.DataFrame(found))
    print(shown)
    if arguments.publish:
        publish("local_width.py", shown)


def of_region(number: int, design: str, replicates: int) -> list[dict]:
    """Coverage and scores of all ways on one region."""
    landscape = landscape_of(number)
    region = region_of(landscape, number)
    sites = sites_of(landscape, region, number, DESIGNS[design])
    ensemble = train(sites, replicates, seed=number)
    cores = new_cores(landscape, region, number)
    model = fit_error_model(
        observed=ensemble.observed, out_of_bag=ensemble.out_of_bag, predicted=ensemble.predict_all(sites.covariates),
        coefficients=ensemble.coefficients, design=sites.covariates, zone=sites.zone, zones=int(region.zone.max()),
        x=sites.x, y=sites.y, seed=number,
    )  # fmt: skip
    assert model is not None, "the sites are too few"
    predicted = ensemble.predict_all(region.covariates[cores.cell])
    return [
        {"design": design, "region": number, "way": way, "depth": k, **row}
        for way, k, ends in intervals(region, sites, ensemble, model, cores, predicted)
        for row in scored(*(np.maximum(end, 0) for end in ends), cores.held[:, k], predicted.mean(axis=0))
    ]


def intervals(
    region: Region, sites: Sites, ensemble: Ensemble, model: ErrorModel, cores: Cores, predicted: np.ndarray
) -> Iterator[tuple[str, int, Ends]]:
    """Yield way, output, and ends of the cores' intervals, shape (levels, cores)."""
    lines = ensemble.coefficients.transpose(1, 2, 0)[..., None]
    of_output = [intercept + slope * predicted for intercept, slope in lines]
    mean = np.stack([values.mean(axis=0) for values in of_output])
    sd = np.stack([values.std(axis=0, ddof=1) for values in of_output])
    cell = cores.cell
    columns = model.basis.columns(mean[0], region.covariates[cell], region.zone[cell])
    truth = cell_moments(model, region.x[cell], region.y[cell], columns, mean, sd)
    at_sites = model.columns[:, 1] * model.basis.scale[0] + model.basis.centre[0]
    relative, relative_at_sites = (np.maximum(v / model.basis.centre[0], 0.05) for v in (mean[0], at_sites))
    both = np.concatenate([sites.covariates, region.covariates[cell]]).astype("float64")
    both = (both - sites.covariates.mean(axis=0)) / np.maximum(sites.covariates.std(axis=0), 1e-9)
    there, here = both[: len(sites.x)], both[len(sites.x) :]
    distance = np.sqrt(np.square(here[:, None] - there).mean(axis=2))
    seen = np.isfinite(ensemble.out_of_bag).any(axis=0)
    for k in range(model.outputs):
        yield PLAIN, k, ensemble.jackknives[k].interval(predicted, tuple(LEVELS))
        known = np.isfinite(model.residual[:, k])
        rest = np.sqrt(model.variances[k, REST]) * relative**model.growth
        given = Given(
            mean[k], truth.mean[k], np.hypot(truth.sd[k], rest), model.residual[known, k], left_out(model)[known, k],
            relative, relative_at_sites[known], distance[:, seen][:, known],
        )  # fmt: skip
        for name, way in WAYS.items():
            yield name, k, way(given)
        chosen = [core_interval(model, CellMoments(truth.mean, truth.sd), mean[0], level, 0.0) for level in LEVELS]
        lower, upper = (np.stack([ends[side][k] for ends in chosen]) for side in range(2))
        yield CHOSEN, k, (lower, upper)


def scored(lower: np.ndarray, upper: np.ndarray, held: np.ndarray, prediction: np.ndarray) -> Iterator[dict]:
    """Yield coverage, also in the fifths of the prediction, width and interval score, level by level."""
    fifth = np.searchsorted(np.quantile(prediction, np.arange(1, FIFTHS) / FIFTHS), prediction)
    for level, low, high in zip(LEVELS, lower, upper, strict=True):
        inside = (low <= held) & (held <= high)
        beyond = np.maximum(low - held, 0) + np.maximum(held - high, 0)
        yield {
            "level": float(level), "inside": float(inside.mean()), "width": float((high - low).mean()),
            "score": float((high - low + 2 / (1 - level) * beyond).mean()),
            **{f"fifth {part + 1}": float(inside[fifth == part].mean()) for part in range(FIFTHS)},
        }  # fmt: skip


def report(found: pd.DataFrame) -> str:
    """The table: coverage and scores beside jackknife+'s, means over regions and depths."""
    keys = ["design", "region", "depth", "level"]
    plain = found[found["way"] == PLAIN].set_index(keys)["score"]
    found = found.assign(relative=found["score"] / plain.reindex(pd.MultiIndex.from_frame(found[keys])).to_numpy())
    rows = [["sites", "way", *(f"inside {level:.0%}" for level in LEVELS), "80 %, lowest and highest fifth",
             *(f"score of {level:.0%}" for level in LEVELS)]]  # fmt: skip
    for design in TRIED:
        own = found[found["design"] == design]
        mean = own.groupby(["way", "level"], sort=False)[["inside", "relative", "fifth 1", f"fifth {FIFTHS}"]].mean()
        for way in own["way"].unique():
            of_way = mean.loc[way]
            rows.append([
                design, way, *(f"{value:.1%}" for value in of_way["inside"]),
                f"{of_way.loc[0.8, 'fifth 1']:.0%}, {of_way.loc[0.8, f'fifth {FIFTHS}']:.0%}",
                *(f"{value:.3f}" for value in of_way["relative"]),
            ])  # fmt: skip
    regions = found.groupby("design")["region"].nunique().min()
    return f"New cores, {regions} regions a design, mean over depths; scores over those of jackknife+.\n\n{table(rows)}"


def _quantiles(values: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of one more value; sizes are asked for by their level, shape (levels, 1)."""
    return np.array([signed_quantile(values, p) for p in probabilities])[:, None]


if __name__ == "__main__":
    main()
