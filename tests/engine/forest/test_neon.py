"""The kernel for ARM, cross-compiled and run on an emulated processor: the bytes of this machine's plain path."""

import shutil
import subprocess
from collections.abc import Callable
from distutils.core import run_setup
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from engine.ensemble.statistics import Z_95
from engine.forest import is_built
from engine.forest.native import module
from engine.forest.trees import Replicate, sklearn_replicate, tables_of, xgboost_replicate
from engine.mapping.predict_block import STATISTICS

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
ABSENT = " and ".join(program for program in (COMPILER, EMULATOR) if not shutil.which(program))
pytestmark = [
    pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel to compare with"),
    pytest.mark.skipif(bool(ABSENT), reason=f"no {ABSENT} here: install g++-aarch64-linux-gnu and qemu-user"),
]
ROOT = Path(__file__).parents[3]
REPLICATES, COLUMNS, CELLS, ZONES, SITES = 5, 4, 1037, 3, 300
BOUND = 6.0
"""Of squared distances."""
TABLES = {
    "replicate_start": "int64", "tree_start": "int64", "left": "int32", "right": "int32", "feature": "int32",
    "threshold": "float32", "missing_left": "uint8", "value": "float64", "category_start": "int64",
    "categories": "int32", "base": "float64", "divisor": "float64", "features": "int64",
}  # fmt: skip
"""Arrays of a forest and their types, in the order in which the program reads them."""


def design(rng: np.random.Generator, rows: int, categories: int = 0) -> np.ndarray:
    """Few distinct values, so that cells fall on thresholds; some missing; the first column of categories, if any."""
    x = rng.integers(-60, 61, (rows, COLUMNS)).astype("float32") / 16
    if categories:
        x[:, 0] = rng.integers(0, categories, rows)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def boosted(rows: int = 400, categories: int = 0, **parameters: Any) -> list[Replicate]:
    """Of seven trees: where they are taken two at a time, one is left."""
    kinds = ["c" if categories else "float"] + ["float"] * (COLUMNS - 1)
    replicates = []
    for seed in range(REPLICATES):
        rng = np.random.default_rng(seed)
        x, y = design(rng, rows, categories), rng.normal(4, 2, rows)
        data = xgboost.DMatrix(x, y, feature_types=kinds, enable_categorical=True)
        replicates.append(xgboost_replicate(xgboost.train({"nthread": 1, **parameters}, data, 7)))
    return replicates


def fitted(model: Any, rows: int) -> list[Replicate]:
    replicates = []
    for seed in range(REPLICATES):
        rng = np.random.default_rng(seed)
        x, y = design(rng, rows), rng.normal(4, 2, rows)
        if isinstance(model, GradientBoostingRegressor):  # knows no missing values
            x = np.nan_to_num(x)
        replicates.append(sklearn_replicate(model.set_params(random_state=seed).fit(x, y)))
    return replicates


CASES: dict[str, tuple[str, range, Callable[[], list[Replicate]]]] = {
    "depth 1": ("perfect", range(2, 3), lambda: boosted(max_depth=1)),
    "depth 2": ("perfect", range(4, 5), lambda: boosted(max_depth=2)),
    "depth 3": ("perfect", range(8, 9), lambda: boosted(max_depth=3)),
    "depth 4": ("perfect", range(12, 17), lambda: boosted(max_depth=4)),
    "few leaves": ("pairs", range(11, 12), lambda: boosted(max_depth=9, max_leaves=11, grow_policy="lossguide")),
    "32 leaves": ("narrow", range(17, 33), lambda: boosted(max_depth=5)),
    "64 leaves": ("narrow", range(33, 65), lambda: boosted(max_depth=6, min_child_weight=0)),
    "a byte": ("wide", range(65, 257), lambda: boosted(max_depth=8, min_child_weight=0)),
    "two bytes": ("wide", range(257, 2000), lambda: boosted(2000, max_depth=14, min_child_weight=0)),
    "categories": ("narrow", range(17, 65), lambda: boosted(categories=30, max_depth=6)),
    "double, few": ("wide", range(2, 17), lambda: fitted(GradientBoostingRegressor(n_estimators=9), 200)),
    "double, a byte": ("wide", range(65, 257), lambda: fitted(RandomForestRegressor(4), 200)),
    "double, two bytes": ("wide", range(257, 2000), lambda: fitted(RandomForestRegressor(2), 1500)),
}
"""Layout, leaves of the largest tree, and how the replicates are made."""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Built as the extension is: the compiler for ARM would make fused multiply-adds if it were let."""
    (kernel,) = run_setup(str(ROOT / "setup.py"), stop_after="init").ext_modules
    sources = [Path(__file__).with_name("standalone.cpp"), ROOT / "engine/forest/tables.cpp"]
    to = tmp_path_factory.mktemp("aarch64") / "standalone"
    flags = [*kernel.extra_compile_args, "-static", f"-I{ROOT / 'engine/forest'}"]
    subprocess.run([COMPILER, *flags, *sources, "-o", to], check=True)
    return to


def votes(rng: np.random.Generator, kth: int, least: float) -> dict[str, Any]:
    codes = rng.integers([1, 0], [16, 2], (SITES, 2)).astype("uint8")  # of five replicates, one is in the second chunk
    residual = -np.sort(-rng.exponential(1, SITES)).astype("float32")
    return {
        "residual": residual,
        "share": (1 / np.bitwise_count(codes).sum(axis=1)).astype("float32"),
        "codes": codes,
        "kth": np.int64(kth),
        "least": np.float64(least),
    }


def summary() -> dict[str, Any]:
    """Three outputs: interval ends that are kept while they are sought, ones that are selected, and unbounded ones."""
    rng = np.random.default_rng(5)
    slope = rng.normal([[1], [2], [0]], [[0], [0.1], [0]], (3, REPLICATES))
    return {
        "replicates": REPLICATES,
        "outputs": 3,
        "intercept": slope - [[1], [0], [0]],  # nothing but 0 in the third: its relative uncertainty is not a number
        "slope": slope,
        "z": Z_95,
        "formats": [2.0**16, 2.0**30] * 4,
        "votes": [votes(rng, 8, -np.inf), votes(rng, 200, 2.0), votes(rng, 0, 0.0)],
    }


class Inputs:
    """Cells, and what is to be taken of them."""

    def __init__(self, categories: int = 0):
        rng = np.random.default_rng(7)
        self.x = design(rng, CELLS, categories + 9 if categories else 0)
        for odd in (np.inf, -np.inf, -0.0, -1.0):
            self.x[rng.random(self.x.shape) < 0.02] = odd
        self.known = np.nan_to_num(self.x, nan=0.25, posinf=9, neginf=-9)
        self.area, self.zone = rng.uniform(0.5, 1, CELLS), np.sort(rng.integers(0, ZONES, CELLS))
        self.columns, self.scale = np.array([3, 0, 1, 2, 1]), rng.uniform(0.5, 2, 5)
        self.places = rng.normal(size=(SITES, 5))


def expected(tables: dict[str, Any], double: bool, given: Inputs) -> dict[str, bytes]:
    """What the extension's plain path makes of them, in the order in which the program writes it."""
    native, taken = module(), summary()
    forest = native.Forest(tables, double)
    predicted = np.empty((REPLICATES, CELLS), "float32")
    forest.predict(given.x, predicted, True, "plain")
    statistics = np.empty((taken["outputs"], len(STATISTICS), CELLS), "float32")
    shapes = {"cells": (), "area": (), "predicted": (REPLICATES,), "mean": (3,), "square": (3,)}
    totals = {name: np.zeros((*shape, ZONES), "int64") for name, shape in shapes.items()}
    refused = forest.summarise(given.known, native.Summary(taken), given.area, given.zone, statistics, totals, "plain")
    assert refused is None
    distance = native.nearest(given.known, given.columns, given.scale, given.places, "plain")
    found = {"predicted": predicted, "statistics": statistics, **{f"sum of {n}": t for n, t in totals.items()}}
    found |= {"distance": distance}
    found["count"] = native.within(given.known, given.columns, given.scale, given.places, BOUND, "plain")
    assert 0 < found["count"].mean() < SITES
    return {name: values.tobytes() for name, values in found.items()}


def serialised(tables: dict[str, Any], double: bool, given: Inputs) -> bytes:
    taken = summary()
    values: list[Any] = [np.asarray(tables[name], kind) for name, kind in TABLES.items()]
    values += [np.bool_(double), np.int64(CELLS), np.bool_(True), given.x, given.known]
    values += [np.int64(taken[name]) for name in ("replicates", "outputs")]
    values += [taken["intercept"], taken["slope"], *map(np.float64, (taken["z"], *taken["formats"]))]
    for each in taken["votes"]:
        values += [each[name] for name in ("residual", "share", "codes", "kth", "least")]
    values += [given.area, given.zone, np.int64(ZONES), given.columns, given.scale, given.places, np.float64(BOUND)]
    return b"".join(np.int64(v.size).tobytes() * (v.ndim > 0) + v.tobytes() for v in values)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_path_of_this_machine(case, program, tmp_path):
    layout, leaves, make = CASES[case]
    replicates = make()
    tables, double = tables_of(replicates), case.startswith("double")
    described = module().Forest(tables, double).describe()
    assert (described["layout"], described["largest_tree"] in leaves) == (layout, True), described
    given = Inputs(30 if case == "categories" else 0)
    wanted = expected(tables, double, given)
    (tmp_path / "input").write_bytes(serialised(tables, double, given))
    for instruction_set in ("neon", "plain"):
        subprocess.run([EMULATOR, program, instruction_set, tmp_path / "input", tmp_path / "output"], check=True)
        found, start = (tmp_path / "output").read_bytes(), 0
        for name, values in wanted.items():
            assert found[start : start + len(values)] == values, (instruction_set, name)
            start += len(values)
        assert len(found) == start
