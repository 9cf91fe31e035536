"""Gain shares, permutation importance and partial dependence of any model."""

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence as sklearn_partial_dependence
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from engine.cube.features import Features
from engine.ensemble.importance import column_blocks, curves, gain_shares, partial_dependence, permutation_increase
from engine.models.persistence import BoostedTrees
from engine.sources.entry import source_spec

FEATURES = Features.of(
    {
        "tn": source_spec(href="tn.tif", group="soil", label="Total nitrogen"),
        "cover": source_spec(href="c.tif", group="vegetation", classes={"forest": (1,), "bog": (2,), "steppe": (3,)}),
        "ai": source_spec(href="ai.tif", group="climate"),
        "ph": source_spec(href="ph.tif", group="soil"),
    }
)
TN, AI, PH = (FEATURES.names.index(name) for name in ("tn", "ai", "ph"))


def sites(n, seed=0):
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=n) for name in ("tn", "ai", "ph")} | {"cover": rng.integers(1, 4, n)}
    x = FEATURES.matrix(values)
    y = 2 * x[:, TN] + x[:, AI] * (values["cover"] == 2) + rng.normal(0, 0.3, n)
    return x, y


@pytest.fixture(scope="module")
def trained():
    x, y = sites(150)
    model = xgboost.XGBRegressor(n_estimators=60, max_depth=3, learning_rate=0.1, n_jobs=1).fit(x, y)
    model.get_booster().feature_names = FEATURES.names
    return model, x, y


def test_blocks_are_covariates_and_groups():
    blocks = column_blocks(FEATURES, lambda column: column.covariate)
    assert {name: columns.tolist() for name, columns in blocks.items()} == {
        "tn": [0], "cover": [1, 2, 3], "ai": [4], "ph": [5]
    }  # fmt: skip
    groups = column_blocks(FEATURES, lambda column: column.group)
    assert {name: columns.tolist() for name, columns in groups.items()} == {
        "soil": [0, 5], "vegetation": [1, 2, 3], "climate": [4]
    }  # fmt: skip


def test_gain_is_the_loss_reduction_of_all_splits(trained):
    model = trained[0]
    splits = model.get_booster().trees_to_dataframe().query("Feature != 'Leaf'")
    expected = splits.groupby("Feature")["Gain"].sum().reindex(FEATURES.names, fill_value=0)
    shares = gain_shares([model.get_booster()], [1.0], FEATURES.names)
    assert shares == pytest.approx(100 * expected.to_numpy() / expected.sum(), rel=1e-4)
    assert shares.argmax() == TN
    stored = BoostedTrees(bytes(model.get_booster().save_raw("ubj")))
    assert gain_shares([stored], [1.0], FEATURES.names).tolist() == shares.tolist()


def test_gain_of_other_families(trained):
    model, x, y = trained
    forest = RandomForestRegressor(10, random_state=0).fit(x, y)
    of_forest = gain_shares([forest], [1.0], FEATURES.names)
    assert of_forest == pytest.approx(100 * forest.feature_importances_)
    machine = make_pipeline(StandardScaler(), SVR()).fit(x, y)
    assert np.isnan(gain_shares([machine], [1.0], FEATURES.names)).all()
    # Several models: their shares by weight; one without a measure leaves none.
    of_both = gain_shares([forest, model.get_booster()], [1, 3], FEATURES.names)
    assert of_both == pytest.approx((of_forest + 3 * gain_shares([model.get_booster()], [1], FEATURES.names)) / 4)
    assert np.isnan(gain_shares([forest, machine], [0.5, 0.5], FEATURES.names)).all()
    stump = xgboost.XGBRegressor(n_estimators=2, min_child_weight=1e6).fit(x, y)
    assert np.isnan(gain_shares([stump.get_booster()], [1.0], FEATURES.names)).all()


def test_permutation_is_a_plain_loop(trained):
    model, x, y = trained
    blocks = list(column_blocks(FEATURES, lambda column: column.covariate).values())
    stream = np.random.SeedSequence(7)
    increase = permutation_increase(model.predict, x, y, blocks, stream, 4)
    rng = np.random.default_rng(np.random.SeedSequence(7))
    orders = [rng.permutation(len(y)) for _ in range(4)]
    rmse = np.sqrt(np.mean((model.predict(x) - y) ** 2))
    for block, found in zip(blocks, increase, strict=True):
        expected = []
        for order in orders:
            shuffled = x.copy()
            for column in block:
                shuffled[:, column] = x[order, column]
            expected.append(np.sqrt(np.mean((model.predict(shuffled) - y) ** 2)) - rmse)
        assert found == pytest.approx(np.mean(expected), rel=1e-5, abs=1e-7)
    assert increase.argmax() == 0


def test_permuted_sites_keep_one_class_and_unused_columns_do_not_matter():
    x, _ = sites(30)
    seen = []

    def predict(rows):
        seen.append(rows)
        return 3 * rows[:, TN]

    blocks = list(column_blocks(FEATURES, lambda column: column.covariate).values())
    increase = permutation_increase(predict, x, 3 * x[:, TN], blocks, np.random.SeedSequence(0), 5)
    assert (np.concatenate(seen)[:, 1:4].sum(axis=1) == 1).all()
    assert increase[0] > 1
    assert increase[1:].tolist() == [0, 0, 0]


def test_a_single_site_has_nothing_to_permute_with():
    x, y = sites(1)
    assert np.isnan(permutation_increase(lambda rows: rows[:, 0], x, y, [np.array([0])], np.random.SeedSequence(0), 2))


def test_curves_run_over_quantiles_and_classes():
    x, _ = sites(200)
    x[:, PH] = 5.5
    by_name = {curve.covariate: curve for curve in curves(FEATURES, x, 9)}
    assert list(by_name) == ["tn", "cover", "ai", "ph"]
    expected = np.percentile(x[:, TN], np.linspace(1, 99, 9))
    assert by_name["tn"].values == pytest.approx(expected, rel=1e-6)
    assert by_name["tn"].classes == ("",) * 9
    assert by_name["ph"].values.tolist() == [5.5]
    assert by_name["cover"].classes == ("forest", "bog", "steppe")
    assert np.isnan(by_name["cover"].values).all()
    assert (by_name["cover"].settings == np.eye(3)).all()


def test_partial_dependence_is_scikit_learns(trained):
    model, x, _ = trained
    for curve in curves(FEATURES, x, 12):
        if len(curve.columns) > 1:
            continue
        (column,) = curve.columns
        expected = sklearn_partial_dependence(
            model, x, [int(column)], custom_values={int(column): curve.settings[:, 0]}, method="brute"
        )
        assert partial_dependence(model.predict, x, curve) == pytest.approx(expected["average"][0], rel=1e-5)


def test_partial_dependence_on_a_class_sets_all_its_columns(trained):
    model, x, _ = trained
    curve = curves(FEATURES, x, 5)[1]
    found = partial_dependence(model.predict, x, curve)
    for number in range(3):
        at = x.copy()
        at[:, 1:4] = 0
        at[:, 1 + number] = 1
        assert found[number] == pytest.approx(model.predict(at).mean(), rel=1e-5)
    assert np.ptp(found) > 0
