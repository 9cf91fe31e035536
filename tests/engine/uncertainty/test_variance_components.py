"""Variances of the parts of the error: gradient, scale, and what comes back of variances that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import matern
from scipy.optimize import approx_fprime

from engine.uncertainty import variance_components
from engine.uncertainty.variance_components import PARTS, PRIOR, fit_variances


def made_up(n, seed, zones=20, covariates=15):
    """Kernels of the parts but the rest, and how large the rest is."""
    rng = np.random.default_rng([seed, 5])
    x, y = rng.uniform(0, 6, (2, n))
    contrast, design = rng.normal(size=(n, 1)), rng.normal(size=(n, covariates))
    zone = np.eye(zones)[rng.integers(zones, size=n)]
    columns = [np.ones((n, 1)), contrast, design / np.sqrt(covariates), zone]
    space = matern(np.hypot(x[:, None] - x, y[:, None] - y))
    return np.stack([c @ c.T for c in columns] + [space]), rng.uniform(0.5, 1.5, n), rng


def draw(variances, kernels, spread, rng):
    covariance = np.tensordot(variances, np.concatenate([kernels, np.diag(spread**2)[None]]), 1)
    return np.linalg.cholesky(covariance) @ rng.normal(size=len(spread))


def captured(monkeypatch, *arguments):
    """The function that is minimised, and where it starts."""
    found = {}
    minimize = variance_components.minimize

    def spy(function, start, **options):
        found.update(function=function, start=start)
        return minimize(function, start, **options)

    monkeypatch.setattr(variance_components, "minimize", spy)
    found["fit"] = fit_variances(*arguments)
    return found


def test_gradient_is_that_of_numeric_differences(monkeypatch):
    kernels, spread, rng = made_up(25, 0, zones=3, covariates=2)
    residual = draw(np.array([0.1, 0.2, 0.3, 0.2, 1.0, 1.0]), kernels, spread, rng)
    found = captured(monkeypatch, residual, kernels, spread)
    for _ in range(4):
        at = found["start"] + rng.normal(0, 0.7, 6)
        numeric = approx_fprime(at, lambda p: found["function"](p)[0], 1e-6)
        assert found["function"](at)[1] == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_misfit_is_the_likelihood_and_the_prior_written_out(monkeypatch):
    kernels, spread, rng = made_up(25, 1, zones=3, covariates=2)
    residual = draw(np.array([0.1, 0.2, 0.3, 0.2, 1.0, 1.0]), kernels, spread, rng)
    fit = captured(monkeypatch, residual, kernels, spread)["fit"]

    def misfit(variances):
        covariance = np.tensordot(variances, np.concatenate([kernels, np.diag(spread**2)[None]]), 1)
        sd = np.sqrt(variances) / residual.std()
        likelihood = np.linalg.slogdet(covariance)[1] / 2 + residual @ np.linalg.solve(covariance, residual) / 2
        return likelihood + ((sd[:5] / PRIOR[:5]) ** 2 / 2 - np.log(sd[:5])).sum()

    assert fit.misfit == pytest.approx(misfit(fit.variances))
    # The mode: no step on the log scale is better.
    for part in range(len(PARTS)):
        for step in (0.8, 1.25):
            moved = fit.variances.copy()
            moved[part] *= step
            assert misfit(moved) > fit.misfit


@settings(max_examples=6, deadline=None)
@given(st.integers(-6, 6), st.integers(0, 3))
def test_residuals_ten_times_as_large_have_a_hundred_times_the_variances(power, seed):
    kernels, spread, rng = made_up(30, seed, zones=3, covariates=2)
    residual = draw(np.array([0.1, 0.2, 0.3, 0.2, 1.0, 1.0]), kernels, spread, rng)
    once, scaled = fit_variances(residual, kernels, spread), fit_variances(10.0**power * residual, kernels, spread)
    assert scaled.variances == pytest.approx(100.0**power * once.variances, rel=1e-3)
    # The density of the scaled residuals is 10^(−n power) times that of the residuals.
    assert scaled.misfit == pytest.approx(once.misfit + 30 * power * np.log(10), abs=1e-4)


def test_known_variances_come_back_on_average():
    # Total about 1: the standard deviations are within the priors', which then pull little.
    variances = np.array([0.05, 0.05, 0.1, 0.1, 0.3, 0.5])
    found = []
    for seed in range(8):
        kernels, spread, rng = made_up(200, seed)
        found.append(fit_variances(draw(variances, kernels, spread, rng), kernels, spread).variances)
    ratio = np.array(found) / variances
    error = ratio.std(axis=0, ddof=1) / np.sqrt(len(ratio))
    parts = [PARTS.index(part) for part in ("covariates", "zone", "space", "rest")]
    assert (np.abs(ratio.mean(axis=0) - 1) < 4 * error)[parts].all()
    assert (error[parts] < 0.2).all()
    # Of the mean and the contrast a region has one draw each: never at zero, never run away.
    assert (ratio > 0.01).all() and (ratio < 20).all()


def test_a_part_that_is_large_is_found_large_and_one_that_is_absent_small():
    kernels, spread, rng = made_up(150, 3)
    only_space = fit_variances(draw(np.array([0, 0, 0, 0, 1.0, 0.1]), kernels, spread, rng), kernels, spread)
    only_rest = fit_variances(draw(np.array([0, 0, 0, 0, 0, 1.0]), kernels, spread, rng), kernels, spread)
    space, rest = PARTS.index("space"), PARTS.index("rest")
    assert only_space.variances[space] > 3 * only_space.variances[rest]
    assert only_rest.variances[rest] > 5 * only_rest.variances[space]
    assert only_rest.variances[rest] == pytest.approx(1, abs=4 * np.sqrt(2 / 150))


def test_residuals_that_hardly_differ_have_finite_variances():
    kernels, spread, rng = made_up(20, 0, zones=2, covariates=2)
    fit = fit_variances(1 + 1e-14 * rng.normal(size=20), kernels, spread)
    assert np.isfinite(fit.variances).all() and (fit.variances > 0).all()
    assert np.isfinite(fit.misfit)
