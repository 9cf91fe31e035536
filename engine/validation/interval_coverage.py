"""Predictive distributions of observations that the models did not see, by ensembles of the other folds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client

from engine.ensemble.manifest import draw
from engine.ensemble.trained import combine
from engine.execution.cached_tasks import run_kept
from engine.execution.ledger import Scratch, key_of
from engine.execution.tasks import Progress, silent
from engine.models.persistence import Member, fit_members
from engine.seeds import Use, streams
from engine.uncertainty.new_observations import Located
from engine.validation.predictive import METHODS, PROBABILITIES, Fold, quantiles

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Of the intervals whose coverage a table states, where it states few."""

Regress = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations of the modelled output, of the others, bootstrap indices) → coefficients (replicates, outputs, 2)."""


@dataclass(frozen=True)
class HeldOutDistributions:
    """Predictive distributions of every site while it was held out.

    Attributes
    ----------
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    folds : dict
        Scheme → fold numbers, shape (repeats, sites).
    mean : dict
        Scheme → mean of the replicates, shape (repeats, outputs, sites).
    quantiles : dict
        Scheme → quantiles of `PROBABILITIES`, shape (methods, probabilities, repeats, outputs, sites), in the order of
        `METHODS`.
    """

    observed: np.ndarray
    folds: Mapping[str, np.ndarray]
    mean: Mapping[str, np.ndarray]
    quantiles: Mapping[str, np.ndarray]


def hold_out_distributions(
    client: Client,
    x: np.ndarray,
    observed: np.ndarray,
    members: Sequence[Member],
    regress: Regress,
    folds: Mapping[str, np.ndarray],
    *,
    replicates: int,
    seed: int,
    least: float = -np.inf,
    located: Located | None = None,
    scratch: Scratch | None = None,
    progress: Progress = silent,
) -> HeldOutDistributions:
    """Predict held-out sites by distributions, under each scheme.

    For every fold an ensemble of its own is trained on the other folds, with the depth regressions refitted, and the
    distributions of the held-out sites are those that a map by that ensemble would give there. One task per fold.

    Parameters
    ----------
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    folds : dict
        Scheme → fold numbers, shape (repeats, sites).
    least : float
        Lowest value that an observation can have.
    located : Located, optional
        Where the sites are: intervals are those of the joint model of the errors, as the map's then are, fitted anew
        to the sites of the other folds; without it, jackknife+'s.
    scratch : Scratch, optional
        Keeps folds that are done, as long as members, replicates and places are the same.
    """
    items: dict[str, tuple[str, np.ndarray, np.random.SeedSequence]] = {}
    places: dict[str, tuple[str, int]] = {}
    for scheme, rows in folds.items():
        for repeat, (fold, repeat_stream) in enumerate(zip(rows, streams(seed, Use.COVERAGE, len(rows)), strict=True)):
            numbers = np.unique(fold)
            for number, stream in zip(numbers, repeat_stream.spawn(len(numbers)), strict=True):
                name = f"{scheme}-{repeat:04d}-{number:03d}"
                items[name], places[name] = (scheme, fold == number, stream), (scheme, repeat)
    shared = (x, observed, tuple(members), regress, replicates, least, located)
    key = key_of([str(member) for member in members], replicates, located.digest if located else "")
    kept = scratch.inner(f"quantiles-{key}") if scratch else None
    results = run_kept(client, hold_out, items, *shared, scratch=kept, progress=progress, name="coverage")
    sites, outputs = observed.shape
    shapes = {scheme: (len(rows), outputs, sites) for scheme, rows in folds.items()}
    mean = {scheme: np.full(shape, np.nan) for scheme, shape in shapes.items()}
    ends = {scheme: np.full((len(METHODS), len(PROBABILITIES), *shape), np.nan) for scheme, shape in shapes.items()}
    for name, (scheme, repeat) in places.items():
        test, found = items[name][1], results[name]
        mean[scheme][repeat][:, test] = found[0]
        ends[scheme][:, :, repeat][..., test] = found[1:].reshape(len(METHODS), len(PROBABILITIES), *found.shape[1:])
    return HeldOutDistributions(observed, folds, mean, ends)


def hold_out(
    item: tuple[str, np.ndarray, np.random.SeedSequence],
    x: np.ndarray,
    observed: np.ndarray,
    members: tuple[Member, ...],
    regress: Regress,
    replicates: int,
    least: float = -np.inf,
    located: Located | None = None,
) -> np.ndarray:
    """Train on all but the held-out sites of `item` (name, bool per site, stream), and predict these.

    Returns
    -------
    ndarray, shape (1 + methods × probabilities, outputs, held-out sites)
        The mean of the replicates, then the quantiles of one method after the other.
    """
    _, test, stream = item
    train = ~test
    samples = np.random.SeedSequence(stream.entropy, spawn_key=stream.spawn_key).spawn(replicates)
    x_train, y_train = x[train], observed[train]
    bootstrap = draw(len(y_train), samples)
    coefficients = regress(y_train[:, 0], y_train[:, 1:], bootstrap)
    first, first_held_out = np.empty((replicates, len(y_train))), np.empty((replicates, int(test.sum())))
    out_of_bag = np.full(first.shape, np.nan)
    for replicate, (rows, sample) in enumerate(zip(bootstrap, samples, strict=True)):
        models = fit_members(members, x_train[rows], y_train[rows, 0], sample)
        first[replicate] = combine(members, [model.predict(x_train) for model in models])
        first_held_out[replicate] = combine(members, [model.predict(x[test]) for model in models])
        left_out = np.setdiff1d(np.arange(len(y_train)), rows)
        out_of_bag[replicate, left_out] = first[replicate, left_out]
    at, at_held_out = (located.only(train), located.only(test)) if located else (None, None)
    fold = Fold(
        x_train, x[test], y_train, first, first_held_out, out_of_bag, coefficients, least, at, at_held_out,
        int(stream.generate_state(1)[0]),
    )  # fmt: skip
    found = quantiles(fold)
    return np.concatenate([fold.mean[None], found.reshape(-1, *found.shape[2:])])
