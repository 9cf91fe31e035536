"""Scores against hand-worked values and scikit-learn; held-out predictions against a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.svm import SVR

from engine.errors import FitError
from engine.execution.ledger import Scratch
from engine.models.families import FAMILIES, Family
from engine.models.tuning import tune, tune_within
from engine.seeds import Use, integer, streams
from engine.validation.cross_validation import AVERAGE, STACK, Candidate, HeldOut, Scores, cross_validate, stack_weights

SVM = Family("svm", "sklearn.svm.SVR", {"C": 2.0}, {"C": (0.1, 10.0)})
XGBOOST = FAMILIES["xgboost"]
FEW = {"n_estimators": 15}
NUMBERS = arrays("float64", 12, elements=st.floats(-100, 100).map(lambda v: round(v, 3)))


def test_scores_by_hand():
    scores = Scores.of(np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 4.0, 4.0]))
    # Mean observed 3; Σ(O − 3)² = 4 + 1 + 0 + 9 = 14; Σ(P − 3)² = 1 + 1 + 1 + 1 = 4; errors 1, 0, 1, −2.
    assert scores.r2_explained == pytest.approx(4 / 14)
    assert scores.r2 == pytest.approx(1 - 6 / 14)
    assert scores.rmse == pytest.approx(np.sqrt(6 / 4))
    assert scores.mae == pytest.approx(1.0)
    assert scores.bias == pytest.approx(0.0)
    # Covariance 6/4, variances 14/4 and 4/4, equal means.
    assert scores.ccc == pytest.approx(2 * 1.5 / (3.5 + 1.0))


@given(NUMBERS.filter(lambda v: np.ptp(v) > 1), NUMBERS)
def test_scores_equal_scikit_learn(observed, predicted):
    scores = Scores.of(observed, predicted)
    assert scores.r2 == pytest.approx(r2_score(observed, predicted))
    assert scores.rmse == pytest.approx(root_mean_squared_error(observed, predicted))
    assert scores.mae == pytest.approx(mean_absolute_error(observed, predicted))
    assert -1 - 1e-9 <= scores.ccc <= 1 + 1e-9


def test_the_two_r2_are_different_things():
    observed = np.arange(10.0)
    wrong = Scores.of(observed, observed[::-1])
    assert wrong.r2_explained == pytest.approx(1.0) and wrong.r2 == pytest.approx(-3.0)


def sample(n=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype("float32")
    return x, x[:, 0] * 2 + rng.normal(0, 0.3, n)


def some_folds(n=40, repeats=3, k=4):
    return np.stack([np.random.default_rng(r).permutation(np.arange(n) % k) for r in range(repeats)])


def test_predictions_equal_a_plain_loop(client):
    x, y = sample()
    folds = {"random": some_folds(), "block": np.tile(np.arange(40) // 10, (3, 1))}
    held = cross_validate(client, x, y, [Candidate(XGBOOST, FEW), Candidate(SVM, {})], folds, seed=5)
    assert set(held.predicted) == {(f, s) for f in ("xgboost", "svm") for s in ("random", "block")}
    for scheme, rows in folds.items():
        for repeat, stream in enumerate(streams(5, Use.VALIDATION, 3)):
            expected = np.empty(40)
            for number, child in enumerate(stream.spawn(4)):
                test = rows[repeat] == number
                model = XGBOOST.build(FEW, integer(child.spawn(2)[1])).fit(x[~test], y[~test])
                expected[test] = model.predict(x[test])
            np.testing.assert_array_equal(held.predicted["xgboost", scheme][repeat], expected)


def test_repeats_do_not_depend_on_their_number(client):
    x, y = sample()
    few, more = (
        cross_validate(client, x, y, [Candidate(XGBOOST, FEW)], {"random": some_folds(repeats=n)}, seed=5)
        for n in (2, 4)
    )
    np.testing.assert_array_equal(few.predicted["xgboost", "random"], more.predicted["xgboost", "random"][:2])


def test_goes_on_from_what_was_kept(client, tmp_path):
    x, y = sample()

    def run(scratch):
        candidates, folds = [Candidate(XGBOOST, FEW)], {"random": some_folds()}
        return cross_validate(client, x, y, candidates, folds, seed=5, scratch=scratch)

    whole = run(None).predicted["xgboost", "random"]
    scratch = Scratch(tmp_path / "scratch")
    run(scratch)
    marked = np.full(40, 7.0)
    scratch.save("xgboost-random-0001", marked)
    (tmp_path / "scratch" / "xgboost-random-0002.npy").unlink()
    again = run(scratch).predicted["xgboost", "random"]
    np.testing.assert_array_equal(again[1], marked)  # kept: not computed again
    np.testing.assert_array_equal(again[[0, 2]], whole[[0, 2]])


def test_a_family_that_cannot_be_fitted_says_why(client):
    x, y = sample()
    crowd = Family("near", "sklearn.neighbors.KNeighborsRegressor", {"n_neighbors": 31}, {"n_neighbors": (31, 32)})
    with pytest.raises(FitError, match=r"near cannot be fitted|Expected n_neighbors <= n_samples_fit"):
        cross_validate(client, x, y, [Candidate(crowd, {})], {"random": some_folds()}, seed=5)
    with pytest.raises(FitError, match="no combination"):
        cross_validate(client, x, y, [Candidate(crowd, None)], {"random": some_folds()}, seed=5)
    with pytest.raises(FitError, match="no combination"):
        tune(client, crowd, x, y, 4, np.random.SeedSequence(1))


def test_nested_tuning_sees_only_the_training_folds(client):
    x, y = sample()
    folds = some_folds(repeats=1)
    held = cross_validate(client, x, y, [Candidate(SVM, None)], {"random": folds}, seed=5)
    (stream,) = streams(5, Use.VALIDATION, 1)
    child = stream.spawn(4)[2]
    test = folds[0] == 2
    best = tune_within(SVM, x[~test], y[~test], child.spawn(2)[0])
    plain = SVR(C=best["C"]).fit(x[~test], y[~test])
    np.testing.assert_array_equal(held.predicted["svm", "random"][0, test], plain.predict(x[test]))


def test_search_on_the_cluster_equals_a_plain_one(client):
    x, y = sample()
    tuned = tune(client, SVM, x, y, 4, np.random.SeedSequence(1))
    rmse = []
    splits = list(KFold(4, shuffle=True, random_state=integer(np.random.SeedSequence(1).spawn(2)[0])).split(x))
    for c in (0.1, 10.0):
        errors = [
            root_mean_squared_error(y[test], SVR(C=c).fit(x[train], y[train]).predict(x[test]))
            for train, test in splits
        ]
        rmse.append(np.mean(errors))
    np.testing.assert_allclose(tuned.table["rmse"], rmse)
    assert tuned.parameters == {"C": (0.1, 10.0)[int(np.argmin(rmse))]}
    assert tuned.table["chosen"].sum() == 1


def held_out():
    rng = np.random.default_rng(1)
    observed = rng.normal(5, 2, 40)
    good = observed + rng.normal(0, 0.5, (2, 40))
    poor = observed + rng.normal(0, 3, (2, 40))
    return HeldOut(observed, {"random": some_folds(repeats=2)}, {("a", "random"): good, ("b", "random"): poor})


def test_best_average_and_stack():
    held = held_out()
    assert held.best("random") == "a"
    average = held.combined(["a", "b"], AVERAGE)
    np.testing.assert_allclose(
        average.predicted[AVERAGE, "random"], (held.predicted["a", "random"] + held.predicted["b", "random"]) / 2
    )
    stacked = held.combined(["a", "b"], STACK)
    assert stacked.scores().query("family == 'stack'")["rmse"].mean() < 0.7
    assert set(stacked.scores().columns) == {
        "family", "scheme", "repeat", "r2_explained", "r2", "rmse", "mae", "bias", "ccc",
    }  # fmt: skip


def test_stack_weights_of_a_fold_do_not_see_it():
    held = held_out()
    test = held.folds["random"][0] == 1
    before = held.combined(["a", "b"], STACK).predicted[STACK, "random"][0, test]
    changed = HeldOut(np.where(test, 100.0, held.observed), held.folds, held.predicted)
    np.testing.assert_array_equal(changed.combined(["a", "b"], STACK).predicted[STACK, "random"][0, test], before)


def test_stack_weights_are_shares():
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 1, 500), rng.normal(5, 1, 500)
    np.testing.assert_allclose(stack_weights(np.stack([a, b], axis=1), 0.25 * a + 0.75 * b), [0.25, 0.75], atol=1e-9)


def test_zone_scores_count_each_zone():
    held = held_out()
    zones = np.repeat(["forest", "wetland"], 20)
    table = held.zone_scores(zones)
    assert table.groupby("family")["n"].sum().eq(40).all()
    wetland = table.query("family == 'a' and zone == 'wetland'").iloc[0]
    expected = [root_mean_squared_error(held.observed[20:], row[20:]) for row in held.predicted["a", "random"]]
    assert wetland["rmse"] == pytest.approx(np.mean(expected))
