"""The study's Figure 2: predicted against observed in cross-validation, and deeper densities on the first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.canvas import letter, marker_of, panels
from pipelines.soil_carbon.figures.charts import CROWDED, LINE, cloud, note, one_to_one
from pipelines.soil_carbon.wording import depth_text, fixed, p_text, signed

BAND = (2.5, 97.5)
"""Percentiles of the replicates that a band spans."""
PANEL = 2.35
"""Inches."""
FEW_ZONES = 3
"""Zones whose names find room above the points; those of more stand under the figure."""


def fit_size(depths: int) -> tuple[float, float]:
    """Width and height in inches of the figure: up to three panels in a row."""
    return PANEL * max(min(depths, 3), 1.4), 2.75 * -(-depths // 3)


def draw_fit(
    figure: Figure,
    predictions: pd.DataFrame,
    scores: Mapping[str, float],
    sites: pd.DataFrame,
    regressions: pd.DataFrame,
    coefficients: np.ndarray,
    labels: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    """Panel A: held-out predictions; the others: each deeper density against the first.

    Parameters
    ----------
    figure : Figure
        To fill, of `fit_size`.
    predictions : DataFrame
        `observed, predicted` (kg C/m²)`, zone`, one row per site.
    scores : mapping
        `r2_explained, r2, rmse, mae`.
    sites : DataFrame
        One row per site, a column of densities (kg C/m²) per depth label.
    regressions : DataFrame
        `depth, intercept, slope, r2, p_value, n, …`, as in the table of the run.
    coefficients : ndarray, shape (replicates, depths, 2)
        Intercepts and slopes of the replicates.
    labels : sequence of str
        Depths; the first is the predictor.
    colours : mapping
        Zone → colour.
    """
    first, *others = panels(figure, len(labels))
    _cross_validation(first, predictions, scores, labels[0], colours)
    fits = {str(fit["depth"]): fit for fit in regressions.to_dict("records")}
    for axes, (index, label) in zip(others, enumerate(labels[1:], start=1), strict=True):
        _regression(axes, sites, labels[0], label, fits[label], coefficients[:, index])
        axes.set_title(f"{letter(index)}   {depth_text(label)} on {depth_text(labels[0])}")


def _cross_validation(
    axes: Axes, predictions: pd.DataFrame, scores: Mapping[str, float], depth: str, colours: Mapping[str, str]
) -> None:
    zones = [zone for zone in colours if (predictions["zone"] == zone).any()]
    if len(predictions) > CROWDED or not zones:
        cloud(axes, predictions["predicted"].to_numpy(), predictions["observed"].to_numpy())
    else:
        for zone, marker in marker_of(list(colours)).items():
            here = predictions[predictions["zone"] == zone]
            style: dict[str, Any] = {"color": colours[zone], "marker": marker, "linewidths": 0, "alpha": 0.75}
            if len(here):
                axes.scatter(here["predicted"], here["observed"], s=11, label=zone, **style)
        if len(zones) <= FEW_ZONES:
            axes.legend(loc="upper left", handletextpad=0.1, borderaxespad=0.1, labelspacing=0.25)
        else:
            axes.figure.legend(loc="outside lower center", ncols=len(zones), handletextpad=0.1, columnspacing=1)
    # Predictions vary less than observations: beyond them is room for the scores.
    one_to_one(axes, room=0.3)
    note(
        axes,
        f"n = {len(predictions):,}",
        f"R² (Eq. 4) = {fixed(scores['r2_explained'])}",
        f"1 − SSE/SST = {fixed(scores['r2'])}",
        f"RMSE = {fixed(scores['rmse'])}",
        f"MAE = {fixed(scores['mae'])}",
        low=True,
    )
    axes.set(xlabel="predicted in cross-validation, kg C/m²", ylabel="observed, kg C/m²")
    axes.set_title(f"{letter(0)}   {depth_text(depth)}")


def _regression(
    axes: Axes, sites: pd.DataFrame, first: str, label: str, fit: Mapping[Any, Any], coefficients: np.ndarray
) -> None:
    both = sites[[first, label]].dropna()
    cloud(axes, both[first].to_numpy(), both[label].to_numpy())
    x = np.linspace(both[first].min(), both[first].max(), 100)
    lines = coefficients[:, :1] + coefficients[:, 1:] * x
    axes.fill_between(x, *np.percentile(lines, BAND, axis=0), color=LINE, alpha=0.25, linewidth=0)
    axes.plot(x, fit["intercept"] + fit["slope"] * x, color=LINE, linewidth=1.4)
    note(
        axes,
        f"y = {fit['slope']:.2f} x {signed(fit['intercept'], space=' ')}",
        f"r² = {fit['r2']:.2f}, {p_text(fit['p_value'])}",
        f"n = {fit['n']:,}",
    )
    axes.set(xlabel=f"{depth_text(first)}, kg C/m²", ylabel=f"{depth_text(label)}, kg C/m²")
    # Room for the equation above the points.
    axes.set_ylim(min(0.0, float(both[label].min())), 1.25 * axes.get_ylim()[1])
    axes.set_box_aspect(1)
