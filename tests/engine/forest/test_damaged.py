"""Damaged forests are refused, or evaluate to numbers: nothing is read beyond the end of an array."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from engine.forest import INSTRUCTION_SETS, Damaged, Forest, Unsupported, is_built
from engine.forest.native import module
from engine.forest.trees import Replicate, Tree, sklearn_replicate, tables_of, xgboost_replicate

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
COLUMNS, CELLS = 3, 1100
INTEGERS = [-(2**31), -2, -1, 0, 1, 2, 3, 50, 2**24, 2**31 - 1]
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e30]
TABLES = (
    "replicate_start", "tree_start", "left", "right", "feature", "threshold", "missing_left", "value",
    "category_start", "categories", "base", "divisor",
)  # fmt: skip
FIELDS = (
    "left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type",
    "categories", "categories_nodes", "categories_segments", "categories_sizes",
)  # fmt: skip
ALTERED = settings(max_examples=300, deadline=None)


def a_tree(**changes) -> Tree:
    values = {
        "left": np.array([1, -1, -1], "int32"), "right": np.array([2, -1, -1], "int32"),
        "feature": np.zeros(3, "int32"), "threshold": np.zeros(3, "float32"), "missing_left": np.zeros(3, "uint8"),
        "value": np.arange(3.0), "categories": {},
    }  # fmt: skip
    return Tree(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": np.array([3, -1, -1], "int32")}, "tree 0, node 0: its child 3 is not there"),
        ({"left": np.array([0, -1, -1], "int32")}, "its child 0 is not there"),
        ({"right": np.array([1, -1, -1], "int32")}, "node 1: has two parents"),
        ({"left": np.array([1, 2, -1], "int32"), "right": np.array([2, 1, -1], "int32")}, "has two parents"),
        ({"feature": np.array([2, 0, 0], "int32")}, "a column that is not there"),
        ({"feature": np.array([-1, 0, 0], "int32")}, "a column that is not there"),
        ({"threshold": np.array([np.nan, 0, 0], "float32")}, "threshold is not a number"),
        ({"value": np.array([0, np.inf, 1])}, "node 1: its value is not finite"),
        ({"categories": {0: [-1]}}, "category is out of range"),
        ({"categories": {0: [2**24]}}, "category is out of range"),
        ({"right": np.array([2, -1], "int32")}, "differ in length"),
    ],
)
def test_malformed_trees_are_refused(changes, message):
    with pytest.raises(Damaged, match=message):
        Forest(tables_of([Replicate([a_tree(**changes)], 0.0, 1.0, 2)]), double=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("replicate_start", [0, 5]), ("tree_start", [0, 2]), ("tree_start", [1, 3]), ("category_start", [0, 0, 0, 9]),
     ("base", [np.nan]), ("divisor", [0.0]), ("features", 0), ("base", [])],
)  # fmt: skip
def test_tables_that_do_not_fit_together_are_refused(name, value):
    tables = tables_of([Replicate([a_tree()], 0.0, 1.0, 2)])
    module().Forest(tables, False)
    with pytest.raises(ValueError):
        module().Forest(tables | {name: value if name == "features" else np.array(value)}, False)


def chain(leaves: int) -> Tree:
    """Leaf i holds the cells from i − 1 up to i; each node has a leaf on its left and the next node on its right."""
    inner = np.arange(leaves - 1)
    nodes = np.full(2 * leaves - 1, -1)
    left, right, value = nodes.copy(), nodes.copy(), np.zeros(len(nodes))
    left[2 * inner], right[2 * inner] = 2 * inner + 1, 2 * inner + 2
    value[1::2], value[-1] = inner, leaves - 1
    return a_tree(
        left=left.astype("int32"), right=right.astype("int32"), value=value, feature=np.zeros(len(nodes), "int32"),
        threshold=(np.arange(len(nodes)) / 2).astype("float32"), missing_left=np.zeros(len(nodes), "uint8"),
    )  # fmt: skip


@pytest.mark.parametrize("double", [False, True])
def test_the_largest_tree(double):
    """A sound tree that is beyond the tables is left to the library that fitted it."""
    x = np.array([[-1], [0.5], [5000], [65533.5], [1e9]], "float32")
    forest = Forest(tables_of([Replicate([chain(65535)], 0.0, 1.0, 1)]), double=double)
    for instruction_set in INSTRUCTION_SETS:
        found = forest.predict(x, instruction_set=instruction_set)[:, 0]
        assert found.tolist() == [0, 1, 5001, 65534, 65534]
    with pytest.raises(Unsupported, match="a tree has 65536 leaves, more than 65535"):
        Forest(tables_of([Replicate([chain(65536)], 0.0, 1.0, 1)]), double=double)


def booster(**parameters: Any) -> xgboost.Booster:
    rng = np.random.default_rng(1)
    x = np.stack([rng.integers(0, 9, 300), *rng.normal(size=(2, 300))], axis=1)
    x[::9, 0] = np.nan
    data = xgboost.DMatrix(x, rng.normal(size=300), feature_types=["c", "float", "float"], enable_categorical=True)
    return xgboost.train({"nthread": 1, "max_cat_to_onehot": 2, **parameters}, data, 3)


def forests() -> list[RandomForestRegressor]:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, COLUMNS)), rng.normal(size=300)
    return [RandomForestRegressor(2, max_leaf_nodes=90, random_state=seed).fit(x, y) for seed in range(2)]


SOUND: dict[str, Callable[[], list[Replicate]]] = {
    "perfect": lambda: [xgboost_replicate(booster(max_depth=3)), xgboost_replicate(booster(max_depth=2))],
    "pairs": lambda: [xgboost_replicate(booster(max_depth=9, max_leaves=12, grow_policy="lossguide"))] * 2,
    "narrow": lambda: [xgboost_replicate(booster(max_depth=5))] * 2,
    "wide": lambda: [xgboost_replicate(booster(max_depth=9, min_child_weight=0))] * 2,
    "double": lambda: [sklearn_replicate(model) for model in forests()],
}


@cache
def sound(layout: str) -> dict[str, Any]:
    tables = tables_of(SOUND[layout]())
    assert module().Forest(tables, layout == "double").describe()["layout"] == layout.replace("double", "wide")
    return tables


@cache
def cells(missing: bool) -> np.ndarray:
    x = np.random.default_rng(2).normal(4, 5, (CELLS, COLUMNS)).astype("float32")
    x[::7, 1], x[::8, 0] = np.inf, -np.inf
    x[::5] = np.nan if missing else 0
    return x


def alter(values: Any, place: int, how: int) -> Any:
    """Another value at one place, fewer values, or more of them."""
    values, odd = list(values), NUMBERS if np.asarray(values).dtype.kind == "f" else INTEGERS
    if how == len(odd):
        return values[: place % (len(values) + 1)]
    if how > len(odd) or not values:
        return values + values[:1]
    values[place % len(values)] = odd[how]
    return values


def changes(names: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    change = st.tuples(st.sampled_from(names), st.integers(0, 2000), st.integers(0, len(INTEGERS) + 1))
    return st.lists(change, min_size=1, max_size=3)


def evaluates(forest: Any, replicates: int) -> None:
    for instruction_set in INSTRUCTION_SETS:
        for missing in (False, True):
            out = np.full((replicates, CELLS), np.nan, "float32")
            forest.predict(cells(missing), out, missing, instruction_set)
            assert np.isfinite(out).all()


@ALTERED
@given(
    layout=st.sampled_from(list(SOUND)),
    changes=changes(TABLES),
)
def test_altered_tables(layout, changes):
    tables = dict(sound(layout))
    for name, place, how in changes:
        kind = np.asarray(tables[name]).dtype
        tables[name] = np.array(alter(tables[name], place, how)).astype(kind)
    try:
        forest = module().Forest(tables, layout == "double")
    except ValueError:
        return
    evaluates(forest, len(tables["base"]))


@cache
def as_json() -> bytes:
    return bytes(booster(max_depth=5).save_raw("json"))


class Altered:
    """A booster whose trees were damaged in memory or on disk: XGBoost hands on what it was given."""

    def __init__(self, changes: list[tuple[str, int, int]]):
        self.content = json.loads(as_json())
        for name, place, how in changes:
            trees = self.content["learner"]["gradient_booster"]["model"]["trees"]
            tree = trees[place % len(trees)]
            tree[name] = alter(tree[name], place, how)

    def save_raw(self, _: str) -> bytes:
        return json.dumps(self.content).encode()


@ALTERED
@given(changes(FIELDS))
def test_altered_boosters(changes):
    try:
        forest = Forest.from_xgboost([Altered(changes)])
    except Damaged:
        return
    evaluates(forest._native, 1)


def test_a_child_that_xgboost_would_follow_out_of_its_memory():
    with pytest.raises(Damaged, match=f"tree 1, node 1: its child {2**24} is not there"):
        Forest.from_xgboost([Altered([("left_children", 1, INTEGERS.index(2**24))])])
