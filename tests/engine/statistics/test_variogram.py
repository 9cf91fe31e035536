"""Semivariances, and the model fitted to them."""

import numpy as np
import pytest

from engine.grid.sphere import to_sphere
from engine.statistics.variogram import FEWEST_PAIRS, Variogram, fit_variogram, great_circle

BOX = ((118, 129), (48, 53))


def points(n, seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(*BOX[0], n), rng.uniform(*BOX[1], n), rng


def simulate(model, n, seed):
    lon, lat, rng = points(n, seed)
    place = to_sphere(lon, lat)
    covariance = model.covariance(great_circle(place[:, None], place[None]))
    return lon, lat, np.linalg.cholesky(covariance) @ rng.normal(size=n), rng


def test_distances_over_the_pole():
    # One degree from the pole on either side: two degrees of a great circle, 2 π 6371.0088 / 180 km.
    a, b = to_sphere(np.array([0.0, 180.0]), np.array([89.0, 89.0]))
    assert great_circle(a, b) == pytest.approx(222.3902, abs=1e-3)


def test_covariances_worked_by_hand():
    spherical = Variogram("spherical", nugget=0.5, sill=2.0, range_km=100)
    # 1 − 1.5 · 0.5 + 0.5 · 0.125 = 0.3125 at half the range
    assert spherical.covariance(np.array([0, 50, 100, 300])) == pytest.approx([2.5, 0.625, 0, 0])
    assert spherical.structured(np.array([0, 50])) == pytest.approx([2, 0.625])
    exponential = Variogram("exponential", nugget=0, sill=2.0, range_km=100)
    assert exponential.covariance(np.array([0, 100])) == pytest.approx([2, 2 * np.exp(-3)])
    nugget = Variogram("nugget", nugget=3, sill=0, range_km=0)
    assert nugget.covariance(np.array([0, 0.001])).tolist() == [3, 0]


def test_semivariances_are_those_of_a_plain_loop():
    lon, lat, rng = points(60, 0)
    values = rng.normal(size=60)
    empirical = fit_variogram(lon, lat, values, rng, cutoff_km=300).empirical
    place = to_sphere(lon, lat)
    near = sorted(
        (float(great_circle(place[i], place[j])), (values[i] - values[j]) ** 2 / 2)
        for i in range(60)
        for j in range(i)
        if great_circle(place[i], place[j]) <= 300
    )
    assert empirical.pairs.sum() == len(near)
    assert empirical.pairs.min() >= FEWEST_PAIRS
    start = 0
    for distance, semivariance, pairs in zip(*vars(empirical).values(), strict=True):
        expected = np.mean(near[start : start + pairs], axis=0)
        assert (distance, semivariance) == pytest.approx(tuple(expected))
        start += pairs


@pytest.mark.parametrize("model", ["exponential", "spherical"])
def test_a_known_correlation_is_found(model):
    truth = Variogram(model, nugget=0.3, sill=1.0, range_km=150)
    fits = [fit_variogram(*simulate(truth, 250, seed)) for seed in range(10)]
    assert sum(fit.model != "nugget" for fit in fits) >= 9
    assert np.median([fit.nugget for fit in fits]) == pytest.approx(0.3, abs=0.15)
    assert np.median([fit.nugget + fit.sill for fit in fits]) == pytest.approx(1.3, abs=0.25)
    assert np.median([fit.range_km for fit in fits]) == pytest.approx(150, abs=50)


def test_noise_is_a_pure_nugget():
    fits = []
    for seed in range(40):
        lon, lat, rng = points(100, seed)
        fits.append(fit_variogram(lon, lat, rng.normal(0, 2, 100), rng))
    # At 5 %, more than 6 of 40 false alarms have a chance of 1 %.
    pure = [fit for fit in fits if fit.model == "nugget"]
    assert len(pure) >= 34
    assert all((fit.sill, fit.range_km) == (0, 0) and "no spatial correlation" in str(fit) for fit in pure)
    assert np.mean([fit.nugget for fit in pure]) == pytest.approx(4, rel=0.1)


def test_too_little_to_fit_is_said_not_raised():
    rng = np.random.default_rng(0)
    two = fit_variogram(np.array([120.0, 121]), np.array([50.0, 50]), np.array([1.0, 3]), rng)
    assert (two.model, two.nugget, two.range_km) == ("nugget", 2.0, 0.0)
    assert "1 pairs of points" in two.note or "0 pairs of points" in two.note
    lon, lat, _ = points(50, 0)
    same = fit_variogram(lon, lat, np.full(50, 4.0), rng)
    assert (same.nugget, same.sill) == (0, 0)
    assert "none different" in same.note
    assert fit_variogram(lon, lat, np.full(50, np.nan), rng).model == "nugget"


def test_missing_values_do_not_count():
    lon, lat, values, _ = simulate(Variogram("spherical", 0.1, 1.0, 200), 150, 3)
    holes = values.copy()
    holes[100:] = np.nan
    fits = [
        fit_variogram(lon, lat, holes, np.random.default_rng(1)),
        fit_variogram(lon[:100], lat[:100], values[:100], np.random.default_rng(1)),
    ]
    assert str(fits[0]) == str(fits[1])


def test_random_pairs_stand_for_all():
    lon, lat, values, _ = simulate(Variogram("spherical", 0.2, 1.0, 150), 700, 5)
    full = fit_variogram(lon, lat, values, np.random.default_rng(1))
    some, again = (fit_variogram(lon, lat, values, np.random.default_rng(1), max_pairs=60_000) for _ in range(2))
    assert full.empirical.pairs.sum() > 60_000 > some.empirical.pairs.sum()
    assert str(some) == str(again)
    assert some.nugget + some.sill == pytest.approx(full.nugget + full.sill, rel=0.15)
    assert some.range_km == pytest.approx(full.range_km, rel=0.35)


def test_a_trend_is_reported_as_longer_than_the_cutoff():
    lon, lat, rng = points(200, 2)
    fit = fit_variogram(lon, lat, lon + rng.normal(0, 0.1, 200), rng, cutoff_km=200)
    assert fit.range_km == pytest.approx(200, rel=0.02)
    assert "still rises at 200 km" in fit.note


def test_the_robust_estimator_resists_an_outlier():
    lon, lat, values, rng = simulate(Variogram("spherical", 0.2, 1.0, 150), 200, 7)
    spoilt = values.copy()
    spoilt[0] += 30

    def level(values, estimator):
        empirical = fit_variogram(lon, lat, values, rng, estimator=estimator).empirical
        return np.average(empirical.semivariance, weights=empirical.pairs)

    clean = level(values, "matheron")
    assert level(values, "cressie-hawkins") == pytest.approx(clean, rel=0.15)
    assert level(spoilt, "cressie-hawkins") == pytest.approx(clean, rel=0.4)
    assert level(spoilt, "matheron") > 4 * clean
