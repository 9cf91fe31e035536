"""A family tried on a few made-up rows, so that what cannot be fitted, or kept, is found before computing."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.models.families import Family, Parameters
from engine.models.persistence import BoostedTrees, save_model, untrusted_types

COLUMNS = 4
FEW = 5
"""Trees or iterations of a trial, however many are asked for."""
_COUNTS = ("n_estimators", "max_iter")


def try_family(family: Family, rows: int) -> list[str]:
    """Fit a family with its hyperparameters, then with each value of its grid, and keep the model as a file would.

    Parameters
    ----------
    rows : int
        Sites that a model is trained on, so that a family that needs more of them is found, too.

    Returns
    -------
    list of str
        What is wrong, one sentence each; the same fault counts once.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, COLUMNS)).astype("float32")
    y = 5 + x[:, 0] + rng.normal(0, 0.5, rows)
    problems: dict[str, str] = {}
    for parameters in _variants(family):
        if fault := _fault(family, parameters, x, y):
            shown = ", ".join(f"{name}: {value}" for name, value in {**family.defaults, **parameters}.items())
            problems.setdefault(fault, f"{family.name} with {{{shown}}} {fault}")
    return list(problems.values())


def _variants(family: Family) -> Iterator[Parameters]:
    yield {}
    for name, values in family.grid.items():
        yield from ({name: value} for value in values)


def _fault(family: Family, parameters: Parameters, x: np.ndarray, y: np.ndarray) -> str:
    """Return why a model cannot be used; empty if it can."""
    wanted = {**family.defaults, **parameters}
    few = {name: min(wanted[name], FEW) for name in _COUNTS if isinstance(wanted.get(name), int)}  # type: ignore[type-var]
    try:
        with warnings.catch_warnings():
            # Of so few rows and iterations a fit may well complain.
            warnings.simplefilter("ignore")
            model = family.build({**wanted, **few}, 0).fit(x, y)
            predicted = np.asarray(model.predict(x))
            content = save_model(model, [f"x{column}" for column in range(COLUMNS)])
    except Exception as error:
        return f"cannot be fitted: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
    return _useless(family, predicted, content)


def _useless(family: Family, predicted: Any, content: bytes) -> str:
    if predicted.size == 0 or predicted.reshape(len(predicted), -1).shape[1] != 1:
        return f"predicts {predicted.shape[1:]} values for each site; expected one"
    if not np.isfinite(predicted).all():
        return "predicts values that are not finite"
    if family.is_xgboost:
        return "" if BoostedTrees(content).booster.num_boosted_rounds() else "has no trees: n_estimators is below 1"
    if types := untrusted_types(content, family.types):
        return f"cannot be kept: its files would hold types that are not loaded for safety: {', '.join(types)}"
    return ""
