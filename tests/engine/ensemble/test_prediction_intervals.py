"""Jackknife+-after-bootstrap against its definition, and its coverage where new observations are exchangeable."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ensemble.prediction_intervals import SLAB, Jackknife


def by_definition(observed, out_of_bag, coefficients, predictions, level):
    """Kim, Xu & Barber (2020), Algorithm 1, site by site and cell by cell."""
    a, b = coefficients[:, 0], coefficients[:, 1]
    votes, residuals = [], []
    for i, y in enumerate(observed):
        out = [r for r in range(len(out_of_bag)) if np.isfinite(out_of_bag[r, i])]
        if not out or not np.isfinite(y):
            continue
        here = np.mean([a[r] + b[r] * out_of_bag[r, i] for r in out])
        residuals.append(abs(y - here))
        votes.append(
            [np.mean([a[r] + b[r] * p for r, p in zip(out, cell[out], strict=True)]) for cell in predictions.T]
        )
    votes, residuals = np.array(votes), np.array(residuals)[:, None]
    n = len(residuals)
    k = math.ceil(round(level * (n + 1), 9))
    low, high = np.sort(votes - residuals, axis=0), np.sort(votes + residuals, axis=0)
    cells = predictions.shape[1]
    return (
        low[n - k] if k <= n else np.full(cells, -np.inf),
        high[k - 1] if k <= n else np.full(cells, np.inf),
    )


def an_ensemble(seed, sites=23, replicates=12, cells=7):
    rng = np.random.default_rng(seed)
    observed = rng.normal(5, 2, sites)
    out_of_bag = np.where(rng.random((replicates, sites)) < 0.37, rng.normal(5, 1, (replicates, sites)), np.nan)
    coefficients = np.stack([rng.normal(1, 0.1, replicates), rng.normal(2, 0.1, replicates)], axis=1)
    return observed, out_of_bag, coefficients, rng.normal(5, 1, (replicates, cells))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition(seed, level):
    observed, out_of_bag, coefficients, predictions = an_ensemble(seed)
    observed[[3, 8]] = np.nan  # not measured at this depth
    out_of_bag[:, 5] = np.nan  # in every bag
    expected = by_definition(observed, out_of_bag, coefficients, predictions, level)
    lower, upper = Jackknife.of(observed, out_of_bag, coefficients).interval(predictions, (level,))
    np.testing.assert_allclose(lower[0], expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(upper[0], expected[1], rtol=1e-6, atol=1e-6)


def test_a_large_mean_does_not_drown_a_small_spread():
    """Votes are float32, but as far as they are apart: of values near a million, not every sixteenth is told apart."""
    observed, out_of_bag, coefficients, predictions = an_ensemble(3)
    coefficients[:, 1] = 2.0
    near, far = coefficients.copy(), coefficients.copy()
    far[:, 0] += 1e6
    expected = np.stack(Jackknife.of(observed, out_of_bag, near).interval(predictions, (0.5, 0.9)))
    found = np.stack(Jackknife.of(observed + 1e6, out_of_bag, far).interval(predictions, (0.5, 0.9)))
    np.testing.assert_allclose(found - 1e6, expected, atol=1e-5)


def test_no_interval_reaches_below_what_can_be():
    """Cut at the least possible value; what is above stays as it was, so that coverage does."""
    *arguments, predictions = an_ensemble(2)
    whole = np.stack(Jackknife.of(*arguments).interval(predictions, (0.5, 0.9)))
    cut = np.stack(Jackknife.of(*arguments, least=9.0).interval(predictions, (0.5, 0.9)))
    assert (whole[0] < 9).any() and (whole[1] > 9).all()
    np.testing.assert_array_equal(cut, np.maximum(whole, 9))


def test_hand_worked():
    # Two replicates, each blind to one of three sites: votes are the blind replicate's predictions.
    out_of_bag = np.array([[4.0, np.nan, np.nan], [np.nan, 6.0, np.nan]])
    lines = np.array([[0.0, 1.0], [0.0, 1.0]])
    jackknife = Jackknife.of(np.array([5.0, 6.5, 7.0]), out_of_bag, lines)
    np.testing.assert_allclose(jackknife.residual, [1.0, 0.5])  # the third site was in every bag
    assert jackknife.ranks(0.5) == (0, 1)  # ceil(0.5 · 3) = 2nd smallest of two
    lower, upper = jackknife.interval(np.array([[10.0], [20.0]]), (0.5,))
    assert lower[0, 0] == 9.0  # min(10 − 1, 20 − 0.5)
    assert upper[0, 0] == 20.5  # max(10 + 1, 20 + 0.5)


def test_too_few_sites_leave_the_interval_open():
    observed, out_of_bag, coefficients, predictions = an_ensemble(0, sites=9)
    lower, upper = Jackknife.of(observed, out_of_bag, coefficients).interval(predictions, (0.95,))
    assert np.isneginf(lower).all() and np.isposinf(upper).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3 * SLAB), min_size=1, max_size=4).map(sorted))
def test_a_cell_does_not_depend_on_its_neighbours(cuts):
    observed, out_of_bag, coefficients, _ = an_ensemble(1)
    predictions = np.random.default_rng(2).normal(5, 1, (12, 2 * SLAB + 77))
    jackknife = Jackknife.of(observed, out_of_bag, coefficients)
    whole = jackknife.interval(predictions, (0.8,))
    parts = [jackknife.interval(part, (0.8,)) for part in np.split(predictions, cuts, axis=1)]
    for k in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[k] for p in parts], axis=1), whole[k])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_share(level):
    observed, out_of_bag, coefficients, predictions = an_ensemble(0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Jackknife.of(observed, out_of_bag, coefficients).interval(predictions, (level,))


def test_new_observations_are_held_as_often_as_promised():
    """Exchangeable draws from a noisy line, a bagged line fit: the mean coverage over draws is near nominal."""
    levels, held = (0.5, 0.8, 0.9, 0.95), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0, 1, 400)
        y = 3 * x + rng.normal(0, 1, 400) * (0.5 + x)
        n, replicates = 120, 40
        bags = rng.integers(0, n, (replicates, n))
        fits = np.array([np.polyfit(x[bag], y[bag], 1) for bag in bags])
        predicted = fits[:, :1] * x + fits[:, 1:]
        out_of_bag = predicted[:, :n].copy()
        for row, bag in zip(out_of_bag, bags, strict=True):
            row[bag] = np.nan
        lower, upper = Jackknife.of(y[:n], out_of_bag, np.tile([0.0, 1.0], (replicates, 1))).interval(
            predicted[:, n:], levels
        )
        held.append(((lower <= y[n:]) & (y[n:] <= upper)).mean(axis=1))
    np.testing.assert_allclose(np.mean(held, axis=0), levels, atol=0.03)
