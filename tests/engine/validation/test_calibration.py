"""Calibration tables: hand-worked groups, honest and dishonest distributions, edges of the PIT."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from engine.ensemble.prediction_intervals import Jackknife
from engine.validation.calibration import JUDGED, AtSites, calibration_table, pit_table
from engine.validation.interval_coverage import HeldOutDistributions
from engine.validation.predictive import METHODS, PROBABILITIES, Fold, of_training_sites, quantiles
from engine.validation.scoring_rules import crps

SITES, REPEATS = 300, 2


def of_sites(
    observed: np.ndarray, mean: np.ndarray, spread: np.ndarray, repeats: int = REPEATS
) -> HeldOutDistributions:
    """Normal distributions of one output under one scheme, the same for all methods; shape (sites,) each."""
    one = mean + spread * norm.ppf(PROBABILITIES)[:, None]
    ends = np.broadcast_to(one[None, :, None, None], (len(METHODS), len(PROBABILITIES), repeats, 1, len(mean)))
    folds = np.broadcast_to(np.arange(len(mean)) % 5, (repeats, len(mean)))
    means = np.broadcast_to(mean, (repeats, 1, len(mean)))
    return HeldOutDistributions(observed[:, None], {"random": folds}, {"random": means}, {"random": ends})


def at_sites(zone: np.ndarray, dissimilarity: np.ndarray | None = None, repeats: int = REPEATS) -> AtSites:
    far = np.linspace(0, 1, len(zone)) if dissimilarity is None else dissimilarity
    names = np.array([f"s{i}" for i in range(len(zone))])
    return AtSites(names, zone, {"random": np.broadcast_to(far, (repeats, len(zone)))})


def test_a_hand_worked_group():
    """Four sites at 0 and a standard normal each: at 50 % it reaches from −0.674 to 0.674."""
    observed = np.array([-1.0, 0.0, 0.5, 2.0])
    found = of_sites(observed, np.zeros(4), np.ones(4), 1)
    table = calibration_table(found, at_sites(np.full(4, "a"), repeats=1), ["y"])
    row = table.query("method == 'mapped' and by == 'zone' and nominal == 0.5").squeeze()
    assert (row["below"], row["inside"], row["above"]) == (0.25, 0.5, 0.25)
    end = norm.ppf(0.75)
    assert row["width"] == pytest.approx(2 * end)
    assert row["interval_score"] == pytest.approx(2 * end + 4 * ((1 - end) + (2 - end)) / 4)
    assert row["se"] == pytest.approx(0.25) and row["n"] == 4 and not row["judged"]
    assert row["crps"] == pytest.approx(crps(found.quantiles["random"][0, :, 0, 0], PROBABILITIES, observed).mean())


def test_shares_add_up_and_every_group_is_there():
    rng = np.random.default_rng(0)
    mean = rng.gamma(4, 1, SITES)
    observed = mean + rng.normal(size=SITES)
    observed[:20] = np.nan
    zone = np.array(["forest", "", "wetland"])[np.arange(SITES) % 3]
    table = calibration_table(of_sites(observed, mean, np.ones(SITES)), at_sites(zone), ["y"])
    assert (table[["below", "inside", "above"]].sum(axis=1) - 1).abs().max() < 1e-12
    groups = table.groupby("by")["group"].unique().map(list)
    fifths = [f"{i} of 5" for i in range(1, 6)]
    assert groups["zone"] == ["forest", "wetland"]
    assert groups["predicted"] == groups["dissimilarity"] == fifths
    assert len(table) == len(METHODS) * len(JUDGED) * (1 + 2 + 5 + 5)
    whole = table[table["by"] == "all"]
    assert whole["n"].eq(2 * 280).all() and whole["sites"].eq(280).all() and table["judged"].all()
    own = table.query("by == 'predicted' and method == 'mapped' and nominal == 0.5")
    assert own["n"].eq(2 * 56).all()
    # One fifth ends where the next begins.
    assert (own["group_upper"].to_numpy()[:-1] < own["group_lower"].to_numpy()[1:]).all()
    assert own["group_lower"].iloc[0] == mean[20:].min() and own["group_upper"].iloc[-1] == mean[20:].max()
    # Each part of equal size weighs the same in the whole.
    for column in ("inside", "crps", "interval_score"):
        at_half = whole.query("method == 'mapped' and nominal == 0.5")[column]
        assert own[column].mean() == pytest.approx(at_half.iloc[0])


def test_honest_in_the_whole_and_not_in_its_parts():
    """One spread for all: too wide where errors are small, too narrow where they are large."""
    rng = np.random.default_rng(1)
    mean = np.linspace(0, 10, 4000)
    own = np.where(mean < 5, 0.5, 1.5)
    observed = mean + own * rng.normal(size=4000)
    # 90 % of all errors lie within 1.645 · 1.19.
    table = calibration_table(
        of_sites(observed, mean, np.full(4000, 1.19), 1), at_sites(np.full(4000, ""), repeats=1), ["y"]
    )
    at_90 = table.query("method == 'mapped' and nominal == 0.9").set_index("group")["inside"]
    assert at_90["all"] == pytest.approx(0.9, abs=0.02)
    assert at_90["1 of 5"].min() > 0.99 and at_90["5 of 5"].max() < 0.85


def test_honest_distributions_have_the_best_scores():
    rng = np.random.default_rng(2)
    mean = rng.normal(size=SITES * 10)
    observed = mean + rng.normal(size=SITES * 10)
    at = at_sites(np.full(len(mean), ""), repeats=1)

    def score(spread: float, bias: float) -> pd.DataFrame:
        table = calibration_table(of_sites(observed, mean + bias, np.full(len(mean), spread), 1), at, ["y"])
        return table.query("method == 'mapped' and by == 'all'").set_index("nominal")[["crps", "interval_score"]]

    honest = score(1, 0)
    for other in (score(0.6, 0), score(1.6, 0), score(1, 0.6)):
        assert (honest < other).all().all()
    # That of a standard normal, and of its interval: 2 φ(z)/(tail), Gneiting & Raftery (2007).
    assert honest["crps"].iloc[0] == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)
    assert honest.loc[0.95, "interval_score"] == pytest.approx(2 * norm.pdf(norm.ppf(0.975)) / 0.025, rel=0.03)


def test_pit_of_every_observation():
    observed = np.array([0.0, np.nan, 10.0, -10.0])
    found = of_sites(observed, np.zeros(4), np.ones(4))
    table = pit_table(found, at_sites(np.array(["a", "a", "b", "b"])), ["y"])
    assert len(table) == len(METHODS) * REPEATS * 3
    own = table.query("method == 'mapped' and repeat == 1").set_index("site")
    assert own.index.tolist() == ["s0", "s2", "s3"]
    assert own["pit"].tolist() == pytest.approx([0.5, 0.9975, 0.0025])
    assert own["pit_lower"].tolist() == pytest.approx([0.5, 0.995, 0])
    assert own["pit_upper"].tolist() == pytest.approx([0.5, 1, 0.005])
    assert own["observed"].tolist() == [0, 10, -10] and own["zone"].tolist() == ["a", "b", "b"]


@pytest.fixture
def fold() -> Fold:
    rng = np.random.default_rng(3)
    truth = rng.normal(5, 2, 120)
    first = truth + rng.normal(0, 1, (30, 120))
    out_of_bag = np.where(rng.random((30, 120)) < 0.4, first, np.nan)
    held_out = rng.normal(5, 2, 7) + rng.normal(0, 0.5, (30, 7))
    lines = np.column_stack([rng.normal(0, 0.1, 30), rng.normal(2, 0.1, 30)])
    coefficients = np.stack([np.broadcast_to([0.0, 1.0], (30, 2)), lines], axis=1)
    observed = np.column_stack([truth, 2 * truth + rng.normal(0, 1, 120)])
    observed[:15, 1] = np.nan
    x = np.zeros((120, 1))
    return Fold(x, x[:7], observed, first, held_out, out_of_bag, coefficients, 0.0)


def at(probability: float, values: np.ndarray) -> np.ndarray:
    return values[np.isclose(PROBABILITIES, probability)][0]


def test_quantiles_are_the_ends_of_the_intervals(fold: Fold):
    found = quantiles(fold)
    assert found.shape == (len(METHODS), len(PROBABILITIES), 2, 7) and (np.diff(found, axis=1) >= 0).all()
    plain = found[list(METHODS).index("jackknife_plus")]
    for k in range(2):
        jackknife = Jackknife.of(fold.observed[:, k], fold.out_of_bag, fold.coefficients[:, k], 0.0)
        lower, upper = jackknife.interval(fold.first_held_out, JUDGED)
        for i, level in enumerate(JUDGED):
            np.testing.assert_array_equal(at(0.5 - level / 2, plain)[k], lower[i])
            np.testing.assert_array_equal(at(0.5 + level / 2, plain)[k], upper[i])


def test_the_mean_is_that_of_the_lines(fold: Fold):
    one, two = fold.mean
    np.testing.assert_allclose(one, fold.first_held_out.mean(axis=0))
    intercept, slope = fold.coefficients[:, 1].T
    np.testing.assert_allclose(two, (intercept[:, None] + slope[:, None] * fold.first_held_out).mean(axis=0))


def test_the_sites_distribution_is_that_of_ranks(fold: Fold):
    """105 sites are known: quantiles 0.05 and 0.95 are 0.05 · 106 = 5.3 and 100.7 places from the lowest."""
    lower, upper = of_training_sites(fold, np.array([0.05, 0.95]))[:, 1]
    known = np.sort(fold.observed[15:, 1])
    assert lower == pytest.approx(np.full(7, known[4] + 0.3 * (known[5] - known[4])))
    assert upper == pytest.approx(np.full(7, known[99] + 0.7 * (known[100] - known[99])))


def test_crps_of_the_quantiles_in_use():
    """Within 1 % of the normal distribution's, where nearly all observations lie."""
    observed = np.linspace(-2.5, 2.5, 51)
    ends = np.repeat(norm.ppf(PROBABILITIES)[:, None], len(observed), axis=1)
    exact = observed * (2 * norm.cdf(observed) - 1) + 2 * norm.pdf(observed) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(ends, PROBABILITIES, observed), exact, rtol=0.01)
