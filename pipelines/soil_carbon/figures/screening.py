"""Chart of the screening: how each covariate goes with the density, how collinear it is, and which are kept."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import t as student

from engine.sources.variable import Variable
from pipelines.soil_carbon.figures.canvas import FAINT, INK, WARNING
from pipelines.soil_carbon.figures.charts import POINT
from pipelines.soil_carbon.formatting import depth_text, p_value

WIDTH = 6.4
"""Inches."""

P_AT, VIF_AT = 1.13, 1.28
"""Columns of numbers, in widths of the chart from its left side."""

HATCH = "/////"


def screening_size(selection: pd.DataFrame) -> tuple[float, float]:
    """Return width and height in inches of the figure of this table."""
    return WIDTH, 1.15 + 0.24 * len(selection)


def draw_screening(
    figure: Figure,
    selection: pd.DataFrame,
    specs: Mapping[str, Variable],
    depth: str,
    *,
    alpha: float = 0.05,
    vif_max: float = 10.0,
    of: str = "carbon density",
) -> None:
    """Draw bars of Spearman's ρ, for a category √ε²; beside them p and VIF, bold if they exclude the covariate.

    Parameters
    ----------
    figure : Figure
        To fill.
    selection : DataFrame
        As `screen` returns it.
    specs : mapping
        Covariate → its source, for labels.
    depth : str
        Label of the first depth.
    alpha, vif_max : float
        The limits that the screening used.
    of : str
        What the covariates are correlated with.
    """
    rows = selection.assign(size=np.sqrt(selection["effect"])).sort_values("size", na_position="first")
    axes = figure.subplots()
    columns = (rows[name].to_numpy() for name in ("rho", "size", "kept", "p_value", "vif"))
    for y, (rho, size, kept, p, vif) in enumerate(zip(*columns, strict=True)):
        _bar(axes, y, rho, size, kept)
        _numbers(axes, y, p, vif, alpha, vif_max)
    axes.axvline(0, color=INK, linewidth=0.6)
    n = int(selection["n"].iloc[0])
    critical = _critical(alpha, n)
    for rho in (-critical, critical):
        axes.axvline(rho, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    axes.set_yticks(range(len(rows)), [specs[name].label or name for name in rows["covariate"]])
    axes.tick_params(axis="y", length=0)
    reach = np.ceil(20 * max(rows["size"].max(), critical) + 0.4) / 20
    axes.set(xlim=(-reach, reach), ylim=(-0.6, len(rows) - 0.4))
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"Spearman’s ρ with the {of}, {depth_text(depth)} (dotted: p = {alpha:g})")
    axes.set_title(f"Screening of covariates at {n:,} sites")
    for at, head in ((P_AT, "p"), (VIF_AT, "VIF")):
        axes.text(at, len(rows) - 0.3, head, transform=axes.get_yaxis_transform(), ha="right", weight="bold")
    _legend(axes, rows)


def _bar(axes: Axes, y: int, rho: float, size: float, kept: bool) -> None:
    """Draw a bar, filled if kept; that of a category, which has no direction, hatched to the right."""
    if np.isnan(size):
        return
    is_number = np.isfinite(rho)
    axes.barh(
        y,
        rho if is_number else size,
        height=0.62,
        facecolor=POINT if kept else "white",
        edgecolor=("white" if kept else FAINT) if not is_number else (POINT if kept else FAINT),
        linewidth=0.8,
        hatch=None if is_number else HATCH,
    )


def _numbers(axes: Axes, y: int, p: float, vif: float, alpha: float, vif_max: float) -> None:
    shown = (
        (P_AT, "–" if np.isnan(p) else p_value(p), not p < alpha),
        (VIF_AT, "–" if np.isnan(vif) else "∞" if np.isinf(vif) else f"{vif:.1f}", vif >= vif_max),
    )
    for at, text, speaks_against in shown:
        colour, weight = (WARNING, "bold") if speaks_against else (INK, "normal")
        axes.text(
            at, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7.5, color=colour,
            weight=weight,
        )  # fmt: skip


def _critical(alpha: float, n: int) -> float:
    """Return the |ρ| that is just significant, by the t distribution of scipy's p-values."""
    t = student.ppf(1 - alpha / 2, n - 2)
    return float(t / np.sqrt(n - 2 + t**2))


def _legend(axes: Axes, rows: pd.DataFrame) -> None:
    entries = [Patch(facecolor=POINT, edgecolor=POINT, label="kept")]
    if not rows["kept"].all():
        entries.append(Patch(facecolor="white", edgecolor=FAINT, label="left out"))
    if (rows["test"] != "spearman").any():
        entries.append(Patch(facecolor="white", edgecolor=INK, hatch=HATCH, label="category: √ε², no sign"))
    axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.3 / (0.24 * len(rows))), ncols=3)
