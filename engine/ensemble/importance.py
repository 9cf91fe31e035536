"""Drivers of a model: shares of gain, permutation importance and partial dependence, one replicate at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xgboost
from sklearn.pipeline import Pipeline

from engine.cube.features import Feature, Features

Predict = Callable[[np.ndarray], np.ndarray]
"""Design matrix, float32, shape (n, columns) → predictions, shape (n,)."""
PERCENTILES = (1, 99)
"""Of the training values, between which partial dependence is looked at."""
CLASS_SEPARATOR = "="


@dataclass(frozen=True)
class Curve:
    """Values of a covariate at which its partial dependence is evaluated.

    Attributes
    ----------
    covariate : str
    columns : ndarray of int
        Columns of the design matrix that the covariate makes up.
    settings : ndarray of float32, shape (points, len(columns))
        What the columns are set to.
    values : ndarray, shape (points,)
        The covariate's value; NaN for a class.
    classes : tuple of str
        Its class; "" for a number.
    """

    covariate: str
    columns: np.ndarray
    settings: np.ndarray
    values: np.ndarray
    classes: tuple[str, ...]


def column_blocks(features: Features, key: Callable[[Feature], str]) -> dict[str, np.ndarray]:
    """Group the columns that belong together, e.g.

    the classes of a category or the covariates of a group: name → columns.
    """
    names = [key(column) for column in features.columns]
    return {name: np.flatnonzero([name == other for other in names]) for name in dict.fromkeys(names)}


def gain_shares(models: Sequence[object], weights: Sequence[float], names: Sequence[str]) -> np.ndarray:
    """Return the share of each column in the gain of one replicate.

    For XGBoost, the sum of the loss reductions of all splits on the column (`total_gain`); for others, scikit-learn's
    `feature_importances_`. A replicate of several models averages their shares by the models' weights.

    Parameters
    ----------
    models : sequence
        The fitted models of the replicate: XGBoost boosters, objects with one as `booster`, or scikit-learn's.
    names : sequence of str
        Of the columns.

    Returns
    -------
    ndarray, shape (columns,)
        %, summing to 100; NaN if a model has no such measure (a support vector machine) or never splits.
    """
    shares = np.zeros(len(names))
    for model, weight in zip(models, weights, strict=True):
        gains = _column_gains(model, names)
        total = gains.sum()
        shares += weight * (gains / total if total > 0 else np.nan)
    return 100 * shares / sum(weights)


def _column_gains(model: object, names: Sequence[str]) -> np.ndarray:
    booster = getattr(model, "booster", model)
    if isinstance(booster, xgboost.Booster):
        scores = booster.get_score(importance_type="total_gain")
        keys = booster.feature_names or [f"f{column}" for column in range(len(names))]
        return np.array([scores.get(key, 0.0) for key in keys], "float64")
    last = model[-1] if isinstance(model, Pipeline) else model
    gains = np.asarray(getattr(last, "feature_importances_", ()), "float64")
    return gains if gains.shape == (len(names),) else np.full(len(names), np.nan)


def permutation_increase(
    predict: Predict,
    x: np.ndarray,
    y: np.ndarray,
    blocks: Sequence[np.ndarray],
    stream: np.random.SeedSequence,
    repeats: int,
) -> np.ndarray:
    """Return by how much the RMSE grows when the values of a block of columns are shuffled among the sites.

    Parameters
    ----------
    x : ndarray of float32, shape (n, columns)
        Sites that the model was not fitted to.
    y : ndarray, shape (n,)
    blocks : sequence of ndarray of int
        Columns that are permuted together, so that a site never is of two classes or of none.
    repeats : int
        Permutations to average over; every block is given the same ones.

    Returns
    -------
    ndarray, shape (blocks,)
        In the units of y; NaN with fewer than two sites.

    References
    ----------
    Breiman (2001), Machine Learning 45: 5–32; Fisher, Rudin & Dominici (2019), JMLR 20 (177).
    """
    if len(y) < 2:
        return np.full(len(blocks), np.nan)
    rng = np.random.default_rng(stream)
    orders = np.stack([rng.permutation(len(y)) for _ in range(repeats)])
    shuffled = np.broadcast_to(x, (len(blocks), repeats, *x.shape)).copy()
    for copy, columns in zip(shuffled, blocks, strict=True):
        copy[..., columns] = x[orders][..., columns]
    predicted = predict(shuffled.reshape(-1, x.shape[1])).reshape(len(blocks), repeats, len(y))
    return (_rmse(predicted, y) - _rmse(predict(x), y)).mean(axis=1)


def _rmse(predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(predicted.astype("float64") - y).mean(axis=-1))


def curves(features: Features, x: np.ndarray, points: int) -> list[Curve]:
    """Return a curve per covariate: quantiles of its training values from 1 to 99 %, or all classes of a category.

    Parameters
    ----------
    x : ndarray of float32, shape (n, columns)
        Training sites.
    points : int
        Quantiles at most; fewer where values repeat.
    """
    result = []
    for covariate, columns in column_blocks(features, lambda column: column.covariate).items():
        first = features.columns[columns[0]]
        if first.class_code is None:
            quantiles = np.percentile(x[:, columns[0]], np.linspace(*PERCENTILES, points))
            values = np.unique(quantiles.astype("float32"))
            result.append(Curve(covariate, columns, values[:, None], values.astype("float64"), ("",) * len(values)))
        else:
            settings = np.eye(len(columns), dtype="float32")
            classes = tuple(class_name(features.columns[column]) for column in columns)
            result.append(Curve(covariate, columns, settings, np.full(len(columns), np.nan), classes))
    return result


def class_name(column: Feature) -> str:
    """Return the class that a column stands for; "" for a number."""
    return "" if column.class_code is None else column.name.removeprefix(column.covariate + CLASS_SEPARATOR)


def partial_dependence(predict: Predict, x: np.ndarray, curve: Curve) -> np.ndarray:
    """Average predictions over the training sites with one covariate set to each value in turn (Friedman 2001).

    Parameters
    ----------
    x : ndarray of float32, shape (n, columns)

    Returns
    -------
    ndarray, shape (points,)
    """
    points = len(curve.settings)
    at = np.broadcast_to(x, (points, *x.shape)).copy()
    at[..., curve.columns] = curve.settings[:, None, :]
    return predict(at.reshape(-1, x.shape[1])).reshape(points, len(x)).mean(axis=1, dtype="float64")
