"""The compiled forest against the libraries that fitted it: equal to the bit, for every shape and instruction set."""

import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from engine.forest import INSTRUCTION_SETS, Forest, Unsupported, is_built

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVERY = pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)


def sites(seed: int, n: int, columns: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct values, so that cells fall on thresholds; some missing."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-levels, levels + 1, (n, columns)).astype("float32") / 4
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, (np.nansum(x, axis=1) + rng.normal(size=n)).astype("float32")


def cells(seed: int, n: int, columns: int, levels: int) -> np.ndarray:
    """Values on, between and beyond those of the sites; infinite and missing ones."""
    rng = np.random.default_rng(seed + 1)
    x = rng.integers(-9 * levels, 9 * levels + 1, (n, columns)).astype("float32") / 32
    for value in (np.nan, np.inf, -np.inf, -0.0):
        x[rng.random(x.shape) < 0.03] = value
    return x


def boosters(seed: int, replicates: int, columns: int, levels: int, **parameters) -> list[xgboost.Booster]:
    fitted = []
    for replicate in range(replicates):
        x, y = sites(seed + 100 * replicate, 60, columns, levels)
        fitted.append(
            xgboost.train({"nthread": 1, "verbosity": 0, **parameters}, xgboost.DMatrix(x, y), parameters["rounds"])
        )
    return fitted


def by_xgboost(models: list[xgboost.Booster], x: np.ndarray) -> np.ndarray:
    return np.stack([model.inplace_predict(x, missing=np.nan) for model in models], axis=1)


@SETTINGS
@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(1, 12),
    rounds=st.integers(1, 9),
    columns=st.integers(1, 5),
    levels=st.sampled_from([1, 4, 200]),
    n=st.sampled_from([1, 5, 255, 256, 257, 700]),
    weight=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_equals_xgboost(seed, depth, rounds, columns, levels, n, weight):
    models = boosters(seed, 3, columns, levels, max_depth=depth, rounds=rounds, min_child_weight=weight, eta=0.3)
    x = cells(seed, n, columns, levels)
    forest, expected = Forest.from_xgboost(models), by_xgboost(models, x)
    for instruction_set in INSTRUCTION_SETS:
        assert np.array_equal(forest.predict(x, instruction_set=instruction_set), expected)
        known = np.nan_to_num(x, nan=0.25)
        assert np.array_equal(forest.predict(known, instruction_set=instruction_set), by_xgboost(models, known))


@EVERY
@pytest.mark.parametrize(
    ("parameters", "layout"),
    [
        ({"max_depth": 1}, "perfect"),
        ({"max_depth": 2}, "perfect"),
        ({"max_depth": 3}, "perfect"),
        ({"max_depth": 4}, "perfect"),
        ({"max_depth": 9, "max_leaves": 11, "grow_policy": "lossguide"}, "pairs"),
        ({"max_depth": 5}, "narrow"),
        ({"max_depth": 6, "min_child_weight": 0}, "narrow"),
        ({"max_depth": 12, "min_child_weight": 0}, "wide"),
    ],
    ids=lambda value: str(value),
)
def test_every_layout(parameters, layout, instruction_set):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(400, 6)).astype("float32"), rng.normal(size=400).astype("float32")
    data = xgboost.DMatrix(x, y)
    models = [xgboost.train({"nthread": 1, "seed": s, "subsample": 0.7, **parameters}, data, 7) for s in range(4)]
    forest, found = Forest.from_xgboost(models), rng.normal(size=(1300, 6)).astype("float32")
    assert forest.describe()["layout"] == layout
    assert np.array_equal(forest.predict(found, instruction_set=instruction_set), by_xgboost(models, found))


@SETTINGS
@given(seed=st.integers(0, 10**6), categories=st.integers(2, 40), one_hot=st.integers(1, 8), n=st.integers(1, 600))
def test_categories(seed, categories, one_hot, n):
    """Sets of categories; categories that were not seen, that are no category, and missing ones."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(0, categories, 90), rng.normal(size=90)], axis=1).astype("float32")
    x[::9, 0] = np.nan
    y = (rng.normal(size=categories + 1)[np.nan_to_num(x[:, 0], nan=categories).astype(int)] + x[:, 1]).astype(
        "float32"
    )
    data = xgboost.DMatrix(x, y, feature_types=["c", "float"], enable_categorical=True)
    options = {"nthread": 1, "max_depth": 5, "max_cat_to_onehot": one_hot, "tree_method": "hist"}
    models = [xgboost.train({**options, "seed": s, "subsample": 0.8}, data, 5) for s in range(2)]
    found = np.stack([rng.integers(0, categories, n), rng.normal(size=n)], axis=1).astype("float32")
    found[rng.random(n) < 0.1, 0] = np.nan
    expected = np.stack(
        [m.predict(xgboost.DMatrix(found, feature_types=["c", "float"], enable_categorical=True)) for m in models],
        axis=1,
    )
    for instruction_set in INSTRUCTION_SETS:
        assert np.array_equal(Forest.from_xgboost(models).predict(found, instruction_set=instruction_set), expected)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(20, n_jobs=1),
        RandomForestRegressor(11, min_samples_leaf=6, max_features=0.4),
        ExtraTreesRegressor(20),
        GradientBoostingRegressor(n_estimators=40, max_depth=3, learning_rate=0.07, subsample=0.6),
        GradientBoostingRegressor(n_estimators=5, init="zero", loss="huber"),
        DecisionTreeRegressor(),
        DecisionTreeRegressor(max_depth=1),
    ],
    ids=lambda model: repr(model)[:40],
)
@pytest.mark.parametrize("missing", [False, True])
def test_equals_scikit_learn(model, missing):
    rng = np.random.default_rng(5)
    x, y = np.nan_to_num(sites(5, 150, 4, 30)[0]), rng.normal(4, 2, 150)
    if missing:
        if isinstance(model, GradientBoostingRegressor):
            pytest.skip("scikit-learn's gradient boosting knows no missing values")
        x[rng.random(x.shape) < 0.1] = np.nan
    fitted = [type(model)(**{**model.get_params(), "random_state": s}).fit(x, y) for s in range(3)]
    found = cells(7, 777, 4, 30)
    found[~np.isfinite(found)] = np.nan if missing else 0.125
    expected = np.stack([each.predict(found) for each in fitted], axis=1).astype("float32")
    forest = Forest.from_sklearn(fitted)
    for instruction_set in INSTRUCTION_SETS:
        assert np.array_equal(forest.predict(found, instruction_set=instruction_set), expected)


@SETTINGS
@given(
    seed=st.integers(0, 10**6),
    depth=st.one_of(st.none(), st.integers(1, 12)),
    leaf=st.integers(1, 5),
    n=st.integers(1, 600),
)
def test_thresholds_between_float32_numbers(seed, depth, leaf, n):
    """scikit-learn's thresholds are float64 and its comparison is not strict."""
    rng = np.random.default_rng(seed)
    x = np.nextafter(np.float32(1), np.float32(2)) ** rng.integers(0, 9, (60, 2)).astype("float32")
    model = RandomForestRegressor(5, max_depth=depth, min_samples_leaf=leaf, random_state=seed).fit(
        x, rng.normal(size=60)
    )
    found = np.nextafter(np.float32(1), np.float32(2)) ** rng.integers(-1, 11, (n, 2)).astype("float32")
    assert np.array_equal(Forest.from_sklearn([model]).predict(found)[:, 0], model.predict(found).astype("float32"))


def test_more_leaves_than_a_byte_holds():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 3)).astype("float32"), rng.normal(size=3000)
    model = RandomForestRegressor(4, random_state=0).fit(x, y)
    forest, found = Forest.from_sklearn([model]), rng.normal(size=(513, 3)).astype("float32")
    assert forest.describe()["largest_tree"] > 1000
    for instruction_set in INSTRUCTION_SETS:
        assert np.array_equal(
            forest.predict(found, instruction_set=instruction_set)[:, 0], model.predict(found).astype("float32")
        )


def test_replicates_that_share_too_many_comparisons_are_taken_in_turn():
    rng = np.random.default_rng(0)
    models = []
    for seed in range(8):
        x, y = rng.normal(size=(3000, 4)).astype("float32"), rng.normal(size=3000)
        models.append(RandomForestRegressor(8, random_state=seed).fit(x, y))
    forest, found = Forest.from_sklearn(models), rng.normal(size=(300, 4)).astype("float32")
    assert len(forest.describe()["comparisons"]) > 1
    expected = np.stack([m.predict(found) for m in models], axis=1).astype("float32")
    assert np.array_equal(forest.predict(found), expected)


@EVERY
def test_trees_of_one_leaf_and_no_trees_beside_them(instruction_set):
    constant = xgboost.train({"nthread": 1, "gamma": 1e9}, xgboost.DMatrix(np.zeros((9, 2)), np.arange(9)), 3)
    x = np.zeros((300, 2), "float32")
    assert np.array_equal(
        Forest.from_xgboost([constant]).predict(x, instruction_set=instruction_set), by_xgboost([constant], x)
    )


def test_any_strides_and_any_part_give_the_same_bits():
    models = boosters(1, 5, 4, 50, max_depth=4, rounds=9)
    forest, x = Forest.from_xgboost(models), cells(1, 2000, 4, 50)
    whole = forest.predict(x)
    wide = np.zeros((4000, 9), "float32")
    wide[::2, 1:9:2] = x
    for view in (np.asfortranarray(x), wide[::2, 1:9:2], x[::-1][::-1]):
        assert np.array_equal(forest.predict(view), whole)
    for cuts in ([1], [256, 700], [255, 257, 1999]):
        assert np.array_equal(np.concatenate([forest.predict(part) for part in np.split(x, cuts)]), whole)


def test_what_is_not_compiled_is_refused():
    x, y = np.nan_to_num(sites(0, 50, 3, 9)[0]), np.random.default_rng(0).normal(size=50)
    data = xgboost.DMatrix(x, np.abs(y))
    for parameters in ({"booster": "gblinear"}, {"booster": "dart", "rate_drop": 0.9}, {"objective": "reg:gamma"}):
        with pytest.raises(Unsupported, match="not compiled"):
            Forest.from_xgboost([xgboost.train({"nthread": 1, **parameters}, data, 2)])
    for model in (
        LinearRegression().fit(x, y),
        DummyRegressor().fit(x, y),
        RandomForestRegressor(2).fit(x, np.c_[y, y]),
    ):
        with pytest.raises(Unsupported):
            Forest.from_sklearn([model])
    started = GradientBoostingRegressor(n_estimators=2, init=LinearRegression()).fit(x, y)
    with pytest.raises(Unsupported, match="starts from a LinearRegression"):
        Forest.from_sklearn([started])


def test_wrong_arguments_are_refused():
    forest = Forest.from_xgboost(boosters(0, 2, 3, 9, max_depth=2, rounds=2))
    with pytest.raises(ValueError, match="cells x 3 columns"):
        forest.predict(np.zeros((5, 4), "float32"))
    with pytest.raises(ValueError, match="'sse9' is not to be had"):
        forest.predict(np.zeros((5, 3), "float32"), instruction_set="sse9")
    assert forest.predict(np.zeros((0, 3), "float32")).shape == (0, 2)
    with pytest.raises(Unsupported, match="same columns"):
        Forest.from_xgboost([])
