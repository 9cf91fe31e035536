"""The map against sites that never trained it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.canvas import FAINT, POINT, letter, panels
from pipelines.soil_carbon.figures.charts import CROWDED, cloud, note, one_to_one
from pipelines.soil_carbon.formatting import depth_text, fixed

PANEL = 2.35
"""Inches."""
HAIR = 0.5
"""Width of an interval's line, points."""


def independent_size(depths: int) -> tuple[float, float]:
    """Return width and height in inches of the figure: up to three panels in a row."""
    return PANEL * max(min(depths, 3), 1.4), 2.75 * -(-depths // 3)


def draw_independent(
    figure: Figure, sites: pd.DataFrame, scores: Mapping[str, Mapping[Any, Any]], units: str = "kg C/m²"
) -> None:
    """Draw observed against predicted density at independent sites, a panel per depth, with prediction intervals.

    Parameters
    ----------
    figure : Figure
        To fill, of `independent_size`.
    sites : DataFrame
        `depth, observed, predicted, lower, upper` (kg C/m²), those that are used.
    scores : mapping
        Depth → its row of `independent.csv`.
    units : str
        Of both.
    """
    for index, (axes, (depth, row)) in enumerate(zip(panels(figure, len(scores)), scores.items(), strict=True)):
        here = sites[(sites["depth"] == depth)].dropna(subset=["observed", "predicted"])
        predicted, observed = here["predicted"].to_numpy(), here["observed"].to_numpy()
        if len(here) <= CROWDED:
            axes.vlines(predicted, here["lower"], here["upper"], color=FAINT, linewidth=HAIR, alpha=0.5, zorder=1)
        cloud(axes, predicted, observed)
        mean = row["training_mean"]
        axes.axhline(mean, color=POINT, linewidth=0.8, linestyle=":", zorder=2)
        one_to_one(axes, room=0.3)
        note(
            axes,
            f"n = {int(row['n']):,}",
            f"r = {fixed(row['r'])}",
            f"bias = {fixed(row['bias'])}",
            f"RMSE = {fixed(row['rmse'])}",
            f"of the mean {fixed(row['rmse_of_mean'])}",
            low=True,
        )
        axes.set(xlabel=f"predicted, {units}", ylabel=f"observed, {units}")
        axes.set_title(f"{letter(index)}   {depth_text(depth)}")
