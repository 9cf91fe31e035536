"""Statistics over replicates against NumPy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.ensemble.statistics import over_replicates as statistics


@given(
    st.integers(2, 30).flatmap(
        lambda n: arrays("float64", (n, 5), elements=st.floats(-50, 50).map(lambda v: round(v, 4)))
    )
)
def test_equal_those_of_numpy(stack):
    found = statistics(stack)
    np.testing.assert_allclose(found.mean, stack.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.sd, stack.std(axis=0, ddof=1), rtol=1e-9, atol=1e-9)


def test_large_values_with_a_small_spread():
    """Where a sum of squares less the square of the sum would lose everything."""
    stack = 1e8 + np.random.default_rng(0).normal(0, 1, (100, 3))
    np.testing.assert_allclose(statistics(stack).sd, stack.std(axis=0, ddof=1), rtol=1e-7)


def test_equal_replicates_have_no_spread_at_all():
    found = statistics(np.full((100, 2), 0.1))
    assert (found.sd == 0).all()
    assert (found.ci_lower == 0.1).all() and (found.ci_upper == 0.1).all()


def test_equations_7_and_8_by_hand():
    # Mean 4, SD √(((−2)² + 0 + 0 + 2²)/3) = √(8/3); half a width 1.96 · √(8/3)/√4.
    found = statistics(np.array([[2.0], [4.0], [4.0], [6.0]]))
    half = 1.96 * np.sqrt(8 / 3) / 2
    assert found.mean[0] == 4
    assert found.sd[0] == pytest.approx(np.sqrt(8 / 3))
    assert found.ci_lower[0] == pytest.approx(4 - half)
    assert found.ci_upper[0] == pytest.approx(4 + half)
    assert found.uncertainty[0] == pytest.approx(2 * half / 4)


def test_the_interval_of_the_mean_shrinks_with_replicates():
    stack = np.random.default_rng(1).normal(5, 1, (400, 50))
    narrow, wide = statistics(stack), statistics(stack[:100])
    widths = [np.mean(s.ci_upper - s.ci_lower) for s in (wide, narrow)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.05)


def test_no_relative_uncertainty_of_a_mean_of_zero():
    found = statistics(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    assert np.isnan(found.uncertainty).all()
    assert found.sd[0] == pytest.approx(np.sqrt(2))


def test_a_cell_does_not_depend_on_its_neighbours():
    stack = np.random.default_rng(2).normal(4, 1, (20, 64))
    whole = statistics(stack)
    for part in (slice(0, 1), slice(5, 37)):
        alone = statistics(stack[:, part])
        assert np.array_equal(alone.mean, whole.mean[part]) and np.array_equal(alone.sd, whole.sd[part])
