"""Valid polygons of what is drawn: crossing rings, nested holes and shells, spikes and collections."""

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

Polygonal = shapely.Polygon | shapely.MultiPolygon


def polygonal(geometry: BaseGeometry) -> Polygonal:
    """Return the polygons of a geometry, without parts that have no area."""
    if isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return geometry
    parts = [part for part in flat_parts(geometry) if isinstance(part, shapely.Polygon) and not part.is_empty]
    whole = shapely.union_all(parts) if parts else shapely.Polygon()
    assert isinstance(whole, (shapely.Polygon, shapely.MultiPolygon))
    return whole


def flat_parts(geometry: BaseGeometry) -> list[BaseGeometry]:
    """Return the simple geometries in one, however deep its collections are."""
    parts = shapely.get_parts(geometry).tolist()
    if parts == [geometry]:
        return parts
    return [simple for part in parts for simple in flat_parts(part)]


def valid(geometry: Polygonal) -> Polygonal:
    """Return a valid geometry of the same places.

    A place counts if an odd number of a polygon's rings lie around it, as GDAL fills it: both lobes of a bow-tie are
    kept, a hole within a hole is land. The polygons of a collection are united, so that where they overlap nothing is
    lost; one that lies in another and runs the other way round is its hole.
    """
    if geometry.is_valid:
        return geometry
    if isinstance(geometry, shapely.Polygon):
        return polygonal(shapely.make_valid(geometry))
    shells, holes = _told_apart(list(geometry.geoms))
    land = shapely.union_all([valid(shell) for shell in shells])
    return polygonal(land.difference(shapely.union_all([valid(hole) for hole in holes])) if holes else land)


def _told_apart(parts: list[shapely.Polygon]) -> tuple[list[shapely.Polygon], list[shapely.Polygon]]:
    """Separate polygons from holes that were written as polygons: these lie in one that runs the other way round."""
    areas = np.array([valid(part) for part in parts])
    turns = shapely.is_ccw([part.exterior for part in parts])
    inner, outer = shapely.STRtree(areas).query(areas, predicate="covered_by")
    opposite = (turns[inner] != turns[outer]) & (shapely.area(areas[inner]) < shapely.area(areas[outer]))
    holes = set(inner[opposite].tolist())
    return [p for i, p in enumerate(parts) if i not in holes], [p for i, p in enumerate(parts) if i in holes]
