"""One small map of each source, on request."""

from pathlib import Path

import numpy as np

from engine.extras import require
from engine.grid.grid import Grid
from engine.sources.base import Source

_MAP_CELLS = 240
"""Cells on the longer side of a map."""


def draw_maps(grid: Grid, sources: dict[str, Source], folder: Path) -> list[Path]:
    """Draw one small map of each source on the grid, of one year if it has many, as PNG."""
    require("report", "Small maps (--maps)")
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
