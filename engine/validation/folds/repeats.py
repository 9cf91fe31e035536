"""Folds of all repeats of a scheme, each repeat with a stream of its own."""

import numpy as np
from distributed import Client

from engine.execution.cached_tasks import run_kept
from engine.execution.ledger import Scratch
from engine.execution.tasks import Progress, run_each, silent
from engine.seeds import Use, streams
from engine.validation.folds.splitters import Places, split


def repeated_folds(
    client: Client,
    schemes: tuple[str, ...],
    places: Places,
    *,
    folds: int,
    repeats: int,
    seed: int,
    scratch: Scratch | None = None,
    progress: Progress = silent,
) -> dict[str, np.ndarray]:
    """Make fold numbers of every scheme and repeat, one task each.

    Parameters
    ----------
    scratch : Scratch, optional
        Keeps what is done.

    Returns
    -------
    dict
        Scheme → ndarray of int, shape (repeats, sites).

    Raises
    ------
    InputError
        If the sites or their places are too few for the folds, naming the scheme's needs; if it is no splitter.
    """
    items = {
        f"{scheme}-{repeat:04d}": (scheme, stream)
        for scheme in schemes
        for repeat, stream in enumerate(streams(seed, Use.FOLDS, repeats))
    }
    found = run_kept(client, _folds, items, places, folds, scratch=scratch, progress=progress, name="folds")
    return {scheme: np.stack([found[f"{scheme}-{repeat:04d}"] for repeat in range(repeats)]) for scheme in schemes}


def further_folds(
    client: Client, scheme: str, places: Places, first: np.ndarray, *, folds: int, repeats: int, seed: int,
    scratch: Scratch | None = None,
) -> np.ndarray:  # fmt: skip
    """Extend the folds of `repeated_folds` to another number of repeats.

    Parameters
    ----------
    first : ndarray of int, shape (repeats, sites)

    Returns
    -------
    ndarray of int, shape (repeats, sites)
    """
    scratch, found = scratch or Scratch(None), dict(enumerate(first[:repeats]))
    each = list(enumerate(streams(seed, Use.FOLDS, repeats)))
    found |= {n: kept for n, _ in each[len(found) :] if (kept := scratch.load(f"{scheme}-{n:04d}")) is not None}
    todo = [(n, (scheme, stream)) for n, stream in each if n not in found]
    for (n, _), rows in run_each(client, _numbered, todo, places, folds, total=len(todo), name="folds"):
        scratch.save(f"{scheme}-{n:04d}", rows)
        found[n] = rows
    return np.stack([found[n] for n in range(repeats)])


def _numbered(item: tuple[int, tuple[str, np.random.SeedSequence]], places: Places, k: int) -> np.ndarray:
    return _folds(item[1], places, k)


def _folds(item: tuple[str, np.random.SeedSequence], places: Places, k: int) -> np.ndarray:
    scheme, stream = item
    return split(scheme, places, k, np.random.default_rng(stream))
