"""Regressions of deeper densities on the first depth's, over all profiles and per bootstrap sample."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from pipelines.soil_carbon.model.depth_regression import bootstrap_coefficients, fit_depth_regressions

LABELS = ("0-10", "0-30", "0-50")


def test_a_line_worked_by_hand():
    # x̄ = 3, ȳ = 7; Sxy = 10, Sxx = 4 + 0 + 4 = 8 … slope 1.25, intercept 3.25; residuals 0.5, −1, 0.5; SST = 14
    wide = pd.DataFrame({"socd_0-10": [1, 3, 5, 9.0], "socd_0-30": [5, 6, 10, np.nan]})
    (row,) = fit_depth_regressions(wide, LABELS[:2]).to_dict("records")
    assert (row["depth"], row["n"]) == ("0-30", 3)
    assert (row["slope"], row["intercept"]) == pytest.approx((1.25, 3.25))
    assert row["rmse"] == pytest.approx(np.sqrt(1.5 / 3))
    assert row["r2"] == pytest.approx(1 - 1.5 / 14)
    assert 0.05 < row["p_value"] < 0.5


def test_one_depth_needs_no_regression():
    table = fit_depth_regressions(pd.DataFrame({"socd_0-10": [1.0]}), ["0-10"])
    assert table.columns.tolist() == ["depth", "intercept", "slope", "r2", "p_value", "rmse", "n"]
    assert table.empty


def test_every_depth_with_too_few_profiles_is_named():
    nan = np.nan
    wide = pd.DataFrame({"socd_0-10": [1, 2, nan], "socd_0-30": [3, 4, 5.0], "socd_0-50": [nan, 4, 5.0]})
    with pytest.raises(InputError) as caught:
        fit_depth_regressions(wide, LABELS)
    first, second = map(str, caught.value.problems)
    assert "depth 0-30 cannot be regressed on depth 0-10: 2 profiles have both" in first
    assert "depth 0-50 cannot be regressed on depth 0-10: 1 profile has both" in second
    with pytest.raises(InputError, match=r"3 profiles all have 2 kg C/m²"):
        fit_depth_regressions(pd.DataFrame({"socd_0-10": [2.0] * 3, "socd_0-30": [3, 4, 5.0]}), LABELS[:2])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_each_replicate_is_a_plain_least_squares_fit(seed):
    rng = np.random.default_rng(seed)
    n = 30
    shallow = rng.uniform(1, 8, n)
    deep = np.stack([2.3 * shallow + rng.normal(0, 1, n), 3 * shallow + 0.5 + rng.normal(0, 1, n)], axis=1)
    deep[rng.random((n, 2)) < 0.3] = np.nan
    bootstrap = rng.integers(0, n, (5, n))
    result = bootstrap_coefficients(shallow, deep, bootstrap)
    assert result.shape == (5, 3, 2)
    assert result.dtype == np.float64
    assert (result[:, 0] == (0, 1)).all()
    for replicate, rows in enumerate(bootstrap):
        for depth in (1, 2):
            x, y = shallow[rows], deep[rows, depth - 1]
            both = np.isfinite(y)
            slope, intercept = np.polyfit(x[both], y[both], 1)
            assert result[replicate, depth] == pytest.approx((intercept, slope))


def test_a_replicate_does_not_depend_on_the_others():
    rng = np.random.default_rng(8)
    shallow, bootstrap = rng.uniform(1, 8, 147), rng.integers(0, 147, (100, 147)).astype(np.int32)
    deep = 2.3 * shallow[:, None] + rng.normal(0, 1, (147, 1))
    alone = bootstrap_coefficients(shallow, deep, bootstrap[40:41])
    np.testing.assert_array_equal(alone[0], bootstrap_coefficients(shallow, deep, bootstrap)[40])


def test_a_sample_with_too_few_distinct_profiles_is_named():
    shallow, deep = np.arange(5.0), np.array([[1.0, 1], [2, np.nan], [4, 3], [np.nan, 4], [5, 5]])
    whole = np.arange(5)
    poor = np.array([0, 0, 1, 2, 1])  # the second depth has only profiles 0 and 2
    with pytest.raises(InputError, match=r"depth 0-50 .* depth 0-10 in every .* replicate 1 draws 2 of them"):
        bootstrap_coefficients(shallow, deep, np.stack([whole, poor]), LABELS)
    with pytest.raises(InputError, match=r"depth 3 .* depth 1"):
        bootstrap_coefficients(shallow, deep, np.stack([whole, poor]))


def test_first_depth_alone():
    assert bootstrap_coefficients(np.ones(4), np.empty((4, 0)), np.zeros((3, 4), int)).tolist() == [[[0, 1]]] * 3


def test_replicates_with_errors_in_common():
    """Each is the regression of what it observes."""
    rng = np.random.default_rng(4)
    shallow = rng.uniform(2, 8, 20)
    deep = np.where(rng.random((20, 1)) < 0.8, 2 * shallow[:, None] + rng.normal(0, 0.3, (20, 1)), np.nan)
    bootstrap = rng.integers(0, 20, (3, 20))
    shared = rng.normal(0, 0.5, (3, 20, 2))
    found = bootstrap_coefficients(shallow, deep, bootstrap, shared=shared)
    for replicate, rows in enumerate(bootstrap):
        moved = shallow + shared[replicate, :, 0], deep + shared[replicate, :, 1:]
        np.testing.assert_array_equal(found[replicate], bootstrap_coefficients(*moved, rows[None])[0])
    plain = bootstrap_coefficients(shallow, deep, bootstrap)
    np.testing.assert_array_equal(bootstrap_coefficients(shallow, deep, bootstrap, shared=0 * shared), plain)
