"""Classes of a category that no place of the domain is of: mostly a code that is wrong, or of another edition."""

import math
from dataclasses import dataclass

import numpy as np

from engine.grid.grid import Grid
from engine.remote.files import Remote
from engine.sources.align import pixels_per_cell
from engine.sources.base import Source
from engine.sources.raster import Patchwork
from engine.sources.raster_base import GriddedSource
from engine.sources.resampling import Resampling
from engine.sources.vector import VectorSource

_MOST_POINTS = 2**25
"""Points at which a raster is looked at, at most: some seconds."""


@dataclass(frozen=True)
class Unseen:
    """Classes that were not found.

    Attributes
    ----------
    classes : tuple of str
        Their names.
    everywhere : bool
        Whether they were looked for in the whole domain, rather than in some places.
    """

    classes: tuple[str, ...]
    everywhere: bool


def unseen_classes(source: Source, grid: Grid, seen: set[int]) -> Unseen:
    """Look for the classes of a category.

    Polygons are compared with the domain's outline. A raster on this machine is read at points as close as its pixels,
    until every class is found; over a network, or if it has too many pixels, nothing more is read.

    Parameters
    ----------
    seen : set of int
        Numbers of classes that have been found already.
    """
    wanted = set(range(1, len(source.spec.class_names) + 1))
    everywhere = True
    if isinstance(source, VectorSource):
        seen = source.classes_within(grid)
    elif not wanted <= seen:
        points = _as_fine_as_its_pixels(source, grid)
        everywhere = points is not None
        seen = _add_all(source, points, wanted, seen) if points else seen
    return Unseen(tuple(source.spec.class_names[number - 1] for number in sorted(wanted - seen)), everywhere)


def pixel_against_cell(source: Source, grid: Grid) -> float | None:
    """Return the side of a native pixel as a multiple of the grid's cell side; None without a single pixel grid."""
    part = source.parts[0] if isinstance(source, Patchwork) else source
    if not isinstance(part, GriddedSource):
        return None
    return 1 / math.sqrt(max(pixels_per_cell(part.geobox, grid.geobox), 1e-12))


def _as_fine_as_its_pixels(source: Source, grid: Grid) -> Grid | None:
    """Return the domain in cells so fine that each pixel holds one; None if they are too many, or far away."""
    side = pixel_against_cell(source, grid)
    if side is None or any(isinstance(file, Remote) for file in source.summary().files):
        return None
    times = max(1, math.ceil(1.5 / side))  # a pixel may lie at an angle
    height, width = (n * times for n in grid.shape)
    if height * width > _MOST_POINTS:
        return None
    return Grid(grid.geobox.zoom_to((height, width)), grid.chunk, grid.outline)


def _add_all(source: Source, points: Grid, wanted: set[int], seen: set[int]) -> set[int]:
    seen = set(seen)
    for block in points.blocks(mixed=True):
        if wanted <= seen:
            break
        if (inside := points.inside(block)).any():
            seen |= set(np.unique(source.on_grid(block.geobox, Resampling.NEAREST)[inside]).tolist())
    return seen
