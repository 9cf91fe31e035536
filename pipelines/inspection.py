"""A look at some values of every source before a run: small patches spread over the domain, and maps on request."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from engine.cube import is_known
from engine.errors import GelisolError
from engine.grid import Grid
from engine.remote.files import Remote
from engine.remote.signing import BY_HOST
from engine.sources.align import source_window
from engine.sources.base import Source
from engine.sources.gridded import GriddedSource
from engine.sources.raster import Patchwork
from pipelines.plausible import doubt
from pipelines.unseen import Unseen, unseen_classes

_PATCHES, _SIDE = 5, 8
"""How many patches are looked at, and cells on a side of each."""
_LATTICE = 24
_MAP_CELLS = 240
"""Cells on the longer side of a map."""


@dataclass
class Inspection:
    """What a look at the values found; called by `survey` with the grid and the sources.

    Attributes
    ----------
    known : dict
        Covariate → share of the cells looked at that have a value.
    spread : dict
        Covariate → lowest, median and highest value seen; of a number.
    unlisted : dict
        Covariate → codes seen that no class lists.
    unseen : dict
        Covariate → its classes that were not found.
    doubts : dict
        Covariate → what speaks against its values, though they are possible.
    """

    known: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    unlisted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: dict[str, Unseen] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)

    def __call__(self, grid: Grid, sources: dict[str, Source]) -> list[str]:
        """Look at every source; what cannot be read, or cannot be right, is a problem."""
        places = patches(grid)
        return [problem for name, source in sources.items() for problem in self._look(name, source, grid, places)]

    def _look(self, name: str, source: Source, grid: Grid, places: list[GeoBox]) -> list[str]:
        seen = source.glimpse()
        method = source.choose_resampling(grid.geobox)
        try:
            values = [seen.on_grid(place, method) for place in places]
            codes = [code for place in places for code in seen.unlisted(place)]
            flat = np.concatenate([v.ravel() for v in values]) if values else np.array([])
            if source.spec.is_categorical:
                self.unseen[name] = unseen_classes(source, grid, set(flat.tolist()))
        except GelisolError as error:
            return getattr(error, "problems", [str(error)])
        if not values:
            return []
        known = flat[is_known(flat)]
        self.known[name] = known.size / flat.size
        if source.spec.is_categorical:
            self.unlisted[name] = tuple(dict.fromkeys(codes))
            return []
        if known.size:
            low, middle, high = np.percentile(known, [0, 50, 100])
            self.spread[name] = float(low), float(middle), float(high)
        found = doubt(name, source.spec, known)
        if found and not found.sure:
            self.doubts[name] = found.text.partition(": ")[2]
        return [found.text] if found and found.sure else []


def patches(grid: Grid) -> list[GeoBox]:
    """Small parts of the grid inside the domain, as far from each other as a coarse lattice allows."""
    height, width = grid.shape
    rows = np.unique(np.linspace(0, height - 1, _LATTICE).astype(int))
    cols = np.unique(np.linspace(0, width - 1, _LATTICE).astype(int))
    cells = np.array([(r, c) for r in rows for c in cols])
    a = grid.geobox.affine
    x, y = a.c + (cells[:, 1] + 0.5) * a.a, a.f + (cells[:, 0] + 0.5) * a.e
    inside = cells[shapely.contains_xy(grid.outline.geom, x, y)]
    if not len(inside):
        return []
    chosen = [inside[len(inside) // 2]]
    while len(chosen) < min(_PATCHES, len(inside)):
        distances = np.min([np.hypot(*(inside - c).T) for c in chosen], axis=0)
        chosen.append(inside[int(distances.argmax())])
    boxes = []
    for row, col in chosen:
        top, left = (int(np.clip(v - _SIDE // 2, 0, max(0, n - _SIDE))) for v, n in ((row, height), (col, width)))
        boxes.append(grid.geobox[top : min(top + _SIDE, height), left : min(left + _SIDE, width)])
    return boxes


def projected_download(source: Source, grid: Grid) -> float | None:
    """Bytes that a run fetches over a network, about; None of local files.

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


def draw_maps(grid: Grid, sources: dict[str, Source], folder: Path) -> list[Path]:
    """One small map of each source on the grid, of one year where it has many, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    coarse = grid.geobox.zoom_out(max(1.0, max(grid.shape) / _MAP_CELLS))
    whole = Grid(coarse, max(coarse.shape.yx), grid.outline)
    outside = ~whole.inside(next(whole.blocks()))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, source in sources.items():
        seen = source.glimpse()
        values = seen.on_grid(coarse, seen.choose_resampling(coarse)).astype("float64")
        if source.spec.is_categorical:
            values[values == 0] = np.nan
        values[outside] = np.nan
        figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
        image = axes.imshow(values, cmap="viridis", interpolation="nearest")
        bar = figure.colorbar(image, ax=axes, label="" if source.spec.is_categorical else source.spec.units)
        if names := source.spec.class_names:
            bar.set_ticks(range(1, len(names) + 1), labels=names)
        axes.set_title(source.spec.label or name)
        axes.set_axis_off()
        figure.savefig(folder / f"{name}.png", dpi=120)
        plt.close(figure)
        drawn.append(folder / f"{name}.png")
    return drawn
