"""Scoring rules: hand-worked values, and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from engine.validation.scoring_rules import crps, interval_score, pit, pit_histogram

QUARTILES = np.array([0.25, 0.75])
INF = np.inf


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


@pytest.mark.parametrize(("observed", "score"), [(4, 4), (2, 4), (6, 4), (1, 14), (7.5, 19)])
def test_interval_score_by_hand(observed: float, score: float):
    """From 2 to 6 at 80 %: the width is 4, and what is missed counts 2/0.2 = 10 times."""
    assert interval_score(np.array(2.0), np.array(6.0), np.array(observed), 0.8) == pytest.approx(score)


def test_an_unbounded_interval_has_an_infinite_score():
    assert interval_score(np.array([0.0]), np.array([INF]), np.array([3.0]), 0.99) == INF


@pytest.mark.parametrize(
    ("quantiles", "observed", "score"),
    [
        # F runs from 1/4 at 0 to 3/4 at 2: ∫₀¹ (1/4 + z/4)² dz = (8 − 1)/48 = 7/48, and the same again above.
        ((0, 2), 1, 7 / 24),
        # All below: 1 more than at the end, where ∫₀² (3/4 − z/4)² dz = 4/3 (27 − 1)/64 = 26/48.
        ((0, 2), -1, 1 + 26 / 48),
        ((0, 2), 0, 26 / 48),
        ((0, 2), 5, 3 + 26 / 48),
        # A single number: the absolute error.
        ((3, 3), 5, 2),
        ((3, 3), 3, 0),
        # What is infinite says nothing.
        ((3, INF), 5, 2),
        ((-INF, 3), 2, 1),
    ],
)
def test_crps_by_hand(quantiles: tuple[float, float], observed: float, score: float):
    assert crps(column(*quantiles), QUARTILES, np.array([observed]))[0] == pytest.approx(score, abs=1e-12)


def gaussian(observed: np.ndarray) -> np.ndarray:
    """CRPS of the standard normal distribution, Gneiting & Raftery (2007), Eq. 21."""
    return observed * (2 * norm.cdf(observed) - 1) + 2 * norm.pdf(observed) - 1 / np.sqrt(np.pi)


@pytest.mark.parametrize(("count", "tolerance"), [(199, 2.5e-3), (3999, 1.3e-4)])
def test_crps_nears_that_of_the_normal_distribution(count: int, tolerance: float):
    probabilities = np.arange(1, count + 1) / (count + 1)
    observed = np.linspace(-3, 3, 41)
    quantiles = np.repeat(norm.ppf(probabilities)[:, None], len(observed), axis=1)
    np.testing.assert_allclose(crps(quantiles, probabilities, observed), gaussian(observed), atol=tolerance)


values = st.floats(-10, 10, allow_subnormal=False).map(lambda value: round(value, 3))


@given(st.lists(values, min_size=2, max_size=6).map(sorted), values)
def test_crps_is_the_integral_that_defines_it(quantiles: list[float], observed: float):
    probabilities = (np.arange(len(quantiles)) + 0.5) / len(quantiles)

    def integrand(z: float) -> float:
        cdf = np.interp(z, quantiles, probabilities, left=0, right=1)
        return float((cdf - (observed <= z)) ** 2)

    points = sorted({*quantiles, observed})
    expected = sum(quad(integrand, a, b)[0] for a, b in pairwise(points))
    found = crps(column(*quantiles), probabilities, np.array([observed]))[0]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("quantiles", "observed", "expected"),
    [
        ((1, 2, 4), 3, (0.7, 0.7)),  # halfway from 0.5 to 0.9
        ((1, 2, 4), 2, (0.5, 0.5)),
        ((1, 2, 4), 0, (0, 0.1)),
        ((1, 2, 4), 1, (0, 0.1)),
        ((1, 2, 4), 4, (0.9, 1)),
        ((1, 2, 4), 9, (0.9, 1)),
        ((0, 0, 4), 0, (0, 0.5)),  # cut off at 0
        ((0, 0, 4), 2, (0.7, 0.7)),
        ((1, 2, 2), 2, (0.5, 1)),
        ((1, 2, INF), 3, (0.5, 1)),
        ((1, INF, INF), 3, (0.1, 1)),
        ((-INF, 2, 4), 1, (0, 0.5)),
    ],
)
def test_pit_by_hand(quantiles: tuple[float, ...], observed: float, expected: tuple[float, float]):
    lower, upper = pit(column(*quantiles), np.array([0.1, 0.5, 0.9]), np.array([observed]))
    assert (lower[0], upper[0]) == pytest.approx(expected)


def test_equal_quantiles_inside_are_a_jump():
    probabilities = np.array([0.1, 0.4, 0.6, 0.9])
    lower, upper = pit(column(1, 2, 2, 4), probabilities, np.array([2.0]))
    assert (lower[0], upper[0]) == (0.4, 0.6)


def test_pit_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    probabilities = np.concatenate([[0.005], np.arange(1, 40) / 40, [0.995]])
    observed = rng.normal(size=4000)
    quantiles = np.repeat(norm.ppf(probabilities)[:, None], len(observed), axis=1)
    lower, upper = pit(quantiles, probabilities, observed)
    cdf = norm.cdf(observed)
    assert ((lower - 0.005 <= cdf) & (cdf <= upper + 0.005)).all()
    np.testing.assert_allclose(pit_histogram(lower, upper), 0.1, atol=3 * np.sqrt(0.09 / 4000))


def test_histogram_shares_ranges_out():
    """One point in the second bin, one at an edge, one spread over half of the first bin and the two after it."""
    lower, upper = np.array([0.3, 0.5, 0.125]), np.array([0.3, 0.5, 0.625])
    found = pit_histogram(lower, upper, 4)
    np.testing.assert_allclose(found, np.array([0.25, 1 + 1 + 0.5, 0.25, 0]) / 3)
