"""All replicates of many cells: the compiled forest beside what people use today, same model, same cells, one thread.

    python benchmarks/forest.py            # tables to the screen and into benchmarks/README.md
    python benchmarks/forest.py --quick    # fewer cells, replicates and repeats, without growth

Every peer runs in a process of its own. Its output is compared with XGBoost's before it is timed. ONNX Runtime and
treelite take part where they are installed (`pip install onnxruntime onnxmltools treelite`).
"""

import argparse
import importlib.util
import json
import multiprocessing
import resource
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import xgboost
from floor import floor_of
from machine import describe, publish, table
from sklearn.ensemble import RandomForestRegressor

from engine.ensemble.prediction_intervals import Jackknife
from engine.ensemble.statistics import Z_95
from engine.forest import INSTRUCTION_SETS, Forest
from engine.forest.native import module
from engine.forest.trees import tables_of, xgboost_replicate
from engine.validation.applicability import _nearest

SITES = 147


@dataclass(frozen=True)
class Work:
    """How much is predicted, by what."""

    cells: int = 16_384
    replicates: int = 100
    trees: int = 300
    depth: int = 4
    covariates: int = 8
    kind: str = "xgboost"

    @property
    def row_trees(self) -> float:
        return float(self.cells) * self.replicates * self.trees


def data(work: Work) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sites, their values, and cells."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SITES, work.covariates)).astype("float32")
    y = 4 + x[:, 0] + 0.5 * x[:, 1 % work.covariates] + rng.normal(0, 1.2, SITES)
    return x, y, rng.normal(size=(work.cells, work.covariates)).astype("float32")


_FITTED: dict[Work, list[bytes]] = {}
"""Boosters that were fitted for an earlier measurement; processes of their own are handed them."""


def models(work: Work) -> list:
    """One model a bootstrap sample, each set to one thread."""
    work = replace(work, cells=0)
    if work.kind == "forest":
        return _fit(work)
    if work not in _FITTED:
        _FITTED[work] = [bytes(booster.save_raw("ubj")) for booster in _fit(work)]
    return [_read(content) for content in _FITTED[work]]


def _read(content: bytes) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    booster.set_param({"nthread": 1})
    return booster


def _fit(work: Work) -> list:
    x, y, _ = data(work)
    fitted = []
    for seed in range(work.replicates):
        rows = np.random.default_rng(seed).integers(0, SITES, SITES)
        if work.kind == "forest":
            fitted.append(RandomForestRegressor(work.trees, random_state=seed, n_jobs=1).fit(x[rows], y[rows]))
            continue
        options = {
            "max_depth": work.depth,
            "eta": 0.03,
            "subsample": 0.6,
            "min_child_weight": 1,
            "nthread": 1,
            "seed": seed,
        }
        fitted.append(xgboost.train(options, xgboost.DMatrix(x[rows], y[rows]), work.trees))
    return fitted


Predict = Callable[[np.ndarray], np.ndarray]
"""Cells → predictions, shape (cells, replicates)."""


def kernel(fitted: list) -> Predict:
    build = Forest.from_xgboost if isinstance(fitted[0], xgboost.Booster) else Forest.from_sklearn
    return build(fitted).predict


def library(fitted: list) -> Predict:
    """The library that fitted the models, replicate by replicate."""
    if isinstance(fitted[0], xgboost.Booster):
        return lambda x: np.stack([booster.inplace_predict(x) for booster in fitted], axis=1)
    return lambda x: np.stack([model.predict(x) for model in fitted], axis=1).astype("float32")


def map_blocks(fitted: list) -> Predict:
    """The usual recipe: a dask array of cells in chunks, `map_blocks` with the models in the closure."""
    import dask
    import dask.array as da

    def predict(x: np.ndarray) -> np.ndarray:
        blocks = da.from_array(x, chunks=(4096, -1))
        with dask.config.set(scheduler="synchronous"):
            return blocks.map_blocks(library(fitted), dtype="float32", chunks=(blocks.chunks[0], len(fitted))).compute()

    return predict


def parallel_post_fit(fitted: list) -> Predict:
    """dask-ml's wrapper around each model."""
    import dask
    import dask.array as da
    from dask_ml.wrappers import ParallelPostFit

    class Model:
        def __init__(self, booster):
            self.booster = booster

        def predict(self, x):
            return self.booster.inplace_predict(x)

    wrapped = [ParallelPostFit(Model(booster), predict_meta=np.zeros(0, "float32")) for booster in fitted]

    def predict(x: np.ndarray) -> np.ndarray:
        blocks = da.from_array(x, chunks=(4096, -1))
        with dask.config.set(scheduler="synchronous"):
            return np.stack([model.predict(blocks).compute() for model in wrapped], axis=1)

    return predict


def onnx_runtime(fitted: list) -> Predict:
    import onnxruntime
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = []
    for booster in fitted:
        regressor = xgboost.XGBRegressor()
        regressor.load_model(bytearray(booster.save_raw("ubj")))
        width = booster.num_features()
        model = convert_xgboost(regressor, initial_types=[("x", FloatTensorType([None, width]))])
        sessions.append(
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        )
    return lambda x: np.concatenate([session.run(None, {"x": x})[0] for session in sessions], axis=1)


def treelite_gtil(fitted: list) -> Predict:
    import treelite

    loaded = [treelite.frontend.from_xgboost(booster) for booster in fitted]
    return lambda x: np.stack([treelite.gtil.predict(model, x, nthread=1).ravel() for model in loaded], axis=1)


PEERS: dict[str, tuple[Callable[[list], Predict], str]] = {
    "gelisol kernel": (kernel, ""),
    "xgboost inplace_predict, a loop": (library, ""),
    "dask map_blocks with xgboost": (map_blocks, ""),
    "dask-ml ParallelPostFit": (parallel_post_fit, "dask_ml"),
    "ONNX Runtime": (onnx_runtime, "onnxmltools"),
    "treelite GTIL": (treelite_gtil, "treelite"),
}


def run(name: str, work: Work, repeats: int) -> dict:
    """Time one peer; called in a process of its own."""
    fitted, (_, _, cells) = models(work), data(work)
    predict = PEERS[name][0](fitted)
    probe = cells[:2048]
    expected = library(fitted)(probe)
    found = predict(probe)
    difference = float(np.abs(found - expected).max())
    if difference > 1e-4:
        raise AssertionError(f"{name}: differs by {difference}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        predict(cells)
        seconds.append(time.process_time() - started)
    return {
        "difference": difference,
        "seconds": statistics.median(seconds),
        "spread": max(seconds) - min(seconds),
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def statistics_overhead(work: Work, repeats: int) -> dict:
    """Trees alone, and with all that a map takes of them: three depths, intervals at 95 %, zone sums, dissimilarity."""
    fitted, (x, y, cells) = models(work), data(work)
    forest, rng = Forest.from_xgboost(fitted), np.random.default_rng(2)
    out_of_bag = np.full((work.replicates, SITES), np.nan)
    for seed, booster in enumerate(fitted):
        left_out = np.setdiff1d(np.arange(SITES), np.random.default_rng(seed).integers(0, SITES, SITES))
        out_of_bag[seed, left_out] = booster.inplace_predict(x[left_out])
    lines = [np.tile([0.0, 1.0], (work.replicates, 1))] + [
        np.stack([rng.normal(1, 0.1, work.replicates), rng.normal(slope, 0.1, work.replicates)], 1)
        for slope in (2.3, 2.9)
    ]
    votes = []
    for intercept_slope in lines:
        slope = intercept_slope[:, 1].mean()
        jackknife = Jackknife.of(slope * y + rng.normal(0, 1, SITES), out_of_bag, intercept_slope)
        votes.append({"residual": jackknife.residual, "share": jackknife.share, "codes": jackknife.codes,
                      "kth": SITES - jackknife.ranks(0.95)[1], "least": 0.0})  # fmt: skip
    summary = module().Summary({
        "replicates": work.replicates, "outputs": 3, "intercept": np.stack([line[:, 0] for line in lines]),
        "slope": np.stack([line[:, 1] for line in lines]), "z": Z_95, "votes": votes,
        "formats": [1.0, 2.0**30, 1e3, 2.0**30, 1e3, 2.0**30, 1e6, 2.0**20],
    })  # fmt: skip
    zone, area = np.sort(rng.integers(0, 6, work.cells)), np.ones(work.cells)
    out = np.empty((3, 7, work.cells), "float32")

    def whole() -> None:
        shapes = {"cells": (6,), "area": (6,), "predicted": (work.replicates, 6), "mean": (3, 6), "square": (3, 6)}
        forest.summarise(cells, summary, area, zone, out, {k: np.zeros(v, "int64") for k, v in shapes.items()})

    return {
        "trees": _median(lambda: forest.predict(cells), repeats),
        "whole": _median(whole, repeats),
        "nearest": _median(
            lambda: _nearest(cells, np.arange(work.covariates), np.ones(work.covariates), x.astype("f8")), repeats
        ),
    }


def the_floor(work: Work, repeats: int) -> str:
    """How near the kernel comes to what the machine can do."""
    seconds = apart(run, "gelisol kernel", work, repeats)["seconds"]
    moved = 4.0 * work.cells * (work.covariates + work.replicates)
    return floor_of(INSTRUCTION_SETS[0], work.row_trees, work.row_trees / seconds, moved)


def compile_seconds(work: Work) -> float:
    fitted = models(work)
    return _median(lambda: Forest(tables_of([xgboost_replicate(b) for b in fitted]), double=False), 3)


def two_threads(work: Work, repeats: int) -> float:
    """Ratio of one thread's time to that of two, each with half of the cells."""
    forest, (_, _, cells) = Forest.from_xgboost(models(work)), data(work)

    def both() -> None:
        threads = [threading.Thread(target=forest.predict, args=(part,)) for part in np.array_split(cells, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return _median(lambda: forest.predict(cells), repeats, time.monotonic) / _median(both, repeats, time.monotonic)


def _median(function: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    seconds = []
    for _ in range(repeats):
        started = clock()
        function()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def apart(function: Callable, *arguments) -> object:
    """Call in a new process, so that memory and caches are its own."""
    for work in arguments:
        if isinstance(work, Work):
            models(work)
    with multiprocessing.get_context("spawn").Pool(1, _FITTED.update, (_FITTED,)) as pool:
        return pool.apply(function, arguments)


def peers(work: Work, repeats: int) -> str:
    rows = [["", "10⁹ row-trees a second", "times xgboost", "spread", "memory, MB", "largest difference"]]
    found: dict[str, dict] = {}
    for name, (_, package) in PEERS.items():
        if work.kind == "forest" and name not in ("gelisol kernel", "xgboost inplace_predict, a loop"):
            continue
        if package and importlib.util.find_spec(package) is None:
            rows.append([name, "not installed", "", "", "", ""])
            continue
        found[name] = apart(run, name, work, repeats)
    base = found["xgboost inplace_predict, a loop"]["seconds"]
    for name, facts in found.items():
        shown = name.replace("xgboost inplace_predict", "scikit-learn predict") if work.kind == "forest" else name
        rows.append([
            shown, f"{work.row_trees / facts['seconds'] / 1e9:.3f}", f"{base / facts['seconds']:.1f}",
            f"{facts['spread'] / facts['seconds']:.0%}", f"{facts['memory_mb']:.0f}", f"{facts['difference']:.1g}",
        ])  # fmt: skip
    return table(rows)


def growth(work: Work, repeats: int) -> str:
    rows = [["", "nanoseconds a row-tree", "nanoseconds a row-tree, xgboost"]]
    for label, changed in {
        "as above": work,
        "a quarter of the cells": replace(work, cells=work.cells // 4),
        "four times the cells": replace(work, cells=work.cells * 4),
        "a quarter of the replicates": replace(work, replicates=work.replicates // 4),
        "a quarter of the trees": replace(work, trees=work.trees // 4),
        "twice the covariates": replace(work, covariates=work.covariates * 2),
        "depth 2": replace(work, depth=2),
        "depth 3": replace(work, depth=3),
    }.items():
        ours, theirs = (apart(run, name, changed, repeats)["seconds"] for name in list(PEERS)[:2])
        rows.append([label, f"{ours / changed.row_trees * 1e9:.3f}", f"{theirs / changed.row_trees * 1e9:.2f}"])
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="also write the settings and the text here")
    options = parser.parse_args()
    repeats = 3 if options.quick else 5
    work = Work(cells=4096, replicates=20) if options.quick else Work()
    parts = [
        f"Measured on: {describe()}.",
        f"{work.replicates} replicates × {work.trees} trees of depth {work.depth}, {work.covariates} covariates, "
        f"{SITES} sites, {work.cells:,} cells, one thread.",
        peers(work, repeats),
    ]
    if shutil.which("g++") and INSTRUCTION_SETS:
        parts.append(the_floor(work, repeats))
    deeper = replace(work, depth=6)
    parts += ["Depth 6:", peers(deeper, repeats)]
    forest = Work(cells=2048, replicates=4 if options.quick else 20, trees=500, kind="forest")
    parts += [
        f"Random forests of scikit-learn: {forest.replicates} × 500 unpruned trees, {forest.cells:,} cells:",
        peers(forest, repeats),
    ]
    for label, of in (("depth 4", work), ("depth 6", deeper)):
        seconds = apart(statistics_overhead, of, repeats)
        parts.append(
            f"One pass, {label}: trees {seconds['trees'] / of.cells * 1e6:.2f} µs a cell; with the statistics of three "
            f"depths, prediction intervals and zone sums {seconds['whole'] / seconds['trees'] - 1:.0%} more; "
            f"dissimilarity {seconds['nearest'] / seconds['trees']:.0%} more."
        )
    parts.append(f"Reading the models and compiling them: {apart(compile_seconds, work):.2f} s.")
    parts.append(f"Two threads are {apart(two_threads, work, repeats):.2f} times as fast as one.")
    if not options.quick:
        parts += ["Growth:", growth(work, repeats)]
    text = "\n\n".join(parts)
    print(text)
    if options.json:
        options.json.write_text(json.dumps({"work": asdict(work), "text": text}, indent=1), encoding="utf-8")
    publish("forest.py", text)


if __name__ == "__main__":
    sys.exit(main())
