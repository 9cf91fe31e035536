"""Columns of the design matrix, made from covariates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.cube.build import is_known
from engine.sources.variable import Variable


@dataclass(frozen=True)
class Feature:
    """One column of the design matrix: a numeric covariate, or whether a category is of one class.

    Attributes
    ----------
    class_code : int or None
        Cube code of the class; None for a number.
    """

    name: str
    covariate: str
    group: str
    units: str
    label: str
    class_code: int | None = None


@dataclass(frozen=True)
class Features:
    """The columns, in order."""

    columns: tuple[Feature, ...]

    @classmethod
    def of(cls, specs: Mapping[str, Variable]) -> "Features":
        """Return one column per number and one per class of a category (all classes: trees need no reference class)."""
        columns: list[Feature] = []
        for name, spec in specs.items():
            label = spec.label or name
            if spec.is_categorical:
                columns += [
                    Feature(f"{name}={klass}", name, spec.group, "1", f"{label}: {klass}", code)
                    for code, klass in enumerate(spec.class_names, start=1)
                ]
            else:
                columns.append(Feature(name, name, spec.group, spec.units, label))
        return cls(tuple(columns))

    @property
    def names(self) -> list[str]:
        """Column names."""
        return [column.name for column in self.columns]

    @property
    def covariates(self) -> tuple[str, ...]:
        """Covariates in the order of their first column."""
        return tuple(dict.fromkeys(column.covariate for column in self.columns))

    def complete(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return where no covariate is missing; bool in the shape of the covariates."""
        return np.logical_and.reduce([is_known(values[name]) for name in self.covariates])

    def matrix(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the design matrix.

        Parameters
        ----------
        values : mapping
            Covariate → values of the cells or sites, shape (n,).

        Returns
        -------
        ndarray of float32, shape (n, columns), C order
        """
        return np.stack([_column(column, values[column.covariate]) for column in self.columns], axis=1)


def _column(feature: Feature, values: np.ndarray) -> np.ndarray:
    if feature.class_code is None:
        return np.asarray(values, "float32")
    return (np.asarray(values) == feature.class_code).astype("float32")
