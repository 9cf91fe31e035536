"""What the kernel is given: the exact types, shapes and orders, or a refusal that leaves every array as it was."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.forest import Forest, is_built
from engine.forest.native import module

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
REPLICATES, OUTPUTS, ZONES, CELLS, COLUMNS, SITES = 3, 2, 4, 300, 3, 12
SHAPES = {
    "cells": (ZONES,), "area": (ZONES,), "predicted": (REPLICATES, ZONES), "mean": (OUTPUTS, ZONES),
    "square": (OUTPUTS, ZONES),
}  # fmt: skip


@dataclass
class Given:
    """Arguments of one pass."""

    x: Any
    area: Any
    zone: Any
    statistics: Any
    totals: dict[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"statistics": self.statistics, **{f"totals.{n}": a for n, a in self.totals.items()}}


@pytest.fixture(scope="module")
def forest() -> Forest:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, COLUMNS)).astype("float32")
    return Forest.from_xgboost([
        xgboost.XGBRegressor(n_estimators=4, max_depth=3, n_jobs=1, random_state=r).fit(x, x[:, 0] + r).get_booster()
        for r in range(REPLICATES)
    ])  # fmt: skip


def summary(**changes: Any) -> Any:
    rng = np.random.default_rng(1)
    votes = {
        "residual": np.sort(rng.uniform(0, 2, SITES).astype("float32"))[::-1].copy(),
        "share": np.full(SITES, 0.5, "float32"), "codes": np.ones(SITES, "uint8"), "kth": 2, "least": 0.0,
    }  # fmt: skip
    entries = {
        "replicates": REPLICATES, "outputs": OUTPUTS, "intercept": np.zeros((OUTPUTS, REPLICATES)),
        "slope": np.ones((OUTPUTS, REPLICATES)), "z": 1.96, "votes": [votes] * OUTPUTS, "formats": [1e6, 2.0**20] * 4,
    }  # fmt: skip
    return module().Summary(entries | changes)


def sound() -> Given:
    rng = np.random.default_rng(2)
    return Given(
        rng.normal(size=(CELLS, COLUMNS)).astype("float32"),
        rng.uniform(0.5, 1, CELLS),
        np.sort(rng.integers(0, ZONES, CELLS)),
        np.full((OUTPUTS, 7, CELLS), -1, "float32"),
        {name: np.zeros(shape, "int64") for name, shape in SHAPES.items()},
    )


def summarise(forest: Forest, g: Given) -> None:
    assert forest.summarise(g.x, summary(), g.area, g.zone, g.statistics, g.totals) is None


@pytest.fixture(scope="module")
def expected(forest) -> Given:
    g = sound()
    summarise(forest, g)
    assert (g.statistics != -1).all() and g.totals["cells"].sum() == CELLS
    return g


ALTERATIONS = {
    "float64": lambda a: a.astype("float64"), "float32": lambda a: a.astype("float32"),
    "float16": lambda a: a.astype("float16"), "int64": lambda a: a.astype("int64"),
    "int32": lambda a: a.astype("int32"), "uint64": lambda a: a.astype("uint64"), "bool": lambda a: a.astype("bool"),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")), "object": lambda a: a.astype(object),
    "Fortran": np.asfortranarray, "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1], "shorter": lambda a: a[..., :-1].copy(),
    "longer": lambda a: np.concatenate([a, a[..., :1]], axis=-1), "an axis more": lambda a: a[None],
    "flat": lambda a: a.ravel().copy() if a.ndim > 1 else a.reshape(-1, 1), "a list": lambda a: a.tolist(),
    "read-only": lambda a: (a.setflags(write=False), a)[1], "empty": lambda a: a[..., :0].copy(),
    "unaligned": lambda a: np.frombuffer(bytearray(b"\0" + a.tobytes()), a.dtype, offset=1).reshape(a.shape),
}  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    which=st.sampled_from(["x", "area", "zone", "statistics", *(f"totals.{name}" for name in SHAPES)]),
    alteration=st.sampled_from(sorted(ALTERATIONS)),
)
def test_results_arrive_or_the_arguments_are_refused(forest, expected, which, alteration):
    """Whatever is wrong with one argument: nothing is written into a copy, or past an end."""
    g = sound()
    name = which.removeprefix("totals.")
    holder = g.totals if which.startswith("totals.") else vars(g)
    holder[name] = ALTERATIONS[alteration](holder[name])
    before = {key: np.array(a) for key, a in g.arrays().items()}
    try:
        summarise(forest, g)
    except (TypeError, ValueError) as error:
        # Of how many zones there are, `cells` decides.
        assert str(error).startswith(tuple(g.totals) if name == "cells" else name), error
        for key, values in before.items():
            assert np.array_equal(np.array(g.arrays()[key]), values), key
        return
    for key, values in expected.arrays().items():
        assert np.array_equal(g.arrays()[key], values), key


@pytest.mark.parametrize(("which", "dtype", "message"), [
    ("statistics", "float64", r"statistics: expected float32; found float64, 2 x 7 x 300"),
    ("zone", "int32", r"zone: expected int64; found int32, 300"),
    ("area", "float32", r"area: expected float64; found float32, 300"),
    ("x", "float64", r"x: expected float32; found float64, 300 x 3"),
])  # fmt: skip
def test_a_wrong_type_is_named(forest, which, dtype, message):
    g = sound()
    setattr(g, which, getattr(g, which).astype(dtype))
    with pytest.raises(TypeError, match=message):
        summarise(forest, g)


def test_totals_of_another_type_are_named(forest):
    g = sound()
    g.totals["mean"] = g.totals["mean"].astype("int32")
    with pytest.raises(TypeError, match="mean: expected int64; found int32, 2 x 4"):
        summarise(forest, g)
    del g.totals["mean"]
    with pytest.raises(ValueError, match="mean: is missing"):
        summarise(forest, g)


@pytest.mark.parametrize("key", ["replicates", "outputs", "intercept", "slope", "z", "votes", "formats"])
def test_what_the_statistics_lack_is_named(key):
    sound_entries = {
        "replicates": 3, "outputs": 1, "intercept": np.zeros(3), "slope": np.ones(3), "z": 1.96, "formats": [1.0] * 8,
        "votes": [
            {
                "residual": np.ones(1, "float32"), "share": np.ones(1, "float32"), "codes": np.ones(1, "uint8"),
                "kth": 1, "least": 0.0,
            }
        ],
    }  # fmt: skip
    del sound_entries[key]
    with pytest.raises(ValueError, match=f"{key}: is missing"):
        module().Summary(sound_entries)


def test_values_are_never_narrowed():
    """Tables come from files: what is wider than the kernel's numbers is refused, not rounded."""
    with pytest.raises(TypeError, match="intercept: expected float64; found"):
        summary(intercept=np.zeros((OUTPUTS, REPLICATES), np.longdouble))
    assert summary(intercept=np.zeros((OUTPUTS, REPLICATES), "float32")) is not None


def test_predictions_of_others_are_checked_too():
    g = sound()
    predicted = np.zeros((REPLICATES, CELLS), "float32")
    arguments = (summary(), g.area, g.zone, g.statistics, g.totals, "")
    assert module().summarise(predicted, *arguments) is None
    for wrong in (predicted.astype("float64"), predicted.T, predicted[:2], np.asfortranarray(predicted)):
        with pytest.raises((TypeError, ValueError), match="predicted: expected"):
            module().summarise(wrong, *arguments)


def test_a_compiled_forest_says_how_it_travels(forest):
    with pytest.raises(TypeError, match="a compiled forest is not pickled"):
        pickle.dumps(forest)
