"""The study's Figure 2: predicted against observed in cross-validation, and deeper densities on the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from pipelines.soil_carbon.figures.canvas import letter, marker_of, panels
from pipelines.soil_carbon.figures.charts import CROWDED, LINE, cloud, note, one_to_one
from pipelines.soil_carbon.formatting import depth_text, fixed, named, p_text, signed

BAND = (2.5, 97.5)
"""Percentiles of the replicates that a band spans."""
PANEL = 2.35
"""Inches."""
FEW_ZONES = 3
"""Zones whose names find room above the points; those of more stand under the figure."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out predictions under one scheme of the validation.

    Attributes
    ----------
    predictions : DataFrame
        `observed, predicted` (kg C/m²)`, zone`, one row per site.
    scores : mapping
        `r2_explained, r2, rmse, mae`, means over the repeats.
    folds : str
        The scheme; empty if it is the only one.
    """

    predictions: pd.DataFrame
    scores: Mapping[str, float]
    folds: str = ""


def fit_size(depths: int, schemes: int = 1) -> tuple[float, float]:
    """Return width and height in inches of the figure: up to three panels in a row."""
    number = schemes + depths - 1
    return PANEL * max(min(number, 3), 1.4), 2.75 * -(-number // 3)


def draw_fit(
    figure: Figure,
    predictions: pd.DataFrame,
    scores: Mapping[str, float],
    sites: pd.DataFrame,
    regressions: pd.DataFrame,
    coefficients: np.ndarray,
    labels: Sequence[str],
    colours: Mapping[str, str],
    folds: str = "",
    others: Sequence[HeldOut] = (),
    units: str = "kg C/m²",
) -> None:
    """Draw a panel of held-out predictions per scheme, then each deeper density against the first.

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
    folds : str
        The scheme of panel A, where there are others.
    others : sequence of HeldOut
        Of the other schemes.
    units : str
        Of densities.
    """
    schemes = [HeldOut(predictions, scores, folds), *others]
    grid = panels(figure, len(schemes) + len(labels) - 1)
    for number, (axes, held_out) in enumerate(zip(grid, schemes, strict=False)):
        _cross_validation(axes, held_out, colours, legend=number == 0)
        axes.set(xlabel=f"predicted in cross-validation, {units}", ylabel=f"observed, {units}")
        of_scheme = f", {named(held_out.folds)} folds" if held_out.folds else ""
        axes.set_title(f"{letter(number)}   {depth_text(labels[0])}{of_scheme}")
    fits = {str(fit["depth"]): fit for fit in regressions.to_dict("records")}
    for axes, (index, label) in zip(grid[len(schemes) :], enumerate(labels[1:], start=1), strict=True):
        _regression(axes, sites, labels[0], label, fits[label], coefficients[:, index])
        axes.set(xlabel=f"{depth_text(labels[0])}, {units}", ylabel=f"{depth_text(label)}, {units}")
        axes.set_title(f"{letter(len(schemes) - 1 + index)}   {depth_text(label)} on {depth_text(labels[0])}")


def _cross_validation(axes: Axes, held_out: HeldOut, colours: Mapping[str, str], legend: bool) -> None:
    predictions, scores = held_out.predictions, held_out.scores
    zones = [zone for zone in colours if (predictions["zone"] == zone).any()]
    if len(predictions) > CROWDED or not zones:
        cloud(axes, predictions["predicted"].to_numpy(), predictions["observed"].to_numpy())
    else:
        for zone, marker in marker_of(list(colours)).items():
            here = predictions[predictions["zone"] == zone]
            style: dict[str, Any] = {"color": colours[zone], "marker": marker, "linewidths": 0, "alpha": 0.75}
            if len(here):
                axes.scatter(here["predicted"], here["observed"], s=11, label=zone, **style)
        if not legend:
            pass
        elif len(zones) <= FEW_ZONES:
            axes.legend(loc="upper left", handletextpad=0.1, borderaxespad=0.1, labelspacing=0.25)
        else:
            axes.figure.legend(loc="outside lower center", ncols=len(zones), handletextpad=0.1, columnspacing=1)
    # Predictions vary less than observations: beyond them is room for the scores.
    one_to_one(axes, room=0.3)
    _observed_on_predicted(axes, predictions["predicted"].to_numpy(float), predictions["observed"].to_numpy(float))
    note(
        axes,
        f"n = {len(predictions):,}",
        f"R² (Eq. 4) = {fixed(scores['r2_explained'])}",
        f"1 − SSE/SST = {fixed(scores['r2'])}",
        f"RMSE = {fixed(scores['rmse'])}",
        f"MAE = {fixed(scores['mae'])}",
        low=True,
    )


def _observed_on_predicted(axes: Axes, predicted: np.ndarray, observed: np.ndarray) -> None:
    """Draw the regression of observations on predictions, with the 95 % confidence band of its mean."""
    line = regression_band(predicted, observed)
    if line is None:
        return
    x, y, half = line
    low, high = axes.get_ylim()
    axes.fill_between(
        x, np.clip(y - half, low, high), np.clip(y + half, low, high), color=LINE, alpha=0.25, linewidth=0, zorder=4
    )
    axes.plot(x, y, color=LINE, linewidth=1.4, zorder=5)
    axes.set_ylim(low, high)


def regression_band(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Fit y on x by least squares; return places, the line there, and half the width of the mean's 95 % band.

    Returns
    -------
    tuple of ndarray, or None
        None for fewer than three points, or where x does not vary.
    """
    n, spread = x.size, float(((x - x.mean()) ** 2).sum()) if x.size else 0.0
    if n < 3 or spread <= 0:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    error = np.sqrt((((y - y.mean()) - slope * (x - x.mean())) ** 2).sum() / (n - 2))
    at = np.linspace(x.min(), x.max(), 100)
    half = student.ppf(0.975, n - 2) * error * np.sqrt(1 / n + (at - x.mean()) ** 2 / spread)
    return at, y.mean() + slope * (at - x.mean()), half


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
    # Room for the equation above the points.
    axes.set_ylim(min(0.0, float(both[label].min())), 1.25 * axes.get_ylim()[1])
    axes.set_box_aspect(1)
