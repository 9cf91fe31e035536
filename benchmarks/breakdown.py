"""Where the time of the map goes: the parts of a block, timed one by one in this process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import table

from engine.cube.features import Features
from engine.ensemble.trained import load_ensemble
from engine.grid.grid import Block
from engine.mapping.blockwise import MapPlan, map_block
from engine.mapping.predict_block import OnePass
from engine.storage.zarr_store import array
from engine.validation.applicability import Applicability

BLOCKS, REPEATS = 12, 3


def breakdown(plan: MapPlan, store: Path) -> tuple[str, float]:
    """Microseconds of a core for each part of a cell's work, as a table, and of all of them.

    Parameters
    ----------
    store : Path
        A map that may be written over.
    """
    ensemble = load_ensemble(plan.ensemble, plan.digest)
    area_of_model = Applicability.load(plan.applicability)
    one_pass = OnePass(ensemble, plan.level, plan.precision, observations=not plan.local)
    zones = 2 * (plan.n_zones + 1)
    parts = dict.fromkeys(
        ("reading the cube", "design matrix", "trees and statistics", "dissimilarity", "point density"), 0.0
    )
    whole, cells, left = 0.0, 0, BLOCKS
    assert ensemble.forest
    for block in plan.grid.blocks(mixed=True):
        values, reading = _timed(_read, plan.cube, block, ensemble.features)
        known = np.flatnonzero(ensemble.features.complete(values))
        if not len(known):
            continue
        x, arranging = _timed(_matrix, ensemble.features, values, known)
        area, zone = np.ones(len(known)), np.sort(np.arange(len(known)) % zones)
        _, pass_over_all = _timed(one_pass.run, x, area, zone, zones)
        _, dissimilarity = _timed(area_of_model.dissimilarity, x)
        _, density = _timed(area_of_model.local_point_density, x)
        of_parts = (reading, arranging, pass_over_all, dissimilarity, density)
        for name, seconds in zip(parts, of_parts, strict=True):
            parts[name] += seconds
        whole += _timed(map_block, block, plan, store)[1]
        cells += len(known)
        if (left := left - 1) == 0:
            break
    rest = "compressing, writing and the rest"
    parts[f"joint model, {rest}" if plan.errors else rest] = whole - sum(parts.values())
    rows = [["", "µs a cell", "share"]]
    rows += [[name, f"{seconds / cells * 1e6:.2f}", f"{seconds / whole:.0%}"] for name, seconds in parts.items()]
    return table([*rows, ["all", f"{whole / cells * 1e6:.2f}", ""]]), whole / cells * 1e6


def _read(cube: Path, block: Block, features: Features) -> dict[str, np.ndarray]:
    return {name: np.asarray(array(cube, name)[block.roi]) for name in features.covariates}


def _matrix(features: Features, values: dict[str, np.ndarray], known: np.ndarray) -> np.ndarray:
    return features.matrix({name: of_block.ravel()[known] for name, of_block in values.items()})


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function gives, and the seconds of a core that it takes: the least of several."""
    least = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        value = function(*arguments)
        least = min(least, time.process_time() - started)
    return value, least
