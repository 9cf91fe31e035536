"""Projected download of a run over a network."""

import math

from engine.errors import GelisolError
from engine.grid.grid import Grid
from engine.remote.auth import BY_HOST
from engine.remote.files import Remote
from engine.sources.align import source_window
from engine.sources.base import Source
from engine.sources.raster import Patchwork
from engine.sources.raster_base import GriddedSource


def projected_download(source: Source, grid: Grid) -> float | None:
    """Project the bytes that a run fetches over a network; None if all files are local.

    The share of the files' pixels that lies under the grid, of their size; of a catalogue's items, that of the first
    times their number.
    """
    summary = source.summary()
    remote = [file for file in summary.files if isinstance(file, Remote)]
    if not remote:
        return None
    size = float(summary.bytes) if summary.bytes is not None else float(_first_size(source) * len(remote))
    if not isinstance(source, GriddedSource):
        return size
    window = source_window(source.geobox, grid.geobox)
    under = math.prod(s.stop - s.start for s in window) if window else 0
    return size * under / math.prod(source.geobox.shape.yx)


def _first_size(source: Source) -> int:
    part = source.parts[0] if isinstance(source, Patchwork) else source
    tiles = getattr(part, "tiles", ())
    access = tiles[0].file.access if tiles else getattr(part, "access", BY_HOST)
    try:
        return next(file.size(access) for file in source.summary().files if isinstance(file, Remote))
    except (OSError, GelisolError):
        return 0
