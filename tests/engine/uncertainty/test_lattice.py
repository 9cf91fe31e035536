"""The field on the lattice: the same whatever part is asked for, of the correlation that it should have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from scipy.signal import fftconvolve

from engine.uncertainty.lattice import TILE, Footprint, Lattice, Window, correlation, integrals, white_noise

LATTICE = Lattice(100.0)
corners = st.integers(-2 * TILE, 2 * TILE)
sizes = st.integers(1, 30)
windows = st.builds(lambda r, c, h, w: Window(r, c, (h, w)), corners, corners, sizes, sizes)


@settings(max_examples=8, deadline=None)
@given(windows, st.integers(0, 20), st.integers(0, 20), st.integers(0, 40), st.integers(0, 40))
def test_a_window_is_part_of_a_larger_one_to_the_bit(window, above, left, below, right):
    height, width = window.shape
    larger = Window(window.row - above, window.column - left, (height + above + below, width + left + right))
    small, large = (LATTICE.field(w, 3, draws=2, layers=2) for w in (window, larger))
    assert np.array_equal(small, large[(..., *larger.place(window))])
    assert small.dtype == np.float32
    assert small.std() > 0 or small[0].size == 2


@settings(max_examples=5, deadline=None)
@given(windows, st.integers(1, 5))
def test_first_draws_do_not_depend_on_how_many(window, n):
    few, many = (LATTICE.field(window, 3, draws=draws, layers=2) for draws in (n, 7))
    assert np.array_equal(few, many[:n])
    footprint = Footprint(window, np.ones(window.shape))
    few, many = (integrals(LATTICE, [footprint], 3, draws=draws, layers=2) for draws in (n, 7))
    assert few == pytest.approx(many[:n], rel=1e-4, abs=1e-4 * window.size)


def test_draws_layers_seeds_and_tiles_differ():
    window = Window(0, 0, (4, 4))
    field = LATTICE.field(window, 3, draws=2, layers=2).reshape(4, -1)
    assert len(np.unique(field)) == field.size
    assert (LATTICE.field(window, 4, draws=2, layers=2).reshape(4, -1) != field).all()
    tiles = np.array([white_noise((r, c), 3, 1, 1).ravel() for r in (-1, 0, 1) for c in (-1, 0, 1)])
    # Of 36 correlations of 4096 independent pairs, none beyond 4 standard errors.
    assert np.abs(np.corrcoef(tiles) - np.eye(9)).max() < 4 / np.sqrt(TILE**2)


@pytest.mark.parametrize("range_nodes", [3.0, 10.0, 14.5])
def test_kernel_has_variance_1_and_the_matern_correlation(range_nodes):
    kernel = Lattice(1.0, range_nodes).kernel
    middle, away = len(kernel) - 1, np.arange(31)
    covariance = fftconvolve(kernel, kernel)  # of the kernel with itself: what smoothing white noise by it gives
    assert covariance[middle, middle] == pytest.approx(1)
    assert covariance[middle, middle + away] == pytest.approx(correlation(away / range_nodes), abs=1e-4)
    assert covariance[middle + away, middle] == pytest.approx(correlation(away / range_nodes), abs=1e-4)
    diagonal = correlation(np.hypot(away, away) / range_nodes)
    assert covariance[middle + away, middle - away] == pytest.approx(diagonal, abs=1e-4)


def test_correlation_is_0_05_at_the_practical_range():
    assert correlation(np.array([0.0, 1.0])) == pytest.approx([1, 0.05], abs=1e-6)
    assert (np.diff(correlation(np.linspace(0, 4, 50))) < 0).all()


def test_simulated_field_across_tiles_has_variance_1_and_the_matern_correlation():
    n = 400
    # Nodes on both sides of a corner where four tiles meet, and at negative coordinates.
    field = LATTICE.field(Window(-4, -4, (12, 1)), 5, draws=n, layers=1)[:, 0, :, 0].astype("float64")
    away = np.abs(np.arange(12)[:, None] - np.arange(12)) / 10
    expected = correlation(away)
    error = np.sqrt((1 + expected**2) / n)  # standard error of a covariance of Gaussian pairs with variance 1
    assert (np.abs(field.T @ field / n - expected) < 4 * error).all()
    assert (np.abs(field.mean(axis=0)) < 4 / np.sqrt(n)).all()
    # Gaussian: the share beyond 1.96.
    assert (np.abs(field) > 1.959964).mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / n))


places = st.lists(
    st.tuples(st.floats(-9000, 9000), st.floats(-9000, 9000)), min_size=1, max_size=6
).map(lambda pairs: tuple(np.array(pairs).T))  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(places, st.tuples(*[st.floats(-3, 3)] * 3))
def test_bilinear_weights_sum_to_1_and_reproduce_linear_functions(xy, coefficients):
    x, y = xy
    window = LATTICE.around(x, y)
    nodes, weights = LATTICE.weights(x, y, window)
    assert nodes.min() >= 0 and nodes.max() < window.size
    assert weights.min() >= 0
    assert weights.sum(axis=0) == pytest.approx(1)
    a, b, c = coefficients
    node_x, node_y = LATTICE.nodes(window)
    assert ((a + b * node_x + c * node_y)[nodes] * weights).sum(axis=0) == pytest.approx(
        a + b * x + c * y, rel=1e-9, abs=1e-6
    )


def test_bilinear_weights_as_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-900, 900, (2, 50))
    window = LATTICE.around(x, y)
    values = rng.normal(size=window.shape)
    nodes, weights = LATTICE.weights(x, y, window)
    axes = [(start + np.arange(n)) * 100.0 for start, n in zip((window.row, window.column), window.shape, strict=True)]
    expected = RegularGridInterpolator(axes, values)(np.column_stack([y, x]))
    assert (values.ravel()[nodes] * weights).sum(axis=0) == pytest.approx(expected)


def test_a_place_on_a_node_takes_that_node_alone():
    window = LATTICE.around(np.array([-300.0]), np.array([200.0]))
    nodes, weights = LATTICE.weights(np.array([-300.0]), np.array([200.0]), window)
    (here,) = np.flatnonzero(weights[:, 0])
    x, y = LATTICE.nodes(window)
    assert (x[nodes[here, 0]], y[nodes[here, 0]], weights[here, 0]) == (-300, 200, 1)
    assert window == Window(2, -3, (2, 2))


def test_windows_worked_by_hand():
    a, b = Window(-2, 3, (4, 5)), Window(1, -1, (6, 2))
    assert a.size == 20
    assert a.union(b) == b.union(a) == Window(-2, -1, (9, 9))
    assert a.union(b).place(a) == (slice(0, 4), slice(4, 9))
    assert LATTICE.tiles(Window(-1, 63, (2, 2))) == [(-1, 0), (-1, 1), (0, 0), (0, 1)]
    assert LATTICE.tiles(Window(-64, 0, (64, 64))) == [(-1, 0)]


@settings(max_examples=8, deadline=None)
@given(st.lists(windows, min_size=1, max_size=3), st.integers(0, 99))
def test_integrals_are_footprint_times_field(places, seed):
    rng = np.random.default_rng(seed)
    footprints = [Footprint(window, rng.uniform(-0.5, 1, window.shape)) for window in places]
    found = integrals(LATTICE, footprints, 3, draws=2, layers=2)
    for number, footprint in enumerate(footprints):
        field = LATTICE.field(footprint.window, 3, draws=2, layers=2).astype("float64")
        size = np.abs(footprint.values).sum()
        assert np.abs(found[..., number] - (footprint.values * field).sum(axis=(-2, -1))).max() < 1e-4 * size


@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (70, 90)])
def test_a_footprint_across_tiles_and_negative_coordinates(shape):
    window = Window(-1, -TILE - 1, shape)
    assert len(LATTICE.tiles(window)) >= 4
    values = np.random.default_rng(1).uniform(size=shape)
    found = integrals(LATTICE, [Footprint(window, values)], 9, draws=3, layers=2)[..., 0]
    expected = (values * LATTICE.field(window, 9, draws=3, layers=2)).sum(axis=(-2, -1), dtype="float64")
    assert found == pytest.approx(expected, abs=1e-4 * np.sqrt(values.size))
    assert np.ptp(found) > 0.1
