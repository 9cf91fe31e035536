"""Scores of the model families in cross-validation, every repeat."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.canvas import FAINT, INK, WIDTH, letter, marker_of
from pipelines.soil_carbon.formatting import named, with_unit

SHOWN = {
    "r2_explained": "explained-variance ratio (Eq. 4)",
    "r2": "1 − SSE/SST",
    "rmse": "RMSE",
}
"""Score → name of its axis."""
IN_UNITS = {"rmse"}
"""Scores in the units of what is mapped."""


def scores_size(families: int, schemes: int) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    return WIDTH, 0.9 + families * (0.14 + 0.16 * schemes)


def draw_scores(
    figure: Figure,
    validation: pd.DataFrame,
    families: Sequence[str],
    colours: Mapping[str, str],
    mapped: str,
    units: str = "kg C/m²",
) -> None:
    """Draw a row per family and scheme: each repeat, and the mean over them.

    Parameters
    ----------
    figure : Figure
        To fill, of `scores_size`.
    validation : DataFrame
        `family, scheme, repeat` and the scores.
    families : sequence of str
        From top to bottom.
    colours : mapping
        Scheme → colour.
    mapped : str
        The family that is mapped, in bold.
    units : str
        Of the errors.
    """
    grid = figure.subplots(1, len(SHOWN), sharey=True)
    apart = 0.8 / len(colours)
    for number, (axes, (score, name)) in enumerate(zip(grid, SHOWN.items(), strict=True)):
        for i, (scheme, marker) in enumerate(marker_of(list(colours)).items()):
            style = {"color": colours[scheme], "marker": marker}
            for row, family in enumerate(families):
                here = validation[(validation["family"] == family) & (validation["scheme"] == scheme)][score]
                y = len(families) - 1 - row + 0.4 - (i + 0.5) * apart
                axes.scatter(here, np.full(len(here), y), s=7, alpha=0.3, linewidths=0, **style)
                label = named(scheme) if row == 0 else None
                axes.scatter(here.mean(), y, s=20, edgecolor=INK, linewidths=0.6, zorder=3, label=label, **style)
        for row in range(1, len(families)):
            axes.axhline(row - 0.5, color=FAINT, linewidth=0.3)
        axes.set(xlabel=with_unit(name, units if score in IN_UNITS else "1"), ylim=(-0.5, len(families) - 0.5))
        axes.tick_params(axis="y", length=0)
        axes.set_title(letter(number))
        if score == "r2" and axes.get_xlim()[0] < 0:
            axes.axvline(0, color=FAINT, linewidth=0.8, linestyle=":")
    labels = grid[0].set_yticks(range(len(families)), [named(family) for family in families][::-1])
    for tick, family in zip(labels, list(families)[::-1], strict=True):
        tick.label1.set_fontweight("bold" if family == mapped else "normal")
    grid[-1].legend(title="folds", loc="center left", bbox_to_anchor=(1.02, 0.5))
