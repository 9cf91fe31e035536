"""Coverage of prediction intervals: how often they hold observations that the models did not see."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from engine.ensemble.manifest import draw
from engine.ensemble.prediction_intervals import Jackknife
from engine.ensemble.trained import combine
from engine.execution.cached_tasks import run_kept
from engine.execution.ledger import Scratch, key_of
from engine.execution.tasks import Progress, silent
from engine.models.persistence import Member, fit_members
from engine.seeds import Use, streams

LEVELS = (0.5, 0.8, 0.9, 0.95)

Regress = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations of the modelled output, of the others, bootstrap indices) → coefficients (replicates, outputs, 2)."""


def measure_coverage(
    client: Client,
    x: np.ndarray,
    observed: np.ndarray,
    members: Sequence[Member],
    regress: Regress,
    folds: Mapping[str, np.ndarray],
    *,
    outputs: Sequence[str],
    replicates: int,
    seed: int,
    least: float = -np.inf,
    scratch: Scratch | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Measure the share of held-out observations inside their prediction interval (PICP), under each scheme.

    For every fold an ensemble of its own is trained on the other folds, with the depth regressions refitted, and the
    intervals of the held-out sites are those that a map by that ensemble would give there. One task per fold.

    Parameters
    ----------
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    folds : dict
        Scheme → fold numbers, shape (repeats, sites).
    least : float
        Lowest value that an observation can have.
    scratch : Scratch, optional
        Keeps folds that are done, as long as members and replicates are the same.

    Returns
    -------
    DataFrame
        `scheme, depth, nominal, measured, n, width`: n counts observations over all repeats, width is the intervals'
        mean width.
    """
    items: dict[str, tuple[str, np.ndarray, np.random.SeedSequence]] = {}
    for scheme, rows in folds.items():
        for repeat, (fold, repeat_stream) in enumerate(zip(rows, streams(seed, Use.COVERAGE, len(rows)), strict=True)):
            numbers = np.unique(fold)
            for number, stream in zip(numbers, repeat_stream.spawn(len(numbers)), strict=True):
                items[f"{scheme}-{repeat:04d}-{number:03d}"] = (scheme, fold == number, stream)
    shared = (x, observed, tuple(members), regress, replicates, least)
    kept = scratch.inner(f"coverage-{key_of([str(member) for member in members], replicates)}") if scratch else None
    results = run_kept(client, _hold_out, items, *shared, scratch=kept, progress=progress, name="coverage")
    found = []
    for name, (scheme, _, _) in items.items():
        held, width = results[name]
        for k, output in enumerate(outputs):
            known = np.isfinite(width[0, :, k])
            found += [
                {"scheme": scheme, "depth": output, "nominal": level, "held": held[i, known, k].sum(),
                 "n": known.sum(), "width": width[i, known, k].sum()}
                for i, level in enumerate(LEVELS)
            ]  # fmt: skip
    table = pd.DataFrame(found).groupby(["scheme", "depth", "nominal"], sort=False).sum().reset_index()
    table["measured"] = table["held"] / table["n"]
    table["width"] = table["width"] / table["n"]
    return table[["scheme", "depth", "nominal", "measured", "n", "width"]]


def _hold_out(*arguments: Any) -> np.ndarray:
    """Return both results of `hold_out` as one array."""
    return np.stack(hold_out(*arguments))


def hold_out(
    item: tuple[str, np.ndarray, np.random.SeedSequence],
    x: np.ndarray,
    observed: np.ndarray,
    members: tuple[Member, ...],
    regress: Regress,
    replicates: int,
    least: float = -np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Train on all but the held-out sites of `item` (name, bool per site, stream), and hold its intervals against them.

    Returns
    -------
    held : ndarray of bool, shape (levels, held-out sites, outputs)
        Whether each observation is in its interval of each of `LEVELS`.
    width : ndarray, same shape
        Width of the intervals; NaN where there is no observation.
    """
    _, test, stream = item
    train = ~test
    samples = np.random.SeedSequence(stream.entropy, spawn_key=stream.spawn_key).spawn(replicates)
    x_train, y_train = x[train], observed[train]
    bootstrap = draw(len(y_train), samples)
    coefficients = regress(y_train[:, 0], y_train[:, 1:], bootstrap)
    out_of_bag = np.full((replicates, len(y_train)), np.nan)
    predicted = np.empty((replicates, int(test.sum())))
    for replicate, (rows, sample) in enumerate(zip(bootstrap, samples, strict=True)):
        models = fit_members(members, x_train[rows], y_train[rows, 0], sample)
        left_out = np.setdiff1d(np.arange(len(y_train)), rows)
        out_of_bag[replicate, left_out] = combine(members, [model.predict(x_train[left_out]) for model in models])
        predicted[replicate] = combine(members, [model.predict(x[test]) for model in models])
    held = np.zeros((len(LEVELS), int(test.sum()), observed.shape[1]), bool)
    width = np.full(held.shape, np.nan)
    for k in range(observed.shape[1]):
        lower, upper = Jackknife.of(y_train[:, k], out_of_bag, coefficients[:, k], least).interval(predicted, LEVELS)
        target = observed[test, k]
        known = np.isfinite(target)
        held[:, known, k] = (lower <= target)[:, known] & (target <= upper)[:, known]
        width[:, known, k] = (upper - lower)[:, known]
    return held, width
