"""Blocks of a store, each computed once: what is recorded is kept, what is missing is done, the whole is published."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from distributed import Client

from engine.execution.ledger import Records
from engine.execution.tasks import WAITS, Progress, run_each, silent
from engine.grid.grid import Block, Grid
from engine.storage.atomic import ROOT, publish, remove, resume, staged, unfinished
from engine.storage.paths import OutPath, digests_of, read_each, storage_of
from engine.storage.zarr_store import Layer, chunk_names, create, relabel

KEY = "gelisol_key"
"""Attribute of a store: the key of all that its content depends on."""
_FILES, _DIGESTS = "files", "digests"


class _Plan(Protocol):
    @property
    def grid(self) -> Grid: ...


Plan = TypeVar("Plan", bound=_Plan)
Found = dict[str, np.ndarray] | None
"""What a block gives beside its data: arrays by name; None if it has nothing to give."""


@dataclass(frozen=True)
class Blocks:
    """A store that is filled block by block.

    Attributes
    ----------
    path : OutPath
        The name it takes once it is whole.
    key : str
        Of all that its content depends on.
    layers, coords, attrs
        As for `store.create`.
    """

    path: OutPath
    key: str
    layers: Mapping[str, Layer]
    coords: Mapping[str, Any]
    attrs: Mapping[str, Any]

    @property
    def records(self) -> Records:
        """Records of the finished blocks."""
        return Records.of(self.path, self.key)

    def fill(
        self,
        client: Client,
        function: Callable[[Block, Plan, OutPath], Found],
        plan: Plan,
        *,
        waits: tuple[float, ...] = (),
        progress: Progress = silent,
        name: str,
    ) -> Iterator[Found]:
        """Compute and write the blocks that are not recorded.

        Parameters
        ----------
        function : callable
            `function(block, plan, store)` writes one block and returns what else comes of it.
        waits : tuple of float
            As for `run_each`; a block of an object store is always tried again.

        Yields
        ------
        What every block gave, those of former runs first.
        """
        stage, done = self._open(plan.grid)
        waits = waits or (WAITS if storage_of(stage).may_be_away else ())
        kept = set()
        for block_name, record in self.records.load_each(done):
            if record is not None:
                kept.add(block_name)
                yield _found(record)
        todo = (block for block in plan.grid.blocks(mixed=True) if record_name(block.index) not in kept)
        tasks = run_each(
            client, _do_block, todo, function, plan, stage, self,
            total=plan.grid.n_blocks, before=len(kept), waits=waits, progress=progress, name=name,
        )  # fmt: skip
        for _, found in tasks:
            yield found

    def publish(self) -> None:
        """Give the filled store its name."""
        stage = unfinished(self.path, self.key)
        if is_store(stage):
            publish(stage, self.path)
        self.records.forget_others()

    def discard(self) -> None:
        """Remove what was not published, and its records."""
        remove(unfinished(self.path, self.key))
        self.records.clear()

    def _open(self, grid: Grid) -> tuple[OutPath, set[str]]:
        """Return the store to write to, and the blocks that are in it.

        A finished store of the same key that lacks blocks (they were found damaged) is mended where it stands.
        """
        stage = resume(self.path, self.key)
        if is_store(stage):
            storage_of(stage).remove_partial(stage)  # a chunk that was being written
        elif self.records.directory.is_dir() and key_of_store(self.path) == self.key:
            remove(stage)  # what is left of it, if the run ended while it removed it
            stage = self.path
        else:
            self.records.clear()
            remove(stage)
            with staged(stage) as new:
                create(new, grid, self.layers, self.coords, {**self.attrs, KEY: self.key})
            return stage, set()
        relabel(stage, {"": self.attrs, **{name: layer.attrs for name, layer in self.layers.items()}})
        return stage, self.records.names()


def _do_block(
    block: Block, function: Callable[[Block, Any, OutPath], Found], plan: Any, stage: OutPath, blocks: Blocks
) -> Found:
    """Write one block and, once it is on disk, its record.

    A block that is recorded by now was done by a worker that died before its answer had arrived.
    """
    if (record := blocks.records.load(record_name(block.index))) is not None:
        return _found(record)
    found = function(block, plan, stage)
    files = chunk_names(blocks.layers, blocks.coords, block.index)
    storage_of(stage).sync([stage / file for file in files])
    digests = digests_of([stage / file for file in files])
    arrays = {f"found_{name}": values for name, values in found.items()} if found is not None else {}
    blocks.records.save(record_name(block.index), **{_FILES: np.array(files), _DIGESTS: np.array(digests)}, **arrays)
    return found


def _found(record: dict[str, np.ndarray]) -> Found:
    return {k.removeprefix("found_"): v for k, v in record.items() if k.startswith("found_")} or None


def record_name(index: tuple[int, int]) -> str:
    """Return the name of a block's record."""
    return f"block_{index[0]:05d}_{index[1]:05d}"


def is_store(path: OutPath) -> bool:
    """Return whether a whole store lies here, not the remains of one."""
    return (path / ROOT).exists()


def key_of_store(path: OutPath) -> str | None:
    """Return the key that a store was made with."""
    (content,) = read_each([path / ROOT])
    key = json.loads(content)["attributes"].get(KEY) if content else None
    return str(key) if key else None


def damaged_blocks(path: OutPath, key: str) -> dict[str, str]:
    """List the blocks of a store, finished or not, whose files differ from those that were written.

    Returns
    -------
    dict
        Block → the first of its files that is damaged.
    """
    records = Records.of(path, key)
    store = path if key_of_store(path) == key else unfinished(path, key)
    damaged = {}
    for name, record in records.load_each(sorted(records.names())):
        if record is None:
            damaged[name] = str(records.directory / f"{name}.npz")
            continue
        files = [store / str(file) for file in record[_FILES]]
        for file, digest, found in zip(files, record[_DIGESTS], digests_of(files), strict=True):
            if digest != found:
                damaged[name] = str(file)
                break
    return damaged
