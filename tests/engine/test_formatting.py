"""Counts, rates and durations as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formatting import counted, doing, duration, pace, plural, singular, verb

NOUNS = ("block", "file", "family", "class", "box", "branch", "day", "replicate", "test", "page", "fold", "repeat")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (counted(1, "block"), "1 block"),
        (counted(0, "block"), "0 blocks"),
        (counted(12_345, "training site"), "12,345 training sites"),
        (counted(2, "family"), "2 families"),
        (counted(3, "class"), "3 classes"),
        (counted(2, "file or folder", "files and folders"), "2 files and folders"),
        (verb(1, "lies", "lie"), "lies"),
        (doing(1, "layer", "holds"), "1 layer holds"),
        (doing(2, "layer", "has"), "2 layers have"),
        (doing(0, "row", "lies"), "0 rows lie"),
        (duration(0.2), "under 1 s"),
        (duration(75), "75 s"),
        (duration(4000), "67 min"),
        (duration(7500), "2 h 5 min"),
        (pace(0.0879, "block"), "11 s per block"),
        (pace(0.19, "block"), "5.3 s per block"),
        (pace(0.001, "block"), "17 min per block"),
        (pace(1e-4, "block"), "2.8 h per block"),
        (pace(1, "block"), "1 block per second"),
        (pace(2.04, "family"), "2 families per second"),
        (pace(12.3, "file"), "12 files per second"),
    ],
)
def test_as_people_say_it(said, expected):
    assert said == expected


@pytest.mark.parametrize("noun", NOUNS)
def test_a_plural_leads_back(noun):
    assert singular(plural(noun)) == noun


@given(st.floats(1e-6, 1e6))
def test_no_rate_is_below_one_a_unit(per_second):
    """A rate under one a second is said as the time that a piece takes."""
    said = pace(per_second, "block")
    assert float(said.split()[0].replace(",", "")) >= 0.99
    assert " per " in said and "/s" not in said
