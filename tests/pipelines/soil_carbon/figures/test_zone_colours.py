"""A zone has one colour in all runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.soil_carbon.figures.zone_colours import FOREST, GRASS, SHRUB, WET, meaning, zone_colours

NAMES = st.lists(
    st.text("abcdefgh ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=16, unique_by=str.casefold
)


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("forest", FOREST),
        ("Evergreen needleleaf", FOREST),
        ("тайга", FOREST),
        ("森林", FOREST),
        ("grassland", GRASS),
        ("Alpine meadow", GRASS),
        ("wetland", WET),
        ("swamp forest", WET),
        ("沼泽", WET),
        ("Shrubland", SHRUB),
        ("non-forest", ""),
        ("Zone 7", ""),
        ("plateau", ""),
        ("rice", ""),
    ],
)
def test_colours_by_meaning(name, colour):
    assert meaning(name) == colour


def test_neither_order_nor_company_matters_where_the_meaning_is_known():
    one = zone_colours(("forest", "grassland", "wetland"))
    other = zone_colours(("wetland", "bare", "Zone 7", "grassland", "shrub", "forest"))
    assert {name: other[name] for name in one} == one


@given(names=NAMES, seed=st.randoms())
def test_all_differ_and_order_does_not_matter(names, seed):
    colours = zone_colours(names)
    assert list(colours) == names and len(set(colours.values())) == len(names)
    shuffled = list(names)
    seed.shuffle(shuffled)
    assert zone_colours(shuffled) == colours
