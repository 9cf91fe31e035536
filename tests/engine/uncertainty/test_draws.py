"""Draws of the truth: conditioned on the sites as the Gaussian process is, the same cell by cell and in sums."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import BETWEEN, region

from engine.uncertainty.cells import cell_moments
from engine.uncertainty.draws import MEAN, Draws
from engine.uncertainty.lattice import Window

N = 200
ONE_TILE = (20, 20)


def draw(made, n, of=slice(None)):
    return Draws.of(made.model, n).at(made.x[of], made.y[of], made.columns[of], made.predicted[:, of])


def footprints(made, area, group, groups):
    """What `Draws.sums` takes: sums over groups of cells, of which the last holds all."""
    window = made.model.lattice.around(made.x, made.y)
    nodes, weights = made.model.lattice.weights(made.x, made.y, window)
    member = np.array([(group == g) | (g == groups) for g in range(groups + 1)]) * area
    footprint = np.zeros((groups + 1, window.size))
    for node, weight in zip(nodes, weights, strict=True):
        for g in range(groups + 1):
            np.add.at(footprint[g], node, member[g] * weight)
    return {
        "area": member.sum(axis=1), "predicted": made.predicted @ member.T, "columns": member @ made.columns,
        "footprint": footprint.reshape(groups + 1, *window.shape), "window": window,
    }  # fmt: skip


@pytest.fixture(scope="module")
def many():
    made = region(1, first=ONE_TILE)
    return made, draw(made, N).astype("float64")


def test_mean_of_many_draws_tends_to_that_of_cells(many):
    made, draws = many
    moments = cell_moments(made.model, made.x, made.y, made.columns, made.mean, made.sd)
    z = (draws.mean(axis=0) - moments.mean) / (moments.sd / np.sqrt(N))
    assert np.abs(z).max() < 4.5  # of 800 cells, in standard errors
    assert np.abs(moments.mean - made.mean).max() > 1


def test_spread_of_many_draws_tends_to_that_of_cells(many):
    made, draws = many
    moments = cell_moments(made.model, made.x, made.y, made.columns, made.mean, made.sd)
    ratio = draws.var(axis=0, ddof=1) / moments.sd**2
    error = np.sqrt(2 / N)
    assert np.abs(ratio - 1).max() < 4.5 * error
    assert ratio.mean() == pytest.approx(1, abs=error)  # cells share errors: no better than one cell's, at worst


def test_draws_of_far_cells_vary_together_as_the_dense_gaussian_process(many):
    made, draws = many
    some = np.arange(0, len(made.x), 23)
    for output in range(2):
        _, covariance = made.dense(output, made.x[some], made.y[some], made.columns[some])
        found = np.cov(draws[:, output, some].T)
        sd = np.sqrt(np.diag(covariance))
        error = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / N)
        assert (np.abs(found - covariance) < 4.5 * error).all()
        assert (np.abs(covariance[np.triu_indices(len(some), 1)]) > 5 * error.min()).any()


def test_sums_of_many_draws_as_the_dense_gaussian_process():
    made = region(1)
    area = np.random.default_rng(0).uniform(0.5, 1, len(made.x))
    group = (made.x > 0).astype(int)
    sums = Draws.of(made.model, N).sums(**footprints(made, area, group, 2))
    for output in range(2):
        mean, covariance = made.dense(output, made.x, made.y, made.columns)
        for g in range(3):
            weights = area * ((group == g) | (g == 2))
            sd = np.sqrt(weights @ covariance @ weights)
            expected = weights @ (made.mean[output] + mean)
            assert sums[:, output, g].mean() == pytest.approx(expected, abs=4 * sd / np.sqrt(N))
            assert sums[:, output, g].std(ddof=1) == pytest.approx(sd, rel=4 / np.sqrt(2 * N))


def test_draws_between_nodes_spread_nearly_as_the_dense_gaussian_process():
    # Midway between nodes the field is the mean of four: 7 % of its variance is lost, and more of what the sites leave.
    made = region(1, outputs=1, off=0.5, first=ONE_TILE)
    n = 150
    mean, covariance = made.dense(0, made.x, made.y, made.columns)
    draws = draw(made, n)[:, 0]
    assert 0.88 < np.sqrt((draws.var(axis=0, ddof=1) / np.diag(covariance)).mean()) < 1.05
    z = (draws.mean(axis=0) - made.mean[0] - mean) / np.sqrt(np.diag(covariance))
    assert np.sqrt(np.mean(z**2)) < 0.1 + 2 / np.sqrt(n)


def test_outputs_vary_together():
    made = region(2, first=ONE_TILE)
    away = replace(made, x=made.x + 64 * 1600)  # beyond the reach of the sites
    n = 150
    values = draw(away, n, slice(0, 1))[:, :, 0]
    # Coefficients are conditioned on the sites output by output; those of the field are not.
    assert np.corrcoef(values.T)[0, 1] == pytest.approx(BETWEEN[0, 1], abs=4 * (1 - BETWEEN[0, 1] ** 2) / np.sqrt(n))


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 50), st.sampled_from([0.0, 0.5]), st.sampled_from([0.0, 0.31, 0.5]))
def test_draws_of_cells_add_up_to_draws_of_sums(seed, differ, off):
    made = region(seed, sites=25, differ=differ, off=off, side=15)
    rng = np.random.default_rng(seed)
    area, group = rng.uniform(0.2, 1, len(made.x)), rng.integers(0, 4, len(made.x))
    group[group == 2] = 1  # group 2 is empty
    drawn = Draws.of(made.model, 7)
    cells = drawn.at(made.x, made.y, made.columns, made.predicted).astype("float64")
    sums = drawn.sums(**footprints(made, area, group, 4))
    for g in range(5):
        expected = (cells * area)[..., (group == g) | (g == 4)].sum(axis=-1)
        assert sums[:, :, g] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert (sums[:, :, 2] == 0).all()
    assert len(np.unique(sums[:, 0, 4])) == 7


def test_sums_do_not_depend_on_the_window_of_the_footprints():
    made = region(3, sites=25, side=12)
    given_ = footprints(made, np.ones(len(made.x)), np.zeros(len(made.x)), 1)
    drawn = Draws.of(made.model, 3)
    window = given_["window"]
    wider = Window(window.row - 40, window.column - 3, (window.shape[0] + 60, window.shape[1] + 70))
    footprint = np.zeros((2, *wider.shape))
    footprint[(slice(None), *wider.place(window))] = given_["footprint"]
    found = drawn.sums(**given_ | {"window": wider, "footprint": footprint})
    assert found == pytest.approx(drawn.sums(**given_), rel=1e-9)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 224), min_size=1, max_size=3), st.booleans())
def test_draws_of_cells_are_the_same_for_any_split_of_them(cuts, shuffled):
    made = region(4, sites=25, off=0.4, side=15)
    whole = draw(made, 3)
    order = np.random.default_rng(0).permutation(len(made.x)) if shuffled else np.arange(len(made.x))
    for part in np.split(order, sorted(set(cuts))):
        assert draw(made, 3, part) == pytest.approx(whole[..., part], rel=1e-5, abs=1e-5)


def test_first_draws_do_not_depend_on_how_many():
    made = region(5, sites=25, differ=0.5, side=15)
    many = draw(made, 8)
    sums = footprints(made, np.ones(len(made.x)), np.zeros(len(made.x)), 1)
    for n in (1, 3, 5):
        assert draw(made, n) == pytest.approx(many[:n], rel=1e-5, abs=1e-5)
        few, all_ = (Draws.of(made.model, number).sums(**sums) for number in (n, 8))
        assert few == pytest.approx(all_[:n], rel=1e-5)
    assert Draws.of(made.model, 8).replicate.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert len({values.tobytes() for values in many}) == 8


def test_draws_may_start_from_the_mean_of_the_replicates():
    made = region(9, sites=25, differ=0.5, side=12)
    # Equal replicates are their mean: a region with these makes the same draws, replicate by replicate.
    equal = replace(
        made,
        model=replace(
            made.model,
            predicted=np.tile(made.model.predicted.mean(axis=0), (3, 1)),
            coefficients=np.tile(made.model.coefficients.mean(axis=0), (3, 1, 1)),
        ),
        predicted=np.tile(made.predicted.mean(axis=0), (3, 1)),
    )
    drawn = Draws.of(made.model, 5, replicates=False)
    assert drawn.replicate.tolist() == [MEAN] * 5
    found = drawn.at(made.x, made.y, made.columns, made.predicted)
    # Of the first output; the mean of a product of slope and prediction is another than the product of the means.
    assert found[:, 0] == pytest.approx(draw(equal, 5)[:, 0], rel=1e-5, abs=1e-5)
    assert np.abs(found - draw(made, 5)).max() > 0.1
    area = np.ones(len(made.x))
    sums = drawn.sums(**footprints(made, area, area * 0, 1))
    assert sums[..., 1] == pytest.approx(found.sum(axis=-1, dtype="float64"), rel=1e-4)


def test_seeds_make_other_draws():
    made = region(6, sites=25, side=12)
    a, b = (draw(replace(made, model=replace(made.model, seed=seed)), 2) for seed in (1, 2))
    assert (np.abs(a - b).max(axis=-1) > 0.1).all()
    assert np.array_equal(a, draw(replace(made, model=replace(made.model, seed=1)), 2))


@pytest.mark.parametrize("replicates", [True, False], ids=["replicate by replicate", "from their mean"])
@pytest.mark.parametrize("differ", [0.0, 0.3], ids=["equal replicates", "replicates that differ"])
def test_without_a_rest_draws_pass_through_the_observations(differ, replicates):
    made = region(7, sites=30, differ=differ, side=15)
    variances = made.model.variances.copy()
    variances[:, 5] = 1e-8
    made = replace(made, model=replace(made.model, variances=variances))
    draws = Draws.of(made.model, 6, replicates=replicates).at(made.x, made.y, made.columns, made.predicted)
    for output in range(2):
        rows = np.flatnonzero(np.isfinite(made.model.residual[:, output]))
        here = made.at_cell[rows]
        observed = made.mean[output, here] + made.model.residual[rows, output]
        assert np.abs(draws[:, output, here] - observed).max() < 0.01
        elsewhere = np.delete(draws[:, output], here, axis=1)
        assert elsewhere.std(axis=0).mean() > 0.1
    assert np.abs(made.model.residual[:, 0]).max() > 1


def test_where_little_is_known_the_sites_change_little():
    made = region(8, sites=25, side=12, first=ONE_TILE)
    variances = made.model.variances.copy()
    variances[:, 5] = 1e8
    unsure = replace(made, model=replace(made.model, variances=variances))
    moments = cell_moments(unsure.model, unsure.x, unsure.y, unsure.columns, unsure.mean, unsure.sd)
    assert moments.mean == pytest.approx(unsure.mean, abs=0.05)
    for output in range(2):
        prior = np.diag(unsure.prior(output, unsure.x, unsure.y, unsure.columns))
        assert moments.sd[output] ** 2 == pytest.approx(prior, rel=1e-5)
    z = (draw(unsure, 49).mean(axis=0) - unsure.mean) / moments.sd * 7
    assert np.abs(z).max() < 4.5
