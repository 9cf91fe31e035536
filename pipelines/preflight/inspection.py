"""Inspection of values before a run: impossible ones, odd ones, and what each covariate costs the map."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.cube.build import DomainMask
from engine.errors import Finding, GelisolError, Level
from engine.grid.grid import Grid
from engine.sources.base import Source
from engine.sources.vector import VectorSource
from pipelines.preflight.absent_classes import Unseen, unseen_classes
from pipelines.preflight.missing_cells import costs, nothing_left
from pipelines.preflight.sample_points import Sites
from pipelines.preflight.sampled_values import Look, look
from pipelines.preflight.value_ranges import doubt
from pipelines.preflight.waiting import Watch, unwatched

_OVERLAP = 0.001
"""Share of the polygons' area on which classes may overlap without a word: shared borders are never the same."""


@dataclass
class Inspection:
    """Results of an inspection of the values; called by `survey` with the grid and the sources.

    Attributes
    ----------
    known : dict
        Covariate → share of the domain's land in which it has a value.
    spread : dict
        Covariate → lowest, median and highest value seen in the domain; of a number.
    unlisted : dict
        Covariate → codes seen that no class lists.
    unseen : dict
        Covariate → its classes that were not found.
    doubts : dict
        Covariate → what speaks against its values, though they are possible.
    gaps : dict
        Covariate → what it costs, in words.
    overlaps : dict
        Covariate → that its polygons overlap.
    extent : dict
        Covariate → how much of it was looked at.
    """

    watch: Watch = unwatched
    known: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    unlisted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: dict[str, Unseen] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    overlaps: dict[str, str] = field(default_factory=dict)
    extent: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, grid: Grid, sources: Mapping[str, Source], mask: DomainMask | None = None, sites: Sites | None = None
    ) -> list[Finding]:
        """Inspect every source; values that cannot be read or be right, or leave no cell to map, are problems.

        Parameters
        ----------
        mask : DomainMask, optional
            Where the map will be; of one of the sources.
        """
        mask = mask if mask and mask.covariate in sources else None
        found = look(grid, sources, mask, sites or Sites.of(None, "", {}), self.watch)
        problems = found.problems
        for name in sources:
            if name in found.seen:
                problems += self._judge(name, sources[name], grid, found)
        if not problems:
            problems += nothing_left(found, mask)
        if found.domain.any():
            self.gaps |= {name: note for name, cost in costs(found).items() if (note := cost.note())}
        return problems

    def _judge(self, name: str, source: Source, grid: Grid, found: Look) -> list[Finding]:
        seen, values = found.seen[name], found.known_values(name)
        if np.isfinite(share := found.share_known(name)):
            self.known[name] = share
        self.extent[name] = "all" if seen.values is not None else f"{len(seen.patches)} patches"
        if source.spec.is_categorical:
            return self._judge_classes(name, source, grid, found)
        if values.size:
            low, middle, high = np.percentile(values, [0, 50, 100])
            self.spread[name] = float(low), float(middle), float(high)
        doubted = doubt(name, source.spec, values)
        if doubted and doubted.level is not Level.PROBLEM:
            self.doubts[name] = doubted.message
            return []
        return [doubted] if doubted else []

    def _judge_classes(self, name: str, source: Source, grid: Grid, found: Look) -> list[Finding]:
        self.unlisted[name] = found.seen[name].unlisted
        classes = {int(v) for v in np.unique(found.known_values(name))}
        try:
            self.unseen[name] = unseen_classes(source, grid, classes)
        except GelisolError as error:
            return error.problems
        if isinstance(source, VectorSource):
            both, any_class = source.overlap(grid)
            if any_class and both / any_class >= _OVERLAP:
                self.overlaps[name] = (
                    f"polygons of different classes overlap on {both:,.4g} km² of the domain, {both / any_class:.1%} "
                    "of what they cover; there the later in the file counts, also one whose code no class lists"
                )
        return []
