"""The compiled forest against LightGBM: equal to the bit, for every kind of split, missing value and booster."""

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.forest import INSTRUCTION_SETS, Damaged, Forest, Unsupported, is_built

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 2, "min_data_in_bin": 1}
CATEGORIES = 40


def design(rng: np.random.Generator, n: int, missing: float) -> np.ndarray:
    """Few distinct values, so that cells fall on thresholds; the last column of categories."""
    x = rng.integers(-20, 21, (n, 4)).astype("float32") / 8
    x[:, 3] = rng.integers(0, CATEGORIES, n)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def boosters(seed: int, missing: float = 0.1, rounds: int = 7, n: int = 300, **parameters) -> list[lightgbm.Booster]:
    fitted = []
    for replicate in range(3):
        rng = np.random.default_rng([seed, replicate])
        x = design(rng, n, missing)
        y = 4 + np.nansum(x[:, :3], axis=1) + rng.normal(size=CATEGORIES)[np.nan_to_num(x[:, 3]).astype(int)]
        data = lightgbm.Dataset(x, y + rng.normal(size=n), categorical_feature=[3], params=QUIET)
        fitted.append(lightgbm.train({**QUIET, "seed": replicate, **parameters}, data, rounds))
    return fitted


def cells(seed: int, n: int) -> np.ndarray:
    """Values on, between and beyond those of the sites; missing ones; categories that were not seen."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-200, 201, (n, 4)).astype("float32") / 64
    for value in (np.nan, 3e38, -3e38, -0.0, 0.0):
        x[rng.random(x.shape) < 0.03] = value
    x[:, 3] = rng.choice([*range(-1, CATEGORIES + 3), 10**6, np.nan], n)
    return x


def agrees(models: list[lightgbm.Booster], x: np.ndarray) -> bool:
    expected = np.stack([model.predict(x, num_threads=1) for model in models], axis=1).astype("float32")
    forest = Forest.from_lightgbm(models)
    return all(np.array_equal(forest.predict(x, instruction_set=name), expected) for name in INSTRUCTION_SETS)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    leaves=st.sampled_from([2, 4, 16, 31, 200]),
    rounds=st.integers(1, 9),
    missing=st.sampled_from([0.0, 0.1]),
    n=st.sampled_from([1, 257, 1030]),
    use_missing=st.booleans(),
    one_hot=st.sampled_from([1, 4, 64]),
)
def test_equals_lightgbm(seed, leaves, rounds, missing, n, use_missing, one_hot):
    options = {"num_leaves": leaves, "use_missing": use_missing, "max_cat_to_onehot": one_hot, "min_data_per_group": 5}
    assert agrees(boosters(seed, missing, rounds, **options), cells(seed, n))


@pytest.mark.parametrize(
    "parameters",
    [
        {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        {"boosting": "dart", "drop_rate": 0.5},
        {"data_sample_strategy": "goss"},
        {"boost_from_average": False},
        *({"objective": name} for name in ("regression_l1", "huber", "fair", "quantile", "mape")),
        {"extra_trees": True},
        {"min_gain_to_split": 1e9},  # trees of one leaf
        {"num_leaves": 600, "rounds": 3, "n": 4000},  # codes of two bytes
    ],
    ids=str,
)
def test_every_kind_of_booster(parameters):
    assert agrees(boosters(1, **parameters), cells(1, 700))


def test_only_the_trees_that_the_model_predicts_with():
    models = boosters(2, rounds=9)
    for model in models:
        model.best_iteration = 4
    assert agrees(models, cells(2, 300))


def test_estimators_of_its_own_interface():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype("float32")
    model = lightgbm.LGBMRegressor(n_estimators=12, verbose=-1, n_jobs=1).fit(x, x[:, 0] + rng.normal(size=200))
    found = Forest.from_lightgbm([model]).predict(x)
    assert np.array_equal(found[:, 0], model.booster_.predict(x).astype("float32"))


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"objective": "poisson"}, "poisson"),
        ({"reg_sqrt": True}, "regression sqrt"),
        ({"linear_tree": True}, "linear leaves"),
        ({"zero_as_missing": True}, "zero_as_missing"),
    ],
)
def test_what_is_no_plain_sum_is_refused(parameters, what):
    rng = np.random.default_rng(0)
    x = design(rng, 200, 0.1)
    y = 1 + np.abs(np.nansum(x, axis=1))
    model = lightgbm.train({**QUIET, **parameters}, lightgbm.Dataset(x, y, params={**QUIET, **parameters}), 3)
    with pytest.raises(Unsupported, match=what):
        Forest.from_lightgbm([model])


class Text:
    """A model as its text."""

    def __init__(self, text: str):
        self.model_to_string = lambda: text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=", "left_child=99 "),
        ("threshold=", "threshold=x "),
        ("leaf_value=", "leaves="),
        ("num_leaves=", "num_leaves=9"),
    ],
)
def test_damaged_models_are_refused(old, new):
    text = boosters(3)[0].model_to_string()
    assert old in text
    with pytest.raises(Damaged):
        Forest.from_lightgbm([Text(text.replace(old, new))])
