"""A look at the values of all sources where the map will be: inside the outline and the mask, and at the sites."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from engine.cube.build import DomainMask, is_known
from engine.errors import Finding, GelisolError
from engine.grid.grid import Grid
from engine.sources.base import MISSING_CLASS, Source
from pipelines.preflight.sample_points import Lattice, SiteCells, Sites, inside, is_small, patch, patches, spread_out
from pipelines.preflight.waiting import Watch

PATCHES, REMOTE_PATCHES = 24, 5
"""How many patches of a source are read that is not read whole: on this machine, and over a network."""
MASK_PATCHES = 12
"""How many of the mask's covariate over a network: others are looked at where it leaves something."""
CODE_PATCHES = 8
"""In how many patches codes that no class lists are looked for."""


@dataclass
class Seen:
    """Values read of one source.

    Attributes
    ----------
    values : ndarray or None
        On the lattice; None where the source is not read whole.
    patches : list of ndarray
        On the patches of true cells; empty where it is read whole.
    at_sites : ndarray or None
        At the sites; NaN (0 of a category) where missing or not read. None of a source over a network.
    read : ndarray of bool or None
        Which sites were read.
    unlisted : tuple of str
        Codes met in some patches that no class of a category lists.
    """

    source: Source
    values: np.ndarray | None = None
    patches: list[np.ndarray] = field(default_factory=list)
    at_sites: np.ndarray | None = None
    read: np.ndarray | None = None
    unlisted: tuple[str, ...] = ()


@dataclass
class Look:
    """Values read of all sources, and where the map will be.

    Attributes
    ----------
    domain : ndarray of bool
        Points of the lattice inside outline and mask.
    land : ndarray of bool
        Those of them at which some source has a value.
    places : list of GeoBox
        The patches.
    masks : list of ndarray of bool
        Cells of each patch that are inside outline and mask.
    sites_in : ndarray of bool
        Sites inside outline and mask.
    problems : list of Finding
        What could not be read.
    """

    lattice: Lattice
    sites: Sites
    seen: dict[str, Seen] = field(default_factory=dict)
    domain: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    land: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    places: list[GeoBox] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    sites_in: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    problems: list[Finding] = field(default_factory=list)

    def known_values(self, name: str) -> np.ndarray:
        """Return every value of a source that was seen inside the domain and is not missing."""
        seen = self.seen[name]
        parts = [] if seen.values is None else [seen.values[self.domain]]
        parts += [v[m] for v, m in zip(seen.patches, self.masks, strict=False)]
        if seen.at_sites is not None and seen.read is not None:
            parts.append(seen.at_sites[seen.read & self.sites_in])
        flat = np.concatenate([np.asarray(part, "float64").ravel() for part in parts]) if parts else np.array([])
        return flat[_known(seen.source, flat)]

    def share_known(self, name: str) -> float:
        """Return the share of the domain's land in which a source has a value; NaN if no land was inspected."""
        seen = self.seen[name]
        if seen.values is not None:
            here = is_known(seen.values)[self.land]
        else:
            parts = [is_known(v)[m] for v, m in zip(seen.patches, self.masks, strict=False)]
            here = np.concatenate(parts) if parts else np.array([])
        return float(np.mean(here)) if len(here) else float("nan")

    def missing_at_sites(self, name: str) -> np.ndarray | None:
        """Return sites in the domain without a value in a source and the table; None for a source that was not read."""
        seen = self.seen[name]
        if seen.at_sites is None or seen.read is None:
            return None
        missing = self.sites_in & seen.read & ~_known(seen.source, seen.at_sites)
        measured = self.sites.measured.get(name)
        return missing if measured is None else missing & ~measured


def _known(source: Source, values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    return finite & (values != MISSING_CLASS) if source.spec.is_categorical else finite


def look(grid: Grid, sources: Mapping[str, Source], mask: DomainMask | None, sites: Sites, watch: Watch) -> Look:
    """Read small sources whole, at points; of others patches, and the sites if they are on this machine.

    Parameters
    ----------
    mask : DomainMask, optional
        Of one of the sources.
    watch : callable
        Told of what may take long.
    """
    return _Looking(grid, sources, mask, sites, watch).look()


class _Looking:
    """The steps of `look`, in their order."""

    def __init__(
        self, grid: Grid, sources: Mapping[str, Source], mask: DomainMask | None, sites: Sites, watch: Watch
    ) -> None:
        self.grid, self.mask, self.watch = grid, mask, watch
        self.cells = SiteCells.of(grid, sites)
        self.found = Look(Lattice.over(grid), sites)
        self.found.domain, self.found.sites_in = self.found.lattice.inside.copy(), self.cells.on_grid.copy()
        # The mask's covariate is the first: the others are looked at where it holds.
        order = sorted(sources, key=lambda name: mask is None or name != mask.covariate)
        self.found.seen = {name: Seen(sources[name].glimpse()) for name in order}
        self.methods = {name: sources[name].choose_resampling(grid.geobox) for name in order}
        self.small = {name: is_small(seen.source, grid) for name, seen in self.found.seen.items()}

    def look(self) -> Look:
        """Inspect all sources."""
        self._each(self._read_whole)
        self._each(self._read_sites)
        known = [is_known(seen.values) for seen in self.found.seen.values() if seen.values is not None]
        self.found.land = self.found.domain & np.logical_or.reduce(known) if known else self.found.domain
        self._choose_patches()
        self._each(self._read_patches)
        return self.found

    def _each(self, read: Callable[[str, Seen], None]) -> None:
        """Read of every source; one that cannot be read is a problem, and looked at no more."""
        for name, seen in list(self.found.seen.items()):
            try:
                with self.watch(f"looking at {name}"):
                    read(name, seen)
            except GelisolError as error:
                self.found.problems += error.problems
                del self.found.seen[name]

    def _read_whole(self, name: str, seen: Seen) -> None:
        if not self.small[name]:
            return
        lattice = self.found.lattice
        seen.values = seen.source.on_grid(lattice.geobox, lattice.method(self.methods[name]))
        if self.mask and name == self.mask.covariate:
            self.found.domain &= self.mask.holds(seen.values)

    def _read_sites(self, name: str, seen: Seen) -> None:
        if seen.source.summary().is_remote:
            return
        if self.found.lattice.exact and seen.values is not None:
            seen.at_sites, seen.read = seen.values[self.cells.rows, self.cells.cols], self.cells.on_grid.copy()
        else:
            seen.at_sites, seen.read = self.cells.read(seen.source, self.methods[name])
        if self.mask and name == self.mask.covariate:
            self.found.sites_in &= self.mask.holds(seen.at_sites)

    def _choose_patches(self) -> None:
        """Choose places of patches, those over a network first; some are around sites, which are on land."""
        wanted = self.found.land if self.found.land.any() else self.found.lattice.inside
        spread = patches(self.grid, PATCHES, self.found.lattice, wanted)
        at = np.column_stack([self.cells.rows, self.cells.cols])[self.found.sites_in]
        around = [patch(self.grid, *place) for place in spread_out(at, REMOTE_PATCHES // 2)]
        first = REMOTE_PATCHES - len(around)
        self.found.places = [*spread[:first], *around, *spread[first:]]
        self.found.masks = [inside(self.grid, place) for place in self.found.places]
        mask = self.mask.covariate if self.mask else ""
        if self.mask and (seen := self.found.seen.get(mask)):
            remote = seen.source.summary().is_remote
            places = self.found.places[: MASK_PATCHES if remote else None]
            self._each(lambda name, seen: self._narrow(seen, places) if name == mask else None)

    def _narrow(self, seen: Seen, places: list[GeoBox]) -> None:
        """Drop cells of the patches outside the mask; patches that keep some come first."""
        assert self.mask
        values = [seen.source.on_grid(place, self.methods[self.mask.covariate]) for place in places]
        masks = [inside & self.mask.holds(v) for inside, v in zip(self.found.masks, values, strict=False)]
        order = sorted(range(len(places)), key=lambda i: not masks[i].any())
        self.found.places, self.found.masks = [places[i] for i in order], [masks[i] for i in order]
        seen.patches = [] if seen.values is not None else [values[i] for i in order]

    def _read_patches(self, name: str, seen: Seen) -> None:
        if seen.values is None and not seen.patches:
            places = self.found.places[: REMOTE_PATCHES if seen.source.summary().is_remote else None]
            seen.patches = [seen.source.on_grid(place, self.methods[name]) for place in places]
        if seen.source.spec.is_categorical:
            few = self.found.places[:CODE_PATCHES]
            seen.unlisted = tuple(dict.fromkeys(code for place in few for code in seen.source.unlisted(place)))
