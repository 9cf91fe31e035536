"""A trained ensemble as a value: it travels with a task to workers that share no disk with whoever trained it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import numpy as np
from distributed import Client

from engine.cube.features import Features
from engine.ensemble.bootstrap import fit_replicate, replicate_items
from engine.ensemble.manifest import Described, assembled
from engine.ensemble.perturbed import Moved, Perturbed
from engine.ensemble.trained import Ensemble
from engine.execution.tasks import Progress, run_each, silent
from engine.models.persistence import Member


@dataclass(frozen=True, eq=False)
class PackedEnsemble:
    """The files of an ensemble.

    Attributes
    ----------
    digest : str
        The manifest's: two with the same digest are the same.
    files : mapping
        File name → content.
    """

    digest: str
    files: Mapping[str, bytes]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedEnsemble) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def ensemble(self) -> Ensemble:
        """The ensemble, unpacked once per process."""
        return _unpacked(self).ensemble


@dataclass(frozen=True, eq=False)
class _Unpacked:
    """Ensemble in a temporary folder that is deleted with the last reference to it."""

    folder: "TemporaryDirectory[str]"
    ensemble: Ensemble


@lru_cache(maxsize=2)
def _unpacked(packed: PackedEnsemble) -> _Unpacked:
    folder = TemporaryDirectory(prefix="gelisol-")
    for name, content in packed.files.items():
        Path(folder.name, name).write_bytes(content)
    found = _Unpacked(folder, Ensemble(Path(folder.name)))
    # What is read later is read now: who holds the ensemble need not hold the folder.
    if not all(found.ensemble.forests):
        assert found.ensemble.models
    return found


def train_packed(
    client: Client | None,
    x: np.ndarray,
    observed: np.ndarray,
    features: Features,
    coefficients: np.ndarray,
    members: Sequence[Member],
    *,
    shared: np.ndarray | None = None,
    moved: Moved | None = None,
    progress: Progress = silent,
    **described: Unpack[Described],
) -> PackedEnsemble:
    """Fit the members to each bootstrap sample; the numbers, and the parameters, are those of `train_ensemble`.

    Parameters
    ----------
    client : Client or None
        None fits them in this process, one replicate after the other.
    """
    items = replicate_items(len(x), len(coefficients), described["seed"])
    given = (x, observed[:, 0], tuple(members), features.names, Perturbed.of(shared, moved))
    if client is None:
        found = {item[0]: fit_replicate(item, *given) for item in items}
    else:
        tasks = run_each(client, fit_replicate, items, *given, total=len(items), progress=progress, name="train")
        found = {item[0]: result for item, result in tasks}
    beside, manifest = assembled(
        {number: record for number, (_, record) in found.items()}, observed, features, coefficients, members,
        shared=shared, **described,
    )  # fmt: skip
    files = {name: content for number in sorted(found) for name, content in found[number][0].items()}
    return PackedEnsemble(manifest.digest, {**files, **beside})
