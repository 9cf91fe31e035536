"""Fold schemes, against brute force, exhaustive search and worked cases."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod
from scipy.stats import wasserstein_distance
from sklearn.cluster import AgglomerativeClustering

from engine.errors import InputError
from engine.execution.ledger import Scratch
from engine.grid.sphere import EARTH_RADIUS_KM, nearest_other, nearest_outside
from engine.validation.folds import (
    Places,
    block_folds,
    default_block_size_km,
    further_folds,
    knndm,
    knndm_folds,
    random_folds,
    repeated_folds,
    schemes,
    to_sphere,
)

PEDONS = Path(__file__).parents[4] / "shared" / "data" / "circumpolar" / "pedons.csv"
DEGREE = EARTH_RADIUS_KM * np.pi / 180

# Few values, so that places are often shared, meet the pole and lie on both sides of the date line.
coordinates = st.tuples(
    st.sampled_from([-180.0, -179.5, -60.0, 0.0, 10.0, 10.1, 120.0, 179.0, 180.0]),
    st.sampled_from([50.0, 50.1, 66.0, 71.3, 85.0, 90.0]),
)
sites_and_folds = st.tuples(st.lists(coordinates, min_size=1, max_size=40), st.integers(2, 6), st.integers(0, 99))


def haversine(lon_1, lat_1, lon_2, lat_2):
    """Great-circle distances, km, of all pairs, the plain way."""
    lam_1, phi_1, lam_2, phi_2 = (np.radians(np.asarray(v, float)) for v in (lon_1, lat_1, lon_2, lat_2))
    h = np.sin((phi_1[:, None] - phi_2) / 2) ** 2
    h = h + np.cos(phi_1)[:, None] * np.cos(phi_2) * np.sin((lam_1[:, None] - lam_2) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def plain_gj_star(distances, folds):
    return np.array([min(row[j] for j in range(len(folds)) if folds[j] != folds[i]) for i, row in enumerate(distances)])


def in_rectangle(n, rng):
    """Points equally dense by area in 100–130° E, 45–70° N."""
    sine = rng.uniform(np.sin(np.radians(45)), np.sin(np.radians(70)), n)
    return rng.uniform(100, 130, n), np.degrees(np.arcsin(sine))


def clustered(n, rng, centres=12):
    lon, lat = in_rectangle(centres, rng)
    member = rng.integers(centres, size=n)
    return lon[member] + rng.normal(0, 0.2, n), lat[member] + rng.normal(0, 0.1, n)


def n_places(sites):
    return len(np.unique(to_sphere(*np.transpose(sites)).round(3), axis=0))


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


def test_sphere_has_the_axes_of_the_earth():
    expected = EARTH_RADIUS_KM * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    np.testing.assert_allclose(to_sphere([0, 90, 45, 180], [0, 0, 90, 0]), expected, atol=1e-9)


def test_distances_across_pole_and_date_line():
    # A degree apart over the date line; two degrees apart over the pole; a quarter of the globe.
    np.testing.assert_allclose(nearest_other(to_sphere([179.5, -179.5], [0, 0])), DEGREE)
    np.testing.assert_allclose(nearest_other(to_sphere([0, 180], [89, 89])), 2 * DEGREE)
    np.testing.assert_allclose(nearest_other(to_sphere([0, 90], [0, 0])), 90 * DEGREE)


def test_distances_are_those_of_the_ellipsoid_within_their_tolerance():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, (2, 200)), rng.uniform(40, 90, (2, 200))
    on_ellipsoid = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2]
    pairs = (to_sphere(x, y) for x, y in zip(lon.T, lat.T, strict=True))
    on_sphere = [nearest_other(pair)[0] for pair in pairs]
    np.testing.assert_allclose(on_sphere, np.array(on_ellipsoid) / 1000, rtol=0.006)


def test_impossible_coordinates_are_all_named():
    with pytest.raises(InputError) as error:
        to_sphere([0, 400, np.nan], [91, 0, 0])
    assert len(error.value.problems) == 2
    assert "400 in row 1, nan in row 2" in str(error.value.problems[0])
    assert "91 in row 0" in str(error.value.problems[1])


@given(st.integers(2, 12), st.integers(0, 200), st.integers(0, 99))
def test_random_folds_are_balanced_and_reproducible(k, extra, seed):
    folds = random_folds(k + extra, k, np.random.default_rng(seed))
    sizes = np.bincount(folds, minlength=k)
    assert len(sizes) == k
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(folds, random_folds(k + extra, k, np.random.default_rng(seed)))


def test_random_folds_differ_between_streams_and_follow_no_order():
    one, other = (random_folds(100, 10, np.random.default_rng(seed)) for seed in (1, 2))
    assert (one != other).any()
    assert (one != np.arange(100) % 10).any()


@pytest.mark.parametrize(("n", "k", "words"), [(3, 5, "5 folds need at least 5 sites; 3"), (9, 1, "2 or more")])
def test_too_few_sites_or_folds(n, k, words):
    with pytest.raises(InputError, match=words):
        random_folds(n, k, np.random.default_rng(0))


@settings(deadline=None, max_examples=60)
@given(sites_and_folds, st.sampled_from([20.0, 500.0, 3000.0]))
def test_block_folds_never_split_a_place_and_leave_no_fold_empty(drawn, size_km):
    sites, k, seed = drawn
    lon, lat = np.transpose(sites)
    try:
        folds = block_folds(lon, lat, k, np.random.default_rng(seed), size_km=size_km)
    except InputError:
        assume(size_km == 20.0)
        assert n_places(sites) < k or len(sites) < k
        return
    assert set(folds) == set(range(k))
    assert len({(site, fold) for site, fold in zip(sites, folds, strict=True)}) == len(set(sites))
    np.testing.assert_array_equal(folds, block_folds(lon, lat, k, np.random.default_rng(seed), size_km=size_km))


def test_blocks_are_whole_equal_squares_and_balanced(monkeypatch):
    rng = np.random.default_rng(5)
    lon, lat = in_rectangle(1500, rng)
    blocks, planes = [], []
    place_grid = schemes._blocks

    def spy(plane, size_km, rng):
        planes.append(plane)
        blocks.append(place_grid(plane, size_km, rng))
        return blocks[-1]

    monkeypatch.setattr(schemes, "_blocks", spy)
    folds = block_folds(lon, lat, 10, np.random.default_rng(0), size_km=150)
    assert len(blocks) == 1
    fold_of = pd.Series(folds).groupby(blocks[0]).agg(["nunique", "size"])
    assert (fold_of["nunique"] == 1).all()
    extents = pd.DataFrame(planes[0]).groupby(blocks[0]).agg(np.ptp)
    assert extents.to_numpy().max() <= 150
    # About 2000 × 2800 km: some 200 blocks. Greedy filling keeps folds closer than the smallest blocks are large.
    assert 150 < len(fold_of) < 350
    assert np.ptp(np.bincount(folds)) <= 2


def test_block_plane_is_equal_area_around_the_pole():
    lon, lat = np.meshgrid(np.arange(0, 360, 5.0), np.arange(50, 91, 5.0))
    plane = schemes._local_plane(to_sphere(lon.ravel(), lat.ravel()), lon.ravel(), lat.ravel())
    radius = np.hypot(*plane.T).reshape(lon.shape)[:, 0]
    # A cap of the ellipsoid from 50° N: π r² of the plane equals the area that a geodesic polygon of it has.
    circle = np.arange(0, 360, 0.1)
    area = abs(Geod(ellps="WGS84").polygon_area_perimeter(circle, np.full(len(circle), 50.0))[0]) / 1e6
    assert np.pi * radius[0] ** 2 == pytest.approx(area, rel=1e-4)
    assert radius[-1] == pytest.approx(0, abs=1e-6)


def test_blocks_too_large_for_the_folds_say_what_would_do():
    lon, lat = in_rectangle(50, np.random.default_rng(2))
    with pytest.raises(InputError, match=r"10 folds need at least 10 blocks .* the 50 sites lie in [1-4]\b") as error:
        block_folds(lon, lat, 10, np.random.default_rng(0), size_km=5000)
    advice = float(str(error.value).split("blocks of ")[-1].split()[0])
    assert set(block_folds(lon, lat, 10, np.random.default_rng(1), size_km=advice)) == set(range(10))
    with pytest.raises(InputError, match="above 0; found -1"):
        block_folds(lon, lat, 10, np.random.default_rng(0), size_km=-1)


def test_block_grid_moves_from_repeat_to_repeat():
    # On a fixed grid of 300 km blocks, half of the neighbours 100 km apart would share a block, and so a fold, always.
    rng = np.random.default_rng(2)
    lon, lat = in_rectangle(40, rng)
    lon, lat = np.tile(lon, 2), np.concatenate([lat, lat + 100 / DEGREE])
    repeats = [block_folds(lon, lat, 5, np.random.default_rng(seed), size_km=300) for seed in range(20)]
    together = np.mean([folds[:40] == folds[40:] for folds in repeats], axis=0)
    assert together.max() < 1
    assert together.mean() > 0.5


def test_default_block_is_a_hundredth_of_the_domain_for_ten_folds():
    assert default_block_size_km(560_000, 10) == pytest.approx(74.83, abs=0.01)
    with pytest.raises(InputError, match="found 0"):
        default_block_size_km(0, 10)


def test_three_tight_groups_far_apart_are_the_three_folds():
    # Groups at 0°, 20° and 40° E on the equator; the prediction area is 20° from each: W must come down from some 20°
    # to the groups' own width.
    lon = np.concatenate([centre + np.arange(4) * 0.1 for centre in (0, 20, 40)])
    found = knndm_folds(lon, np.zeros(12), np.array([60.3, -20.0]), np.zeros(2), 3, np.random.default_rng(0))
    assert same_partition(found.folds, np.repeat([0, 1, 2], 4))
    assert found.clusters == 3
    np.testing.assert_allclose(found.gj, 0.1 * DEGREE)
    np.testing.assert_allclose(found.gij, 20 * DEGREE)
    # To the next group from its near end: 19.7°, 19.8°, 19.9° and 20°, twice; the middle group from both its ends.
    ends, middle = np.tile([19.7, 19.8, 19.9, 20.0], 2), [19.7, 19.8, 19.8, 19.7]
    np.testing.assert_allclose(np.sort(found.gj_star), np.sort([*ends, *middle]) * DEGREE)
    assert found.w == pytest.approx((20 - np.mean([*ends, *middle])) * DEGREE)


def test_no_partition_at_all_matches_better_than_the_chosen_one():
    lon, lat = np.array([0, 0.1, 0.25, 20, 20.2, 20.3, 40, 40.2]), np.array([1, 0, 0.3, 0, 0.1, 0.5, 0, 0.2])
    rng = np.random.default_rng(3)
    domain = np.concatenate([rng.uniform(-30, -10, 100), rng.uniform(50, 70, 100)]), rng.uniform(-10, 10, 200)
    between, gij = haversine(lon, lat, lon, lat), haversine(*domain, lon, lat).min(axis=1)
    partitions = [p for p in product(range(3), repeat=8) if set(p) == {0, 1, 2} and max(np.bincount(p)) <= 4]
    best = min(wasserstein_distance(plain_gj_star(between, p), gij) for p in partitions if p[0] == 0)
    found = knndm_folds(lon, lat, *domain, 3, np.random.default_rng(0))
    assert found.w == pytest.approx(best)
    assert found.w < 0.5 * found.w_random


def test_distances_and_w_are_those_of_brute_force():
    rng = np.random.default_rng(4)
    lon, lat = clustered(80, rng)
    lon[1], lat[1] = lon[0], lat[0]
    domain = in_rectangle(500, rng)
    found = knndm_folds(lon, lat, *domain, 5, np.random.default_rng(0))
    between = haversine(lon, lat, lon, lat)
    gij = haversine(*domain, lon, lat).min(axis=1)
    gj = (between + np.diag(np.full(80, np.inf))).min(axis=1)
    gj_star = plain_gj_star(between, found.folds)
    for got, expected in ((found.gij, gij), (found.gj, gj), (found.gj_star, gj_star)):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-4)
    # The area between the two distribution functions, by the trapezium of a fine grid.
    at = np.linspace(0, max(gij.max(), gj_star.max()), 200_001)
    functions = [np.searchsorted(np.sort(g), at, side="right") / len(g) for g in (gij, gj_star)]
    assert found.w == pytest.approx(np.trapezoid(np.abs(functions[0] - functions[1]), at), rel=1e-3)
    assert found.w == pytest.approx(wasserstein_distance(gj_star, gij))


def test_clustered_sites_get_merged_ward_clusters_that_match_far_better_than_random_folds():
    rng = np.random.default_rng(6)
    lon, lat = clustered(150, rng)
    domain = in_rectangle(2000, rng)
    for seed in range(5):
        found = knndm_folds(lon, lat, *domain, 10, np.random.default_rng(seed))
        assert found.p_value < 1e-6
        assert found.w < 0.5 * found.w_random
        assert found.clusters is not None
        # The same clusters by another implementation: none is split between folds.
        ward = AgglomerativeClustering(found.clusters, linkage="ward").fit_predict(to_sphere(lon, lat))
        assert (pd.Series(found.folds).groupby(ward).nunique() == 1).all()


def test_regular_sites_get_random_folds():
    # Rows equally spaced by area, as the rectangle's points are.
    sines = np.linspace(np.sin(np.radians(45.9)), np.sin(np.radians(69.2)), 12)
    lon, lat = (v.ravel() for v in np.meshgrid(np.linspace(101, 129, 15), np.degrees(np.arcsin(sines))))
    found = knndm_folds(lon, lat, *in_rectangle(2000, np.random.default_rng(7)), 10, np.random.default_rng(0))
    assert found.p_value >= 0.05
    assert found.clusters is None
    assert found.w == found.w_random
    assert np.ptp(np.bincount(found.folds)) <= 1


def test_randomly_placed_sites_mostly_get_random_folds():
    # Distances of neighbours are dependent, so that the test rejects more of them than its 5 %: about a fifth.
    draws = (np.random.default_rng(seed) for seed in range(20))
    found = [knndm_folds(*in_rectangle(60, rng), *in_rectangle(1000, rng), 10, rng) for rng in draws]
    assert sum(f.clusters is None for f in found) > 12


@settings(deadline=None, max_examples=60)
@given(sites_and_folds, st.sampled_from([0.4, 0.5, 0.8]))
def test_knndm_invariants(drawn, maxp):
    sites, k, seed = drawn
    lon, lat = np.transpose(sites)
    domain = np.array([-100.0, -10.0, 100.0, 170.0]), np.array([55.0, 60.0, 65.0, 89.0])
    try:
        found = knndm_folds(lon, lat, *domain, k, np.random.default_rng(seed), maxp=maxp)
    except InputError:
        assert n_places(sites) < k or -(-len(sites) // k) > maxp * len(sites)
        return
    sizes = np.bincount(found.folds, minlength=k)
    assert len(found.folds) == len(sites)
    assert len(sizes) == k
    assert sizes.min() > 0
    assert sizes.max() <= maxp * len(sites)
    assert found.w <= found.w_random
    again = knndm_folds(lon, lat, *domain, k, np.random.default_rng(seed), maxp=maxp)
    np.testing.assert_array_equal(found.folds, again.folds)
    if found.clusters is not None:
        assert len(set(zip(sites, found.folds, strict=True))) == len(set(sites))


def test_order_of_the_sites_does_not_matter():
    rng = np.random.default_rng(8)
    lon, lat = clustered(120, rng)
    domain = in_rectangle(500, rng)
    order = rng.permutation(120)
    found = knndm_folds(lon, lat, *domain, 6, np.random.default_rng(0))
    shuffled = knndm_folds(lon[order], lat[order], *domain, 6, np.random.default_rng(0))
    assert found.clusters is not None
    np.testing.assert_array_equal(found.folds[order], shuffled.folds)
    blocks = block_folds(lon, lat, 6, np.random.default_rng(0), size_km=100)
    np.testing.assert_array_equal(
        blocks[order], block_folds(lon[order], lat[order], 6, np.random.default_rng(0), size_km=100)
    )


def test_no_fold_holds_more_than_its_share():
    # Four of five sites lie in one group: apart, as the distant prediction area asks for, it is too large a fold.
    rng = np.random.default_rng(10)
    lon, lat = rng.normal(0, 0.1, 50), rng.normal(60, 0.1, 50)
    lon[40:45] += 30
    lon[45:] += 60
    domain = rng.uniform(80, 100, 200), rng.uniform(55, 65, 200)
    for maxp, fullest in ((0.5, 25), (0.9, 40)):
        found = knndm_folds(lon, lat, *domain, 3, np.random.default_rng(0), maxp=maxp)
        assert np.bincount(found.folds).max() <= fullest
    assert same_partition(found.folds, np.repeat([0, 1, 2], [40, 5, 5]))


def test_large_clusters_stay_folds_and_small_ones_are_dealt_in_rounds():
    # 40 sites, 4 folds: cluster 0 (12) is a fold; clusters 1 … 7 of 4 sites are dealt to three folds along the axis.
    labels = np.repeat(np.arange(8), [12, 4, 4, 4, 4, 4, 4, 4])
    folds = knndm._merge(labels, labels.astype(float), 4, np.random.default_rng(0))
    fold_of = [folds[labels == cluster][0] for cluster in range(8)]
    assert fold_of[0] == 0
    assert set(fold_of[1:4]) == set(fold_of[4:7]) == {1, 2, 3}
    assert fold_of[7] in {1, 2, 3}
    # Two large ones and one small one cannot fill four folds.
    assert knndm._merge(np.repeat([0, 1, 2], [15, 15, 2]), np.arange(32.0), 4, np.random.default_rng(0)) is None


def test_many_places_are_gathered_before_the_tree(monkeypatch):
    rng = np.random.default_rng(9)
    lon, lat = clustered(600, rng)
    domain = in_rectangle(1000, rng)
    whole = knndm_folds(lon, lat, *domain, 5, np.random.default_rng(0))
    monkeypatch.setattr(knndm, "MAX_LEAVES", 100)
    gathered = knndm_folds(lon, lat, *domain, 5, np.random.default_rng(0))
    assert gathered.clusters is not None
    assert gathered.clusters <= 100
    assert gathered.w < 0.5 * gathered.w_random
    assert gathered.w < 1.5 * whole.w


@pytest.mark.parametrize(
    ("lon", "lat", "k", "maxp", "words"),
    [
        ([10.0] * 30, [60.0] * 30, 5, 0.5, "all 30 sites share one place"),
        ([10.0, 11.0, 12.0] * 10, [60.0] * 30, 5, 0.5, "at only 3 distinct places.*5 folds need at least 5 places"),
        ([10.0, 11.0, 12.0], [60.0] * 3, 5, 0.5, "5 folds need at least 5 sites; 3 can be used"),
        (list(range(30)), [60.0] * 30, 5, 0.1, r"from 0.2 \(6 of 30.*found 0.1"),
    ],
)
def test_sites_that_cannot_be_held_apart(lon, lat, k, maxp, words):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=words):
        knndm_folds(np.array(lon), np.array(lat), *in_rectangle(10, rng), k, rng, maxp=maxp)
    if maxp == 0.5:
        with pytest.raises(InputError, match=words):
            block_folds(np.array(lon), np.array(lat), k, rng, size_km=100)


def test_an_empty_prediction_area_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="no points of the prediction area"):
        knndm_folds(*in_rectangle(30, rng), np.array([]), np.array([]), 5, rng)


@pytest.mark.skipif(not PEDONS.is_file(), reason="../shared/data is not here")
def test_real_pedons_of_the_circumpolar_north():
    pedons = pd.read_csv(PEDONS)
    lon, lat = pedons["lon"].to_numpy(), pedons["lat"].to_numpy()
    rng = np.random.default_rng(0)
    cap = rng.uniform(-180, 180, 5000), np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(60)), 1, 5000)))
    found = knndm_folds(lon, lat, *cap, 10, rng)
    assert found.p_value < 1e-6
    assert found.w < 0.5 * found.w_random
    shared = pd.DataFrame({"lon": lon, "lat": lat, "fold": found.folds}).groupby(["lon", "lat"])["fold"].nunique()
    assert (shared == 1).all()
    assert len(shared) < len(pedons)
    folds = block_folds(lon, lat, 10, rng, size_km=300)
    # Whole blocks hold whole neighbourhoods: sites are farther from other folds than random folds leave them.
    sites = to_sphere(lon, lat)
    apart = [np.median(nearest_outside(sites, f)) for f in (folds, random_folds(len(lon), 10, rng))]
    assert apart[0] > 3 * apart[1]


@pytest.mark.parametrize("scheme", ["random", "block", "knndm"])
def test_folds_of_further_repeats_are_those_of_more(client, tmp_path, scheme):
    """However many are there; and what is kept is not divided again."""
    rng = np.random.default_rng(0)
    places = Places(*rng.uniform(100, 110, (2, 60)) - [[0], [50]], *rng.uniform(100, 110, (2, 90)) - [[0], [50]], 200.0)
    how = {"folds": 4, "seed": 3}
    whole = repeated_folds(client, (scheme,), places, repeats=5, **how)[scheme]
    scratch = Scratch(tmp_path)
    for there in (1, 3, 5):
        found = further_folds(client, scheme, places, whole[:there], repeats=5, scratch=scratch, **how)
        np.testing.assert_array_equal(found, whole)
    assert scratch.count() == 4
    np.testing.assert_array_equal(further_folds(client, scheme, places, whole, repeats=2, **how), whole[:2])
