"""Bootstrap replicates, trained as tasks, each stored as soon as it is fitted."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Unpack

import numpy as np
from distributed import Client

from engine.cube.features import Features
from engine.ensemble.manifest import MANIFEST, Described, assembled, bootstrap_indices, files_of
from engine.ensemble.perturbed import Moved, Perturbed
from engine.ensemble.trained import Ensemble, combine
from engine.errors import InputError
from engine.execution.ledger import Records, digest_of, key_of
from engine.execution.tasks import Progress, run_each, silent
from engine.models.persistence import Member, fit_members, save_model, save_trees
from engine.seeds import Use, streams
from engine.storage.atomic import publish, remove, resume, sync_tree, write_file
from engine.storage.npz import from_npz, npz
from engine.storage.paths import OutPath, children, digests_of, read_file

_TRAINING = "training.npz"
CODE = 2
"""Version of what makes a replicate; one more when its numbers change."""


def train_ensemble(
    client: Client,
    path: OutPath,
    x: np.ndarray,
    observed: np.ndarray,
    features: Features,
    coefficients: np.ndarray,
    members: Sequence[Member],
    *,
    environment: str = "",
    tables: Mapping[str, Any] | None = None,
    shared: np.ndarray | None = None,
    moved: Moved | None = None,
    progress: Progress = silent,
    **described: Unpack[Described],
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
    tables : mapping, optional
        File name → DataFrame to store beside the replicates, as Parquet.
    shared : ndarray, shape (replicates, sites, outputs), optional
        What is added to the observations that each replicate is trained on: errors that sites have in common. Residuals
        out of bag are of the observations as they are.
    moved : Moved, optional
        Covariates of sites in the place of those of `x`, with which each replicate is trained. Predictions out of bag
        are for those of `x`.
    described
        See `Described`.
    """
    replicates, y, seed = len(coefficients), observed[:, 0], described["seed"]
    # Not of their number: the first replicates are the same however many there are.
    trained_on = [hashlib.sha256(values.tobytes()).hexdigest() for values in (x, y)]
    key = key_of(CODE, trained_on, [m.model_dump(mode="json") for m in members], features.names, seed, environment)
    records, stage = Records.of(path, key), resume(path, key)
    perturbed = Perturbed.of(shared, moved)
    names = [_record_name(r, perturbed) for r in range(replicates)]
    fitted = {
        r: record for r, n in enumerate(names) if (record := _kept(records, n, files_of(members, r), stage, path))
    }
    training = npz({"x": x, "y": y, **perturbed.arrays()})
    if len(fitted) < replicates:
        write_file(stage / _TRAINING, training)
    items = replicate_items(len(y), replicates, seed)
    tasks = run_each(
        client, _fit, [item for item in items if item[0] not in fitted], stage, tuple(members), features.names, records,
        hashlib.sha256(training).hexdigest(), total=replicates, before=len(fitted), progress=progress, name="train",
    )  # fmt: skip
    fitted |= {item[0]: record for item, record in tasks}
    remove(stage / _TRAINING)
    beside, manifest = assembled(fitted, observed, features, coefficients, members, tables, shared, **described)
    for name, content in beside.items():
        write_file(stage / name, content)
    wanted = {*manifest.arrays, *manifest.files, MANIFEST}
    for file in children(stage):
        if file.name not in wanted:  # of more replicates than are asked for now
            remove(file)
    sync_tree(stage)
    publish(stage, path, MANIFEST)
    records.forget_others()
    return Ensemble(path)


@lru_cache(maxsize=1)
def _training(path: OutPath, digest: str) -> tuple[np.ndarray, np.ndarray, Perturbed]:
    """Read the training data with this hash, once per worker process."""
    content = read_file(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: has changed since the run began; run again")
    arrays = from_npz(content)
    return arrays["x"], arrays["y"], Perturbed.from_arrays(arrays)


Item = tuple[int, np.ndarray, np.random.SeedSequence]
"""A replicate's number, its rows and its stream."""


def replicate_items(sites: int, replicates: int, seed: int) -> list[Item]:
    """Return the items that `fit_replicate` fits, in order."""
    indices = bootstrap_indices(sites, replicates, seed)
    return list(zip(range(replicates), indices, streams(seed, Use.ENSEMBLE, replicates), strict=True))


def fit_replicate(
    item: Item,
    x: np.ndarray,
    y: np.ndarray,
    members: Sequence[Member],
    names: list[str],
    perturbed: Perturbed | None = None,
) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Fit one replicate.

    Parameters
    ----------
    perturbed : Perturbed, optional
        What the replicate learns in the place of `x` and `y`.

    Returns
    -------
    files : dict
        File name → content, of the models and of their trees.
    record : dict
        `digests` of all files that there may be, "" where there is none; `left_out` and `predictions` of the sites out
        of bag.
    """
    replicate, rows, stream = item
    its_x, its_y = (perturbed or Perturbed()).learnt(replicate, x, y)
    models = fit_members(members, its_x[rows], its_y[rows], stream)
    contents = [*(save_model(model, names) for model in models), *(save_trees(model) for model in models)]
    digests = ["" if content is None else hashlib.sha256(content).hexdigest() for content in contents]
    files = zip(files_of(members, replicate), contents, strict=True)
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
    x, y, perturbed = _training(stage / _TRAINING, digest)
    name_of_record = _record_name(item[0], perturbed)
    if (done := records.load(name_of_record)) is not None:
        return done  # by a worker that died before its answer had arrived
    files, record = fit_replicate(item, x, y, members, names, perturbed)
    for name, content in files.items():
        write_file(stage / name, content)
    records.save(name_of_record, **record)
    return record


def _kept(
    records: Records, name_of_record: str, names: Sequence[str], stage: OutPath, path: OutPath
) -> dict[str, np.ndarray] | None:
    """Return the record of a replicate whose files are sound, here or in the finished ensemble they are taken from.

    Of one whose files are not, the record goes.
    """
    record = records.load(name_of_record)
    if record is None:
        return None
    here = digests_of([stage / name for name in names])
    for name, digest, found in zip(names, record["digests"], here, strict=True):
        if found != digest:
            if digest_of(path / name) != digest:
                records.forget(name_of_record)
                return None
            write_file(stage / name, read_file(path / name))
    return record


def _record_name(replicate: int, perturbed: Perturbed) -> str:
    """Name a replicate's record, by what it learns where that is not what all learn."""
    other = perturbed.name(replicate)
    return f"replicate_{replicate:03d}" + (f"_{other}" if other else "")
