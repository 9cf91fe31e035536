"""The ensemble of a run as an estimator of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

import engine
from engine.cube.build import DOMAIN, is_known
from engine.cube.features import Features
from engine.ensemble.packed import train_packed
from engine.ensemble.statistics import over_replicates
from engine.errors import FitError, InputError
from engine.formatting import counted
from engine.mapping.predict_block import STATISTICS
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.variable import Variable
from engine.validation.applicability import Applicability
from gelisol._arguments import ArgumentError, described
from gelisol._covariates import as_in_cube, read_covariates
from gelisol._fitted import FittedModel, lazy_map
from gelisol._joint_errors import fit_joint_errors
from gelisol._learn import target_values
from gelisol._places import lon_lat, rows_of
from gelisol._predict import statistics_table
from pipelines.runfile.model_section import Model
from pipelines.runfile.nearest import nearest
from pipelines.soil_carbon.model.drivers import covariate_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_FOLDS = 10
"""Random folds by which the threshold of applicability is set."""


class SoilMapper(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Bootstrap replicates of a model family, with prediction intervals and an area of applicability.

    An estimator of scikit-learn on rows of covariates; and of a Dataset, whose cells it maps. It has one family with
    the hyperparameters that it is given: `GridSearchCV` searches them, `cross_val_score` validates. `map_dataset` does
    both by itself, as a run does.

    Parameters
    ----------
    family : str
        `xgboost`, `rf`, `brt` or `svm`.
    parameters : mapping, optional
        Hyperparameters that replace the family's defaults.
    replicates : int
        Bootstrap replicates, two or more.
    interval : float
        Nominal coverage of the prediction interval, between 0 and 1.
    target : str, optional
        Column of the points that is learnt where `fit` gets a Dataset and points.
    units : str
        Of the target.
    random_state : int, RandomState or None
        Seed of all randomness.
    residual_error : bool
        Where `fit` gets a Dataset and points: whether maps have the interval of a cell's own mean, which takes a model
        of how errors of neighbours go together.

    Attributes
    ----------
    n_features_in_ : int
        Number of covariates.
    feature_names_in_ : ndarray of str
        Their names; of an array there are none.
    model_ : FittedModel
        The replicates and the area of applicability.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"temperature": rng.normal(-3, 2, 60), "cover": pd.Categorical(["wood", "bog"] * 30)})
    >>> y = 5 - x["temperature"] + 4 * (x["cover"] == "bog")
    >>> mapper = gelisol.SoilMapper(replicates=20, parameters={"n_estimators": 50}, random_state=1).fit(x, y)
    >>> mapper.score(x, y) > 0.5
    True
    >>> mapper.predict_statistics(x[::-1]).columns.tolist()[:3]
    ['mean', 'sd', 'ci_lower']
    """

    def __init__(
        self,
        family: str = "xgboost",
        parameters: Mapping[str, Any] | None = None,
        replicates: int = 100,
        interval: float = 0.95,
        target: str | None = None,
        units: str = "1",
        random_state: int | np.random.RandomState | None = 20250731,
        residual_error: bool = True,
    ):
        self.family = family
        self.parameters = parameters
        self.replicates = replicates
        self.interval = interval
        self.target = target
        self.units = units
        self.random_state = random_state
        self.residual_error = residual_error

    def fit(self, X: ArrayLike | pd.DataFrame | xr.Dataset, y: ArrayLike | pd.DataFrame) -> SoilMapper:
        """Train the replicates.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features), or Dataset
            Covariates: numbers, and in a DataFrame categories or text for classes; without missing values. Or a Dataset
            as `map_dataset` takes it.
        y : array of shape (n_samples,), or GeoDataFrame or DataFrame
            What is learnt; or with a Dataset points that have the column `target`.

        Returns
        -------
        SoilMapper
            Itself, fitted.

        Raises
        ------
        ValueError
            In a sentence that names the argument.

        Examples
        --------
        >>> run = gelisol.open("out")
        >>> mapper = gelisol.SoilMapper(replicates=5, target="observed_0-10", units="kg m-2")
        >>> density = mapper.fit(run.cube[["mat", "tn"]], run.sites.query("used")).predict(run.cube)
        >>> density["mean"].dims
        ('y', 'x')
        """
        if isinstance(X, xr.Dataset):
            return self._fit_dataset(X, y)
        if isinstance(X, pd.DataFrame):
            self._classes = _classes(X)
            X = _encoded(X, self._classes)
        else:
            self._classes = {}
        x, y = validate_data(self, X, y, dtype="numeric", y_numeric=True, ensure_min_samples=2)
        names = list(getattr(self, "feature_names_in_", [f"x{column}" for column in range(x.shape[1])]))
        specs = {name: _spec(self._classes.get(name)) for name in names}
        values = {name: _typed(column, name in self._classes) for name, column in zip(names, x.T, strict=True)}
        self.model_ = self._trained(specs, values, np.asarray(y, "float64"), {})
        return self

    def predict(self, X: ArrayLike | pd.DataFrame | xr.Dataset) -> np.ndarray | xr.Dataset:
        """Predict the mean over the replicates; of a Dataset, map all statistics.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features), or Dataset
            Covariates; those of a DataFrame or Dataset are found by name, and others that it has are left alone.

        Returns
        -------
        ndarray of shape (n_samples,), or Dataset
            Means; or the lazy map that `map_dataset` gives, with one task a block.

        Raises
        ------
        ValueError
            In a sentence that names the argument.

        Examples
        --------
        >>> import numpy as np
        >>> x = np.arange(40.0).reshape(-1, 1)
        >>> gelisol.SoilMapper(replicates=5).fit(x, x[:, 0]).predict(x).shape
        (40,)
        """
        check_is_fitted(self)
        if isinstance(X, xr.Dataset):
            covariates = read_covariates(X, "X", self.model_.variables)
            self._require_same_classes(covariates.flags)
            return lazy_map(self.model_, covariates, self.target or "target", self.units, self._facts())
        values = self._values(X)
        features = self.model_.predictor.ensemble.features
        predicted = self.model_.predictor.ensemble.predict_all(features.matrix(values)).astype("float64")
        return over_replicates(predicted).mean.astype("float32").astype("float64")

    def predict_statistics(self, X: ArrayLike | pd.DataFrame) -> pd.DataFrame:
        """Predict mean, spread and intervals of rows, and whether the model may be used there.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features)
            Covariates, as for `predict`.

        Returns
        -------
        DataFrame
            `mean, sd, ci_lower, ci_upper, uncertainty, pi_lower, pi_upper, dissimilarity, applicable`, a row for each
            of `X`, with its index.

        Raises
        ------
        ValueError
            In a sentence that names the argument.

        Examples
        --------
        >>> import numpy as np
        >>> x = np.arange(40.0).reshape(-1, 1)
        >>> found = gelisol.SoilMapper(replicates=20).fit(x, x[:, 0]).predict_statistics(x)
        >>> bool((found["pi_lower"] <= found["mean"]).all())
        True
        """
        check_is_fitted(self)
        values = self._values(X)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(next(iter(values.values()))))
        table = statistics_table(self.model_.predictor, values, "", index)
        return table.set_axis([*STATISTICS, "dissimilarity", "applicable"], axis="columns")

    def predict_interval(self, X: ArrayLike | pd.DataFrame) -> np.ndarray:
        """Predict the interval of a new measurement in each row.

        Rows of a table have no place, so that this is the interval for a new point; that of a cell's own mean, which
        depends on the errors at the points around it, is in the map that `predict` makes of a Dataset.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features)
            Covariates, as for `predict`.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Lower and upper bound, at the level `interval`: `pi_lower` and `pi_upper` of `predict_statistics`.

        Raises
        ------
        ValueError
            In a sentence that names the argument.

        Examples
        --------
        >>> import numpy as np
        >>> x = np.arange(40.0).reshape(-1, 1)
        >>> lower, upper = gelisol.SoilMapper(replicates=20).fit(x, x[:, 0]).predict_interval(x).T
        >>> bool((lower <= upper).all())
        True
        """
        if isinstance(X, xr.Dataset):
            raise ArgumentError("X: found a Dataset, expected a table; predict(X) maps pi_lower and pi_upper of it")
        return self.predict_statistics(X)[["pi_lower", "pi_upper"]].to_numpy("float64")

    def _fit_dataset(self, dataset: xr.Dataset, points: Any) -> SoilMapper:
        """Train on the cells that hold the points."""
        if self.target is None:
            raise ArgumentError("target: with a Dataset, name the column of the points that is learnt: "
                                "SoilMapper(target='…')")  # fmt: skip
        covariates = read_covariates(dataset, "X")
        lon, lat = lon_lat(points, "y")
        y = target_values(points, self.target, complete=True)
        table = covariates.at(lon, lat, None)
        known = table[DOMAIN].to_numpy() > 0
        for name in covariates.specs:
            known &= is_known(table[name].to_numpy())
        if known.sum() < 2:
            raise ArgumentError(
                f"y: {known.sum()} of {len(y)} points are in cells with every covariate; expected two or more"
            )
        if not known.all():
            warnings.warn(f"y: {rows_of(points.index, ~known)} do not train the model: off the grid, "
                          "outside the domain, or without a value of a covariate", stacklevel=3)  # fmt: skip
        names = list(covariates.specs)
        self.n_features_in_, self.feature_names_in_ = len(names), np.array(names, object)
        self._classes = {name: list(covariates.specs[name].class_names) for name in covariates.flags}
        values = {name: table.loc[known, name].to_numpy() for name in names}
        model = self._trained(dict(covariates.specs), values, y[known], dict(covariates.flags))
        if self.residual_error:
            ensemble, training = model.packed.ensemble, pd.DataFrame(values).assign(zone="")
            settings = Model(interval=model.level, seed=ensemble.manifest.seed)
            errors = fit_joint_errors(ensemble, training, lon[known], lat[known], covariates.geobox, settings)
            model = replace(model, errors=errors)
        self.model_ = model
        return self

    def _trained(
        self,
        specs: dict[str, Variable],
        values: dict[str, np.ndarray],
        y: np.ndarray,
        flags: dict[str, tuple[float, ...]],
    ) -> FittedModel:
        member, seed = self._member(), self._seed()
        features = Features.of(specs)
        x = features.matrix(values)
        lines = np.tile([0.0, 1.0], (self.replicates, 1, 1))
        try:
            packed = train_packed(
                None, x, y[:, None], features, lines, [member], outputs=("target",),
                units=self.units, seed=seed, version=engine.__version__, least=0.0 if y.min() >= 0 else -np.inf,
            )  # fmt: skip
        except FitError as error:
            raise ArgumentError(f"family: {error}") from error
        training = pd.DataFrame(values).assign(y=y)
        area = _area(packed.ensemble, training, x, features, seed)
        return FittedModel(packed, float(self.interval), area, flags)

    def _member(self) -> Member:
        if not isinstance(self.family, str):
            raise ArgumentError(f"family: expected a name, e.g. 'xgboost'; found {described(self.family)}")
        if not (self.parameters is None or isinstance(self.parameters, Mapping)):
            raise ArgumentError(f"parameters: expected a mapping; found {described(self.parameters)}")
        if not isinstance(self.replicates, int | np.integer) or self.replicates < 2:
            raise ArgumentError(f"replicates: expected a whole number from 2 on; found {described(self.replicates)}")
        if not (isinstance(self.interval, float) and 0 < self.interval < 1):
            raise ArgumentError(f"interval: expected a number between 0 and 1, e.g. 0.95; found {self.interval!r}")
        if self.family not in FAMILIES:
            raise ArgumentError(f"family: unknown family {self.family!r}{nearest(self.family, FAMILIES)}")
        family = FAMILIES[self.family]
        if problems := family.check(dict(self.parameters or {}), "parameters"):
            raise ArgumentError(problems)
        return Member(family=family, parameters=dict(self.parameters or {}))

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            if self.random_state < 0:
                raise ArgumentError(f"random_state: expected a number from 0 on; found {self.random_state}")
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _facts(self) -> dict[str, Any]:
        manifest = self.model_.predictor.ensemble.manifest
        return {
            "covariates": ", ".join(self.model_.covariates), "family": manifest.family, "sites": manifest.sites,
            "replicates": manifest.replicates, "seed": manifest.seed,
        }  # fmt: skip

    def _require_same_classes(self, flags: Mapping[str, tuple[float, ...]]) -> None:
        """Refuse a Dataset whose classes are not those of the one that was learnt from."""
        for name in self.model_.covariates:
            here, there = self.model_.flags.get(name), flags.get(name)
            if here != there or (name in self._classes) != (there is not None):
                learnt = f"classes {here}" if here else "classes of a table" if name in self._classes else "numbers"
                raise ArgumentError(
                    f"X[{name!r}]: has {f'classes {there}' if there else 'numbers'}; fitted to {learnt}"
                )

    def _values(self, X: Any) -> dict[str, np.ndarray]:
        """Return the columns of a table by name, as they were learnt."""
        names = getattr(self, "feature_names_in_", None)
        if isinstance(X, pd.DataFrame) and names is not None:
            given = [str(column) for column in X.columns]
            if missing := [name for name in names if given.count(name) != 1]:
                raise ArgumentError(
                    f"X: the model needs each of the columns {', '.join(names)} once; missing or repeated: "
                    f"{', '.join(missing)}{nearest(missing[0], given)}"
                )
            X = _encoded(X.set_axis(given, axis="columns")[list(names)], self._classes)
        x = validate_data(self, X, dtype="numeric", reset=False)
        names = [f"x{column}" for column in range(x.shape[1])] if names is None else list(names)
        return {name: _typed(column, name in self._classes) for name, column in zip(names, x.T, strict=True)}


def _area(ensemble: Any, training: pd.DataFrame, x: np.ndarray, features: Features, seed: int) -> Applicability | None:
    """Fit the area of applicability with random folds; None if no column of the model distinguishes rows."""
    if len(x) < 2 or not np.isfinite(x).all():
        return None
    weight = covariate_weights(ensemble, training).fillna(0.0)
    columns = [column.covariate for column in features.columns]
    per_column = np.array([weight[name] / columns.count(name) for name in columns])
    folds = np.zeros(len(x), int)
    for number, (_, test) in enumerate(KFold(min(_FOLDS, len(x)), shuffle=True, random_state=seed % 2**32).split(x)):
        folds[test] = number
    try:
        return Applicability.fit(x, features, per_column, [folds])
    except InputError:
        return None


def _classes(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return column → its classes, of columns of categories, text or truth values."""
    found: dict[str, list[Any]] = {}
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        if isinstance(column.dtype, pd.CategoricalDtype):
            found[str(name)] = [str(value) for value in column.cat.categories]
        elif isinstance(column.dtype, pd.StringDtype) or (
            column.dtype == object and column.map(lambda value: isinstance(value, str)).all() and len(column)
        ):
            found[str(name)] = sorted(set(column.dropna().astype(str)))
    return found


def _encoded(table: pd.DataFrame, classes: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return a table with class numbers from 1 in the place of classes.

    Raises
    ------
    ArgumentError
        If a class is missing, or is not among those that were learnt.
    """
    columns = {}
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        if name in classes:
            if column.isna().any():
                rows = counted(int(column.isna().sum()), "row")
                raise ArgumentError(f"X: Input contains NaN: the column {name!r} lacks a class in {rows}")
            numbers = {value: number for number, value in enumerate(classes[name], start=1)}
            text = column.astype(str)
            if unknown := sorted(set(text) - set(numbers)):
                raise ArgumentError(f"X: the column {name!r} holds {unknown[0]!r}; fitted to {', '.join(numbers)}")
            columns[name] = text.map(numbers).astype("int64")
        else:
            columns[name] = column
    return pd.DataFrame(columns, index=table.index) if classes else table


def _spec(classes: list[Any] | None) -> Variable:
    if classes is None:
        return Variable()
    return Variable(classes={name: (number,) for number, name in enumerate(classes, start=1)})


def _typed(column: np.ndarray, is_class: bool) -> np.ndarray:
    return column.astype("uint8") if is_class else as_in_cube(column, None)
