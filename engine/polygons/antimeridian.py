"""Polygons in degrees brought within ±180°: rings that jump across the 180° line, go round a pole, or run past ±180°.

A ring says only where its corners are. An edge over more than 180° of longitude is one that crosses the line on its
short way, unless it is the side of a map: a whole circle between two sides along a meridian, or an edge along a pole.
Where both readings can be meant, the polygon is refused.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from engine.polygons.repair import Polygonal, polygonal, valid

_CIRCLE = 360.0
_LONGEST_CROSSING = 60.0
"""Degrees of longitude up to which the short way of an edge is the way that it means."""
_NARROWEST_BOX = 3.0
"""Degrees: a rectangle that is narrower on its short way may as well be one around the globe."""
_POLE = 90.0 - 1e-9
_EXACT = 1e-9


class AmbiguousRing(ValueError):
    """Ring whose edges may run either way round the globe; the message names them."""


@dataclass(frozen=True)
class _Ring:
    """A ring with its edges on the way that they mean; `x` may run past ±180°."""

    xy: np.ndarray
    jumps: bool


def needs_wrapping(geometries: np.ndarray) -> np.ndarray:
    """Return which geometries have corners past ±180°, or perhaps an edge of more than 180°; shape (n,)."""
    xy, index = shapely.get_coordinates(geometries, return_index=True)
    found = np.zeros(len(geometries), bool)
    found[index[np.abs(xy[:, 0]) > 180]] = True
    far = (np.abs(np.diff(xy[:, 0])) > 180) & (np.diff(index) == 0)
    found[index[:-1][far]] = True
    return found


def wrap(geometry: Polygonal) -> tuple[Polygonal, bool]:
    """Move geometries into ±180°, valid and cut at the line; also return whether an edge jumped across it.

    Raises
    ------
    AmbiguousRing
        If an edge may run either way round the globe.
    """
    parts, jumps = [], False
    for polygon in shapely.get_parts(geometry):
        rings = [_unwrap(np.asarray(ring.coords)[:, :2]) for ring in (polygon.exterior, *polygon.interiors)]
        jumps |= any(ring.jumps for ring in rings)
        if any(ring.jumps for ring in rings):
            parts.append(_without_holes(*(valid(shapely.Polygon(ring.xy)) for ring in rings)))
        else:
            parts.append(valid(polygon))
    whole = parts[0] if len(parts) == 1 else polygonal(shapely.union_all(parts))
    return _cut(whole), jumps


def _without_holes(shell: Polygonal, *holes: Polygonal) -> Polygonal:
    """Subtract holes, whichever circle of longitudes they are counted in."""
    if not holes:
        return shell
    copies = [shapely.affinity.translate(hole, k * _CIRCLE) for hole in holes for k in (-1, 0, 1)]
    return polygonal(shell.difference(shapely.union_all(copies)))


def _cut(geometry: Polygonal) -> Polygonal:
    """Cut geometries by circle of longitudes and move each part into ±180°."""
    west, _, east, _ = geometry.bounds if not geometry.is_empty else (0, 0, 0, 0)
    if west >= -180 and east <= 180:
        return geometry
    pieces = []
    for k in range(int(np.floor((west + 180) / _CIRCLE)), int(np.ceil((east - 180) / _CIRCLE)) + 1):
        piece = geometry.intersection(shapely.box(k * _CIRCLE - 180, -91, k * _CIRCLE + 180, 91))
        pieces.append(shapely.affinity.translate(polygonal(piece), -k * _CIRCLE))
    return polygonal(shapely.union_all(pieces))


def _unwrap(ring: np.ndarray) -> _Ring:
    """Make every edge run the way that it means; a ring round a pole is closed along it."""
    x, y = ring.T
    step = np.diff(x)
    long = np.abs(step) > 180
    along_pole = long & (np.minimum(np.abs(y[1:]), np.abs(y[:-1])) >= _POLE)
    sides = long & _sides_of_a_map(step)
    if not (long & ~sides & ~along_pole).any():  # of an edge that crosses the line, sides of a map are no neighbours
        long &= ~sides
    if not long.any():
        return _Ring(ring, False)
    short = np.where(long, step - _CIRCLE * np.round(step / _CIRCLE), step)
    turns = round(float(short.sum()) / _CIRCLE)
    along_pole &= long
    if turns and along_pole.any():
        as_drawn = np.where(along_pole, step, short)
        if round(float(as_drawn.sum()) / _CIRCLE) == 0:
            short, turns, long = as_drawn, 0, long & ~along_pole
            if not long.any():
                return _Ring(ring, False)
    _require_short(x, step, short, long)
    unwrapped = np.column_stack([x[0] + np.append(0.0, np.cumsum(short)), y])
    if turns == 0:
        _require_wide(unwrapped, x)
        return _Ring(unwrapped, True)
    if abs(turns) > 1 or (y.min() < 0 < y.max()):
        raise AmbiguousRing(f"a ring goes {abs(turns)} time(s) round the globe, and it is not clear round which pole")
    pole = 90.0 if y.max() > 0 else -90.0
    cap = [*unwrapped, (unwrapped[-1, 0], pole), (unwrapped[0, 0], pole), unwrapped[0]]
    return _Ring(np.array(cap), True)


def _sides_of_a_map(step: np.ndarray) -> np.ndarray:
    """Find edges over a whole circle between two edges along a meridian: the upper and lower side of a world map."""
    upright = step == 0
    whole = np.abs(np.abs(step) - _CIRCLE) < _EXACT
    return whole & np.roll(upright, 1) & np.roll(upright, -1)


def _require_short(x: np.ndarray, step: np.ndarray, short: np.ndarray, long: np.ndarray) -> None:
    for edge in np.flatnonzero(long & (np.abs(short) > _LONGEST_CROSSING)):
        raise AmbiguousRing(
            f"an edge from longitude {x[edge]:g}° to {x[edge + 1]:g}° may run {abs(step[edge]):g}° one way or "
            f"{abs(short[edge]):g}° the other"
        )


def _require_wide(unwrapped: np.ndarray, x: np.ndarray) -> None:
    corners = np.unique(unwrapped, axis=0)
    is_box = len(corners) == 4 and all(len(np.unique(axis)) == 2 for axis in corners.T)
    if is_box and np.ptp(corners[:, 0]) < _NARROWEST_BOX:
        raise AmbiguousRing(
            f"a rectangle from longitude {x.min():g}° to {x.max():g}° may be {np.ptp(x):g}° wide, or "
            f"{np.ptp(corners[:, 0]):g}° across the 180° line"
        )


def bounds_on_the_circle(longitudes: np.ndarray) -> tuple[float, float]:
    """Return the shortest arc that holds all longitudes: west and east within ±180°, west > east where it crosses 180°.

    Parameters
    ----------
    longitudes : ndarray
        Degrees, of points so close on the outline that a wider gap between them is outside.
    """
    on_circle = np.unique((longitudes + 180) % _CIRCLE - 180)
    gaps = [(b - a, a, b) for a, b in pairwise([*on_circle, on_circle[0] + _CIRCLE])]
    _, before, after = max(gaps)
    return (float(after - _CIRCLE) if after > 180 else float(after)), float(before)
