"""Several sources on one part of the grid: what more than one of them is made of is read once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from engine.sources.base import Source
from engine.sources.composite import Composite
from engine.sources.resampling import Choice


@dataclass
class _Reading:
    """A plain source, brought onto the grid in one way.

    Attributes
    ----------
    uses : int
        How many sources, or parts of them, still need it.
    values : ndarray or None
        Kept from its first use to its last.
    """

    source: Source
    method: Choice
    uses: int = 0
    values: np.ndarray | None = None


class Readings:
    """The values of sources on a part of the grid, to be asked for once each.

    Parameters
    ----------
    sources, resampling : dict
        Name → source, and how it is resampled.
    """

    def __init__(self, sources: Mapping[str, Source], resampling: Mapping[str, Choice], geobox: GeoBox):
        self._sources, self._resampling, self._geobox = sources, resampling, geobox
        self._readings: list[_Reading] = []
        for name, source in sources.items():
            for plain, method in _plain_sources(source, resampling[name]):
                self._reading(plain, method).uses += 1

    def __len__(self) -> int:
        """Return the number of plain sources that are read."""
        return len(self._readings)

    def values(self, name: str) -> np.ndarray:
        """Return values of a source, see `Source.on_grid`; may be the same array as another source's."""
        return self._on_grid(self._sources[name], self._resampling[name])

    def _on_grid(self, source: Source, resampling: Choice) -> np.ndarray:
        if isinstance(source, Composite):
            methods = source.methods(resampling)
            return source.combine({name: self._on_grid(part, methods[name]) for name, part in source.parts.items()})
        reading = self._reading(source, resampling)
        values = source.on_grid(self._geobox, resampling) if reading.values is None else reading.values
        reading.uses -= 1
        reading.values = values if reading.uses else None
        return values

    def _reading(self, source: Source, method: Choice) -> _Reading:
        for known in self._readings:
            if known.method == method and known.source == source:
                return known
        self._readings.append(_Reading(source, method))
        return self._readings[-1]


def _plain_sources(source: Source, resampling: Choice) -> Iterator[tuple[Source, Choice]]:
    """Yield the plain sources that a source consists of, perhaps itself, each with its resampling."""
    if not isinstance(source, Composite):
        yield source, resampling
        return
    methods = source.methods(resampling)
    for name, part in source.parts.items():
        yield from _plain_sources(part, methods[name])
