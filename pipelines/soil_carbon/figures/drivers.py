"""The study's Figure 5: importance of the covariates, and how the density depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from engine.sources.variable import Variable
from pipelines.soil_carbon.figures.canvas import GROUPS, INK, WIDTH, colour_of, letter, panels
from pipelines.soil_carbon.formatting import depth_text, with_unit

LEADING = 2
"""Covariates whose dependence is in the figure of importances; the others are in one of their own."""
COLUMNS = 4
PANEL_HEIGHT, CURVES_HEIGHT = 1.75, 2.3
FEW_CLASSES = 4
"""Classes whose names fit under a panel side by side."""
GAIN_BAR: dict[str, Any] = {"height": 0.7, "ecolor": INK, "capsize": 2, "error_kw": {"linewidth": 0.8, "capthick": 0.8}}


@dataclass(frozen=True)
class Drivers:
    """Data of the figures of the drivers.

    Attributes
    ----------
    importance, dependence : DataFrame
        As in the tables of the run, `importance.csv` and `partial_dependence.csv`.
    training : DataFrame
        One row per training site, a column per covariate; class codes of categories.
    specs : mapping
        Covariate → its source, for labels and units.
    depth : str
        Label of the first depth.
    label, units : str
        Of what is mapped.
    """

    importance: pd.DataFrame
    dependence: pd.DataFrame
    training: pd.DataFrame
    specs: Mapping[str, Variable]
    depth: str
    label: str = "SOCD"
    units: str = "kg C/m²"

    @property
    def covariates(self) -> pd.DataFrame:
        """Rows of the covariates, the most important first."""
        return self.importance[self.importance["kind"] == "covariate"]

    @property
    def groups(self) -> pd.DataFrame:
        """Rows of the groups, the most important first."""
        return self.importance[self.importance["kind"] == "group"]

    @property
    def colours(self) -> dict[str, str]:
        """Group → colour, in the order of the run file, so that runs compare."""
        return colour_of(list(dict.fromkeys(spec.group for spec in self.specs.values())), GROUPS)

    @property
    def has_gain(self) -> bool:
        """Whether the family knows shares of gain."""
        return bool(self.covariates["gain_percent"].notna().any())


def drivers_size(drivers: Drivers) -> tuple[float, float]:
    """Return width and height in inches of the figure of importances."""
    return WIDTH, _bars_height(drivers) + CURVES_HEIGHT


def others_size(drivers: Drivers) -> tuple[float, float]:
    """Return width and height in inches of the figure of the other covariates."""
    rows = -(-max(len(drivers.covariates) - LEADING, 1) // COLUMNS)
    return WIDTH, 0.2 + PANEL_HEIGHT * rows


def _bars_height(drivers: Drivers) -> float:
    return 1.5 + 0.18 * len(drivers.covariates)


def draw_drivers(figure: Figure, drivers: Drivers) -> None:
    """Draw panel A: importances; B and C: partial dependence on the most important covariates.

    Parameters
    ----------
    figure : Figure
        To fill, of `drivers_size`.
    drivers : Drivers
        Of the run.
    """
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[_bars_height(drivers), CURVES_HEIGHT])[:, 0]
    _importances(parts[0], drivers)
    leading = drivers.covariates["covariate"].tolist()[:LEADING]
    axes = list(parts[1].subplots(1, len(leading), sharey=True, squeeze=False)[0])
    _dependences(axes, drivers, leading, 1)


def draw_other_dependences(figure: Figure, drivers: Drivers) -> None:
    """Draw the partial dependence on all covariates but the most important ones.

    Parameters
    ----------
    figure : Figure
        To fill, of `others_size`.
    drivers : Drivers
        Of the run.
    """
    others = drivers.covariates["covariate"].tolist()[LEADING:]
    _dependences(panels(figure, len(others), COLUMNS, sharey=True), drivers, others, 0)


def _importances(figure: SubFigure, drivers: Drivers) -> None:
    rows, colours = drivers.covariates.iloc[::-1], drivers.colours
    paint = [colours[group] for group in rows["group"]]
    y = np.arange(len(rows))
    measures = {"permutation_rmse": f"rise of the RMSE when permuted, {drivers.units}"}
    if drivers.has_gain:
        measures = {"gain_percent": "share of the gain, %", **measures}
    grid = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, (measure, name) in zip(grid, measures.items(), strict=True):
        spread = rows[measure.split("_")[0] + "_sd"]
        axes.barh(y, rows[measure], xerr=spread, color=paint, **GAIN_BAR)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set_xlabel(name)
        axes.tick_params(axis="y", length=0)
    if drivers.has_gain:
        grid[0].set_xlim(left=0)
    grid[0].set_yticks(y, rows["label"])
    grid[0].set_title(letter(0))
    handles = [
        Patch(color=colours[str(group)], label=_group_label(group, percent))
        for group, percent in drivers.groups.set_index("group")["gain_percent"].items()
    ]
    # Below, where it hides no error bar.
    title = "sum of the gain" if drivers.has_gain else None
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=min(len(handles), 5))


def _group_label(group: object, percent: float) -> str:
    return f"{group} {percent:.1f} %" if np.isfinite(percent) else str(group)


def _dependences(grid: Sequence[Axes], drivers: Drivers, covariates: Sequence[str], first: int) -> None:
    labels = drivers.covariates.set_index("covariate")["label"].astype(str).to_dict()
    for number, (axes, covariate) in enumerate(zip(grid, covariates, strict=True), start=first):
        curve = drivers.dependence[drivers.dependence["covariate"] == covariate]
        observed, spec = drivers.training[covariate], drivers.specs[covariate]
        colour = drivers.colours[spec.group]
        if spec.is_categorical:
            _classes(axes, curve, observed, spec.class_names, colour)
            axes.set_xlabel(labels[covariate])
        else:
            _curve(axes, curve, observed, colour)
            axes.set_xlabel(with_unit(labels[covariate], spec.units))
        if (number - first) % COLUMNS == 0:
            axes.set_ylabel(f"{drivers.label}, {depth_text(drivers.depth)}, {drivers.units}")
        axes.set_title(letter(number))


def _curve(axes: Axes, curve: pd.DataFrame, observed: pd.Series, colour: str) -> None:
    axes.fill_between(curve["value"], curve["lower"], curve["upper"], color=colour, alpha=0.22, linewidth=0)
    axes.plot(curve["value"], curve["mean"], color=colour, linewidth=1.4)
    place = axes.get_xaxis_transform()
    rug: dict[str, Any] = {"color": INK, "markersize": 4, "markeredgewidth": 0.4, "alpha": 0.6}
    axes.plot(observed, np.full(len(observed), 0.02), "|", transform=place, **rug)


def _classes(axes: Axes, curve: pd.DataFrame, observed: pd.Series, names: Sequence[str], colour: str) -> None:
    """Draw a point with its range per class, and the number of its sites."""
    x = np.arange(len(curve))
    away = [curve["mean"] - curve["lower"], curve["upper"] - curve["mean"]]
    axes.errorbar(
        x, curve["mean"], yerr=np.clip(away, 0, None), fmt="o", color=colour, markersize=4, capsize=2, linewidth=1
    )
    counts = observed.map(dict(enumerate(names, start=1))).value_counts()
    crowded = len(curve) > FEW_CLASSES
    ticks = [f"{name}{', ' if crowded else chr(10)}{counts.get(name, 0)}" for name in curve["class"]]
    axes.set_xticks(x, ticks, fontsize=6, rotation=45 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlim(-0.5, len(curve) - 0.5)
