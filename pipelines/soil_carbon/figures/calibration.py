"""Calibration of the intervals at held-out sites: coverage, what is missed below and above, PIT; and by group."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.validation.calibration import ALL
from engine.validation.predictive import MAPPED, SITES_MEAN
from engine.validation.scoring_rules import pit_histogram
from pipelines.soil_carbon.figures.canvas import FAINT, INK, POINT, WIDTH, letter
from pipelines.soil_carbon.formatting import depth_text

METHOD_NAMES = {MAPPED: "the map", "jackknife_plus": "jackknife+", SITES_MEAN: "sites alone"}
"""Method → name in figures and tables."""
STYLES: Mapping[str, Mapping[str, Any]] = {
    SITES_MEAN: {"color": "#8C6D31", "marker": "s", "linestyle": ":"},
    "jackknife_plus": {"color": "#E69F00", "marker": "^", "linestyle": "--"},
    MAPPED: {"color": "#0072B2", "marker": "o", "linestyle": "-"},
}
"""Method → look; in the order of drawing, the map's on top."""
BELOW, ABOVE = "#CC79A7", "#009E73"
GREY = "#e4e4e4"
BINS = 10
Z95 = 1.96
GROUP_LEVELS = {0.8: ("s", "#E69F00"), 0.95: ("o", "#0072B2")}
"""Level → marker and colour in the figure of groups."""


def calibration_size(depths: int) -> tuple[float, float]:
    """Return width and height in inches of the figure: a row of three panels per depth."""
    return WIDTH, 0.3 + 2.35 * depths


def draw_calibration(figure: Figure, table: pd.DataFrame, pit: pd.DataFrame) -> None:
    """Draw a row per depth: share inside against nominal level, shares below and above, histogram of the PIT.

    Parameters
    ----------
    figure : Figure
        To fill, of `calibration_size`.
    table : DataFrame
        Rows of `calibration.csv` of one scheme.
    pit : DataFrame
        Rows of `pit.csv` of that scheme.
    """
    whole = table[table["by"] == ALL]
    depths = list(dict.fromkeys(whole["depth"]))
    grid = figure.subplots(len(depths), 3, squeeze=False)
    for row, (line, depth) in enumerate(zip(grid, depths, strict=True)):
        here = whole[whole["depth"] == depth]
        own = here[here["method"] == MAPPED].sort_values("nominal")
        _inside(line[0], here, int(own["sites"].iloc[0]))
        _misses(line[1], own)
        rows = pit[(pit["depth"] == depth) & (pit["method"] == MAPPED)]
        _histogram(line[2], rows, int(own["sites"].iloc[0]))
        for column, axes in enumerate(line):
            axes.set_title(f"{letter(3 * row + column)}   {depth_text(depth)}")
            axes.set_box_aspect(1)
    grid[0, 0].legend(loc="lower right")
    grid[0, 1].legend(loc="upper right")


def _inside(axes: Axes, here: pd.DataFrame, sites: int) -> None:
    level = np.linspace(0.4, 1, 100)
    chance = Z95 * np.sqrt(level * (1 - level) / sites)
    axes.fill_between(100 * level, 100 * (level - chance), 100 * np.minimum(level + chance, 1), color=GREY, linewidth=0)
    axes.plot([40, 100], [40, 100], color=FAINT, linewidth=0.8, linestyle="--")
    for method, style in STYLES.items():
        line = here[here["method"] == method].sort_values("nominal")
        label = METHOD_NAMES[method]
        axes.plot(100 * line["nominal"], 100 * line["inside"], label=label, markersize=4, linewidth=1, **style)
    low = max(0.0, min(45.0, 100 * here["inside"].min() - 5))
    axes.set(xlim=(45, 101), ylim=(low, 101), xlabel="nominal level, %", ylabel="observations inside, %")


def _misses(axes: Axes, own: pd.DataFrame) -> None:
    """Draw what the map's intervals miss on either side; half of 100 − level each if they are central."""
    nominal = own["nominal"].to_numpy()
    axes.plot(100 * nominal, 50 * (1 - nominal), color=FAINT, linewidth=0.8, linestyle="--", label="nominal, each")
    for side, marker, colour in (("below", "v", BELOW), ("above", "^", ABOVE)):
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1}
        axes.plot(100 * nominal, 100 * own[side], label=side, **style)
    axes.set(xlim=(45, 101), xlabel="nominal level, %", ylabel="observations missed, %")
    axes.set_ylim(bottom=0)


def _histogram(axes: Axes, pit: pd.DataFrame, sites: int) -> None:
    share = 100 * pit_histogram(pit["pit_lower"].to_numpy(), pit["pit_upper"].to_numpy(), BINS)
    honest = 100 / BINS
    chance = Z95 * np.sqrt(honest * (100 - honest) / sites)
    axes.axhspan(max(0, honest - chance), honest + chance, color=GREY, linewidth=0, zorder=0)
    axes.bar((np.arange(BINS) + 0.5) / BINS, share, width=0.92 / BINS, color=POINT, alpha=0.85, zorder=2)
    axes.axhline(honest, color=FAINT, linewidth=0.8, linestyle="--", zorder=3)
    axes.set(xlim=(0, 1), xlabel="PIT", ylabel="observations, %")


def groups_size(table: pd.DataFrame, depths: int) -> tuple[float, float]:
    """Return width and height in inches of the figure of groups."""
    groups = len(table[["by", "group"]].drop_duplicates())
    return WIDTH, (0.75 + 0.17 * groups) * -(-depths // 3)


def draw_groups(figure: Figure, table: pd.DataFrame) -> None:
    """Draw the coverage of each group at two levels, a panel per depth; lines: where chance leaves an honest interval.

    Parameters
    ----------
    figure : Figure
        To fill, of `groups_size`.
    table : DataFrame
        Rows of `calibration.csv` of one scheme.
    """
    own = table[(table["method"] == MAPPED) & table["nominal"].isin(GROUP_LEVELS)]
    depths = list(dict.fromkeys(own["depth"]))
    names = list(dict.fromkeys(zip(own["by"], own["group"], strict=True)))
    columns = min(len(depths), 3)
    grid = figure.subplots(-(-len(depths) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[len(depths) :]:
        axes.set_visible(False)
    for number, (axes, depth) in enumerate(zip(grid, depths, strict=False)):
        here = own[own["depth"] == depth].set_index(["by", "group"])
        for level, (marker, colour) in GROUP_LEVELS.items():
            _levels(axes, here[here["nominal"] == level], names, level, marker, colour)
        axes.set_title(f"{letter(number)}   {depth_text(depth)}")
        axes.set(xlabel="observations inside, %", ylim=(len(names) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0)
    grid[0].set_xlim(right=101)
    grid[0].set_yticks(range(len(names)), [_label(by, group) for by, group in names])
    grid[0].legend(loc="lower left", bbox_to_anchor=(0, 1.08), ncols=2, borderaxespad=0)


def _levels(
    axes: Axes, rows: pd.DataFrame, names: list[tuple[str, str]], level: float, marker: str, colour: str
) -> None:  # fmt: skip
    axes.axvline(100 * level, color=colour, linewidth=0.8, linestyle="--", zorder=1)
    apart = -0.16 if marker == "s" else 0.16
    place = np.array([names.index(name) for name in rows.index]) + apart
    chance = Z95 * rows["se"].to_numpy()
    axes.hlines(
        place, 100 * (level - chance), 100 * np.minimum(level + chance, 1), color=colour, linewidth=2.5, alpha=0.3
    )
    judged = rows["judged"].to_numpy(bool)
    style: dict[str, Any] = {"marker": marker, "s": 16, "zorder": 3, "linewidths": 0.5, "edgecolors": INK}
    axes.scatter(
        100 * rows["inside"][judged], place[judged], color=colour, label=f"{100 * level:g} % interval", **style
    )
    axes.scatter(100 * rows["inside"][~judged], place[~judged], color="white", **style)


def _label(by: str, group: str) -> str:
    """Return a group's name on the axis, e.g. `prediction, 5 of 5`."""
    return {"zone": group, ALL: "all sites"}.get(by, f"{'prediction' if by == 'predicted' else by}, {group}")
