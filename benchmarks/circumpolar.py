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
import time
from pathlib import Path

import numpy as np
from machine import Memory, describe
from odc.geo.geobox import GeoBox

from engine.applicability import Applicability
from engine.blockwise import APPLICABLE, DISSIMILARITY, STATISTICS, make_plan, map_region
from engine.cluster import local_client
from engine.cube import DOMAIN
from engine.ensemble import train_ensemble
from engine.estimators import REGISTRY
from engine.features import Features
from engine.grid import Block, Grid
from engine.models import Member
from engine.outputs.store import Layer, array, create
from engine.sources.spec import SourceSpec
from engine.tasks import run_each
from pipelines.progress import Display

CHUNK, SITES, REPLICATES, ROUNDS, DEPTH = 512, 500, 100, 300, 4
LABELS = ("0-10", "0-30", "0-50")
NUMBERS = ("mat", "map", "ai", "ndvi", "npp", "tn", "clay_silt")
CLASSES = {"forest": (1,), "grassland": (2,), "wetland": (3,)}
SPECS = {name: SourceSpec(href="made-up") for name in NUMBERS} | {
    "vegetation": SourceSpec(href="made-up", classes=CLASSES)
}
FEATURES = Features.of(SPECS)
LAND = 0.62
"""Share of the disc that is land."""


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
        plan = make_plan(grid, out / "cube.zarr", ensemble, out / "applicability.npz", "vegetation", len(CLASSES), 0.95)
        coords = {"depth": ("depth", np.array(LABELS))}
        attrs = {name: {} for name in ("", *STATISTICS, DISSIMILARITY, APPLICABLE)}
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


def a_grid(cells: float) -> Grid:
    """EASE-Grid 2.0 North, 1 km, over a disc around the pole with so many cells on land."""
    radius = np.ceil(np.sqrt(cells / LAND / np.pi)) * 1000 + 1000
    geobox = GeoBox.from_bbox((-radius, -radius, radius, radius), crs="EPSG:6931", resolution=1000)
    return Grid(geobox, CHUNK, geobox.extent)


def make_cube(client, grid: Grid, path: Path, display: Display) -> None:
    """Covariates on the grid, one task a block."""
    layers = dict.fromkeys(NUMBERS, Layer("float32", {})) | dict.fromkeys(("vegetation", DOMAIN), Layer("uint8", {}))
    create(path, grid, layers, {}, {})
    radius = grid.geobox.extent.boundingbox.right
    with display.stage("cube", "blocks") as progress:
        for _ in run_each(
            client,
            write_covariates,
            grid.blocks(mixed=True),
            path,
            radius,
            total=grid.n_blocks,
            progress=progress,
            name="cube",
        ):
            pass


def write_covariates(block: Block, path: Path, radius: float) -> None:
    """Covariates of one block: functions of its coordinates, the same whatever the blocks."""
    values, land = covariates(block, radius)
    for name, numbers in values.items():
        missing = 0 if name == "vegetation" else np.nan
        array(path, name, "r+")[block.roi] = np.where(land, numbers, missing)
    array(path, DOMAIN, "r+")[block.roi] = land.astype("uint8")


def covariates(block: Block, radius: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Smooth fields with noise, and where there is land."""
    y, x = (block.geobox.coordinates[d].values for d in block.geobox.dimensions)
    rng = np.random.default_rng([block.rows.start, block.cols.start])
    x, y = x[None, :] / 1e6, y[:, None] / 1e6

    def field(seed: int, noise: float = 0.15) -> np.ndarray:
        """Waves of 200 to 3000 km; the variance of each is the square of its length's share."""
        waves = np.random.default_rng(seed)
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
        for length in np.geomspace(0.2, 3.0, 9):
            angle, phase = waves.uniform(0, 2 * np.pi, 2)
            total += np.sqrt(length) * np.cos(2 * np.pi / length * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        return (total / 2.4 + noise * rng.standard_normal(total.shape)).astype("float32")

    distance = np.hypot(x, y) * 1e6
    values = {name: field(seed) for seed, name in enumerate(NUMBERS)}
    values["mat"] += (distance / 1e6 - 4).astype("float32") * 3
    wet, woody = field(20), field(21)
    values["vegetation"] = np.select([wet > 0.8, woody > 0], [3, 1], 2).astype("uint8")
    # Land is where a field that all regions share is above the value that leaves LAND of the disc.
    land = (field(30, noise=0) > _SEA) & (distance < radius - 1000)
    return values, land


_SEA = -0.31


def train(client, grid: Grid, out: Path, display: Display):
    """Replicates of a real model on sites drawn from the cube."""
    rng = np.random.default_rng(1)
    cube = {name: array(out / "cube.zarr", name) for name in (*SPECS, DOMAIN)}
    found: dict[str, list] = {name: [] for name in SPECS}
    while len(found["mat"]) < SITES:
        row, col = (int(rng.integers(0, n)) for n in grid.shape)
        if cube[DOMAIN][row, col]:
            for name in SPECS:
                found[name].append(cube[name][row, col])
    x = FEATURES.matrix({name: np.array(values) for name, values in found.items()})
    first = np.maximum(4.2 + 0.8 * x[:, 5] + 0.5 * x[:, 2] - 0.3 * x[:, 0] + rng.normal(0, 1, SITES), 0.2)
    observed = np.stack([first, 2.3 * first + rng.normal(0, 1, SITES), 2.9 * first + rng.normal(0, 1.5, SITES)], axis=1)
    lines = np.stack(
        [np.tile([0.0, 1.0], (REPLICATES, 1))]
        + [
            np.stack([rng.normal(0.1, 0.05, REPLICATES), rng.normal(slope, 0.05, REPLICATES)], 1)
            for slope in (2.3, 2.9)
        ],
        axis=1,
    )
    member = Member(family=REGISTRY["xgboost"], parameters={"n_estimators": ROUNDS, "max_depth": DEPTH})
    with display.stage("train", "replicates") as progress:
        ensemble = train_ensemble(
            client, out / "ensemble", x, observed, FEATURES, lines, [member],
            outputs=LABELS, units="kg m-2", seed=1, version="benchmark", progress=progress,
        )  # fmt: skip
    Applicability.fit(x, FEATURES, np.ones(x.shape[1]), [np.arange(SITES) % 10]).save(out / "applicability.npz")
    return ensemble


class Estimate:
    """What the progress promised after one minute."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.total_after_a_minute = float("nan")

    def __call__(self, done: int, total: int) -> None:
        passed = time.monotonic() - self.started
        if passed >= 60 and done and np.isnan(self.total_after_a_minute):
            self.total_after_a_minute = passed * total / done


def _line(row: dict[str, float]) -> str:
    estimate = row["estimate_after_a_minute"]
    promised = "" if np.isnan(estimate) else f", promised after a minute: {estimate:.0f} s"
    return (
        f"{row['cells'] / 1e6:.1f} million cells on {row['workers']} workers: {row['seconds']:.0f} s, "
        f"{row['row_trees_per_second'] / 1e9:.2f} billion trees per second, peak {row['memory_gb']:.2f} GB{promised}"
    )


if __name__ == "__main__":
    sys.exit(main())
