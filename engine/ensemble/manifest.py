"""Manifest and file names of an ensemble's folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, Unpack

import numpy as np
from pydantic import BaseModel, ConfigDict

from engine.cube.features import Feature, Features
from engine.models.persistence import Member
from engine.seeds import Use, streams
from engine.storage.atomic import write_file
from engine.storage.npz import npy
from engine.storage.paths import OutPath, digests_of, read_file

MANIFEST = "manifest.json"
ARRAYS = ("bootstrap", "out_of_bag", "coefficients", "observed")
SHARED = "shared.npy"
"""Errors in common that each replicate's observations have, where any were drawn."""
_ARRAY_FILES = tuple(f"{name}.npy" for name in ARRAYS)


class Manifest(BaseModel):
    """Manifest of an ensemble's folder, `manifest.json`.

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


class Described(TypedDict):
    """Descriptive part of a manifest, which does not change the ensemble.

    Attributes
    ----------
    outputs : sequence of str
        Labels of what is mapped, the modelled output first.
    units : str
    seed : int
        Of the bootstrap samples and the models.
    version : str
        Of this package.
    least : float or None
        Lowest value that an observation can have, in `units`.
    """

    outputs: Sequence[str]
    units: str
    seed: int
    version: str
    least: NotRequired[float | None]


def assembled(
    fitted: Mapping[int, Mapping[str, np.ndarray]],
    observed: np.ndarray,
    features: Features,
    coefficients: np.ndarray,
    members: Sequence[Member],
    tables: Mapping[str, Any] | None = None,
    shared: np.ndarray | None = None,
    **described: Unpack[Described],
) -> tuple[dict[str, bytes], Manifest]:
    """Describe fitted replicates.

    Parameters
    ----------
    fitted : mapping
        Replicate → digests of its files, the sites left out and their predictions, as `fit_replicate` finds them.
    tables : mapping, optional
        File name → DataFrame to store beside the replicates, as Parquet.
    shared : ndarray, shape (replicates, sites, outputs), optional
        Errors in common that were added to the observations of each replicate.
    described
        See `Described`.

    Returns
    -------
    dict, Manifest
        Contents of all files beside the models, the manifest's among them; and the manifest.
    """
    replicates, y = len(coefficients), observed[:, 0]
    indices = bootstrap_indices(len(y), replicates, described["seed"])
    out_of_bag = np.full((replicates, len(y)), np.nan, "float32")
    for replicate, record in fitted.items():
        out_of_bag[replicate, record["left_out"]] = record["predictions"]
    arrays = zip(_ARRAY_FILES, (indices, out_of_bag, coefficients, observed), strict=True)
    beside = {name: npy(values) for name, values in arrays}
    beside |= {} if shared is None else {SHARED: npy(shared)}
    beside |= {name: table.to_parquet(index=False) for name, table in (tables or {}).items()}
    files = [file for r in range(replicates) for file in zip(files_of(members, r), fitted[r]["digests"], strict=True)]
    manifest = Manifest(
        gelisol=described["version"],
        members=tuple(members),
        features=features.columns,
        outputs=tuple(described["outputs"]),
        units=described["units"],
        sites=len(y),
        replicates=replicates,
        seed=described["seed"],
        largest=float(np.abs(y if shared is None else y + shared[:, :, 0]).max()),
        least=described.get("least"),
        files={name: str(digest) for name, digest in files if digest},
        arrays={name: hashlib.sha256(content).hexdigest() for name, content in beside.items()},
    )
    return {**beside, MANIFEST: _as_text(manifest)}, manifest


def bootstrap_indices(sites: int, replicates: int, seed: int) -> np.ndarray:
    """Return the row numbers of each bootstrap sample, drawn with replacement, shape (replicates, sites), int32."""
    return draw(sites, streams(seed, Use.ENSEMBLE, replicates))


def draw(sites: int, samples: Sequence[np.random.SeedSequence]) -> np.ndarray:
    """Draw one bootstrap sample per stream, shape (samples, sites), int32."""
    return np.stack([np.random.default_rng(s).integers(0, sites, sites) for s in samples]).astype("int32")


def read_manifest(path: OutPath) -> Manifest:
    """Read the manifest of an ensemble's folder."""
    return Manifest.model_validate_json(read_file(path / MANIFEST))


def damaged_files(path: OutPath) -> list[str]:
    """List the files of an ensemble that differ from those that were trained."""
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
        write_file(path / MANIFEST, _as_text(changed))
    return changed != manifest


def _as_text(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1).encode()


def model_files(members: Sequence[Member], replicate: int) -> list[str]:
    """Return the file names of a replicate's models."""
    if len(members) == 1:
        return [f"replicate_{replicate:03d}{members[0].suffix}"]
    return [f"replicate_{replicate:03d}_{member.family.name}{member.suffix}" for member in members]


def trees_files(members: Sequence[Member], replicate: int) -> list[str]:
    """Return the file names of the trees of a replicate's models; for models of trees only."""
    return [name.rpartition(".")[0] + ".trees.npz" for name in model_files(members, replicate)]


def files_of(members: Sequence[Member], replicate: int) -> list[str]:
    """Return the file names of a replicate's models and of their trees."""
    return model_files(members, replicate) + trees_files(members, replicate)
