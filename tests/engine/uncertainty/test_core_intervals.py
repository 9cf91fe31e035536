"""Intervals of new cores: sites left out, quantiles with a sign, and how often cores lie inside."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import region, simulate
from scipy.special import ndtri

from engine.uncertainty.cells import CellMoments, cell_moments
from engine.uncertainty.core_intervals import (
    core_interval,
    core_quantiles,
    fewest_sites,
    left_out,
    signed_quantile,
    standard_quantiles,
)

INF = np.inf


def moments(made, of=slice(None)):
    return cell_moments(made.model, made.x[of], made.y[of], made.columns[of], made.mean[:, of], made.sd[:, of])


@pytest.mark.parametrize("differ", [0.0, 0.5], ids=["equal replicates", "replicates that differ"])
def test_sites_are_left_out_with_all_their_outputs(differ):
    made = region(3, sites=25, differ=differ)
    model, found = made.model, left_out(made.model)
    assert (np.isnan(found) == np.isnan(model.residual)).all()
    spread = (model.coefficients[:, :, :1] + model.coefficients[:, :, 1:] * model.predicted[:, None]).var(0, ddof=1)
    for site in (0, 1, 13):
        others = np.delete(np.arange(25), site)
        of_others = {name: getattr(model, name)[others] for name in ("x", "y", "columns", "residual", "spread")}
        without = replace(made, model=replace(model, **of_others))
        for output in np.flatnonzero(np.isfinite(model.residual[site])):
            here = (values[site : site + 1] for values in (model.x, model.y, model.columns))
            mean, covariance = without.dense(output, *here)
            rest = model.variances[output, 5] * model.spread[site] ** 2
            sd = np.sqrt(covariance[0, 0] + rest + spread[output, site])
            assert found[site, output] == pytest.approx((model.residual[site, output] - mean[0]) / sd, abs=1e-9)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.5, 3.0),  # the 5th of nine
        (0.1, -8.0),  # the 1st
        (0.9, 7.0),  # the 9th
        (0.15, -6.5),  # half-way from the 1st to the 2nd
        (0.05, -8.0),  # beyond the 1st: the 9th of the nine sizes
        (0.94, 7.8),  # beyond the 9th: between the 8th and the 9th of the sizes, 7 and 8
        (0.96, INF),  # 9 sites cannot promise 92 %
        (0.02, -INF),
    ],
)
def test_quantiles_with_a_sign_worked_by_hand(probability, expected):
    values = np.array([4.0, -8, 3, 7, -5, 1, 0.5, 6, 5])
    assert np.sort(np.abs(values)).tolist() == [0.5, 1, 3, 4, 5, 5, 6, 7, 8]
    assert signed_quantile(values, probability) == pytest.approx(expected)
    assert signed_quantile(-values, 1 - probability) == pytest.approx(-expected)


def test_quantiles_do_not_cross():
    values = np.random.default_rng(2).gamma(1.0, size=25) - 1
    quantiles = [signed_quantile(values, p) for p in np.linspace(0.001, 0.999, 400)]
    assert (np.diff([q for q in quantiles if np.isfinite(q)]) >= 0).all()
    assert quantiles[0] == -INF and quantiles[-1] == INF


@pytest.mark.parametrize(("level", "sites"), [(0.95, 19), (0.9, 9), (0.5, 1), (0.8, 4), (0.99, 99)])
def test_fewest_sites_of_a_level(level, sites):
    assert fewest_sites(level) == sites
    values = np.random.default_rng(1).normal(size=sites)
    assert np.isfinite(signed_quantile(values, (1 + level) / 2))
    assert signed_quantile(values[1:], (1 + level) / 2) == INF


@pytest.mark.parametrize("probability", [0.0, 1.0, 1.5])
def test_a_probability_lies_between_0_and_1(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        signed_quantile(np.arange(9.0), probability)


@pytest.mark.parametrize(("growth", "relative"), [(0.0, [1, 1, 1]), (0.5, [0.5**0.5, 1.5, 3]), (1.0, [0.5, 2.25, 9])])
def test_ends_worked_by_hand(growth, relative):
    made = region(5)
    model = replace(made.model, growth=growth)
    truth = CellMoments(np.array([[4.0, 5, 6], [1, 2, 3]]), np.array([[1.0, 2, 2], [3, 3, 4]]))
    prediction = model.basis.centre[0] * np.array([0.5, 2.25, 9])
    found = core_quantiles(model, truth, prediction, (0.3, 0.9), least=-INF)
    sd = np.sqrt(truth.sd**2 + model.variances[:, 5:] * np.array(relative) ** 2)
    for number, p in enumerate((0.3, 0.9)):
        of_sites = np.array([signed_quantile(z[np.isfinite(z)], p) for z in left_out(model).T])
        expected = truth.mean + (ndtri(p) + of_sites[:, None]) / 2 * sd
        np.testing.assert_allclose(found[number], expected, rtol=1e-12)


def test_nothing_lies_below_the_least_value_and_small_predictions_keep_some_spread():
    made = region(5)
    truth = CellMoments(np.full((2, 3), 0.1), np.ones((2, 3)))
    lower, upper = core_interval(made.model, truth, np.array([-1.0, 0.0, 1e-9]), 0.95, least=0.0)
    assert (lower == 0).all() and (upper > 1).all() and np.ptp(upper, axis=1).max() == 0


def test_too_few_sites_for_the_level_leave_the_interval_open():
    made = region(5, sites=18)
    for level, bounded in ((0.94, True), (0.95, False)):  # 18 / 19 = 0.947
        lower, upper = core_interval(made.model, moments(made), made.mean[0], level, least=0.0)
        assert np.isfinite(upper[0]).all() == bounded
        assert (upper[1] == INF).all() and (lower[1] == 0).all()  # nine sites know the second output


def test_a_cell_has_the_same_interval_in_any_company():
    made = region(4, side=40, differ=0.3, off=0.4)
    whole = core_interval(made.model, moments(made), made.mean[0], 0.9, least=0.0)
    rng = np.random.default_rng(0)
    for part in (np.array([7]), np.arange(900, 1003), np.sort(rng.choice(1600, 333, replace=False))):
        found = core_interval(made.model, moments(made, part), made.mean[0, part], 0.9, least=0.0)
        for end, of_whole in zip(found, whole, strict=True):
            assert np.array_equal(end, of_whole[:, part])
    width = whole[1] - whole[0]
    assert width.max() > 1.1 * width.min()


def test_errors_of_one_side_make_that_side_longer():
    made = region(6, sites=80, outputs=1)
    skewed = np.random.default_rng(1).gamma(0.5, size=(80, 1))
    made = made.with_residual(3 * (skewed - skewed.mean()))
    low, middle, high = standard_quantiles(made.model, (0.05, 0.5, 0.95))[:, 0]
    assert high > 1.3 * -low and middle < 0
    flipped = made.with_residual(-made.model.residual)
    np.testing.assert_allclose(standard_quantiles(flipped.model, (0.05, 0.5, 0.95))[::-1, 0], [-low, -middle, -high])


REGIONS, LEVELS = 40, (0.5, 0.8, 0.9)


def test_new_cores_lie_inside_as_often_as_stated():
    """Of truths that are drawn from the model itself; cores of a region share errors, regions do not."""
    share = np.empty((REGIONS, len(LEVELS)))
    for seed in range(REGIONS):
        made = region(seed, sites=40, outputs=1, side=14, first=(20, 20))
        rng = np.random.default_rng([seed, 3])
        made, errors = simulate(made, rng)
        relative = np.sqrt(made.mean[0] / made.model.basis.centre[0])
        made = replace(made, model=replace(made.model, spread=relative[made.at_cell]))
        made, errors = simulate(made, rng)
        rest = np.sqrt(made.model.variances[0, 5]) * relative * rng.normal(size=len(made.x))
        core = made.mean[0] + errors[0] + rest
        for number, level in enumerate(LEVELS):
            lower, upper = core_interval(made.model, moments(made), made.mean[0], level, least=-INF)
            share[seed, number] = ((lower[0] <= core) & (core <= upper[0])).mean()
    error = share.std(axis=0, ddof=1) / np.sqrt(REGIONS)
    assert (np.abs(share.mean(axis=0) - LEVELS) < 3 * error + 0.01).all(), share.mean(axis=0)
    assert error.max() < 0.02
