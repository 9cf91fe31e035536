"""Columns that the systematic error is linear in."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.uncertainty.basis import Basis

hundredths = st.integers(-10_000, 10_000).map(lambda n: n / 100)


@settings(max_examples=30, deadline=None)
@given(arrays("float64", st.tuples(st.integers(3, 12), st.integers(1, 5)), elements=hundredths))
def test_columns_are_standardised_at_the_sites(values):
    basis = Basis.of(values[:, 0], values[:, 1:], zones=2)
    columns = basis.columns(values[:, 0], values[:, 1:], np.arange(len(values)) % 3)
    assert columns.shape == (len(values), basis.size)
    assert basis.size == 1 + values.shape[1] + 2
    assert (columns[:, 0] == 1).all()
    for column, given_ in zip(columns[:, 1:-2].T, values.T, strict=True):
        assert column.mean() == pytest.approx(0, abs=1e-6)
        if np.ptp(given_) > 0:
            assert column.std() == pytest.approx(1)
            assert np.corrcoef(column, given_)[0, 1] == pytest.approx(1)


def test_worked_by_hand():
    # Predictions 1, 3: mean 2, sd 1. Covariate 10, 30: mean 20, sd 10; another one that is 5 everywhere.
    basis = Basis.of(np.array([1.0, 3.0]), np.array([[10.0, 5.0], [30.0, 5.0]]), zones=2)
    assert basis.scale.tolist() == [1, 10, 0]
    columns = basis.columns(
        np.array([2.5, 99.0, 1.0]), np.array([[15.0, 5.0], [-40.0, 8.0], [31.0, 5.0]]), np.array([2, 0, 1])
    )
    assert columns.tolist() == [
        [1, 0.5, -0.5, 0, 0, 1],
        [1, 1, -1, 0, 0, 0],  # beyond the sites on all sides, and in no zone
        [1, -1, 1, 0, 1, 0],
    ]


@settings(max_examples=30, deadline=None)
@example(0.1, 10)  # the mean of ten tenths is not a tenth: rounded
@given(hundredths, st.integers(2, 60))
def test_a_column_that_is_the_same_at_all_sites_counts_for_nothing(value, sites):
    prediction, same = np.arange(float(sites)), np.full((sites, 1), value)
    basis = Basis.of(prediction, same, zones=0)
    assert basis.scale[1] == 0
    assert (basis.columns(prediction, same, np.zeros(sites, int))[:, 2] == 0).all()
    assert (basis.columns(prediction, same + prediction[:, None], np.zeros(sites, int))[:, 2] == 0).all()


@settings(max_examples=30, deadline=None)
@given(
    arrays("float64", (6, 3), elements=hundredths),
    arrays("float64", (4, 3), elements=hundredths.map(lambda v: 3 * v)),
)
def test_cells_beyond_the_range_of_the_sites_are_as_those_at_its_ends(sites, cells):
    basis = Basis.of(sites[:, 0], sites[:, 1:], zones=0)
    zone = np.zeros(len(cells), int)
    columns = basis.columns(cells[:, 0], cells[:, 1:], zone)
    inside = np.clip(cells, sites.min(axis=0), sites.max(axis=0))
    assert columns.tolist() == basis.columns(inside[:, 0], inside[:, 1:], zone).tolist()
    at_sites = basis.columns(sites[:, 0], sites[:, 1:], np.zeros(len(sites), int))
    assert (columns >= at_sites.min(axis=0)).all() and (columns <= at_sites.max(axis=0)).all()


def test_input_is_left_as_it_is():
    rng = np.random.default_rng(0)
    prediction, x, zone = rng.normal(size=5), rng.normal(size=(5, 2)), np.array([0, 1, 2, 2, 1])
    before = prediction.copy(), x.copy(), zone.copy()
    Basis.of(prediction[:3], x[:3], 2).columns(prediction, x, zone)
    assert all(np.array_equal(a, b) for a, b in zip(before, (prediction, x, zone), strict=True))


def test_variances_share_that_of_the_covariates_out_among_them():
    basis = Basis.of(np.arange(4.0), np.random.default_rng(0).normal(size=(4, 5)), zones=3)
    variances = basis.variances(mean=2, contrast=3, covariates=10, zone=7)
    assert variances.tolist() == [2, 3, 2, 2, 2, 2, 2, 7, 7, 7]
    assert len(variances) == basis.size
    without = Basis.of(np.arange(4.0), np.empty((4, 0)), zones=0)
    assert without.variances(2, 3, 10, 7).tolist() == [2, 3]
