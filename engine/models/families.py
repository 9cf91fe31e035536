"""Model families: how each is built, its default hyperparameters and its search space."""

import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field
from sklearn.base import RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from engine.errors import Finding, FitError, InputError
from engine.formatting import counted
from engine.registry import OWN, Registry

Value = float | int | str | bool | None
Parameters = Mapping[str, Value]
Grid = Mapping[str, tuple[Value, ...]]

_OURS = {"random_state", "n_jobs", "nthread", "verbosity", "verbose", "missing", "callbacks", "device", "warm_start"}
"""Parameters that the engine sets: a task has one thread and a stream of its own."""


@dataclass(frozen=True)
class Family:
    """A kind of model with scikit-learn's `fit` and `predict`.

    Attributes
    ----------
    name : str
        What the run file calls it.
    estimator : str
        Dotted name of the class: `xgboost.XGBRegressor`, one of scikit-learn's regressors, or for a family that is
        registered any class that follows their conventions.
    defaults : mapping
        Hyperparameters that serve small noisy samples.
    grid : mapping
        Search space: hyperparameter → values to try.
    scaled : bool
        Whether the columns are standardised first, inside each fit.
    trusted : tuple of str
        Types, beside the estimator's, that files of its fitted models may hold; of a family that is registered.
    """

    name: str
    estimator: str
    defaults: Parameters = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    scaled: bool = False
    # Not of the manifest: what may be loaded is for the code to say that registers the family, not for a file.
    trusted: Annotated[tuple[str, ...], Field(exclude=True)] = field(default=(), repr=False, compare=False)

    def build(self, parameters: Parameters, seed: int) -> Any:
        """Build an unfitted estimator of one thread; `parameters` replace the defaults one by one."""
        kind = self.kind()
        ours: dict[str, Any] = {"random_state": seed, "n_jobs": 1}
        if self.is_xgboost:
            ours |= {"tree_method": "hist", "device": "cpu", "verbosity": 0}
        known = self.known()
        model = kind(**{**self.defaults, **parameters}, **{k: v for k, v in ours.items() if k in known})
        return Pipeline([("scale", StandardScaler()), ("model", model)]) if self.scaled else model

    @contextmanager
    def explained(self, sites: int) -> Iterator[None]:
        """Turn any error of an estimator that is fitted or predicts into a `FitError`."""
        try:
            yield
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise FitError(f"{self.name} cannot be fitted to {counted(sites, 'site')}: {reason}") from error

    @property
    def is_xgboost(self) -> bool:
        """Whether replicates are stored in XGBoost's own format."""
        return self.estimator.startswith("xgboost.")

    def kind(self) -> type:
        """Return the class of the estimator.

        Raises
        ------
        InputError
            If the dotted name is neither a regressor of scikit-learn or XGBoost nor that of a registered family.
            Others are refused: a run file must not be able to run any code that happens to be importable.
        """
        module, _, name = self.estimator.rpartition(".")
        if module.split(".")[0] in ("sklearn", "xgboost") or self.registered:
            try:
                kind = getattr(importlib.import_module(module), name, None)
            except ImportError:
                kind = None
            if inspect.isclass(kind) and issubclass(kind, RegressorMixin):
                return kind
        raise InputError(
            Finding(
                f"{self.estimator!r} is not a regressor of scikit-learn, nor of a family that is registered in this "
                "process; give its dotted name, e.g. sklearn.ensemble.ExtraTreesRegressor, or register a family "
                "(docs/extending.md)",
                "model.families",
            )
        )

    @property
    def registered(self) -> "Family | None":
        """The registered family of its name, if it has the same estimator."""
        found = FAMILIES.get(self.name)
        return found if found and found.estimator == self.estimator else None

    @property
    def types(self) -> tuple[str, ...]:
        """Types that files of its fitted models may hold, beside those of scikit-learn."""
        if (found := self.registered) is None:
            return ()
        kind = self.kind()
        return (f"{kind.__module__}.{kind.__qualname__}", *found.trusted)

    def known(self) -> frozenset[str]:
        """Return the hyperparameters that the estimator takes."""
        if self.is_xgboost:
            return frozenset(self.kind()().get_params())
        return frozenset(inspect.signature(self.kind()).parameters)

    def check(self, parameters: Mapping[str, Any], key: str = "model.parameters") -> list[Finding]:
        """List problems with the names of hyperparameters, one sentence each."""
        try:
            known = self.known() - _OURS
        except InputError as error:
            return error.problems
        problems = []
        for name in parameters:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                problems.append(Finding(f"unknown hyperparameter {name!r}{hint}", f"{key}.{self.name}"))
        return problems


FAMILIES = Registry("gelisol.families", "family", Family)
"""Families by name: the study's four, and those of other packages."""

for _family in (
    Family(
        "rf",
        "sklearn.ensemble.RandomForestRegressor",
        {"n_estimators": 200, "min_samples_leaf": 3, "max_features": 0.5},
        {"max_features": (0.33, 0.5, 1.0), "min_samples_leaf": (1, 3, 6)},
    ),
    Family(
        "svm",
        "sklearn.svm.SVR",
        {"kernel": "rbf", "C": 2.0, "epsilon": 0.2, "gamma": "scale"},
        {"C": (0.5, 1.0, 2.0, 4.0, 8.0), "epsilon": (0.1, 0.3, 0.6), "gamma": ("scale", 0.03, 0.01)},
        scaled=True,
    ),
    Family(
        "brt",
        "sklearn.ensemble.GradientBoostingRegressor",
        {"n_estimators": 200, "learning_rate": 0.03, "max_depth": 3, "subsample": 0.6, "min_samples_leaf": 5},
        {"n_estimators": (100, 200), "learning_rate": (0.02, 0.05), "max_depth": (2, 3)},
    ),
    Family(
        "xgboost",
        "xgboost.XGBRegressor",
        {"n_estimators": 300, "learning_rate": 0.03, "max_depth": 3, "subsample": 0.6, "min_child_weight": 3},
        {
            "n_estimators": (150, 300),
            "learning_rate": (0.02, 0.05),
            "max_depth": (2, 3, 4),
            "subsample": (0.5, 0.75),
        },
    ),
):
    FAMILIES.register(_family.name, _family, by=OWN)
