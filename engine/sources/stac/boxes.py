"""Boxes in degrees on the globe: west may be east of east (RFC 7946), and longitudes may run past ±180°."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

Bbox = tuple[float, float, float, float]
Item = dict[str, Any]
Arc = tuple[float, float]
_CIRCLE = 360.0
_NEAR = 45.0
"""Degrees from the 180° line within which items that are written past it may reach a box."""
_EDGE = 1e-3
"""Width, degrees, of the strip along the line in which such items are looked for."""


def arcs(west: float, east: float) -> list[Arc]:
    """Return the longitudes from west to east, within ±180: one arc, or two across the 180° line."""
    if east - west >= _CIRCLE:
        return [(-180.0, 180.0)]
    width = east - west if west <= east else (east - west) % _CIRCLE
    first = west if -180 <= west <= 180 else (west + 180) % _CIRCLE - 180
    last = first + width
    return [(first, last)] if last <= 180 else [(first, 180.0), (-180.0, last - _CIRCLE)]


def touches(item: Item, bbox: Bbox | None) -> bool:
    """Return whether an item's box, or without one its geometry, touches a box; true if it has neither."""
    if bbox is None:
        return True
    boxes = list(_boxes(item))
    return not boxes or any(_meet(box, bbox) for box in boxes)


def questions(bbox: Bbox | None) -> list[Bbox | None]:
    """Return the boxes within ±180° that a server must search to find every item that touches a box.

    Servers compare numbers: an item that is written from 170 to 190 does not touch −175 for them. As it holds the 180°
    line, it is found there.
    """
    if bbox is None:
        return [None]
    south, north = bbox[1], bbox[3]
    found = arcs(bbox[0], bbox[2])
    if len(found) == 1:
        ((west, east),) = found
        if west > -180 and west + 180 < _NEAR:
            found.append((180 - _EDGE, 180.0))
        if east < 180 and 180 - east < _NEAR:
            found.append((-180.0, -180 + _EDGE))
    return [(west, south, east, north) for west, east in found]


def _meet(a: Bbox, b: Bbox) -> bool:
    beside = any(w <= e2 and e >= w2 for w, e in arcs(a[0], a[2]) for w2, e2 in arcs(b[0], b[2]))
    # One that ends at 180° and one that begins at −180° meet there.
    beside |= {round(abs(v), 9) for box in (a, b) for v in (box[0], box[2])} == {180.0}
    return beside and a[1] <= b[3] and a[3] >= b[1]


def _boxes(item: Item) -> Iterator[Bbox]:
    box = item.get("bbox")
    if isinstance(box, (list, tuple)) and len(box) in (4, 6):
        numbers = [float(v) for v in box]
        if all(map(math.isfinite, numbers)):
            west, south, east, north = numbers if len(box) == 4 else (numbers[0], numbers[1], numbers[3], numbers[4])
            yield west, south, east, north
            return
    for ring in _rings(item.get("geometry") or {}):
        yield _around(ring)


def _rings(geometry: Any) -> Iterator[list[list[float]]]:
    """Yield lists of positions in a GeoJSON geometry."""
    if not isinstance(geometry, dict):
        return
    for part in geometry.get("geometries") or ():
        yield from _rings(part)
    waiting = [geometry.get("coordinates")]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, list) or not part:
            continue  # nonsense, which is nowhere
        if isinstance(part[0], (int, float)):
            yield [part]
        elif isinstance(part[0], list) and part[0] and isinstance(part[0][0], (int, float)):
            yield part
        else:
            waiting += part


def _around(ring: list[list[float]]) -> Bbox:
    """Return the box of positions whose steps over more than 180° cross the line."""
    lon = [float(ring[0][0])]
    for before, after in pairwise(ring):
        step = after[0] - before[0]
        lon.append(lon[-1] + (step if abs(step) <= 180 or abs(step) >= _CIRCLE else (step + 180) % _CIRCLE - 180))
    lat = [float(position[1]) for position in ring]
    return min(lon), min(lat), max(lon), max(lat)
