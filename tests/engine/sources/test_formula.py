"""Formulas: arithmetic as NumPy's, units carried, and nothing but arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.formula import evaluate, names_in, units_of

A, B = np.array([1.0, 4.0, np.nan]), np.array([2.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", [3, 4, np.nan]), ("a - 2 * b", [-3, 4, np.nan]), ("-a ** 2", [-1, -16, np.nan]),
        ("a / b", [0.5, np.nan, np.nan]), ("log(b)", [np.log(2), np.nan, 0]), ("min(a, b)", [1, 0, np.nan]),
        ("sqrt(a) + 1e3", [1001, 1002, np.nan]), ("9 ** 9 ** 9 * a", [np.nan] * 3),
    ],
)  # fmt: skip
def test_values(text, expected):
    out = evaluate(text, {"a": A, "b": B})
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, np.array(expected, "float32"))


def test_names_in_their_order():
    assert names_in("clay + silt * 2 - clay") == ("clay", "silt")


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('ls')", "a.real", "a[0]", "lambda: a", "[a]", "a if b else a", "a == b", "f(a)",
     "a and b", "a + 'x'", "a + True", "sqrt(a, b)", "max(a)", "min(a, key=b)", "(a", "", "1 + 2", "a; b", "a := 2",
     "+".join("a" * 300)],
)  # fmt: skip
def test_what_is_no_formula(text):
    with pytest.raises(ValueError):
        names_in(text)


@given(st.text(alphabet="ab+-*/() 1.", max_size=30))
def test_any_text_is_a_formula_or_a_value_error(text):
    try:
        names = names_in(text)
    except ValueError:
        return
    assert evaluate(text, {name: A for name in names}).shape in (A.shape, ())


UNITS = {"clay": "%", "silt": "%", "t": "K", "p": "mm", "q": "mm"}


@pytest.mark.parametrize(
    ("text", "units"),
    [("clay + silt", "%"), ("t - 273.15", "K"), ("2 * clay", "%"), ("p / q", "1"), ("p * q", None), ("max(p, q)", "mm"),
     ("log(p)", "1"), ("p ** 2", None), ("-p", "mm"), ("p / 10", "mm")],
)  # fmt: skip
def test_units_are_carried(text, units):
    assert units_of(text, UNITS) == units


def test_unlike_units_do_not_add_up():
    with pytest.raises(ValueError, match="adds or compares % and mm"):
        units_of("clay + p", UNITS)
