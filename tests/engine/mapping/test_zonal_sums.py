"""Exact sums: the same in any order and any partition, and close to the true sum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError
from engine.mapping.zonal_sums import FixedPoint, Precision, ZoneGroups, ZoneSums

VALUES = st.lists(st.floats(-1000, 1000), min_size=1, max_size=200)


@given(values=VALUES, seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_order_and_partition_do_not_matter(values, seed, cuts):
    form = FixedPoint.for_sums(1000, 10**7)
    values = np.array(values)
    expected = form.encode(values).sum()
    shuffled = np.random.default_rng(seed).permutation(values)
    parts = np.split(shuffled, sorted(c % (len(values) + 1) for c in cuts))
    assert sum(int(form.encode(part).sum()) for part in parts) == expected


@given(values=VALUES)
def test_a_sum_is_close_to_the_true_one(values):
    form = FixedPoint.for_sums(1000, 10**7)
    total = form.decode(form.encode(np.array(values)).sum())
    # Each term is off by half of the last bit at most.
    assert total == pytest.approx(math.fsum(values), abs=len(values) * 2.0 ** -(form.bits + 1), rel=1e-15)


@given(bound=st.floats(1e-6, 1e9), count=st.integers(1, 10**9))
def test_the_largest_sum_fits(bound, count):
    form = FixedPoint.for_sums(bound, count)
    assert float(form.encode(np.array([bound]))[0]) * count < 2**63
    # And no more than two bits are given away: one each for rounding the bound and the count up to powers of two. Of a
    # few numbers, each has 50 bits.
    assert float(form.encode(np.array([bound]))[0]) * max(count, 2**12) > 2**59


def test_the_region_in_millimetres():
    """A Gelisol map of 36 million cells of 1 km²: kilograms in a sum of some 10¹¹ tonnes."""
    form = Precision.for_map(16 * 200, 16 * 400, 1.0, 36_000_000).predicted
    values = np.random.default_rng(0).uniform(0, 60, 1_000_000)
    assert form.decode(form.encode(values).sum()) == pytest.approx(math.fsum(values), rel=1e-12)


@pytest.mark.parametrize("value", [1000.1, -1000.1, np.nan, np.inf])
def test_a_value_beyond_the_bound_is_refused(value):
    form = FixedPoint.for_sums(1000, 100)
    assert form.encode(np.array([1000.0, -1000.0])).size == 2
    assert form.encode(np.array([])).size == 0
    with pytest.raises(RunError, match=r"far outside what the training data allow \(±1000\)"):
        form.encode(np.array([1.0, value]))


@given(zone=st.lists(st.integers(0, 6), min_size=1, max_size=100).map(sorted), seed=st.integers(0, 1000))
def test_zone_sums_equal_bincount(zone, seed):
    terms = np.random.default_rng(seed).integers(-(10**6), 10**6, len(zone))
    expected = np.bincount(zone, weights=terms, minlength=7).astype("int64")
    assert ZoneGroups.of_sorted(np.array(zone), 7).sum(terms).tolist() == expected.tolist()


def test_sums_add_up_field_by_field():
    a, b = ZoneSums.zero(4, 3, 2), ZoneSums.zero(4, 3, 2)
    assert [getattr(a, n).shape for n in ("cells", "area", "predicted", "mean", "square")] == [
        (4,), (4,), (3, 4), (2, 4), (2, 4),
    ]  # fmt: skip
    for n, name in enumerate(("cells", "area", "predicted", "mean", "square"), 1):
        getattr(b, name)[...] = n
        getattr(b, name)[..., 3] = 10 * n
    a += b
    a += b
    assert a.predicted[1].tolist() == [6, 6, 6, 60]
    first, second = a.halves()
    assert first.square[0].tolist() == [10, 10] and second.square[0].tolist() == [10, 100]
    first += second
    assert first.cells.tolist() == [4, 22]
    assert a.cells.tolist() == [2, 2, 2, 20]
