"""Meridians and parallels over a map in any projection, and a scale bar that is true where it stands."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyproj
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from odc.geo import CRS

from pipelines.soil_carbon.figures.canvas import FAINT, INK

STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30)
"""Spacings to choose from, degrees."""

APART = 0.8
"""Inches between meridians and between parallels, about."""
FEWEST_LINES, MOST_LINES = 2, 5

CROWDED = 0.33
"""Labels closer than so many inches would touch."""

FEW = 3
"""Meridians labelled below the frame that need no company above it."""

HALO = [withStroke(linewidth=1.8, foreground="white")]

PLACES = {
    "left": ((-3, 0), "right", "center"),
    "bottom": ((0, -3), "center", "top"),
    "right": ((3, 0), "left", "center"),
    "top": ((0, 3), "center", "bottom"),
}
"""Side of the frame → offset of a label in points, and its alignment."""

Frame = tuple[float, float, float, float]
"""Left, right, bottom, top of the axes in the grid's CRS, m."""


def draw_graticule(axes: Axes, crs: CRS, frame: Frame, width: float = 4.0) -> set[str]:
    """Draw and label meridians and parallels.

    Meridians are labelled where they leave the frame below, and above if few do; parallels where they leave it on
    the left, else on the right. Where the frame goes round a pole, meridians are labelled on all sides and parallels
    along one ray from the pole.

    Parameters
    ----------
    axes : Axes
        In metres of the CRS.
    crs : CRS
        Of the map.
    frame : Frame
        What the axes show.
    width : float
        Of the axes, inches: a small map has few lines.

    Returns
    -------
    set of str
        Sides of the frame with labels: left, bottom, right, top.
    """
    to_degrees = pyproj.Transformer.from_crs(crs.proj, "EPSG:4326", always_xy=True)
    to_plane = pyproj.Transformer.from_crs("EPSG:4326", crs.proj, always_xy=True)
    sides = _sides(frame)
    around = _finite(*to_degrees.transform(*np.concatenate(list(sides.values())).T))
    x, y = np.meshgrid(np.linspace(*frame[:2], 50), np.linspace(*frame[2:], 50))
    inside = _finite(*to_degrees.transform(x.ravel(), y.ravel()))
    if not around.size:
        return set()  # No side of the frame lies on the Earth: there is nothing to label.
    lon = np.unwrap(around[0], period=360.0)
    lat = np.r_[around[1], inside[1]]
    polar = abs(lon[-1] - lon[0]) > 180
    south, north, west, east = lat.min(), lat.max(), lon.min(), lon.max()
    if polar:
        south, north = (south, 90.0) if north > -south else (-90.0, north)
        west, east = -180.0, 180.0
    lines = int(np.clip(round(width / APART), FEWEST_LINES, MOST_LINES))
    step_lat = _step(north - south, lines)
    step_lon = (30.0 if width > FEW * APART else 60.0) if polar else _step(east - west, lines)
    parallels = [p for p in _multiples(south, north, step_lat) if abs(p) < 90]
    meridians = [m for m in _multiples(west, east, step_lon) if not polar or m < 180]

    ray, circle = np.linspace(max(south, -89.99), min(north, 89.99), 200), np.linspace(west, east, 721)
    for line in [
        *((np.full_like(ray, m), ray) for m in meridians),
        *((circle, np.full_like(circle, p)) for p in parallels),
    ]:
        axes.plot(*to_plane.transform(*line), color=FAINT, linewidth=0.4, alpha=0.7, zorder=3)

    labelled: set[str] = set()

    def label(side: str, wanted: set[float], of_longitudes: bool) -> set[float]:
        degrees = to_degrees.transform(*sides[side].T)[0 if of_longitudes else 1]
        name = east_west if of_longitudes else north_south
        written = _label(axes, side, sides[side], degrees, wanted, name, CROWDED / width)
        labelled.update({side} if written else ())
        return written

    below = label("bottom", set(meridians), True)
    if polar or len(below) < FEW:
        label("top", set(meridians) - below, True)
    if polar:
        label("left", set(meridians), True)
        label("right", set(meridians), True)
        # Towards the corner without the scale bar, half a step off a meridian, so that no line runs through the labels.
        corner = to_degrees.transform(frame[1], frame[2])[0]
        room = CROWDED / 2 / width * (frame[1] - frame[0])
        ray_lon = (np.floor(corner / step_lon) + 0.5) * step_lon if np.isfinite(corner) else step_lon / 2
        for parallel in parallels:
            x, y = to_plane.transform(ray_lon, parallel)
            if frame[0] + room < x < frame[1] - room and frame[2] + room < y < frame[3] - room:
                style: dict[str, Any] = {"fontsize": 6, "ha": "center", "va": "center", "zorder": 7}
                axes.text(x, y, north_south(parallel), path_effects=HALO, **style)
    else:
        label("right", set(parallels) - label("left", set(parallels), False), False)
    return labelled


def draw_scale_bar(axes: Axes, crs: CRS, frame: Frame) -> None:
    """Draw a scale bar in the lower left corner, of the length that it has on the ground there.

    Parameters
    ----------
    axes : Axes
        In metres of the CRS.
    crs : CRS
        Of the map.
    frame : Frame
        What the axes show.
    """
    width, height = frame[1] - frame[0], frame[3] - frame[2]
    x, y = frame[0] + 0.04 * width, frame[2] + 0.04 * height
    to_degrees = pyproj.Transformer.from_crs(crs.proj, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform([x, x + 0.25 * width], [y, y])
    if not np.isfinite([*lon, *lat]).all():
        return  # The corner lies off the Earth: a bar there would measure nothing.
    ground = pyproj.Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2] / 1000
    power = 10 ** np.floor(np.log10(ground))
    length = max(n for n in (1, 2, 5) if n * power <= ground) * power
    drawn = 0.25 * width * length / ground
    axes.plot([x, x + drawn], [y, y], color=INK, linewidth=2, solid_capstyle="butt", zorder=7, path_effects=HALO)
    style: dict[str, Any] = {"fontsize": 7, "ha": "center", "va": "bottom", "zorder": 7}
    axes.text(x + drawn / 2, y + 0.015 * height, f"{length:,g} km", path_effects=HALO, **style)


def east_west(longitude: float) -> str:
    """Format a longitude, e.g. `120°E`; any turn is taken off."""
    folded = (longitude + 180) % 360 - 180
    return f"{abs(folded):g}°" + ("" if folded in (0, -180) else "E" if folded > 0 else "W")


def north_south(latitude: float) -> str:
    """Format a latitude, e.g. `50°N`."""
    return f"{abs(latitude):g}°" + ("" if latitude == 0 else "N" if latitude > 0 else "S")


def _sides(frame: Frame) -> dict[str, np.ndarray]:
    """Return points along each side of the frame, one side after the other round it; shape (points, 2)."""
    x0, x1, y0, y1 = frame
    corners = np.array([(x0, y1), (x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    along = np.linspace(0, 1, 400)[:, None]
    return {side: a + (b - a) * along for side, (a, b) in zip(PLACES, pairwise(corners), strict=True)}


def _finite(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return longitudes and latitudes of the points that lie on the Earth, shape (2, points)."""
    return np.array([lon, lat])[:, np.isfinite(lon) & np.isfinite(lat)]


def _step(span: float, lines: int) -> float:
    return min(STEPS, key=lambda step: abs(span / step - lines))


def _multiples(low: float, high: float, step: float) -> np.ndarray:
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _label(
    axes: Axes,
    side: str,
    points: np.ndarray,
    degrees: np.ndarray,
    wanted: set[float],
    name: Callable[[float], str],
    crowded: float,
) -> set[float]:
    """Write the name of every line where it crosses a side, unless it would lie over another; return those written.

    `degrees` is the coordinate along the side's points, `crowded` the share of the side that a label takes.
    """
    offset, ha, va = PLACES[side]
    written: dict[float, float] = {}
    for value in sorted(wanted):
        away = (degrees - value + 180) % 360 - 180
        # Where the sign changes, unless it does at the opposite meridian, from 180 to −180.
        crosses = (away[:-1] <= 0) != (away[1:] <= 0)
        for i in np.flatnonzero(crosses & (np.abs(np.diff(away)) < 90)):
            along = i + away[i] / (away[i] - away[i + 1])
            if any(abs(along - other) < crowded * len(points) for other in written.values()):
                continue
            place = points[i] + (points[i + 1] - points[i]) * (along - i)
            written[value] = along
            axes.annotate(
                name(value), place, offset, textcoords="offset points", fontsize=7, ha=ha, va=va, annotation_clip=False
            )
    return set(written)
