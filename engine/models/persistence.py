"""Fitted models: several may share a replicate; stored as XGBoost's UBJSON or as skops files, never as pickles."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost
from pydantic import BaseModel, ConfigDict
from sklearn.base import BaseEstimator

from engine.errors import InputError
from engine.forest import Unsupported, replicate_of, tables_of
from engine.models.families import Family, Value
from engine.seeds import integer
from engine.storage.npz import from_npz, npz
from engine.storage.paths import OutPath, read_file

TRUSTED = [
    "sklearn._loss._loss.CyHalfSquaredError", "sklearn._loss.link.IdentityLink", "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process.kernels.ConstantKernel", "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF", "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree", "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
]  # fmt: skip
"""Types beyond skops' own list that scikit-learn's regressors need; beside those of a family nothing else is loaded."""


class Member(BaseModel):
    """A family with its hyperparameters, and its weight in the prediction of a replicate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family
    parameters: dict[str, Value]
    weight: float = 1.0

    @property
    def suffix(self) -> str:
        """Suffix of the files of its fitted models."""
        return ".ubj" if self.family.is_xgboost else ".skops"


class BoostedTrees:
    """An XGBoost model as read from UBJSON; predicts with one thread and may be shared by threads."""

    def __init__(self, content: bytes):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(bytearray(content))
        self.booster.set_param({"nthread": 1})

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return predictions, float32, shape (n,)."""
        return self.booster.inplace_predict(x)


def fit_members(members: Sequence[Member], x: np.ndarray, y: np.ndarray, stream: np.random.SeedSequence) -> list[Any]:
    """Fit every member to the same rows.

    Parameters
    ----------
    stream : SeedSequence
        Its own numbers are left to who drew the rows; each member is seeded by a child of it.

    Raises
    ------
    FitError
        If one of them cannot be fitted.
    """
    # Rebuilt, because spawning changes a stream and a task may run twice.
    children = np.random.SeedSequence(stream.entropy, spawn_key=stream.spawn_key).spawn(len(members))
    models = []
    for member, child in zip(members, children, strict=True):
        with member.family.explained(len(y)):
            models.append(member.family.build(member.parameters, integer(child)).fit(x, y))
    return models


def save_model(model: BaseEstimator, names: list[str]) -> bytes:
    """Serialise a fitted model; an XGBoost model carries the names of its columns."""
    if isinstance(model, xgboost.XGBRegressor):
        booster = model.get_booster()
        booster.feature_names = names
        return bytes(booster.save_raw("ubj"))
    import skops.io  # takes half a second, and XGBoost's models do without

    return bytes(skops.io.dumps(model))


def save_trees(model: BaseEstimator) -> bytes | None:
    """Serialise the trees of a fitted model as a NumPy archive; None if it is not a sum of regression trees."""
    try:
        tables = tables_of([replicate_of(model)])
    except Unsupported:
        return None
    return npz(tables)


def load_model(path: OutPath, digest: str, types: Sequence[str] = ()) -> Any:
    """Load a stored model with `predict`.

    Parameters
    ----------
    types : sequence of str
        Of its family, which the file may hold.

    Raises
    ------
    InputError
        If the file is missing, is not the one with this SHA-256, or holds types that are not trusted.
    """
    content = _checked(path, digest)
    if path.suffix == ".ubj":
        return BoostedTrees(content)
    if untrusted := untrusted_types(content, types):
        raise InputError(
            f"{path}: holds types that are not loaded: {', '.join(untrusted)}; if they are of a family of another "
            "package, it must be installed, and name them as `trusted` (docs/extending.md)"
        )
    import skops.io

    return skops.io.load(io.BytesIO(content), trusted=[*TRUSTED, *types])


def load_trees(path: OutPath, digest: str) -> dict[str, np.ndarray]:
    """Load stored trees, as `tables_of` made them; raises as `load_model`."""
    return from_npz(_checked(path, digest))


def _checked(path: OutPath, digest: str) -> bytes:
    try:
        content = read_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); run the stage `train` again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: is damaged or not the trained replicate; run the stage `train` again")
    return content


def untrusted_types(content: bytes, types: Sequence[str] = ()) -> list[str]:
    """Return the types in a skops file that are not trusted, apart from those of its family."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=content)) - {*TRUSTED, *types})
