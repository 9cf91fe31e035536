"""The trees of fitted models as plain arrays, whichever library fitted them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xgboost
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from engine.errors import InputError

_IDENTITY = {"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror"}
"""Objectives of XGBoost whose prediction is the sum of the leaves."""
_IDENTITY_OF_LIGHTGBM = {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}
"""Those of LightGBM, without `sqrt`."""
_CATEGORICAL, _DEFAULT_LEFT, _ZERO_MISSING, _NAN_MISSING = 1, 2, 4, 8
"""Bits of a `decision_type` of LightGBM."""


class Unsupported(InputError):
    """Model that is not a sum of regression trees, or of a kind that is not compiled."""


class Damaged(InputError):
    """A model whose trees are malformed; the library that fitted it would read beyond their ends."""


@dataclass(frozen=True)
class Tree:
    """One tree: nodes from the root on.

    Attributes
    ----------
    left, right : ndarray of int32, shape (nodes,)
        Numbers of the children; −1 for a leaf.
    feature : ndarray of int32
        Column that a node compares.
    threshold : ndarray of float32
        A cell goes right if its value is not below it.
    missing_left : ndarray of bool
        Whether a missing value goes left.
    value : ndarray of float64
        Of leaves.
    categories : dict of int to list of int
        Categorical node → categories that go right.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    categories: dict[int, list[int]]


@dataclass(frozen=True)
class Replicate:
    """A model: (base + the sum of its trees' leaves) / divisor."""

    trees: Sequence[Tree]
    base: float
    divisor: float
    columns: int


def tables_of(replicates: Sequence[Replicate]) -> dict[str, np.ndarray]:
    """Return the arrays that the compiled code takes.

    Raises
    ------
    Unsupported
        If there is nothing to compile, or the replicates differ in their columns.
    """
    return joined([_tables(replicate) for replicate in replicates])


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the arrays of several replicates into one forest; raises as `tables_of`, and `Damaged` if they disagree."""
    try:
        return _joined(parts)
    except (KeyError, ValueError, IndexError) as error:
        raise Damaged(f"the tables of trees do not fit together: {error}") from error


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    columns = {int(part["features"]) for part in parts}
    if len(columns) != 1:
        raise Unsupported(f"a forest needs replicates of the same columns; got {sorted(columns)} columns")
    tables = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "features"}
    for name in _STARTS:
        ends = np.cumsum([0, *(part[name][-1] for part in parts)])
        starts = [part[name][:-1] + end for part, end in zip(parts, ends, strict=False)]
        tables[name] = np.concatenate([*starts, ends[-1:]])
    return tables | {"features": np.array(columns.pop())}


_STARTS = ("replicate_start", "tree_start", "category_start")
"""Where something begins among what `joined` puts one after the other, and at the end how much of it there is."""


def _tables(replicate: Replicate) -> dict[str, np.ndarray]:
    trees = replicate.trees
    if not trees:
        raise Unsupported("a forest needs trees")
    names = [f.name for f in fields(Tree) if f.name != "categories"]
    arrays = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in names}
    listed = [tree.categories.get(node, []) for tree in trees for node in range(len(tree.left))] if any(
        tree.categories for tree in trees
    ) else []  # fmt: skip
    return arrays | {
        "replicate_start": np.array([0, len(trees)]),
        "tree_start": _starts(len(tree.left) for tree in trees),
        "category_start": _starts(map(len, listed)) if listed else np.zeros(len(arrays["left"]) + 1, "int64"),
        "categories": np.array([c for categories in listed for c in categories], "int32"),
        "base": np.array([replicate.base]),
        "divisor": np.array([replicate.divisor]),
        "features": np.array(replicate.columns),
    }


def _starts(sizes: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(list(sizes))]).astype("int64")


def xgboost_replicate(booster: xgboost.Booster) -> Replicate:
    """Return the trees of an XGBoost model with an identity link.

    Raises
    ------
    Unsupported
        If the model is linear, of dropped-out trees, of several outputs or has another link.
    Damaged
        If a tree's numbers are not what they stand for.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    kind, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    parameters = learner["learner_model_param"]
    if "weight_drop" in learner["gradient_booster"].get("model", {}):
        kind = "dart"  # newer versions of XGBoost call it `gbtree` all the same
    if kind != "gbtree" or objective not in _IDENTITY or int(parameters["num_target"]) > 1:
        raise Unsupported(f"an XGBoost model `{kind}` of `{objective}` is not compiled; `gbtree` of {_IDENTITY} is")
    base = np.float32(parameters["base_score"].strip("[]"))
    try:
        trees = [_xgboost_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    except (TypeError, ValueError, OverflowError) as error:
        raise Damaged(f"the model is damaged: {error}") from error
    return Replicate(trees, float(base), 1.0, int(parameters["num_feature"]))


def _xgboost_tree(tree: dict[str, Any]) -> Tree:
    left = np.array(tree["left_children"], "int32")
    conditions = np.array(tree["split_conditions"], "float32")
    sets = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return Tree(
        left=left,
        right=np.array(tree["right_children"], "int32"),
        feature=np.where(left < 0, 0, tree["split_indices"]).astype("int32"),
        # A categorical node's condition is no number.
        threshold=np.where(np.array(tree["split_type"]) == 1, np.float32(0), conditions),
        missing_left=np.array(tree["default_left"], "uint8"),
        value=conditions.astype("float64"),
        categories={node: tree["categories"][start : start + size] for node, start, size in sets},
    )


def replicate_of(model: Any) -> Replicate:
    """Return the trees of a fitted regressor of XGBoost or scikit-learn.

    Raises
    ------
    Unsupported
        If the model is no sum of regression trees.
    """
    return xgboost_replicate(model.get_booster()) if isinstance(model, xgboost.XGBModel) else sklearn_replicate(model)


def sklearn_replicate(model: Any) -> Replicate:
    """Return the trees of a fitted random forest, extra-trees, gradient-boosting or decision-tree of scikit-learn.

    Raises
    ------
    Unsupported
        If the model is another one, or predicts several outputs.
    """
    if getattr(model, "n_outputs_", 1) != 1:
        raise Unsupported(f"a model of {model.n_outputs_} outputs is not compiled")
    columns = int(getattr(model, "n_features_in_", 0))
    match model:
        case GradientBoostingRegressor():
            trees = [_sklearn_tree(stage.tree_, model.learning_rate) for stage in model.estimators_[:, 0]]
            return Replicate(trees, _start_of(model), 1.0, columns)
        case RandomForestRegressor() | ExtraTreesRegressor():
            trees = [_sklearn_tree(each.tree_) for each in model.estimators_]
            return Replicate(trees, 0.0, len(trees), columns)
        case DecisionTreeRegressor():
            return Replicate([_sklearn_tree(model.tree_)], 0.0, 1.0, columns)
    raise Unsupported(f"a {type(model).__name__} is not a sum of regression trees that can be compiled")


def _start_of(model: GradientBoostingRegressor) -> float:
    """Return the value from which boosting starts."""
    if isinstance(model.init_, DummyRegressor):
        return float(np.ravel(model.init_.constant_)[0])
    if model.init_ == "zero":
        return 0.0
    raise Unsupported(f"boosting that starts from a {type(model.init_).__name__} is not compiled")


def _sklearn_tree(tree: Any, rate: float = 1.0) -> Tree:
    leaf = tree.children_left < 0
    return Tree(
        left=tree.children_left.astype("int32"),
        right=tree.children_right.astype("int32"),
        feature=np.where(leaf, 0, tree.feature).astype("int32"),
        threshold=np.where(leaf, np.float32(0), _next_above(tree.threshold)),
        missing_left=np.asarray(tree.missing_go_to_left, "uint8"),
        value=rate * tree.value[:, 0, 0],
        categories={},
    )


def _next_above(threshold: np.ndarray) -> np.ndarray:
    """Return the least float32 that is larger: where left is `value <= threshold`, right is not below it."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        rounded = threshold.astype("float32")
    return np.where(rounded > threshold, rounded, np.nextafter(rounded, np.float32(np.inf)))


def lightgbm_replicate(model: Any) -> Replicate:
    """Return the trees of a LightGBM regressor, a `Booster` or an `LGBMRegressor`, as many as it predicts with.

    Raises
    ------
    Unsupported
        If the model has several outputs, another link, linear leaves, or takes zeros for missing values.
    Damaged
        If a tree's numbers are not what they stand for.
    """
    text = getattr(model, "booster_", model).model_to_string()
    head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    facts = _facts(head)
    objective, *options = facts.get("objective", "none").split()
    if facts.get("num_tree_per_iteration") != "1" or objective not in _IDENTITY_OF_LIGHTGBM or "sqrt" in options:
        raise Unsupported(
            f"a LightGBM model of `{' '.join([objective, *options])}` is not compiled; one output of "
            f"{_IDENTITY_OF_LIGHTGBM} is"
        )
    try:
        found = [_lightgbm_tree(_facts(tree)) for tree in trees]
        columns = int(facts["max_feature_idx"]) + 1
    except (KeyError, ValueError, IndexError) as error:
        raise Damaged(f"the model is damaged: {error}") from error
    return Replicate(found, 0.0, len(found) if "average_output" in head.splitlines() else 1.0, columns)


def _facts(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def _lightgbm_tree(facts: Mapping[str, str]) -> Tree:
    if facts["is_linear"] != "0":
        raise Unsupported("a LightGBM model with linear leaves is not compiled")
    inner = int(facts["num_leaves"]) - 1

    def of_nodes(name: str, kind: str, count: int = inner) -> np.ndarray:
        values = np.array(facts[name].split() if count else [], kind)
        if len(values) != count:
            raise ValueError(f"{name}: {len(values)} values, expected {count}")
        return values

    decision, threshold = of_nodes("decision_type", "int64"), of_nodes("threshold", "float64")
    categorical = decision & _CATEGORICAL > 0
    if (decision[~categorical] & _ZERO_MISSING).any():
        raise Unsupported("a LightGBM model with `zero_as_missing` is not compiled")
    # Leaf i is called -1 - i. What is in a categorical node's set goes left there, and all else right, missing values
    # too: here it is the other way round.
    left, right = (
        np.where(c < 0, inner - 1 - c, c) for c in (of_nodes(f"{s}_child", "int64") for s in ("left", "right"))
    )
    left, right = np.where(categorical, right, left), np.where(categorical, left, right)
    # Without missing values in training, one counts as 0.
    of_missing = np.where(decision & _NAN_MISSING, decision & _DEFAULT_LEFT > 0, threshold >= 0)
    leaf, none = np.full(inner + 1, -1, "int32"), np.zeros(inner + 1, "float32")
    return Tree(
        left=np.concatenate([left.astype("int32"), leaf]),
        right=np.concatenate([right.astype("int32"), leaf]),
        feature=np.concatenate([of_nodes("split_feature", "int32"), none.astype("int32")]),
        threshold=np.concatenate([np.where(categorical, np.float32(0), _next_above(threshold)), none]),
        missing_left=np.concatenate([categorical | of_missing, none]).astype("uint8"),
        value=np.concatenate([np.zeros(inner), of_nodes("leaf_value", "float64", inner + 1)]),
        categories=_lightgbm_sets(facts, np.flatnonzero(categorical), threshold),
    )


def _lightgbm_sets(facts: Mapping[str, str], nodes: np.ndarray, threshold: np.ndarray) -> dict[int, list[int]]:
    """Map each node to its categories; sets are kept as bits, in sequence, and a node's threshold is its number."""
    if not nodes.size:
        return {}
    ends = [int(end) for end in facts["cat_boundaries"].split()]
    words = np.array(facts["cat_threshold"].split(), "<u4")
    sets = {}
    for node in nodes:
        number = int(threshold[node])
        bits = np.unpackbits(words[ends[number] : ends[number + 1]].view("uint8"), bitorder="little")
        sets[int(node)] = np.flatnonzero(bits).tolist()
    if not all(sets.values()):
        raise ValueError("a categorical node has no categories")
    return sets
