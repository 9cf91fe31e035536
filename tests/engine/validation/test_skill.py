"""Skill over the training sites' mean: worked by hand, its invariants, and whether its bounds keep their word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.validation.skill import Skill, training_means

NAN = np.nan
FOLDS = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])


def test_means_of_the_other_folds():
    observed = np.array([1.0, 3, 5, 11])
    np.testing.assert_array_equal(training_means(observed, FOLDS), [[8, 8, 2, 2], [7, 3, 7, 3]])


def test_what_was_not_observed_is_in_no_mean():
    observed = np.array([1.0, NAN, 5, NAN])
    np.testing.assert_array_equal(training_means(observed, FOLDS), [[5, 5, 1, 1], [NAN, 3, NAN, 3]])


def test_worked_by_hand():
    observed = np.array([1.0, 3, 5, 11])
    reference = training_means(observed, FOLDS[:1])  # errors 7, 5, 3, 9: squares 164
    skill = Skill.of(observed, observed[None] + 1, reference, np.arange(4))
    assert skill.value == pytest.approx(1 - 4 / 164)
    assert (skill.n, skill.groups) == (4, 4)
    assert (skill.rmse, skill.rmse_of_mean) == (1, pytest.approx(np.sqrt(41)))
    assert skill.lower < skill.value < skill.upper


def test_the_mean_itself_has_none():
    observed = np.random.default_rng(0).normal(size=60)
    reference = training_means(observed, np.arange(60)[None] % 10)
    skill = Skill.of(observed, reference, reference, np.arange(60))
    assert (skill.value, skill.lower, skill.upper) == (0, 0, 0)


def test_one_group_is_no_evidence_and_no_spread_no_skill():
    observed, rows = np.array([1.0, 2, 4]), np.array([[1.0, 2, 3]])
    one = Skill.of(observed, rows, np.array([[3.0, 2.5, 1.5]]), np.zeros(3, int))
    assert np.isfinite(one.value) and (one.lower, one.upper) == (-np.inf, np.inf)
    flat = Skill.of(np.ones(3), rows, np.ones((1, 3)), np.arange(3))
    assert np.isnan(flat.value) and flat.lower == -np.inf
    assert Skill.of(np.full(3, NAN), rows, rows, np.arange(3)).n == 0


values = arrays(float, 12, elements=st.floats(0, 50, allow_subnormal=False))


@given(values, values, st.floats(0.1, 10), st.floats(-100, 100))
def test_units_do_not_matter(observed: np.ndarray, predicted: np.ndarray, scale: float, shift: float):
    folds = np.arange(12)[None] % 4
    groups = np.arange(12) // 2

    def skill(o: np.ndarray, p: np.ndarray) -> Skill:
        return Skill.of(o, p[None], training_means(o, folds), groups)

    before, after = skill(observed, predicted), skill(scale * observed + shift, scale * predicted + shift)
    if before.rmse_of_mean > 1e-3:
        assert after.value == pytest.approx(before.value, rel=1e-6, abs=1e-6)
        assert after.lower == pytest.approx(before.lower, rel=1e-5, abs=1e-5)


def test_copies_of_a_site_add_no_confidence():
    """Sites that are dug five times over are one site, where they share a group."""
    rng = np.random.default_rng(1)
    observed = rng.normal(5, 2, 40)
    predicted = 5 + 0.5 * (observed - 5) + rng.normal(0, 1, 40)
    once = Skill.of(observed, predicted[None], np.full((1, 40), 5.0), np.arange(40))
    many = Skill.of(*(np.tile(v, r) for v, r in ((observed, 5), (predicted[None], (1, 5)))), np.full((1, 200), 5.0),
                    np.tile(np.arange(40), 5))  # fmt: skip
    assert (many.value, many.lower, many.groups) == pytest.approx((once.value, once.lower, once.groups))


@pytest.mark.parametrize("size", [1, 4])
def test_the_lower_bound_keeps_its_word(size: int):
    """Where errors of a group go together and the truth is known, the bound is above it in about one case of twenty."""
    rng, groups, above = np.random.default_rng(2), np.repeat(np.arange(30), size), 0
    for _ in range(400):
        shared = np.repeat(rng.normal(0, 1, (2, 30)), size, axis=1)
        observed = shared[0] + rng.normal(0, 0.3, len(groups))
        predicted = 0.5 * shared[0] + 0.6 * shared[1]  # SSE 0.25 + 0.36 + 0.09 of 1.09
        skill = Skill.of(observed, predicted[None], np.zeros((1, len(groups))), groups)
        above += skill.lower > 1 - 0.70 / 1.09
    assert 0.02 < above / 400 < 0.10
