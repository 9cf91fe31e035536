"""Rings that jump across the 180° line, run past it or round a pole are the places that they mean."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.polygons.antimeridian import AmbiguousRing, bounds_on_the_circle, needs_wrapping, wrap

ACROSS = shapely.union_all([shapely.box(177, 65, 180, 69), shapely.box(-180, 65, -177, 69)])


def same_place(a, b) -> bool:
    return a.is_valid and shapely.area(a.symmetric_difference(b)) < 1e-9


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        ([(177, 65), (-177, 65), (-177, 69), (177, 69)], ACROSS),
        ([(177, 65), (177, 69), (-177, 69), (-177, 65)], ACROSS),
        ([(-177, 69), (177, 69), (177, 65), (-177, 65)], ACROSS),
        ([(177, 65), (183, 65), (183, 69), (177, 69)], ACROSS),
        ([(-183, 65), (-177, 65), (-177, 69), (-183, 69)], ACROSS),
        ([(537, 65), (537, 69), (543, 69), (543, 65)], ACROSS),
        ([(177, 65), (180, 65), (-180, 65), (-177, 65), (-177, 69), (-180, 69), (180, 69), (177, 69)], ACROSS),
        ([(177, 65), (180, 65), (180, 66), (-180, 66), (-180, 65), (-177, 65), (-177, 69), (177, 69)], ACROSS),
        ([(358, 50), (2, 50), (2, 60), (358, 60)], shapely.box(-2, 50, 2, 60)),
        ([(0, 50), (360, 50), (360, 60), (0, 60)], shapely.box(-180, 50, 180, 60)),
        ([(190, 50), (350, 50), (350, 60), (190, 60)], shapely.box(-170, 50, -10, 60)),
        ([(-180, 50), (180, 50), (180, 90), (-180, 90)], shapely.box(-180, 50, 180, 90)),
        ([(-180, 50), (180, 50), (180, 66), (-180, 66)], shapely.box(-180, 50, 180, 66)),
        ([(-180, -90), (180, -90), (180, 90), (-180, 90)], shapely.box(-180, -90, 180, 90)),
        ([(177, 65), (-177, 65), (-177, 90), (177, 90)],
         shapely.union_all([shapely.box(177, 65, 180, 90), shapely.box(-180, 65, -177, 90)])),
    ],
)  # fmt: skip
def test_rings_are_the_places_that_they_mean(ring, expected):
    for turn in range(len(ring)):  # wherever the ring begins, and either way round
        for corners in (ring[turn:] + ring[:turn], (ring[turn:] + ring[:turn])[::-1]):
            assert same_place(wrap(shapely.Polygon(corners))[0], expected)


@pytest.mark.parametrize("edge", [60.0, np.array([50, 55, 58, 60, 62, 57.0])])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("poles", ["corners", "line", "none"])
def test_rings_round_a_pole(edge, sign, poles):
    """From −180 to 180 with or without corners at the pole, and from where else it may begin."""
    lon = np.arange(-180, 181, 30.0)
    lat = sign * np.append(np.resize(np.broadcast_to(edge, 6), 12), np.resize(edge, 1))
    rim = list(zip(lon, lat, strict=True))
    expected = shapely.Polygon([*rim, (180, 90 * sign), (-180, 90 * sign)])
    if poles == "corners":
        assert same_place(wrap(shapely.Polygon([*rim, (180, 90 * sign), (-180, 90 * sign)]))[0], expected)
    elif poles == "line":
        top = [(v, 90.0 * sign) for v in lon[::-1]]
        assert same_place(wrap(shapely.Polygon([*rim, *top]))[0], expected)
    else:
        for first in range(12):
            ring = rim[first:-1] + rim[:first]
            assert same_place(wrap(shapely.Polygon(ring))[0], expected)
            assert same_place(wrap(shapely.Polygon(ring[::-1]))[0], expected)
        assert same_place(wrap(shapely.Polygon(rim))[0], expected)


def test_a_belt_round_the_pole_keeps_its_hole():
    lon = np.arange(-170, 180, 20.0)
    belt = shapely.Polygon(np.column_stack([lon, np.full(18, 55.0)]), [np.column_stack([lon, np.full(18, 75.0)])])
    assert same_place(wrap(belt)[0], shapely.box(-180, 55, 180, 75))


def test_holes_beside_and_across_the_line():
    shell = [(170, 60), (-170, 60), (-170, 70), (170, 70)]
    across = [(178, 62), (-178, 62), (-178, 64), (178, 64)]
    beside = [(-176, 66), (-174, 66), (-174, 68), (-176, 68)]
    expected = shapely.union_all([shapely.box(170, 60, 180, 70), shapely.box(-180, 60, -170, 70)]) - shapely.union_all(
        [shapely.box(178, 62, 180, 64), shapely.box(-180, 62, -178, 64), shapely.box(-176, 66, -174, 68)]
    )
    assert same_place(wrap(shapely.Polygon(shell, [across, beside]))[0], expected)


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([(-170, 50), (60, 50), (60, 80), (-170, 80)], "230° one way or 130° the other"),
        ([(-179.5, 50), (179.5, 50), (179.5, 80), (-179.5, 80)], "359° wide, or 1° across"),
        ([(-179.5, 50), (179.5, 50), (179.5, 90), (-179.5, 90)], "359° wide, or 1° across"),
        ([(-150, -10), (-30, 10), (90, -10), (170, 10)], "not clear round which pole"),
    ],
)
def test_what_can_be_meant_either_way_is_refused(ring, words):
    with pytest.raises(AmbiguousRing, match=words):
        wrap(shapely.Polygon(ring))


@st.composite
def blobs(draw):
    """Star-shaped polygons of up to 25° around a centre, with or without a hole."""
    n = draw(st.integers(3, 12))
    angles = np.sort(draw(st.lists(st.floats(0, 6.28), min_size=n, max_size=n, unique=True)))
    radii = np.array(draw(st.lists(st.floats(2, 25), min_size=n, max_size=n)))
    x, y = draw(st.floats(140, 220)), draw(st.floats(-50, 50))
    rim = np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])
    holes = [np.column_stack([x + 0.4 * (rim[:, 0] - x), y + 0.4 * (rim[:, 1] - y)])] if draw(st.booleans()) else []
    return shapely.make_valid(shapely.Polygon(rim)) if not holes else shapely.Polygon(rim, holes)


def turned(geometry, circles: int):
    return shapely.affinity.translate(geometry, 360 * circles)


def jumping(geometry):
    return shapely.transform(geometry, lambda p: np.column_stack([(p[:, 0] + 180) % 360 - 180, p[:, 1]]))


@settings(max_examples=60, deadline=None)
@given(blobs())
def test_turned_by_circles_or_written_with_jumps_it_is_the_same_place(blob):
    if not blob.is_valid or blob.geom_type != "Polygon":
        return
    expected, _ = wrap(blob)
    assert expected.is_valid and expected.bounds[0] >= -180 and expected.bounds[2] <= 180
    assert shapely.area(expected) == pytest.approx(shapely.area(blob), rel=1e-9)
    assert same_place(wrap(turned(blob, -1))[0], expected)
    assert shapely.area(wrap(jumping(blob))[0].symmetric_difference(expected)) < 1e-6


def test_which_polygons_are_looked_at():
    plain = shapely.box(10, 50, 60, 70)
    jump = shapely.Polygon([(177, 65), (-177, 65), (-177, 69)])
    assert needs_wrapping(np.array([plain, jump, shapely.box(170, 0, 190, 10), plain])).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("longitudes", "expected"),
    [([10, 20, 30], (10, 30)), ([170, 175, -175, -170], (170, -170)), ([350, 355, 5], (-10, 5)), ([12], (12, 12))],
)
def test_the_arc_that_holds_all(longitudes, expected):
    assert bounds_on_the_circle(np.array(longitudes, float)) == pytest.approx(expected)
