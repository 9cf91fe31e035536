"""Stored values to measurements, codes to classes, time steps to one value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.sources.decode import Declared, classify, decode
from engine.sources.entry import source_spec
from engine.sources.reduce import Reducer
from engine.sources.spec import SourceSpec

NAN = np.nan


def spec(**entries) -> SourceSpec:
    return source_spec(href="x.tif", **entries)


def test_scale_and_offset():
    stored = np.array([0, 10, -5], "int16")
    assert decode(stored, spec(), Declared()).tolist() == [0, 10, -5]
    assert decode(stored, spec(), Declared(scale=0.5, offset=1)).tolist() == [1, 6, -1.5]
    assert decode(stored, spec(scale=0.1, offset=2), Declared(scale=0.5, offset=1)) == pytest.approx([2, 3, 1.5])
    # Each replaces its own.
    assert decode(stored, spec(offset=0), Declared(scale=0.5, offset=1)).tolist() == [0, 5, -2.5]
    assert decode(stored, spec(scale=1), Declared(scale=0.5, offset=1)).tolist() == [1, 11, -4]


def test_fill_codes_speak_of_stored_values():
    stored = np.array([-3000, 32767, 5, 0], "int16")
    fills = spec(scale=0.1, nodata=-3000)
    assert decode(stored, fills, Declared(nodata=(32767.0,))) == pytest.approx([NAN, NAN, 0.5, 0], nan_ok=True)
    both = spec(nodata=(-3000, 32767))
    assert decode(stored, both, Declared()) == pytest.approx([NAN, NAN, 5, 0], nan_ok=True)
    # −300.0 after scaling is no fill code.
    assert decode(np.array([-300], "int16"), spec(scale=10, nodata=-3000), Declared()).tolist() == [-3000]


def test_the_valid_range_includes_its_ends():
    stored = np.array([-1, 0, 32700, 32701, 32761], "int32")
    out = decode(stored, spec(scale=1e-4, valid_range=(0, 32700)), Declared())
    assert out == pytest.approx([NAN, 0, 3.27, NAN, NAN], nan_ok=True)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@given(limits=st.tuples(st.floats(-100, 100), st.floats(-100, 100)).map(sorted))
def test_a_number_that_was_rounded_onto_its_limit_is_valid(kind, limits):
    stored = np.asarray(limits).astype(kind)
    for out in (
        decode(stored, spec(valid_range=limits), Declared()),
        decode(stored, spec(), Declared((), None, None, tuple(limits))),
    ):
        assert np.array_equal(out, stored.astype(float))
    beyond = np.asarray([limits[0] - 1, limits[1] + 1]).astype(kind)
    assert np.isnan(decode(beyond, spec(valid_range=limits), Declared())).all()


@pytest.mark.parametrize(("kind", "code"), [
    ("int64", -(2**63)), ("int64", 2**63 - 1), ("uint64", 2**64 - 1), ("int64", -9223372036854775806),
])  # fmt: skip
def test_an_integer_that_no_measurement_can_be_is_missing(kind, code):
    """GDAL keeps such a missing value as text that it cannot read back."""
    assert decode(np.array([code, 7], kind), spec(), Declared()) == pytest.approx([NAN, 7], nan_ok=True)


def test_a_float32_file_rounds_its_fill_code():
    stored = np.array([-3.4e38, 1.1, NAN, np.inf], "float32")
    out = decode(stored, spec(nodata=(-3.4e38, 1.1)), Declared())
    assert np.isnan(out).all()
    assert decode(np.array([1.1], "float64"), spec(nodata=1.1), Declared()) == pytest.approx([NAN], nan_ok=True)
    assert decode(np.array([7.0], "float32"), spec(), Declared(nodata=(NAN,))).tolist() == [7]


def test_a_fill_code_that_the_type_cannot_hold_is_harmless():
    assert decode(np.array([0, 255], "uint8"), spec(nodata=-9999), Declared()).tolist() == [0, 255]


def test_classes_count_from_one_in_their_order():
    vegetation = spec(classes={"forest": (1, 2), "grassland": (3,), "wetland": (250,)})
    assert classify(np.array([[1, 2, 3], [250, 99, 0]]), vegetation).tolist() == [[1, 1, 2], [3, 0, 0]]
    assert classify(np.array([1.0, 2.5, NAN]), vegetation).tolist() == [1, 0, 0]
    assert classify(np.array([1]), vegetation).dtype == np.uint8


VALUES = arrays("float64", (4, 3), elements=st.one_of(st.just(NAN), st.floats(-1e6, 1e6)))


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:All-NaN slice")
@given(steps=st.lists(VALUES, min_size=1, max_size=5), kind=st.sampled_from(["mean", "min", "max", "sum"]))
def test_reducers_equal_numpy(steps, kind):
    reducer = Reducer(kind)
    for step in steps:
        reducer.add(step.copy())
    stack = np.stack(steps)
    expected = {"mean": np.nanmean, "min": np.nanmin, "max": np.nanmax, "sum": np.sum}[kind](stack, axis=0)
    np.testing.assert_allclose(reducer.result(), expected, rtol=1e-12, atol=1e-9)


def test_reducers_leave_their_steps_alone():
    for kind in ("mean", "min", "max", "sum", "annual_sum"):
        first, second = np.array([1.0, NAN]), np.array([5.0, 2.0])
        reducer = Reducer(kind)
        reducer.add(first, 2001)
        reducer.add(second, 2001)
        reducer.result()
        assert first.tolist()[0] == 1
        assert second.tolist() == [5, 2]


def test_annual_sums_are_averaged_over_complete_years():
    reducer = Reducer("annual_sum")
    for step, values in enumerate([[1, 1], [2, NAN], [3, 3], [4, 4], [5, 5], [6, 6]]):
        reducer.add(np.array(values, float), 2001 + step // 2)
    assert reducer.result().tolist() == [(3 + 7 + 11) / 3, (7 + 11) / 2]


def test_no_complete_year_is_missing():
    reducer = Reducer("annual_sum")
    reducer.add(np.array([NAN]), 2001)
    reducer.add(np.array([1.0]), 2001)
    assert np.isnan(reducer.result()).all()
