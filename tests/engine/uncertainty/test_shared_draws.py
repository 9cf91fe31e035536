"""Errors that the observations of all sites share: draws keep them, whatever the residuals say."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import region, simulate
from scipy.stats import norm
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


def total_within(seed, off, known, n=39, levels=(0.8, 0.95)):
    """Whether the total's intervals hold the truth where all sites are off by one factor, unknown to the map."""
    made = region(seed, sites=25, outputs=1, side=12, first=(20, 20))
    made, errors = simulate(made, np.random.default_rng([seed, 4]))
    rng = np.random.default_rng([seed, 5])
    truth = (made.mean[0] + errors[0]).sum()
    observed = (made.mean[0, made.at_cell] + made.model.residual[:, 0]) * (1 + off)
    # What the map's model would have learnt from such sites: the same factor, up to its own errors.
    learnt = observed.mean() / (made.mean[0, made.at_cell] + made.model.residual[:, 0]).mean()
    factor = SD * rng.normal(size=n) if known else np.zeros(n)
    factor -= factor.mean()
    each = learnt * (1 + factor[:, None])
    model = replace(
        made.model, predicted=made.model.predicted[0] * each, coefficients=np.tile([0.0, 1.0], (n, 1, 1)),
        residual=(observed - learnt * made.mean[0, made.at_cell])[:, None],
        shared=factor[:, None, None] * observed[None, :, None] if known else None,
    )  # fmt: skip
    made = replace(made, model=model, predicted=made.predicted[0] * each)
    drawn = Draws.of(model, n).sums(**footprints(made, np.ones(len(made.x)), np.zeros(len(made.x)), 1))[:, 0, 1]
    rank = (drawn < truth).sum()
    return [abs(rank - n / 2) < level * (n + 1) / 2 for level in levels]


def test_a_function_that_is_wrong_at_all_sites_is_in_the_interval_of_the_total():
    regions = 20
    offs = SD * norm.ppf((np.arange(regions) + 0.5) / regions)
    known, unknown = (
        np.mean([total_within(seed, off, knows) for seed, off in enumerate(offs)], axis=0) for knows in (True, False)
    )
    error = np.sqrt([0.8 * 0.2 / regions, 0.95 * 0.05 / regions])
    assert (np.abs(known - [0.8, 0.95]) < 2.5 * error).all(), known
    assert (unknown < [0.8, 0.95] - 3 * error).all(), unknown


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
