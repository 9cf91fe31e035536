"""The domain's boundary, wherever it lies on the globe: which cells are inside, and the box in degrees."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from odc.geo import Geometry
from odc.geo.geom import box
from rasters import centres

from engine.errors import InputError
from engine.grid.grid import Grid
from pipelines.preflight.outline import bounds_in_degrees, box_in_degrees, read_outline
from pipelines.runfile.reader import Domain

POLAR = "EPSG:6931"


def outline(tmp_path, *polygons, crs="EPSG:4326", name="boundary.gpkg"):
    gpd.GeoDataFrame(geometry=list(polygons), crs=crs).to_file(tmp_path / name)
    return read_outline(Domain(boundary=name), tmp_path)


def inside(geometry: Geometry, crs=POLAR, resolution=25_000) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of the cells of a domain."""
    grid = Grid.from_outline(geometry, crs, resolution, 4096)
    (block,) = grid.blocks()
    lon, lat = centres(grid.geobox)
    within = grid.inside(block)
    return lon[within], lat[within]


def differing(found, expected) -> int:
    cells = [set(map(tuple, np.round(np.column_stack(pair), 6))) for pair in (found, expected)]
    return len(cells[0] ^ cells[1])


def test_a_boundary_that_jumps_is_the_small_side(tmp_path):
    jump = shapely.Polygon([(177, 65), (-177, 65), (-177, 69), (177, 69)])
    found = outline(tmp_path, jump)
    assert "1 polygon of 1 jumps across ±180°" in found.notes[0]
    lon, lat = inside(found.geometry, "+proj=laea +lat_0=67 +lon_0=180 +datum=WGS84", 5000)
    assert len(lon) * 25 == pytest.approx(116_950, rel=0.01)  # km²
    assert (np.abs(lon) > 176.9).all() and (np.abs(lat - 67) < 2.05).all()
    assert box_in_degrees(found.geometry) == (177, 65, -177, 69)
    assert bounds_in_degrees(found.geometry) == (-180, 65, 180, 69)


def test_the_circumpolar_domain_is_the_same_however_it_is_drawn(tmp_path):
    expected = inside(read_outline(Domain(bounds=(-180, 50, 180, 90)), tmp_path).geometry)
    assert len(expected[0]) > 80_000
    lon = np.arange(-180, 181, 20.0)
    rim = list(zip(lon, np.full(19, 50.0), strict=True))
    drawn = {
        "box": shapely.box(-180, 50, 180, 90),
        "0 to 360": shapely.box(0, 50, 360, 90),
        "corners": shapely.Polygon([*rim, (180, 90), (-180, 90)]),
        "no corners": shapely.Polygon(rim),
        "from elsewhere": shapely.Polygon([(v, 50) for v in (np.arange(0, 360, 20) + 190) % 360 - 180]),
    }
    for name, polygon in drawn.items():
        geometry = outline(tmp_path, polygon, name=f"{name}.gpkg").geometry
        assert differing(inside(geometry), expected) < 40, name  # the rim has its corners elsewhere
        assert box_in_degrees(geometry) == (-180, 50, 180, 90), name
    halves = [shapely.box(-180, 50, 0, 90), shapely.box(0, 50, 180, 90)]
    assert differing(inside(outline(tmp_path, *halves, name="halves.gpkg").geometry), expected) < 40
    plain = box(-180, 50, 180, 90, "EPSG:4326").segmented(25_000 * 10 / 111_000).to_crs(POLAR)
    assert (
        shapely.area(
            shapely.symmetric_difference(  # as GEOS's other way to mend it has it
                plain.geom.buffer(0), Grid.from_outline(box(-180, 50, 180, 90, "EPSG:4326"), POLAR, 25_000).outline.geom
            )
        )
        < 1
    )  # m²


def test_the_box_of_projected_outlines():
    disc = shapely.Point(0, 0).buffer(2_000_000, 64)
    west, south, east, north = box_in_degrees(Geometry(disc, POLAR))
    assert (west, east, north) == (-180, 180, 90) and 71 < south < 73
    aside = Geometry(shapely.box(-200_000, 2_000_000, 200_000, 2_400_000), POLAR)  # y up is the 180° line
    west, south, east, north = box_in_degrees(aside)
    assert west == pytest.approx(174.29, abs=0.1) and east == pytest.approx(-174.29, abs=0.1)
    other = Geometry(shapely.box(-200_000, -2_400_000, 200_000, -2_000_000), POLAR)
    assert box_in_degrees(other)[0] == pytest.approx(-5.71, abs=0.1)
    assert box_in_degrees(other)[2] == pytest.approx(5.71, abs=0.1)
    belt = Geometry(disc - shapely.Point(0, 0).buffer(1_000_000, 64), POLAR)
    assert box_in_degrees(belt)[::2] == (-180, 180) and box_in_degrees(belt)[3] < 85
    south_pole = Geometry(shapely.Point(0, 0).buffer(1e6), "EPSG:6932")
    assert box_in_degrees(south_pole)[:3] == (-180, -90, 180)


def test_boxes_in_degrees_stay_as_they_are():
    assert box_in_degrees(box(117, 47, 130.5, 54.25, "EPSG:4326")) == (117, 47, 130.5, 54.25)
    assert box_in_degrees(box(-180, 50, -120, 60, "EPSG:4326")) == (-180, 50, -120, 60)
    assert box_in_degrees(box(-180, 50, 180, 60, "EPSG:4326")) == (-180, 50, 180, 60)


def test_a_bow_tie_keeps_both_lobes_and_swapped_axes_are_named(tmp_path):
    bow = shapely.Polygon([(121, 50), (123, 52), (123, 50), (121, 52)])
    lon, _ = inside(outline(tmp_path, bow).geometry, "+proj=laea +lat_0=51 +lon_0=122 +datum=WGS84", 5000)
    assert (lon < 122).sum() == pytest.approx((lon > 122).sum(), rel=0.05)
    with pytest.raises(InputError, match=r"domain.boundary: .*swapped\.gpkg.* are longitude and latitude swapped\?"):
        outline(tmp_path, shapely.box(49, 119, 52, 124), name="swapped.gpkg")
