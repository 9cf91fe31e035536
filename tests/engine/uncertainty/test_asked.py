"""Probabilities and quantiles of cells, against draws of a normal distribution that is cut off, and their names."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import region

from engine.uncertainty.asked import Asked, probability_name, probability_over, quantile_name
from engine.uncertainty.cells import CellMoments, cell_moments
from engine.uncertainty.draws import Draws

TRUTH = CellMoments(np.array([[4.0, 0.3], [-1.0, 9.0]]), np.array([[1.5, 0.4], [2.0, 3.0]]))


def test_as_a_normal_distribution_that_is_cut_off():
    drawn = np.maximum(np.random.default_rng(1).normal(TRUTH.mean, TRUTH.sd, (50_000, 2, 2)), 0)
    asked = Asked(thresholds=(0.0, 1.0, 5.5), quantiles=(0.05, 0.5, 0.975))
    found = dict(asked.layers(TRUTH, least=0.0))
    assert tuple(found) == asked.names
    for threshold in asked.thresholds:
        share = (drawn > threshold).mean(axis=0)
        np.testing.assert_allclose(found[probability_name(threshold)], share, atol=0.01)
    for quantile in asked.quantiles:
        np.testing.assert_allclose(found[quantile_name(quantile)], np.quantile(drawn, quantile, axis=0), atol=0.1)
    assert found["cell_q05"][1, 0] == 0 < found["cell_q05"][0, 0]


def test_below_what_is_possible_all_is_above_and_without_a_bound_it_is_not():
    assert (probability_over(TRUTH, -0.5, least=0.0) == 1).all()
    assert probability_over(TRUTH, -0.5, least=-np.inf)[1, 0] == pytest.approx(0.401294, abs=1e-6)  # Φ(−0.25)


def test_without_any_spread_a_cell_is_above_or_not():
    sure = replace(TRUTH, sd=np.zeros((2, 2)))
    assert probability_over(sure, 4.0, 0.0).tolist() == [[0, 0], [0, 1]]


def test_the_share_of_draws_above_is_the_probability():
    made, n = region(1, first=(20, 20)), 200  # in one tile
    truth = cell_moments(made.model, made.x, made.y, made.columns, made.mean, made.sd)
    drawn = Draws.of(made.model, n).at(made.x, made.y, made.columns, made.predicted)
    threshold = float(np.median(truth.mean))
    expected = probability_over(truth, threshold, -np.inf)
    off = ((drawn > threshold).mean(axis=0) - expected) / np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / n)
    assert np.ptp(expected) > 0.2 and np.abs(off).max() < 5 and off.std() < 1.3


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (5.0, "5"),
        (2.5, "2_5"),
        (0.0, "0"),
        (-1.25, "minus_1_25"),
        (1e-5, "0_00001"),
        (1e20, "1" + 20 * "0"),
        (30, "30"),
    ],
)
def test_names_of_thresholds(value, name):
    assert probability_name(value) == f"probability_over_{name}"


@pytest.mark.parametrize(("value", "name"), [(0.05, "05"), (0.5, "50"), (0.975, "97_5"), (0.005, "00_5"), (0.1, "10")])
def test_names_of_quantiles(value, name):
    assert quantile_name(value) == f"cell_q{name}"
