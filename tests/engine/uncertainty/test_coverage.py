"""Intervals hold the truth as often as they say, of truths that are drawn from the model of the errors itself."""

import numpy as np
import pytest
from made_up import region, simulate
from scipy.stats import norm

from engine.uncertainty.cells import cell_moments
from engine.uncertainty.draws import Draws

REGIONS, N, SIDE, ZONES = 40, 39, 12, 2
LEVELS = (0.8, 0.95)


@pytest.fixture(scope="module")
def hits():
    """Whether intervals hold the truth, region by region.

    Of cells, the share, shape (regions, levels); of zones and the total, (regions, levels, 3); and of the total with
    80 % intervals from cells whose errors are taken as independent, (regions,).
    """
    cells, sums, independent = [], [], []
    for seed in range(REGIONS):
        made = region(seed, sites=20, outputs=1, side=SIDE, first=(20, 20))
        made, errors = simulate(made, np.random.default_rng([seed, 3]))
        truth = made.mean[0] + errors[0]
        moments = cell_moments(made.model, made.x, made.y, made.columns, made.mean, made.sd)
        z = np.abs(truth - moments.mean[0]) / moments.sd[0]
        cells.append([(z < norm.ppf((1 + level) / 2)).mean() for level in LEVELS])
        window = made.model.lattice.around(made.x, made.y)
        nodes, weights = made.model.lattice.weights(made.x, made.y, window)
        zone = np.arange(len(made.x)) * ZONES // len(made.x)
        member = np.array([zone == 0, zone == 1, zone >= 0]) / 10
        footprint = np.zeros((len(member), window.size))
        for node, weight in zip(nodes, weights, strict=True):
            footprint[:, node] += member * weight  # a node is at most once the same corner of a cell
        drawn = Draws.of(made.model, N).sums(
            member.sum(axis=1), made.predicted @ member.T, member @ made.columns,
            footprint.reshape(-1, *window.shape), window,
        )[:, 0]  # fmt: skip
        rank = (drawn < member @ truth).sum(axis=0)
        # The 40 ranks of a truth among 39 draws are equally likely: of the middle ones these are 32 and 38.
        sums.append([np.abs(rank - N / 2) < level * (N + 1) / 2 for level in LEVELS])
        independent.append(abs((truth - moments.mean[0]).sum()) < norm.ppf(0.9) * np.sqrt((moments.sd[0] ** 2).sum()))
    return np.array(cells), np.array(sums), np.array(independent)


@pytest.mark.parametrize("level", range(2), ids=LEVELS)
def test_intervals_of_cells(hits, level):
    share = hits[0][:, level]
    # Cells of a region share errors, regions do not.
    error = share.std(ddof=1) / np.sqrt(REGIONS)
    assert share.mean() == pytest.approx(LEVELS[level], abs=3 * error)
    assert error < 0.03


@pytest.mark.parametrize("group", range(3), ids=["zone 1", "zone 2", "total"])
@pytest.mark.parametrize("level", range(2), ids=LEVELS)
def test_intervals_of_sums(hits, level, group):
    share = hits[1][:, level, group].mean()
    error = np.sqrt(LEVELS[level] * (1 - LEVELS[level]) / REGIONS)
    assert share == pytest.approx(LEVELS[level], abs=2.5 * error)


def test_intervals_that_take_the_errors_of_cells_as_independent_hold_the_total_far_too_rarely(hits):
    assert hits[2].mean() < 0.8 - 6 * np.sqrt(0.8 * 0.2 / REGIONS)
