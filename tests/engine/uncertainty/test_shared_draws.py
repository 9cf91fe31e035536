"""Errors that the observations of all sites share: draws keep them, whatever the residuals say."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import region
from test_draws import footprints

from engine.uncertainty.cells import cell_moments
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import ErrorModel

REPLICATES, SD = 60, 0.1


def with_factor(known: bool):
    """Replicates that were trained on observations times a factor, and whether the model of the errors knows it."""
    made = region(11, sites=40, outputs=1, side=12)
    factor = np.random.default_rng(2).normal(0, SD, REPLICATES)
    factor = (factor - factor.mean()) * SD / factor.std()
    observed = made.mean[0, made.at_cell] + made.model.residual[:, 0]
    model = replace(
        made.model,
        predicted=made.model.predicted[0] * (1 + factor[:, None]),
        coefficients=np.tile([0.0, 1.0], (REPLICATES, 1, 1)),
        shared=factor[:, None, None] * observed[None, :, None] if known else None,
    )
    return replace(made, model=model, predicted=made.predicted[0] * (1 + factor[:, None]))


def relative_sd(made):
    draws = Draws.of(made.model, 2 * REPLICATES).sums(
        **footprints(made, np.ones(len(made.x)), np.zeros(len(made.x)), 1)
    )
    return draws[:, 0, 1].std() / draws[:, 0, 1].mean()


def test_a_factor_that_all_sites_share_does_not_vanish_from_the_total():
    same = with_factor(known=False)
    without = relative_sd(replace(same, predicted=same.predicted * 0 + same.predicted.mean(axis=0), model=replace(
        same.model, predicted=same.model.predicted * 0 + same.model.predicted.mean(axis=0))))  # fmt: skip
    assert without < SD / 2  # what the sites leave open of the rest
    assert relative_sd(with_factor(known=True)) == pytest.approx(np.hypot(SD, without), rel=0.1)
    assert relative_sd(same) < 0.6 * SD  # the sites take it back out


def test_without_rest_a_draw_passes_through_what_its_replicate_learnt():
    made = with_factor(known=True)
    variances = made.model.variances.copy()
    variances[:, 5] = 1e-8
    made = replace(made, model=replace(made.model, variances=variances))
    drawn = Draws.of(made.model, 5)
    found = drawn.at(made.x, made.y, made.columns, made.predicted)[:, 0, made.at_cell]
    observed = made.mean[0, made.at_cell] + made.model.residual[:, 0]
    assert found == pytest.approx(observed + made.model.shared[:5, :, 0], abs=5e-3)
    from_mean = Draws.of(made.model, 5, replicates=False)
    found = from_mean.at(made.x, made.y, made.columns, made.predicted)[:, 0, made.at_cell]
    assert found == pytest.approx(np.tile(observed, (5, 1)), abs=5e-3)


def test_errors_of_zero_change_nothing():
    made = region(12, sites=25, differ=0.4, side=12)
    zero = replace(made.model, shared=np.zeros((3, 25, 2)))
    a, b = Draws.of(made.model, 6), Draws.of(zero, 6)
    assert np.array_equal(a.weights, b.weights) and np.array_equal(a.coefficients, b.coefficients)


def test_the_cells_interval_has_it_from_the_replicates():
    made = with_factor(known=True)
    moments = cell_moments(made.model, made.x, made.y, made.columns, made.mean, made.sd)
    draws = Draws.of(made.model, 600).at(made.x, made.y, made.columns, made.predicted)[:, 0]
    assert moments.sd[0].mean() == pytest.approx(draws.std(axis=0).mean(), rel=0.1)


def test_it_is_kept_in_the_file(tmp_path):
    made = with_factor(known=True)
    made.model.save(tmp_path / "errors.npz")
    loaded = ErrorModel.load(tmp_path / "errors.npz", made.model.digest)
    assert np.array_equal(loaded.shared, made.model.shared)
    plain = replace(made.model, shared=None)
    plain.save(tmp_path / "errors.npz")
    assert ErrorModel.load(tmp_path / "errors.npz").shared is None
    assert plain.digest != made.model.digest
