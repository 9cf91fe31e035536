"""Families that cannot work are found before anything is computed; those that can are left alone."""

from dataclasses import replace

import pytest

from engine.models.families import FAMILIES, Family
from engine.models.smoke_test import try_family

SITES = 60


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_registry_works(family):
    assert try_family(replace(family, grid={}), SITES) == []


@pytest.mark.parametrize(
    "name",
    ["neighbors.KNeighborsRegressor", "gaussian_process.GaussianProcessRegressor", "neural_network.MLPRegressor"],
)
def test_so_do_others_of_scikit_learn(name):
    assert try_family(Family("mine", f"sklearn.{name}"), SITES) == []


@pytest.mark.parametrize(
    ("family", "says"),
    [
        (replace(FAMILIES["rf"], defaults={"max_features": "lots"}, grid={}), "'max_features' parameter of Random"),
        (replace(FAMILIES["xgboost"], defaults={"n_estimators": -5}, grid={}), "n_estimators is below 1"),
        (Family("mine", "sklearn.isotonic.IsotonicRegression"), "2d array with 1 feature"),
        (Family("mine", "sklearn.ensemble.StackingRegressor"), "missing 1 required positional argument"),
        (Family("mine", "sklearn.neighbors.KNeighborsRegressor", {"n_neighbors": 61}), "n_samples_fit = 60"),
        (Family("mine", "sklearn.svm.NuSVR", {"kernel": "precomputed"}), "square matrix"),
    ],
    ids=lambda value: value.name if isinstance(value, Family) else "",
)
def test_what_cannot_be_fitted_says_why(family, says):
    (problem,) = try_family(family, SITES)
    assert problem.startswith(f"{family.name} with {{") and says in problem


def test_every_value_of_a_grid_is_tried():
    family = replace(FAMILIES["xgboost"], grid={"subsample": (0.5, 2.0), "max_depth": (2, -1)})
    first, second = try_family(family, SITES)
    assert "subsample: 2.0" in first and "max_depth: -1" in second


def test_what_could_not_be_read_back_is_refused():
    (problem,) = try_family(Family("mine", "sklearn.neighbors.KNeighborsRegressor", {"algorithm": "ball_tree"}), SITES)
    assert "cannot be kept" in problem and "BallTree" in problem
