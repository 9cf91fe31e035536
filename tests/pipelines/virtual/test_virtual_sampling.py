"""Other ways to choose the sites of the virtual region, repeated cores, and places that are not exact."""

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer
from scipy.spatial import KDTree

from engine.errors import InputError
from pipelines.cli import Sites
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS, write_boundary
from pipelines.virtual.profiles import make_layers, punch_gaps
from pipelines.virtual.raw.layout import size_of
from pipelines.virtual.sampling import PATTERNS, Sampling, off_transect, road_distance
from pipelines.virtual.sites import COUNTS, MICROSITE_CV, core_densities, make_sites
from pipelines.virtual.truth import region_grid


def sites_of(landscape: Landscape, **sampling) -> pd.DataFrame:
    return make_sites(landscape, np.random.SeedSequence(3), Sampling(**sampling))


@pytest.fixture(scope="module")
def patterns(landscape: Landscape) -> dict[str, pd.DataFrame]:
    return {pattern: sites_of(landscape, pattern=pattern) for pattern in PATTERNS}


@pytest.fixture(scope="module")
def messy(landscape: Landscape) -> pd.DataFrame:
    """Repeated cores, and places that are off by 800 m."""
    return sites_of(landscape, repeated=12, position_error=800.0)


def nearest_km(sites: pd.DataFrame) -> np.ndarray:
    """Distance of every site from its nearest neighbour."""
    places = sites[["x", "y"]].to_numpy()
    return KDTree(places).query(places, 2)[0][:, 1] / 1000


def test_every_pattern_has_the_study_sites_of_each_vegetation_type(patterns):
    for sites in patterns.values():
        assert sites["vegetation"].value_counts().to_dict() == COUNTS
        assert "position_error" not in sites and sites["site"].is_unique


def test_the_usual_sites_are_those_that_they_have_always_been(patterns):
    first, core = patterns["random"].iloc[0], (5.111429, 12.226414, 14.645541)
    assert tuple(first[["lon", "lat", "x", "y"]]) == pytest.approx((125.51671, 53.08627, 135147.3, 289572.7), abs=1e-5)
    assert tuple(first[["core_0-10", "core_0-30", "core_0-50"]]) == pytest.approx(core, rel=1e-5)


def test_clustered_sites_lie_along_roads_and_near_each_other(patterns, landscape: Landscape):
    usual, clustered = patterns["random"], patterns["clustered"]
    assert np.median(nearest_km(clustered)) < 0.5 * np.median(nearest_km(usual))
    # The pattern draws the places of towns first, then its roads: any roads are nearer than chance if these are they.
    rng = np.random.default_rng(np.random.SeedSequence(3).spawn(5)[0])
    weight = PATTERNS["clustered"].weight(landscape, rng)
    rows, columns = np.rint(landscape.plane.position(*clustered[["x", "y"]].to_numpy().T)).astype(int)
    assert np.median(weight[rows, columns]) > np.quantile(weight[landscape.inside], 0.95)


def test_roads_are_lines_through_the_region(landscape: Landscape):
    distance = road_distance(landscape, np.random.default_rng(0))[landscape.inside]
    assert 0.001 < (distance == 0).mean() < 0.05
    assert np.median(distance) < 150


def test_preferential_sites_are_richer_than_their_vegetation_type(patterns, landscape: Landscape):
    vegetation = landscape.vegetation_at(*np.meshgrid(landscape.plane.x, landscape.plane.y))
    carbon, inside = landscape.fields["socd_0-10"], landscape.inside
    excess = (
        pd.DataFrame(
            {
                pattern: [
                    sites.loc[sites["vegetation"] == zone, "socd_0-10"].mean()
                    - carbon[inside & (vegetation == number)].mean()
                    for number, zone in enumerate(COUNTS)
                ]
                for pattern, sites in patterns.items()
            }
        )
        / carbon[inside].std()
    )
    assert (excess["preferential"] > 0.2).all() and excess["preferential"].mean() > 0.5
    assert (excess["random"].abs() < 0.4).all() and abs(excess["random"].mean()) < 0.2


def test_the_transect_is_a_line(patterns):
    far = {pattern: off_transect(sites["x"], sites["y"]) / 1000 for pattern, sites in patterns.items()}
    assert np.median(far["transect"]) < 15 and np.quantile(far["transect"], 0.9) < 60
    assert np.median(far["random"]) > 80


def test_repeated_cores_share_a_cell_of_either_size_and_differ(messy: pd.DataFrame, patterns, tmp_path):
    first = messy.iloc[:147]
    pd.testing.assert_frame_equal(first[["x", "y"]], patterns["random"][["x", "y"]])
    repeats = messy.iloc[147:]
    assert 12 <= len(repeats) <= 24 and messy["site"].is_unique
    of = first.set_index("site").loc[repeats["site"].str[:-1]]
    assert of.index.nunique() == 12
    boundary = write_boundary(tmp_path / "boundary.geojson")
    for size in ("small", "full"):
        grid = region_grid(boundary, size_of(size))
        side = size_of(size).resolution
        left, top = grid.geobox.boundingbox.left, grid.geobox.boundingbox.top
        for axis, start in (("x", left), ("y", top)):
            cell = [np.floor((sites[axis].to_numpy() - start) / side) for sites in (repeats, of)]
            np.testing.assert_array_equal(*cell)
    noise = [sites["core_0-10"].to_numpy() / sites["socd_0-10"].to_numpy() for sites in (repeats, of)]
    assert np.std(noise[0] - noise[1]) > MICROSITE_CV / 2


def test_reported_places_are_off_by_what_they_say(messy: pd.DataFrame):
    x, y = Transformer.from_crs("EPSG:4326", REGION_CRS, always_xy=True).transform(messy["lon"], messy["lat"])
    off = np.concatenate([x - messy["x"], y - messy["y"]]) / np.tile(messy["position_error"], 2)
    assert off.std() == pytest.approx(1, abs=0.15) and abs(off.mean()) < 0.25
    by_design = messy.groupby("design")["position_error"].unique().str[0]
    assert by_design.pop("transect") == 80 and (by_design == 800).all()


def test_the_profile_table_tells_how_well_places_are_known(messy: pd.DataFrame):
    layers = punch_gaps(make_layers(messy, np.random.SeedSequence(4)), np.random.SeedSequence(5))
    assert layers["site"].nunique() == len(messy)
    assert list(layers.columns)[-1] == "position_error" and layers["position_error"].notna().all()


def test_independent_noise_does_not_cancel_out_over_the_sites():
    """The mean of 147 exact quantiles is 1; that of independent draws has the SD that sampling theory gives."""
    truth = np.full((147, 1), 4.0)
    exact, drawn = (
        [core_densities(truth, np.random.default_rng(k), independent=independent).mean() / 4 for k in range(60)]
        for independent in (False, True)
    )
    expected = MICROSITE_CV / np.sqrt(147)
    assert np.std(exact) < expected / 5
    assert np.std(drawn) == pytest.approx(expected, rel=0.35)
    assert np.mean(drawn) == pytest.approx(1, abs=3 * expected / np.sqrt(60))


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"pattern": "grid"}, "unknown pattern 'grid'.*random, clustered"),
        ({"repeated": -1}, "negative"),
        ({"position_error": 1e5}, "0 to 5,000 m"),
    ],
)
def test_impossible_samplings_are_refused(wrong: dict, says: str):
    with pytest.raises(InputError, match=says):
        Sampling(**wrong)


def test_the_command_offers_every_pattern():
    assert [str(pattern) for pattern in Sites] == list(PATTERNS)
