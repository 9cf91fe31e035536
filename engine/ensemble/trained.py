"""A trained ensemble, read from its folder."""

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from engine.cube.features import Features
from engine.ensemble.manifest import ARRAYS, MANIFEST, SHARED, Manifest, model_files, trees_files
from engine.ensemble.prediction_intervals import Jackknife
from engine.errors import InputError
from engine.forest import Damaged, Forest, Unsupported, is_built, joined
from engine.models.persistence import Member, load_model, load_trees
from engine.storage.npz import from_npy
from engine.storage.paths import OutPath, read_file


def combine(members: Sequence[Member], predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Return the weighted sum of the members' predictions, float32."""
    if len(members) == 1:
        return np.asarray(predictions[0], "float32")
    weighted = [member.weight * np.asarray(p, "float64") for member, p in zip(members, predictions, strict=True)]
    return np.sum(weighted, axis=0).astype("float32")


class Ensemble:
    """A trained ensemble, read from its folder.

    Attributes
    ----------
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of every output on the modelled one.
    bootstrap : ndarray of int32, shape (replicates, sites)
    out_of_bag : ndarray of float32, shape (replicates, sites)
        Predictions of the modelled output, NaN where the site is in the bag.
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    shared : ndarray or None, shape (replicates, sites, outputs)
        Errors in common that were added to the observations of each replicate, where any were drawn.
    hash : str
        The manifest's `digest`: of all that is read from the folder, so that a cache by it cannot be of another state.

    Raises
    ------
    InputError
        If the folder does not hold an ensemble, or a file is not the one that was trained.
    """

    coefficients: np.ndarray
    bootstrap: np.ndarray
    out_of_bag: np.ndarray
    observed: np.ndarray
    shared: np.ndarray | None

    def __init__(self, path: OutPath):
        self.path = path
        try:
            text = read_file(path / MANIFEST)
            self.manifest = Manifest.model_validate_json(text)
            for name in ARRAYS:
                setattr(self, name, self._array(f"{name}.npy"))
            self.shared = self._array(SHARED) if SHARED in self.manifest.arrays else None
        except (OSError, EOFError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{path}: holds no trained ensemble ({reason}); run the stage `train`") from error
        self.hash = self.manifest.digest
        self.features = Features(self.manifest.features)

    def _array(self, name: str) -> np.ndarray:
        content = read_file(self.path / name)
        if hashlib.sha256(content).hexdigest() != self.manifest.arrays.get(name):
            raise ValueError(f"{name} is not the file that was trained")
        return from_npy(content)

    @cached_property
    def models(self) -> list[list[Any]]:
        """The models, replicate by replicate and member by member, each predicting with one thread."""
        manifest = self.manifest
        return [
            [
                load_model(self.path / name, manifest.files[name], member.family.types)
                for name, member in zip(model_files(manifest.members, replicate), manifest.members, strict=True)
            ]
            for replicate in range(manifest.replicates)
        ]

    @property
    def least(self) -> float:
        """Smallest value that is possible; −inf: any is."""
        return -np.inf if self.manifest.least is None else self.manifest.least

    @cached_property
    def jackknives(self) -> list[Jackknife]:
        """Residuals and votes that prediction intervals need, for every output."""
        outputs = range(len(self.manifest.outputs))
        return [
            Jackknife.of(self.observed[:, k], self.out_of_bag, self.coefficients[:, k], self.least) for k in outputs
        ]

    @cached_property
    def forests(self) -> list[Forest | None]:
        """Replicates of every member, compiled; None for a member without trees, or without the kernel.

        Raises
        ------
        InputError
            If a model's trees are malformed.
        """
        if not is_built():
            return [None for _ in self.manifest.members]
        try:
            return [self._compiled(place) for place in range(len(self.manifest.members))]
        except Damaged as error:
            raise InputError(f"{self.path}: {error}; run the stage `train` again") from error

    def _compiled(self, place: int) -> Forest | None:
        """Compile a member's replicates; None if they are not trees."""
        manifest = self.manifest
        names = [trees_files(manifest.members, replicate)[place] for replicate in range(manifest.replicates)]
        if not all(name in manifest.files for name in names):
            return None
        parts = [load_trees(self.path / name, manifest.files[name]) for name in names]
        try:
            return Forest(joined(parts), double=not manifest.members[place].family.is_xgboost)
        except Unsupported:
            return None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle an ensemble as its path and hash, from which it is read where it arrives."""
        return load_ensemble, (self.path, self.hash)

    @property
    def forest(self) -> Forest | None:
        """The whole ensemble, compiled, where it is a single family of trees."""
        return self.forests[0] if len(self.forests) == 1 else None

    def predict_all(self, x: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return predictions of every replicate, float32, shape (replicates, n); parameters as for `predict`."""
        x, members = self._columns_of(x), self.manifest.members
        predictions = [
            forest.predict(x).T if forest else np.stack([models[place].predict(x) for models in self.models])
            for place, forest in enumerate(self.forests)
        ]
        return combine(members, predictions)

    def predict(self, replicate: int, x: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return predictions of one replicate of the modelled output.

        Parameters
        ----------
        x : ndarray of float32, shape (n, columns), or DataFrame
            Without missing values: a row of NaN would get a finite prediction. Columns of an array stand in the order
            of `features`; those of a DataFrame are found by name, and others that it has are left out.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        InputError
            If `x` has other columns than the ensemble.
        """
        x = self._columns_of(x)
        return combine(self.manifest.members, [model.predict(x) for model in self.models[replicate]])

    def _columns_of(self, x: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return the design matrix in the order of the features."""
        names = self.features.names
        if isinstance(x, pd.DataFrame):
            given = [str(name) for name in x.columns]
            if missing := [name for name in names if given.count(name) != 1]:
                raise InputError(
                    f"x: the ensemble needs each of the columns {', '.join(names)} once; missing or repeated: "
                    f"{', '.join(missing)}; the table has {', '.join(given)}"
                )
            return x.set_axis(given, axis="columns")[names].to_numpy("float32")
        if x.ndim != 2 or x.shape[1] != len(names):
            raise InputError(
                f"x: has shape {x.shape}; expected {len(names)} columns, in this order: {', '.join(names)}"
            )
        return np.asarray(x, "float32")


@lru_cache(maxsize=2)
def load_ensemble(path: OutPath, digest: str) -> Ensemble:
    """Read the ensemble with this hash, once per worker process."""
    ensemble = Ensemble(path)
    if ensemble.hash != digest:
        raise InputError(f"{path}: has changed since the run began; run again")
    return ensemble
