"""The study's Figure 1: sites over the map of zones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from pipelines.soil_carbon.figures.backdrop import MARGIN, MISSING, TINT, Backdrop, draw_classes
from pipelines.soil_carbon.figures.canvas import INK, marker_of
from pipelines.soil_carbon.figures.permafrost import Limit
from pipelines.soil_carbon.model.training_table import LEFT_OUT
from pipelines.soil_carbon.profiles.source_kinds import KINDS, kind_of
from pipelines.soil_carbon.results.overviews import Picture

LEGEND = 1.5
"""Inches beside the map."""
BESIDE, BESIDE_LABELS = 0.12, 0.42
"""Inches between the map and its legend."""
MOST_ENTRIES = 15
"""Of both legends together: more would overlap."""
SHAPES = dict(zip(KINDS, ("o", "^", "s", "D", "P"), strict=True))
"""Kind of source → marker."""
FROST = "#4b1d8f"
"""Colour of the limits of permafrost, which no zone has."""
MANY = 1000
"""Sites above which they are drawn as dots."""


def sites_size(backdrop: Backdrop, width: float) -> tuple[float, float]:
    """Return width and height in inches of the figure."""
    return width, (width - MARGIN - LEGEND) * backdrop.aspect + 0.5


def recorded_zones(sites: pd.DataFrame, zones: Iterable[str]) -> pd.Series | None:
    """Return the vegetation recorded at the sites as names of zones, empty for sites without a record.

    Parameters
    ----------
    sites : DataFrame
        With `vegetation`.
    zones : iterable of str
        Names.

    Returns
    -------
    Series or None
        None if a record names no zone, or there are no records.
    """
    by_lower = {name.casefold(): name for name in zones}
    recorded = sites["vegetation"].dropna().astype(str).str.strip().str.casefold()
    recorded = recorded[recorded != ""]
    if recorded.empty or not recorded.isin(list(by_lower)).all():
        return None
    return recorded.map(by_lower).reindex(sites.index).fillna("")


def draw_sites(
    figure: Figure,
    backdrop: Backdrop,
    codes: Picture,
    sites: pd.DataFrame,
    places: np.ndarray,
    colours: Mapping[str, str],
    permafrost: Sequence[Limit] = (),
) -> None:
    """Draw zones in tints of their colours; sites by their recorded class, filled if they train the model.

    Colours say the zone. Where sites come from sources of several kinds, their shapes say the kind, else the zone, too.

    Parameters
    ----------
    figure : Figure
        To fill, of `sites_size`.
    backdrop : Backdrop
        Of the run.
    codes : Picture
        Zone codes 1, 2, …; NaN where missing.
    sites : DataFrame
        One row per site: `kind` (a zone, or empty)`, not_modelled`, and where it is known `source`.
    places : ndarray, shape (sites, 2)
        x and y in the grid's CRS, m.
    colours : mapping
        Zone → colour.
    permafrost : sequence of Limit
        Lines around it, if the run has any.
    """
    axes = figure.subplots()
    width = figure.get_figwidth() - MARGIN - LEGEND
    labelled = draw_classes(axes, backdrop, codes, list(colours.values()), width)
    left_out = (sites[LEFT_OUT] != "").to_numpy()
    many = len(sites) > MANY
    size, line = (4, 0.2) if many else (17, 0.5)
    handles: list[Line2D] = []
    origins = np.array([kind_of(source) for source in sites.get("source", pd.Series("", index=sites.index))], object)
    shapes = {origin: marker for origin, marker in SHAPES.items() if (origins[~left_out] == origin).any()}
    several = len(shapes) > 1
    markers = {**marker_of(list(colours)), "": "o"}
    for kind, colour in {**colours, "": "white"}.items():
        of_kind = (sites["kind"] == kind).to_numpy() & ~left_out
        if not of_kind.any():
            continue
        for origin, shape in (shapes if several else {"": markers[kind]}).items():
            here = of_kind & (origins == origin) if several else of_kind
            marks: dict[str, Any] = {"color": colour, "edgecolor": INK, "marker": shape}
            axes.scatter(places[here, 0], places[here, 1], s=size, linewidths=line, zorder=6, **marks)
        label = f"{kind or 'site'}, n = {of_kind.sum():,}"
        handles.append(_mark("o" if several else markers[kind], colour, label))
    if several:
        handles += [
            _mark(shape, "none", f"{origin}, n = {((origins == origin) & ~left_out).sum():,}")
            for origin, shape in shapes.items()
        ]
    for limit in permafrost:
        halo = [withStroke(linewidth=2.2, foreground="white")]
        lines: dict[str, Any] = {
            "colors": FROST,
            "linewidths": 1.1,
            "linestyles": [limit.style],
            "zorder": 5,
            "path_effects": halo,
        }
        axes.add_collection(LineCollection(limit.lines, **lines), autolim=False)
        handles.append(Line2D([], [], color=FROST, linewidth=1.1, linestyle=limit.style, label=limit.label))
    if left_out.any():
        axes.scatter(
            places[left_out, 0], places[left_out, 1], color=INK, marker="x", zorder=6, s=0.8 * size, linewidths=0.8
        )
        label = f"left out, n = {left_out.sum():,}"
        handles.append(Line2D([], [], linestyle="", marker="x", color=INK, markersize=4, label=label))
    _legends(axes, colours, handles, 1 + (BESIDE_LABELS if "right" in labelled else BESIDE) / width)


def _mark(marker: str, colour: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, markerfacecolor=colour, markeredgecolor=INK, markeredgewidth=0.5,
        markersize=5, label=label,
    )  # fmt: skip


def _legends(axes: Axes, colours: Mapping[str, str], handles: list[Line2D], x: float) -> None:
    """Draw legends beside the map at x (in its widths): sites' from the top, zones' from the bottom if they fit."""
    titled = {"title_fontproperties": {"weight": "bold", "size": 7.5}, "alignment": "left", "borderaxespad": 0}
    sites = axes.legend(handles=handles, title="Sites", loc="upper left", bbox_to_anchor=(x, 1), **titled)
    tints = [Patch(facecolor=colour, alpha=TINT, edgecolor="none", label=name) for name, colour in colours.items()]
    tints.append(Patch(facecolor=MISSING, label="no zone" if colours else "domain"))
    if len(handles) + len(tints) <= MOST_ENTRIES:
        # It lies beside the axes, to which artists added by hand are clipped.
        axes.add_artist(sites).set_clip_on(False)
        axes.legend(handles=tints, title="Map", loc="lower left", bbox_to_anchor=(x, 0), **titled)
