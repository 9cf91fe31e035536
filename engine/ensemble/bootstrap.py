"""Bootstrap replicates, trained as tasks, and the trained ensemble as an artefact on disk."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client
from pydantic import BaseModel, ConfigDict

from engine.cube.features import Feature, Features
from engine.ensemble.prediction_intervals import Jackknife
from engine.errors import InputError
from engine.execution.ledger import Records, digest_of, digests_of, key_of
from engine.execution.tasks import Progress, run_each, silent
from engine.forest import Damaged, Forest, Unsupported, is_built, joined
from engine.models.persistence import Member, fit_members, load_model, load_trees, save_model, save_trees
from engine.seeds import Use, streams
from engine.storage.atomic import publish, remove, resume, sync_tree, write_file
from engine.storage.npz import from_npy, from_npz, npy, npz
from engine.storage.paths import OutPath, children, read_file

_MANIFEST, _TRAINING = "manifest.json", "training.npz"
_ARRAYS = ("bootstrap", "out_of_bag", "coefficients", "observed")
_ARRAY_FILES = tuple(f"{name}.npy" for name in _ARRAYS)
CODE = 2
"""Version of what makes a replicate; one more when its numbers change."""


class Manifest(BaseModel):
    """What an ensemble folder holds, `manifest.json`.

    Attributes
    ----------
    members : tuple of Member
        Models of each replicate, with their weights in the replicate's prediction; most often one.
    outputs : tuple of str
        Labels of what is mapped: the modelled output and those that follow from it linearly.
    largest : float
        Largest absolute training value, in `units`: predictions far beyond it are refused.
    least : float or None
        Lowest value that an observation can have, where there is one: prediction intervals end there.
    files : dict
        File of a model, or of its trees → SHA-256, replicate by replicate, member by member.
    arrays : dict
        File of an array or a table beside them → SHA-256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gelisol: str
    members: tuple[Member, ...]
    features: tuple[Feature, ...]
    outputs: tuple[str, ...]
    units: str
    sites: int
    replicates: int
    seed: int
    largest: float
    least: float | None = None
    files: dict[str, str]
    arrays: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides over a number: every file's hash, the order of the columns, the bounds.

        Labels, units, groups and the version that wrote the manifest have no part in it.
        """
        content = self.model_dump(mode="json", exclude={"gelisol", "units", "features"})
        columns = [(column.name, column.covariate, column.class_code) for column in self.features]
        return hashlib.sha256(json.dumps([content, columns], sort_keys=True).encode()).hexdigest()

    @property
    def family(self) -> str:
        """Names of the families, joined by +."""
        return "+".join(member.family.name for member in self.members)


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
    hash : str
        The manifest's `digest`: of all that is read from the folder, so that a cache by it cannot be of another state.

    Raises
    ------
    InputError
        If the folder is no ensemble, or a file is not the one that was trained.
    """

    coefficients: np.ndarray
    bootstrap: np.ndarray
    out_of_bag: np.ndarray
    observed: np.ndarray

    def __init__(self, path: OutPath):
        self.path = path
        try:
            text = read_file(path / _MANIFEST)
            self.manifest = Manifest.model_validate_json(text)
            for name in _ARRAYS:
                setattr(self, name, self._array(f"{name}.npy"))
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

    @cached_property
    def jackknives(self) -> list[Jackknife]:
        """What prediction intervals need, for every output."""
        outputs = range(len(self.manifest.outputs))
        least = -np.inf if self.manifest.least is None else self.manifest.least
        return [Jackknife.of(self.observed[:, k], self.out_of_bag, self.coefficients[:, k], least) for k in outputs]

    @cached_property
    def forests(self) -> list[Forest | None]:
        """Every member's replicates, compiled; None for a member that is no tree ensemble, or without the kernel.

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
        """A member's replicates; None where they are no trees."""
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
        """An ensemble travels by path and hash: it is read where it arrives."""
        return load_ensemble, (self.path, self.hash)

    @property
    def forest(self) -> Forest | None:
        """The whole ensemble, compiled, where it is a single family of trees."""
        return self.forests[0] if len(self.forests) == 1 else None

    def predict_all(self, x: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Predictions of every replicate, float32, shape (replicates, n); parameters as for `predict`."""
        x, members = self._columns_of(x), self.manifest.members
        predictions = [
            forest.predict(x).T if forest else np.stack([models[place].predict(x) for models in self.models])
            for place, forest in enumerate(self.forests)
        ]
        return combine(members, predictions)

    def predict(self, replicate: int, x: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Predictions of one replicate of the modelled output.

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
        """The design matrix in the order of the features."""
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


def combine(members: Sequence[Member], predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Weighted sum of the members' predictions, float32."""
    if len(members) == 1:
        return np.asarray(predictions[0], "float32")
    weighted = [member.weight * np.asarray(p, "float64") for member, p in zip(members, predictions, strict=True)]
    return np.sum(weighted, axis=0).astype("float32")


@lru_cache(maxsize=2)
def load_ensemble(path: OutPath, digest: str) -> Ensemble:
    """The ensemble with this hash, read once per worker process."""
    ensemble = Ensemble(path)
    if ensemble.hash != digest:
        raise InputError(f"{path}: has changed since the run began; run again")
    return ensemble


def bootstrap_indices(sites: int, replicates: int, seed: int) -> np.ndarray:
    """Row numbers of each bootstrap sample, drawn with replacement, shape (replicates, sites), int32."""
    return draw(sites, streams(seed, Use.ENSEMBLE, replicates))


def draw(sites: int, samples: Sequence[np.random.SeedSequence]) -> np.ndarray:
    """One bootstrap sample per stream, shape (samples, sites), int32."""
    return np.stack([np.random.default_rng(s).integers(0, sites, sites) for s in samples]).astype("int32")


def train_ensemble(
    client: Client,
    path: OutPath,
    x: np.ndarray,
    observed: np.ndarray,
    features: Features,
    coefficients: np.ndarray,
    members: Sequence[Member],
    *,
    outputs: Sequence[str],
    units: str,
    seed: int,
    version: str,
    environment: str = "",
    least: float | None = None,
    tables: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Ensemble:
    """Fit the members to each bootstrap sample, one replicate a task and one thread each, and leave them in `path`.

    Every replicate is stored as soon as it is fitted; the folder appears under its name once all are there.

    Parameters
    ----------
    x : ndarray of float32, shape (sites, columns)
    observed : ndarray, shape (sites, outputs)
        The modelled output first, without missing values.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of every output on the modelled one (0, 1 for itself), replicate by replicate.
    environment : str
        Of the versions that the replicates' numbers depend on: those of another are trained again, not mixed in.
    least : float, optional
        Lowest value that an observation can have, in `units`.
    tables : mapping, optional
        File name → DataFrame to store beside the replicates, as Parquet.
    """
    replicates, y = len(coefficients), observed[:, 0]
    # Not of their number: the first replicates are the same however many there are.
    trained_on = [hashlib.sha256(values.tobytes()).hexdigest() for values in (x, y)]
    key = key_of(CODE, trained_on, [m.model_dump(mode="json") for m in members], features.names, seed, environment)
    records, stage = Records.of(path, key), resume(path, key)
    fitted = {r: record for r in range(replicates) if (record := _kept(records, r, members, stage, path))}
    training = npz({"x": x, "y": y})
    if len(fitted) < replicates:
        write_file(stage / _TRAINING, training)
    items = replicate_items(len(y), replicates, seed)
    tasks = run_each(
        client, _fit, [item for item in items if item[0] not in fitted], stage, tuple(members), features.names, records,
        hashlib.sha256(training).hexdigest(), total=replicates, before=len(fitted), progress=progress, name="train",
    )  # fmt: skip
    fitted |= {item[0]: record for item, record in tasks}
    remove(stage / _TRAINING)
    beside, manifest = assembled(
        fitted, observed, features, coefficients, members, outputs=outputs, units=units, seed=seed, version=version,
        least=least, tables=tables,
    )  # fmt: skip
    for name, content in beside.items():
        write_file(stage / name, content)
    wanted = {*manifest.arrays, *manifest.files, _MANIFEST}
    for file in children(stage):
        if file.name not in wanted:  # of more replicates than are asked for now
            remove(file)
    sync_tree(stage)
    publish(stage, path, _MANIFEST)
    records.forget_others()
    return Ensemble(path)


def assembled(
    fitted: Mapping[int, Mapping[str, np.ndarray]],
    observed: np.ndarray,
    features: Features,
    coefficients: np.ndarray,
    members: Sequence[Member],
    *,
    outputs: Sequence[str],
    units: str,
    seed: int,
    version: str,
    least: float | None = None,
    tables: Mapping[str, Any] | None = None,
) -> tuple[dict[str, bytes], Manifest]:
    """Describe fitted replicates.

    Parameters
    ----------
    fitted : mapping
        Replicate → digests of its files, the sites left out and their predictions, as `fit_replicate` finds them.

    Returns
    -------
    dict, Manifest
        Contents of all files beside the models, the manifest's among them; and the manifest.
    """
    replicates, y = len(coefficients), observed[:, 0]
    indices = bootstrap_indices(len(y), replicates, seed)
    out_of_bag = np.full((replicates, len(y)), np.nan, "float32")
    for replicate, record in fitted.items():
        out_of_bag[replicate, record["left_out"]] = record["predictions"]
    arrays = zip(_ARRAY_FILES, (indices, out_of_bag, coefficients, observed), strict=True)
    beside = {name: npy(values) for name, values in arrays}
    beside |= {name: table.to_parquet(index=False) for name, table in (tables or {}).items()}
    files = [file for r in range(replicates) for file in zip(_files(members, r), fitted[r]["digests"], strict=True)]
    manifest = Manifest(
        gelisol=version,
        members=tuple(members),
        features=features.columns,
        outputs=tuple(outputs),
        units=units,
        sites=len(y),
        replicates=replicates,
        seed=seed,
        largest=float(np.abs(y).max()),
        least=least,
        files={name: str(digest) for name, digest in files if digest},
        arrays={name: hashlib.sha256(content).hexdigest() for name, content in beside.items()},
    )
    return {**beside, _MANIFEST: _as_text(manifest)}, manifest


def read_manifest(path: OutPath) -> Manifest:
    """The manifest of an ensemble's folder."""
    return Manifest.model_validate_json(read_file(path / _MANIFEST))


def damaged_files(path: OutPath) -> list[str]:
    """Files of an ensemble that are not those that were trained."""
    manifest = read_manifest(path)
    wanted = manifest.files | manifest.arrays
    found = digests_of([path / name for name in wanted])
    return [name for (name, digest), here in zip(wanted.items(), found, strict=True) if digest != here]


def write_words(path: OutPath, features: Features, units: str) -> bool:
    """Write labels, groups and units into the manifest of an ensemble whose columns are these; no number changes.

    Returns
    -------
    bool
        Whether any of them was another.
    """
    manifest = read_manifest(path)
    changed = manifest.model_copy(update={"features": features.columns, "units": units})
    if changed.digest != manifest.digest:
        raise ValueError(f"{path}: has other columns than {', '.join(features.names)}")
    if changed != manifest:
        write_file(path / _MANIFEST, _as_text(changed))
    return changed != manifest


def _as_text(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1).encode()


def model_files(members: Sequence[Member], replicate: int) -> list[str]:
    """File names of a replicate's models."""
    if len(members) == 1:
        return [f"replicate_{replicate:03d}{members[0].suffix}"]
    return [f"replicate_{replicate:03d}_{member.family.name}{member.suffix}" for member in members]


def trees_files(members: Sequence[Member], replicate: int) -> list[str]:
    """File names of the trees of a replicate's models; there is none for a model without trees."""
    return [name.rpartition(".")[0] + ".trees.npz" for name in model_files(members, replicate)]


def _files(members: Sequence[Member], replicate: int) -> list[str]:
    return model_files(members, replicate) + trees_files(members, replicate)


@lru_cache(maxsize=1)
def _training(path: OutPath, digest: str) -> tuple[np.ndarray, np.ndarray]:
    """The training data with this hash, read once per worker process."""
    content = read_file(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: has changed since the run began; run again")
    arrays = from_npz(content)
    return arrays["x"], arrays["y"]


Item = tuple[int, np.ndarray, np.random.SeedSequence]
"""A replicate's number, its rows and its stream."""


def replicate_items(sites: int, replicates: int, seed: int) -> list[Item]:
    """What `fit_replicate` fits, in order."""
    indices = bootstrap_indices(sites, replicates, seed)
    return list(zip(range(replicates), indices, streams(seed, Use.ENSEMBLE, replicates), strict=True))


def fit_replicate(
    item: Item, x: np.ndarray, y: np.ndarray, members: Sequence[Member], names: list[str]
) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Fit one replicate.

    Returns
    -------
    files : dict
        File name → content, of the models and of their trees.
    record : dict
        `digests` of all files that there may be, "" where there is none; `left_out` and `predictions` of the sites out
        of bag.
    """
    replicate, rows, stream = item
    models = fit_members(members, x[rows], y[rows], stream)
    contents = [*(save_model(model, names) for model in models), *(save_trees(model) for model in models)]
    digests = ["" if content is None else hashlib.sha256(content).hexdigest() for content in contents]
    files = zip(_files(members, replicate), contents, strict=True)
    left_out = np.setdiff1d(np.arange(len(y)), rows)
    predictions = combine(members, [model.predict(x[left_out]) for model in models])
    record = {"digests": np.array(digests), "left_out": left_out, "predictions": predictions}
    return {name: content for name, content in files if content is not None}, record


def _fit(
    item: Item,
    stage: OutPath,
    members: tuple[Member, ...],
    names: list[str],
    records: Records,
    digest: str,
) -> dict[str, np.ndarray]:
    """Fit, store and record one replicate; returns its files' digests, the sites left out and their predictions."""
    replicate = item[0]
    if (done := records.load(_record_name(replicate))) is not None:
        return done  # by a worker that died before its answer had arrived
    x, y = _training(stage / _TRAINING, digest)
    files, record = fit_replicate(item, x, y, members, names)
    for name, content in files.items():
        write_file(stage / name, content)
    records.save(_record_name(replicate), **record)
    return record


def _kept(
    records: Records, replicate: int, members: Sequence[Member], stage: OutPath, path: OutPath
) -> dict[str, np.ndarray] | None:
    """The record of a replicate whose files are sound, here or in the finished ensemble, from where they are taken.

    Of one whose files are not, the record goes.
    """
    record = records.load(_record_name(replicate))
    if record is None:
        return None
    names = _files(members, replicate)
    here = digests_of([stage / name for name in names])
    for name, digest, found in zip(names, record["digests"], here, strict=True):
        if found != digest:
            if digest_of(path / name) != digest:
                records.forget(_record_name(replicate))
                return None
            write_file(stage / name, read_file(path / name))
    return record


def _record_name(replicate: int) -> str:
    return f"replicate_{replicate:03d}"
