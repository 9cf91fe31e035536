import numpy as np
import pytest
from scipy.stats import spearmanr
from shapely import Point
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from pipelines.virtual.carbon import moisture_effect
from pipelines.virtual.covariates import CLASSES, RANGES, SHARES, classify
from pipelines.virtual.landscape import Landscape, make_landscape
from pipelines.virtual.outline import LAKES, lake_shore, region_outline


def rho(landscape: Landscape, one: str | np.ndarray, other: str | np.ndarray) -> float:
    """Spearman's correlation over every 20th node inside."""
    a, b = (landscape.fields[v] if isinstance(v, str) else v for v in (one, other))
    return float(spearmanr(a[landscape.inside][::20], b[landscape.inside][::20])[0])


def vegetation(landscape: Landscape) -> np.ndarray:
    return classify(landscape.fields["wetland"], landscape.fields["grassland"])[landscape.inside]


def test_outline_has_the_area_of_the_study_and_is_no_box():
    outline = region_outline()
    assert outline.is_valid
    assert outline.area / 1e6 == pytest.approx(5.6e5)
    assert outline.area / outline.convex_hull.area < 0.98
    assert outline.area / outline.envelope.area < 0.85


def test_lakes_have_water_in_the_middle_and_land_around():
    for east, north, radius, *_ in LAKES:
        assert lake_shore(np.array([east * 1000]), np.array([north * 1000])) < 0
        far = np.array([(east + 4 * radius) * 1000])
        assert lake_shore(far, np.array([north * 1000])) > 0


def test_lakes_take_less_than_one_percent(landscape: Landscape):
    outline = region_outline()
    assert 0.99 < landscape.inside.sum() * (landscape.plane.spacing / 1000) ** 2 / 5.6e5 < 0.999
    assert not outline.contains(Point(landscape.plane.x[0], landscape.plane.y[0]))
    assert not landscape.inside[0].any()


@pytest.mark.parametrize("name", RANGES)
def test_covariates_fill_the_ranges_of_the_study(landscape: Landscape, name: str):
    values = landscape.fields[name][landscape.inside]
    assert (values.min(), values.max()) == pytest.approx(RANGES[name], rel=1e-4)


def test_vegetation_has_the_shares_of_the_study(landscape: Landscape):
    counts = np.bincount(vegetation(landscape), minlength=3) / landscape.inside.sum()
    assert dict(zip(CLASSES, counts, strict=True)) == pytest.approx(SHARES, abs=0.005)


def test_wetland_goes_before_grassland():
    assert classify(np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])).tolist() == [2, 2, 1, 0]


def test_gradients(landscape: Landscape):
    x, y = np.meshgrid(landscape.plane.x, landscape.plane.y)
    assert rho(landscape, "mat", y) < -0.4
    assert rho(landscape, "mat", "relief") < -0.2
    assert rho(landscape, "map", x + y) > 0.4
    assert rho(landscape, "ai", x + y) > 0.4


def test_relations(landscape: Landscape):
    assert rho(landscape, "ai", "map") > 0.6
    assert rho(landscape, "ndvi", "evi") > 0.7
    assert rho(landscape, "ndvi", "npp") > 0.5
    assert 0.3 < rho(landscape, "tn", "ai") < 0.8
    assert rho(landscape, "tn", "wetland") > 0.3
    assert rho(landscape, "ph", "ai") < -0.4
    assert abs(rho(landscape, "clay_silt", "socd_0-10")) < 0.35


def test_grassland_is_dry_and_southwestern_and_wetland_low(landscape: Landscape):
    classes = vegetation(landscape)
    x, y = (v[landscape.inside] for v in np.meshgrid(landscape.plane.x, landscape.plane.y))
    forest, grassland, wetland = (classes == number for number in range(3))
    ai, relief = (landscape.fields[name][landscape.inside] for name in ("ai", "relief"))
    assert ai[grassland].mean() < ai[forest].mean() - 0.05
    assert (x + y)[grassland].mean() < (x + y)[forest].mean() - 100_000
    assert relief[wetland].mean() < relief[forest].mean() - 0.3
    assert ai[wetland].mean() > ai.mean()


@pytest.mark.parametrize(
    "depth, mean, sd, low, high", [("0-10", 4.2, 1.1, 0.1, 8), ("0-30", 9.8, 2.5, 0.3, 22), ("0-50", 12.7, 2.9, 1, 27)]
)
def test_carbon_is_calibrated_to_the_study(
    landscape: Landscape, depth: str, mean: float, sd: float, low: float, high: float
):
    values = landscape.fields[f"socd_{depth}"][landscape.inside]
    assert values.mean() == pytest.approx(mean, abs=0.1)
    assert values.std() == pytest.approx(sd, rel=0.08)
    assert low <= values.min() and values.max() <= high


def test_carbon_rises_with_depth_everywhere(landscape: Landscape):
    shallow, middle, deep = (landscape.fields[f"socd_{depth}"] for depth in ("0-10", "0-30", "0-50"))
    assert (shallow > 0).all() and (middle > shallow).all() and (deep > middle).all()


def test_deeper_carbon_is_linear_in_the_topsoil_with_scatter(landscape: Landscape):
    topsoil = landscape.fields["socd_0-10"][landscape.inside]
    for depth, slope in (("0-30", 2.2), ("0-50", 2.52)):
        deep = landscape.fields[f"socd_{depth}"][landscape.inside]
        assert np.polyfit(topsoil, deep, 1)[0] == pytest.approx(slope, rel=0.06)
        assert 0.85 < np.corrcoef(topsoil, deep)[0, 1] ** 2 < 0.97
        # The scatter goes both ways all along the line.
        assert np.corrcoef(topsoil, deep - np.polyval(np.polyfit(topsoil, deep, 1), topsoil))[0, 1] ** 2 < 1e-6


def test_carbon_of_the_vegetation_types(landscape: Landscape):
    classes, topsoil = vegetation(landscape), landscape.fields["socd_0-10"][landscape.inside]
    forest, grassland, wetland = (topsoil[classes == number].mean() for number in range(3))
    assert wetland > forest > grassland
    assert (wetland, forest, grassland) == pytest.approx((5.0, 4.5, 3.5), abs=0.45)


def test_moisture_matters_only_above_the_threshold():
    low, corner, high = moisture_effect(np.array([0.3, 0.5, 0.9]))
    assert low < 0.001
    assert corner == pytest.approx(0.04 * np.log(2))
    assert high == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize("seed", [1, 11])
def test_nitrogen_is_the_first_driver_and_moisture_the_second(seed: int, landscape: Landscape):
    given = landscape if seed == 1 else make_landscape(np.random.SeedSequence(seed))
    rng = np.random.default_rng(0)
    nodes = rng.choice(np.flatnonzero(given.inside), 4000, replace=False)
    names = [*RANGES, "wetland", "grassland"]
    x = np.column_stack([given.fields[name].ravel()[nodes] for name in names])
    y = given.fields["socd_0-10"].ravel()[nodes]
    forest = RandomForestRegressor(40, min_samples_leaf=3, random_state=0).fit(x[:3000], y[:3000])
    importance = permutation_importance(forest, x[3000:], y[3000:], n_repeats=3, random_state=0).importances_mean
    order = [names[i] for i in np.argsort(-importance)]
    assert order[:2] == ["tn", "ai"]
    explained = forest.score(x[3000:], y[3000:])
    assert 0.7 < explained < 0.95, "part of the carbon is nothing that the covariates know"


def test_same_seed_same_landscape(landscape: Landscape):
    again = make_landscape(np.random.SeedSequence(1))
    other = make_landscape(np.random.SeedSequence(2))
    for name, values in landscape.fields.items():
        np.testing.assert_array_equal(again.fields[name], values)
    assert not np.array_equal(other.fields["tn"], landscape.fields["tn"])


def test_values_between_nodes(landscape: Landscape):
    plane = landscape.plane
    (value,) = landscape.at(["mat"], np.array([plane.x[300] + 500]), np.array([plane.y[200]]))
    assert value == pytest.approx(landscape.fields["mat"][200, 300:302].mean(), abs=1e-5)
