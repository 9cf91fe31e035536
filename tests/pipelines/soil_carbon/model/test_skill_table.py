"""Skill of deeper depths: predicted as the map predicts them, by lines of the training folds."""

import numpy as np
import pytest

from engine.validation.cross_validation import HeldOut
from pipelines.soil_carbon.model.skill import by_line, skill_table


def test_lines_are_those_of_the_other_folds():
    rng = np.random.default_rng(0)
    first, folds = rng.gamma(4, 1, 50), np.stack([rng.permutation(np.arange(50) % 5) for _ in range(3)])
    target = 1 + 2 * first + rng.normal(0, 1, 50)
    target[::4] = np.nan
    predicted = rng.gamma(4, 1, (3, 50))
    found = by_line(first, target, folds, predicted)
    for repeat in range(3):
        for fold in range(5):
            held_out = folds[repeat] == fold
            train = ~held_out & np.isfinite(target)
            slope, intercept = np.polyfit(first[train], target[train], 1)
            assert found[repeat, held_out] == pytest.approx(intercept + slope * predicted[repeat, held_out])


def test_one_site_elsewhere_gives_its_value_and_none_gives_nothing():
    first, target = np.array([1.0, 2, 3]), np.array([5.0, np.nan, np.nan])
    found = by_line(first, target, np.array([[0, 1, 1]]), np.array([[4.0, 4, 4]]))
    np.testing.assert_array_equal(found, [[np.nan, 5, 5]])


def test_every_family_scheme_and_depth_has_its_skill():
    rng = np.random.default_rng(1)
    first = rng.gamma(4, 1, 60)
    observed = np.column_stack([first, 3 * first])
    folds = {name: np.arange(60)[None] % 5 for name in ("random", "knndm")}
    perfect, useless = first[None], rng.permutation(first)[None]
    predicted = {(family, scheme): values for family, values in {"rf": perfect, "svm": useless}.items()
                 for scheme in folds}  # fmt: skip
    table = skill_table(HeldOut(first, folds, predicted), observed, ("0-10", "0-30"), np.arange(60))
    skill = table.set_index(["family", "scheme", "depth"])["skill"]
    assert len(skill) == 8
    assert skill["rf"].to_numpy() == pytest.approx(1)
    assert (skill["svm"] < 0).all()
    assert table["n"].eq(60).all() and table["groups"].to_numpy() == pytest.approx(60)
