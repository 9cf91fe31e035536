"""Fold splitters by name: this package's, functions of one's own, and scikit-learn's."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold

from engine.errors import InputError
from engine.validation.folds import SPLITTERS, Places, block_folds, knndm_folds, random_folds, squares
from engine.validation.folds.splitters import find_splitter, split

RNG = np.random.default_rng(5)
LON, LAT, DOMAIN_LON, DOMAIN_LAT = (
    RNG.uniform(low, low + 10, n) for low, n in ((100, 60), (50, 60), (100, 90), (50, 90))
)
PLACES = Places(LON, LAT, DOMAIN_LON, DOMAIN_LAT, 150.0, RNG.normal(5, 2, 60))


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SPLITTERS, "_entries", dict(SPLITTERS._entries))


def folds(name: str, seed: int = 0) -> np.ndarray:
    return split(name, PLACES, 5, np.random.default_rng(seed))


def test_by_name_the_schemes_give_what_their_functions_give():
    def rng():
        return np.random.default_rng(0)

    np.testing.assert_array_equal(folds("random"), random_folds(60, 5, rng()))
    np.testing.assert_array_equal(folds("block"), block_folds(LON, LAT, 5, rng(), size_km=150.0))
    np.testing.assert_array_equal(folds("knndm"), knndm_folds(LON, LAT, DOMAIN_LON, DOMAIN_LAT, 5, rng()).folds)


@pytest.mark.parametrize("name", ["KFold", "GroupKFold", "LeaveOneGroupOut"])
def test_a_splitter_of_scikit_learn_holds_out_every_site_once(name: str):
    found = folds(f"sklearn.model_selection.{name}")
    assert found.shape == (60,) and set(found) == set(range(found.max() + 1))
    if "Group" in name:
        squared = squares(LON, LAT, 150.0)
        assert all(len(set(found[squared == square])) == 1 for square in np.unique(squared))


def test_repeats_differ_and_a_seed_gives_the_same_folds():
    for name in ("sklearn.model_selection.KFold", "sklearn.model_selection.GroupKFold"):
        np.testing.assert_array_equal(folds(name), folds(name))
        assert (folds(name) != folds(name, seed=1)).any()


def test_an_object_keeps_its_own_settings_and_follows_the_seed():
    SPLITTERS.register("seven", KFold(7, shuffle=True, random_state=1))
    SPLITTERS.register("groups", GroupKFold(4))
    assert folds("seven").max() == 6 and folds("groups").max() == 3
    assert (folds("seven") != folds("seven", seed=1)).any()
    np.testing.assert_array_equal(folds("seven"), folds("seven"))


def test_what_is_modelled_is_its_y():
    class Halves:
        def split(self, x, y, groups):
            low = np.flatnonzero(y < np.median(y))
            yield np.setdiff1d(np.arange(len(y)), low), low
            yield low, np.setdiff1d(np.arange(len(y)), low)

    SPLITTERS.register("halves", Halves)
    np.testing.assert_array_equal(folds("halves"), PLACES.observed >= np.median(PLACES.observed))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "sklearn.model_selection.ShuffleSplit",
            r"ShuffleSplit holds out \d+ of 60 sites never",
        ),
        ("sklearn.model_selection.TimeSeriesSplit", "holds out 10 of 60 sites never and 0 more"),
        (
            "sklearn.model_selection.StratifiedKFold",
            "StratifiedKFold cannot split the 60 sites: Supported",
        ),
        ("sklearn.model_selection.GridSearchCV", "is not a splitter of scikit-learn"),
        ("sklearn.nowhere.Thing", "is not a splitter of scikit-learn"),
        ("os.system", "'os.system' is not among random, block, knndm"),
        ("knndn", "did you mean `knndm`"),
        ("short", r"'short' gives int64 of shape \(3,\); expected whole numbers, one for each of the 60 sites"),
        ("one", "'one' puts all sites into one fold"),
        ("twice", "holds out 0 of 60 sites never and 60 more than once"),
    ],
)
def test_what_does_not_split_is_refused(name: str, problem: str):
    SPLITTERS.register("short", lambda places, k, rng: np.arange(3))
    SPLITTERS.register("one", lambda places, k, rng: np.zeros(60, int))
    SPLITTERS.register("twice", RepeatedKFold(n_splits=3, n_repeats=2))
    with pytest.raises(InputError, match=problem):
        folds(name)


def test_a_number_is_no_splitter():
    with pytest.raises(InputError, match="'mine' of this process is int; expected Callable"):
        SPLITTERS.register("mine", 3)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"model\.validation\.schemes: 'mine' is not among"):
        find_splitter("mine")
