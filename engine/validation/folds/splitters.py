"""Fold splitters by name: those of this package, of others, and any of scikit-learn."""

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from engine.errors import Finding, InputError
from engine.registry import OWN, Registry
from engine.validation.folds.knndm import knndm_folds
from engine.validation.folds.schemes import block_folds, random_folds, squares

KEY = "model.validation.schemes"


@dataclass(frozen=True)
class Places:
    """Places of the sites and of the cells to predict, degrees.

    Attributes
    ----------
    lon, lat : ndarray, shape (sites,)
    domain_lon, domain_lat : ndarray, shape (cells,)
        Random cells of the prediction area.
    block_km : float
        Side of a block of the scheme `block`.
    observed : ndarray, shape (sites,), or None
        What is modelled, for splitters that heed it.
    """

    lon: np.ndarray
    lat: np.ndarray
    domain_lon: np.ndarray
    domain_lat: np.ndarray
    block_km: float
    observed: np.ndarray | None = None


Splitter = Callable[[Places, int, np.random.Generator], np.ndarray]
"""(places, number of folds, generator of the repeat) → the fold of each site, 0, 1, …; ndarray of int, (sites,)."""


@dataclass(frozen=True)
class ScikitLearn:
    """A splitter of scikit-learn's conventions, which gets longitude and latitude as `X` and blocks as `groups`.

    Attributes
    ----------
    splitter : class or object
        With `split(X, y, groups)`. Of a class, `n_splits`, `shuffle` and `random_state` are set; of an object, which
        has its own settings, `random_state` alone.
    """

    splitter: Any

    def __call__(self, places: Places, k: int, rng: np.random.Generator) -> np.ndarray:
        """Split the sites once; a result that is not a partition is refused."""
        seed, name = int(rng.integers(2**31)), getattr(self.splitter, "__name__", type(self.splitter).__name__)
        if inspect.isclass(self.splitter):
            given = {"n_splits": k, "shuffle": True, "random_state": seed}
            known = inspect.signature(self.splitter).parameters
            splitter: Any = self.splitter(**{key: value for key, value in given.items() if key in known})
        else:
            splitter = copy.copy(self.splitter)
            if hasattr(splitter, "random_state"):
                splitter.random_state = seed
        x, groups = np.column_stack([places.lon, places.lat]), squares(places.lon, places.lat, places.block_km)
        times, folds = np.zeros(len(x), int), np.zeros(len(x), int)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The groups parameter is ignored")
                parts = [held_out for _, held_out in splitter.split(x, places.observed, groups)]
        except (TypeError, ValueError) as error:
            raise InputError(Finding(f"{name} cannot split the {len(x)} sites: {error}", KEY)) from None
        for number, held_out in enumerate(parts):
            times[held_out] += 1
            folds[held_out] = number
        if (times != 1).any():
            raise InputError(
                Finding(
                    f"{name} holds out {(times == 0).sum()} of {len(x)} sites never and {(times > 1).sum()} more than "
                    "once; expected each site once, as KFold does",
                    KEY,
                )
            )
        return folds


def _as_splitter(given: Any) -> Any:
    return ScikitLearn(given) if hasattr(given, "split") else given


SPLITTERS: Registry[Splitter] = Registry("gelisol.splitters", "splitter", Callable, _as_splitter)  # type: ignore[arg-type]
"""Splitters by name: functions as `Splitter`, or what follows scikit-learn's conventions."""


@SPLITTERS.register("random", by=OWN)
def _random(places: Places, k: int, rng: np.random.Generator) -> np.ndarray:
    return random_folds(len(places.lon), k, rng)


@SPLITTERS.register("block", by=OWN)
def _block(places: Places, k: int, rng: np.random.Generator) -> np.ndarray:
    return block_folds(places.lon, places.lat, k, rng, size_km=places.block_km)


@SPLITTERS.register("knndm", by=OWN)
def _knndm(places: Places, k: int, rng: np.random.Generator) -> np.ndarray:
    return knndm_folds(places.lon, places.lat, places.domain_lon, places.domain_lat, k, rng).folds


def find_splitter(name: str) -> Splitter:
    """Return a splitter by its name, or one of scikit-learn by its dotted name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    module, _, kind = name.rpartition(".")
    if module.split(".")[0] != "sklearn" or name in SPLITTERS:
        return SPLITTERS.find(name, KEY)
    try:
        found = getattr(import_module(module), kind, None)
    except ImportError:
        found = None
    if inspect.isclass(found) and hasattr(found, "split"):
        return ScikitLearn(found)
    raise InputError(
        Finding(f"{name!r} is not a splitter of scikit-learn; expected e.g. sklearn.model_selection.GroupKFold", KEY)
    )


def split(name: str, places: Places, k: int, rng: np.random.Generator) -> np.ndarray:
    """Split the sites once.

    Returns
    -------
    ndarray of int, shape (sites,)
        The fold of each site, 0, 1, …

    Raises
    ------
    InputError
        If the splitter gives anything else, or fewer than two folds.
    """
    folds = np.asarray(find_splitter(name)(places, k, rng))
    if folds.shape != places.lon.shape or folds.dtype.kind not in "iu":
        raise InputError(
            Finding(
                f"{name!r} gives {folds.dtype} of shape {folds.shape}; expected whole numbers, one for each of the "
                f"{len(places.lon)} sites",
                KEY,
            )
        )
    if len(np.unique(folds)) < 2:
        raise InputError(Finding(f"{name!r} puts all sites into one fold; expected two folds or more", KEY))
    return folds
