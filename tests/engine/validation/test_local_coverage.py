"""Held-out sites under the joint model of the errors: the intervals are those of the map, and only those change."""

from dataclasses import replace

import numpy as np
import pytest

from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.uncertainty.new_observations import Located
from engine.validation.interval_coverage import hold_out
from engine.validation.predictive import METHODS, PROBABILITIES

SITES, REPLICATES = 50, 8
MEMBERS = (Member(family=FAMILIES["brt"], parameters={"n_estimators": 8}),)


def regress(first, others, bootstrap):
    line = np.array([[0.0, 1.0], [1.0, 2.0]])
    return np.broadcast_to(line[: 1 + others.shape[1]], (len(bootstrap), 1 + others.shape[1], 2)).copy()


@pytest.fixture
def data():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(SITES, 2)).astype("float32")
    place = rng.uniform(0, 1e5, (2, SITES))
    # Neighbours share an error, which sites nearby give away.
    first = 10 + x[:, 0] + 3 * np.sin(place[0] / 1.5e4) + 0.2 * rng.normal(size=SITES)
    observed = np.column_stack([first, 1 + 2 * first + 0.3 * rng.normal(size=SITES)])
    observed[::7, 1] = np.nan
    return x, observed, Located(*place, rng.integers(0, 3, SITES), 2)


def held_out(x, observed, located, test):
    item = ("one", test, np.random.SeedSequence(3))
    found = hold_out(item, x, observed, MEMBERS, regress, REPLICATES, 0.0, located)
    return found[0], found[1:].reshape(len(METHODS), len(PROBABILITIES), *found.shape[1:])


def test_only_the_intervals_of_the_map_follow_the_joint_model(data):
    x, observed, located = data
    test = np.arange(SITES) % 5 == 0
    mean, plain = held_out(x, observed, None, test)
    same_mean, local = held_out(x, observed, located, test)
    assert np.array_equal(mean, same_mean)
    assert np.array_equal(plain[0], plain[1])  # jackknife+ without it
    assert np.array_equal(plain[1:], local[1:])
    assert (np.diff(local[0], axis=0) >= 0).all()
    low, high = (np.flatnonzero(np.isclose(PROBABILITIES, p))[0] for p in (0.05, 0.95))
    width = {name: (of[0][high] - of[0][low])[0] for name, of in (("plain", plain), ("local", local))}
    assert np.ptp(width["local"]) > 0.05 * width["local"].mean()
    # What neighbours share is known from them.
    middle = np.flatnonzero(np.isclose(PROBABILITIES, 0.525))[0]
    off = {name: np.abs(of[0][middle][0] - observed[test, 0]).mean() for name, of in (("p", plain), ("l", local))}
    assert off["l"] < off["p"]


def test_too_few_sites_for_the_joint_model_leave_jackknife_plus(data):
    x, observed, located = (
        values[:12] if isinstance(values, np.ndarray) else values.only(slice(12)) for values in data
    )
    test = np.arange(12) < 3
    _, plain = held_out(x, observed, None, test)
    _, local = held_out(x, observed, located, test)
    assert np.array_equal(plain, local)


def test_places_are_told_apart_by_their_digest(data):
    located = data[2]
    assert located.digest == replace(located).digest
    others = [located.only(np.arange(SITES)[::-1]), replace(located, zones=3), replace(located, y=located.y + 1)]
    assert len({located.digest, *(other.digest for other in others)}) == 4
