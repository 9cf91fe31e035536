import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.virtual.fields import Plane, correlated_field, interpolate, standardised, stretched

SQUARE = Plane(west=0.0, north=1000.0, spacing=1000.0, shape=(2, 2))
WIDE = Plane(west=0.0, north=0.0, spacing=1000.0, shape=(600, 600))


def test_position_counts_rows_from_the_north():
    np.testing.assert_array_equal(SQUARE.position(np.array([0.0, 1000.0]), np.array([1000.0, 0.0])), [[0, 1], [0, 1]])


def test_contains_the_edge_and_nothing_beyond():
    position = SQUARE.position(np.array([0.0, 500.0, 1001.0]), np.array([1000.0, 500.0, 0.0]))
    assert SQUARE.contains(position).tolist() == [True, True, False]


def test_interpolation_is_bilinear_and_flat_beyond_the_edge():
    values = np.array([[0.0, 1.0], [2.0, 3.0]], dtype="float32")
    position = SQUARE.position(np.array([500.0, 250.0, -9e9]), np.array([500.0, 1000.0, 9e9]))
    np.testing.assert_allclose(interpolate(values, position), [1.5, 0.25, 0.0])


def test_plane_covers_bounds_and_margin():
    plane = Plane.around((-10.0, -20.0, 10.0, 20.0), margin=5.0, spacing=4.0)
    assert plane.x[0] == -15 and plane.y[0] == 25
    assert plane.x[-1] >= 15 and plane.y[-1] <= -25


@pytest.mark.parametrize("lag, expected", [(5, np.exp(-3 / 16)), (10, np.exp(-3 / 4)), (20, np.exp(-3))])
def test_correlation_falls_as_the_range_says(lag: int, expected: float):
    field = correlated_field(np.random.default_rng(5), WIDE, {20.0: 1.0})
    # 30 × 30 independent patches or so: the estimate scatters by some hundredths.
    for here, there in ((field[lag:], field[:-lag]), (field[:, lag:], field[:, :-lag])):
        assert np.corrcoef(here.ravel(), there.ravel())[0, 1] == pytest.approx(expected, abs=0.06)


def test_variance_is_the_sum_of_the_shares():
    field = correlated_field(np.random.default_rng(6), WIDE, {15.0: 3.0, 8.0: 1.0})
    assert field.var() == pytest.approx(4.0, rel=0.15)
    assert field.mean() == pytest.approx(0.0, abs=0.3)


def test_opposite_margins_are_independent():
    plane = Plane(0.0, 0.0, 1000.0, (400, 400))
    fields = [correlated_field(np.random.default_rng(seed), plane, {30.0: 1.0}) for seed in range(8)]
    first, last = (np.concatenate([f[row] for f in fields]) for row in (0, -1))
    assert abs(np.corrcoef(first, last)[0, 1]) < 0.3


VALUES = arrays("float64", (4, 5), elements=st.floats(-100, 100))


@given(VALUES, st.floats(-50, 50), st.floats(0.5, 100))
def test_stretched_fills_its_limits_and_keeps_the_order(values: np.ndarray, low: float, span: float):
    inside = np.ones(values.shape, bool)
    if np.ptp(values) < 1e-6:
        return
    result = stretched(values, inside, low, low + span)
    assert result.min() == pytest.approx(low) and result.max() == pytest.approx(low + span)
    order = np.argsort(values, axis=None)
    assert (np.diff(result.ravel()[order]) >= -1e-9).all()


def test_stretched_cuts_what_lies_outside():
    values = np.array([0.0, 1.0, 2.0, 9.0])
    inside = np.array([True, True, True, False])
    np.testing.assert_array_equal(stretched(values, inside, 10, 20), [10, 15, 20, 20])


def test_standardised_looks_only_inside():
    values = np.array([1.0, 3.0, 100.0])
    np.testing.assert_array_equal(standardised(values, np.array([True, True, False])), [-1, 1, 98])
