"""Local point density and expected error against the published definition, written out with all distances."""

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.cube.features import Feature, Features
from engine.forest import INSTRUCTION_SETS, native
from engine.validation.applicability import Applicability, _nearest, _within
from engine.validation.error_profile import UNKNOWN, ErrorProfile

COLUMNS = Features(tuple(Feature(name, name, "g", "1", name) for name in ("tn", "ai", "ph")))
IMPORTANCE = np.array([0.5, 0.2, 0.3])
SITES, CELLS = 60, 300
FOLDS = [np.random.default_rng(seed).permutation(np.arange(SITES) % 5) for seed in range(3)]


def numbers(n: int, seed: int, wide: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal([2, 0.6, 6], [wide, 0.1 * wide, 0.5 * wide], (n, 3)).astype("float32")


X = numbers(SITES, 0)
FITTED = Applicability.fit(X, COLUMNS, IMPORTANCE, FOLDS)


def dense(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances over the sites' mean distance, all of them."""
    weight = IMPORTANCE / X.astype(float).std(axis=0, ddof=1)

    def between(p, q):
        return np.sqrt((((p[:, None].astype(float) - q[None].astype(float)) * weight) ** 2).sum(axis=-1))

    own = between(X, X)
    return between(a, b) / own[~np.eye(SITES, dtype=bool)].mean()


def plain_profile(density: list[int], deviation: list[float], window: int) -> dict[int, float]:
    """Errors of moving windows, and the line through them that does not grow: min over starts of max over ends."""
    rows = sorted(((d, i) for i, d in enumerate(density) if d > 0), key=lambda row: row[0])
    found: dict[int, list[float]] = {}
    for start in range(len(rows) - window + 1):
        part = [deviation[i] for _, i in rows[start : start + window]]
        middle = rows[start + window // 2][0]
        found.setdefault(middle, []).append(math.sqrt(sum(e * e for e in part) / window))
    at = sorted(found)

    def average(first: int, last: int) -> float:
        values = [v for d in at[first : last + 1] for v in found[d]]
        return sum(values) / len(values)

    return {
        d: min(max(average(a, b) for b in range(i, len(at))) for a in range(i + 1)) for i, d in enumerate(at)
    }  # fmt: skip


def test_density_of_cells_and_sites_is_the_published_one() -> None:
    cells = numbers(CELLS, 7, 1.5)
    expected = (dense(cells, X) < FITTED.threshold).sum(axis=1)
    found = FITTED.local_point_density(cells)
    assert found.tolist() == expected.tolist() and found.dtype == np.int32
    assert (expected == 0).any() and expected.max() > 10
    near = dense(X, X) < FITTED.threshold
    assert FITTED.density.tolist() == [
        sum(near[i, j] and FOLDS[0][i] != FOLDS[0][j] for j in range(SITES)) for i in range(SITES)
    ]
    own = FITTED.local_point_density(X)  # all sites count, and a site is like itself
    assert (own > FITTED.density).all() and own.tolist() == near.sum(axis=1).tolist()


def test_some_site_vouches_exactly_where_the_dissimilarity_is_below_the_threshold() -> None:
    cells = numbers(5000, 8, 1.5)
    for threshold in (FITTED.threshold, float(np.sort(FITTED.dissimilarity(cells))[2500])):  # at the second a cell lies
        fitted = replace(FITTED, threshold=threshold)
        below = fitted.dissimilarity(cells) < np.float32(threshold)
        assert ((fitted.local_point_density(cells) > 0) == below).all() and 0 < below.sum() < 5000


def test_missing_rows_and_other_rows_make_no_difference() -> None:
    cells = numbers(100, 9)
    whole = FITTED.local_point_density(cells)
    spoilt = cells.copy()
    spoilt[[3, 60], [0, 2]] = np.nan, np.inf
    expected = whole.copy()
    expected[[3, 60]] = -1
    assert FITTED.local_point_density(spoilt).tolist() == expected.tolist()
    parts = [FITTED.local_point_density(part) for part in np.split(cells, [1, 18, 51])]
    assert np.concatenate(parts).tolist() == whole.tolist()


@pytest.mark.skipif(not native.is_built(), reason="without the compiled code")
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("bound", [0.0, 1e-3, 0.3, 2.0, 1e40])
def test_compiled_counts_are_the_plain_ones(name: str, bound: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 4, (203, 6)).astype("float32") / 4  # many distances are equal, and equal to bounds
    columns, scale = np.array([4, 0, 1, 5, 2]), np.array([0.5, 1.0, 1.0, 0.25, 1.0])
    points = np.concatenate([x[:70], x[:5]])[:, columns] * scale  # places that several sites share count severally
    squares = ((x[:, None, columns] * scale - points) ** 2).sum(axis=-1)
    for exact in (bound, float(np.median(squares)), float(squares[5, 9])):
        expected = _within(x, columns, scale, points, exact, compiled=False)
        assert expected.tolist() == (squares < exact).sum(axis=1).tolist()
        assert native.module().within(x, columns, scale, points, exact, name).tolist() == expected.tolist()
    huge = x * np.float32(1e25)
    found = native.module().within(huge, columns, scale * 1e14, points * 1e39, 1e78 * bound, name)
    assert found.tolist() == _within(huge, columns, scale * 1e14, points * 1e39, 1e78 * bound, compiled=False).tolist()
    assert (_nearest(x, columns, scale, points, compiled=True) == squares.min(axis=1)).all()


def test_profile_is_the_published_one_but_for_its_line() -> None:
    rng = np.random.default_rng(4)
    density = rng.integers(0, 25, 80)
    deviation = rng.normal(0, 1 + 3 / (1 + density))
    profile = ErrorProfile.fit(density, deviation)
    expected = plain_profile(density.tolist(), deviation.tolist(), 5)
    at = np.array(sorted(expected))
    np.testing.assert_allclose(profile.at(at), [expected[d] for d in at], rtol=1e-12)
    assert np.ptp(profile.error) > 0.3 and (np.diff(profile.at(np.arange(1, 40))) <= 0).all()
    beyond = profile.at(np.array([-1, 0, 1, 1000]))
    assert np.isnan(beyond[:2]).all() and (beyond[2], beyond[3]) == (profile.error[0], profile.error[-1])


def test_profile_by_hand() -> None:
    """Windows of three: errors 3, 3, 3 | 3, 3, 0 | 3, 0, 0, at densities 2, 4 and 6."""
    density, deviation = np.array([4, 0, 2, 8, 6, 1]), np.array([-3.0, 99, 3, 0, 0, 3])
    profile = ErrorProfile.fit(density, deviation, "mae", window=3)
    np.testing.assert_allclose(profile.at(np.array([1, 2, 3, 4, 6, 9])), [3, 3, 2.5, 2, 1, 1])
    assert ErrorProfile.fit(density, deviation, window=3).at(np.array([4])) == pytest.approx(math.sqrt(6))


def test_a_fall_that_may_be_chance_is_told_from_one_that_is_not() -> None:
    rng = np.random.default_rng(6)
    density, deviation = rng.integers(1, 30, 150), rng.normal(size=150)
    chance = ErrorProfile.fit(density, deviation)
    assert chance.p_value > 0.05 and np.ptp(chance.error) > 0.1  # and yet the line falls
    assert ErrorProfile.fit(density, deviation * 3 / (1 + density)).p_value < 1e-6


def test_profile_of_few_sites_is_flat_and_of_none_unknown() -> None:
    flat = ErrorProfile.fit(np.array([0, 2, 7]), np.array([5.0, 3, 4]))
    assert flat.at(np.array([1, 7, 30])) == pytest.approx([math.sqrt(12.5)] * 3)
    assert ErrorProfile.fit(np.zeros(9, int), np.ones(9)) is UNKNOWN
    assert np.isnan(UNKNOWN.at(np.array([0, 3]))).all()
