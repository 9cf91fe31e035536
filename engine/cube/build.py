"""The covariate cube: every source aligned to the grid, written block by block, one task per whole chunk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from distributed import Client

from engine.errors import Finding, InputError
from engine.execution.block_store import Blocks
from engine.execution.tasks import WAITS, Progress, silent
from engine.formatting import counted
from engine.grid.grid import Block, Grid
from engine.remote.files import during
from engine.sources.base import MISSING_CLASS, Source
from engine.sources.read_cache import Readings
from engine.sources.resampling import Choice
from engine.sources.variable import Variable
from engine.storage.paths import OutPath
from engine.storage.zarr_store import Layer, array

DOMAIN = "domain"
"""Cube variable: 1 in cells of the domain, 0 elsewhere."""


@dataclass(frozen=True)
class DomainMask:
    """Cells of the domain are those where a covariate is in a range or of some classes."""

    covariate: str
    low: float = -np.inf
    high: float = np.inf
    classes: tuple[int, ...] = ()

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return where the covariate's values keep the cell in the domain; a missing value does not."""
        if self.classes:
            return np.isin(values, self.classes)
        return (values >= self.low) & (values <= self.high)


@dataclass(frozen=True)
class CubePlan:
    """Contents of a cube: the grid, the outline and the sources, in their order.

    Attributes
    ----------
    sources : dict
        Variable name → source. Covariates, and what else is needed per cell, such as zones.
    resampling : dict
        Variable name → resampling, chosen once for the whole grid so that blocks agree.
    run : str
        Another one for each plan: a worker that outlives a run keeps nothing of remote files for the next.
    """

    grid: Grid
    sources: Mapping[str, Source]
    resampling: Mapping[str, Choice]
    mask: DomainMask | None = None
    run: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def make(cls, grid: Grid, sources: Mapping[str, Source], mask: DomainMask | None = None) -> "CubePlan":
        """Settle how each source is resampled on the grid."""
        return cls(grid, sources, {n: s.choose_resampling(grid.geobox) for n, s in sources.items()}, mask)


@dataclass
class CubeCounts:
    """Number of cells of the cube, counted over its blocks.

    Attributes
    ----------
    inside : int
        Cells of the domain.
    complete : int
        Cells of the domain in which no variable is missing.
    known : dict
        Variable name → cells of the domain in which it is known.
    """

    inside: int = 0
    complete: int = 0
    known: dict[str, int] = field(default_factory=dict)

    def add(self, other: "CubeCounts") -> None:
        """Take in the counts of a block."""
        self.inside += other.inside
        self.complete += other.complete
        for name, count in other.known.items():
            self.known[name] = self.known.get(name, 0) + count


def is_known(values: np.ndarray) -> np.ndarray:
    """Return where a cube variable is not missing."""
    return np.isfinite(values) if values.dtype.kind == "f" else values != MISSING_CLASS


def build_cube(
    client: Client, plan: CubePlan, path: OutPath, attrs: Mapping[str, str], progress: Progress = silent, *, key: str
) -> CubeCounts:
    """Write the cube to `path`, which appears once it is whole; blocks of an interrupted run are kept.

    Parameters
    ----------
    key : str
        Of all that the cube depends on.

    Raises
    ------
    InputError
        If a source cannot be read, or no cell of the domain has every variable.
    """
    layers = {DOMAIN: Layer("uint8", {"long_name": "cells of the domain", "flag_values": [0, 1]})}
    layers |= {name: _layer(source) for name, source in plan.sources.items()}
    counts = CubeCounts()
    blocks = Blocks(path, key, layers, {}, attrs)
    for found in blocks.fill(client, _count_block, plan, waits=WAITS, progress=progress, name="cube"):
        assert found is not None
        counts.add(
            CubeCounts(
                int(found["inside"]),
                int(found["complete"]),
                dict(zip(plan.sources, found["known"].tolist(), strict=True)),
            )
        )
    try:
        _require_cells(counts)
    except InputError:
        blocks.discard()  # of no use, whatever is changed
        raise
    blocks.publish()
    return counts


def _count_block(block: Block, plan: CubePlan, path: OutPath) -> dict[str, np.ndarray]:
    """Write a block and return its counts as arrays: `known` in the order of the plan's sources."""
    counts = write_block(block, plan, path)
    known = [counts.known[name] for name in plan.sources]
    return {"inside": np.array(counts.inside), "complete": np.array(counts.complete), "known": np.array(known)}


def write_block(block: Block, plan: CubePlan, path: OutPath) -> CubeCounts:
    """Align every source to one block, blank what lies outside the domain, and write it."""
    inside = plan.grid.inside(block)
    if not inside.any():
        return CubeCounts(known=dict.fromkeys(plan.sources, 0))
    readings = Readings(plan.sources, plan.resampling, block.geobox)
    with during(plan.run):
        values = {name: readings.values(name) for name in plan.sources}
    if plan.mask:
        inside &= plan.mask.holds(values[plan.mask.covariate])
    complete = inside.copy()
    counts = CubeCounts(inside=int(inside.sum()))
    for name, block_values in values.items():
        block_values[~inside] = np.nan if block_values.dtype.kind == "f" else MISSING_CLASS
        known = is_known(block_values)
        complete &= known
        counts.known[name] = int(known.sum())
        array(path, name, "r+")[block.roi] = block_values
    array(path, DOMAIN, "r+")[block.roi] = inside.astype("uint8")
    counts.complete = int(complete.sum())
    return counts


def _layer(source: Source) -> Layer:
    return Layer("uint8" if source.spec.is_categorical else "float32", layer_attrs(source.name, source.spec))


def layer_attrs(name: str, spec: Variable) -> dict[str, Any]:
    """Return attributes of a covariate's variable in a cube."""
    attrs = {"long_name": spec.label or name, "group": spec.group}
    if not spec.is_categorical:
        return {**attrs, "units": spec.units}
    flags = list(range(1, len(spec.class_names) + 1))
    meanings = " ".join(name.replace(" ", "_") for name in spec.class_names)
    return {**attrs, "flag_values": flags, "flag_meanings": meanings, "comment": "0 is missing"}


def _require_cells(counts: CubeCounts) -> None:
    """Refuse a cube without one complete cell, and name the covariate that is to blame."""
    if counts.inside == 0:
        raise InputError(Finding("no cell of the grid lies inside the outline and the mask; check `domain`", "domain"))
    nowhere = [name for name, known in counts.known.items() if known == 0]
    if nowhere:
        raise InputError(
            Finding(
                f"covers none of the domain's {counted(counts.inside, 'cell')}; check its CRS, extent, "
                "`nodata`, `valid_range` and `classes`",
                f"covariates.{name}",
            )
            for name in nowhere
        )
    if counts.complete == 0:
        shares = ", ".join(f"{name} {known / counts.inside:.1%}" for name, known in counts.known.items())
        raise InputError(f"no cell of the domain has every covariate; the share of cells that each covers: {shares}")
