import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from shapely import points

from pipelines.runfile.reader import PROFILE_COLUMNS
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import lake_shore, region_outline
from pipelines.virtual.profiles import COARSE_FRAGMENTS, SOC_PER_SOM, make_layers, punch_gaps
from pipelines.virtual.sites import COUNTS, DESIGNS, MICROSITE_CV, SOIL_TYPES, make_sites


@pytest.fixture(scope="module")
def sites(landscape: Landscape) -> pd.DataFrame:
    return make_sites(landscape, np.random.SeedSequence(3))


@pytest.fixture(scope="module")
def layers(sites: pd.DataFrame) -> pd.DataFrame:
    return make_layers(sites, np.random.SeedSequence(4))


@pytest.fixture(scope="module")
def reported(layers: pd.DataFrame) -> pd.DataFrame:
    return punch_gaps(layers, np.random.SeedSequence(5))


def carbon(layers: pd.DataFrame) -> pd.Series:
    """Eq. 1, layer by layer, kg/m²."""
    thickness = layers["bottom"] - layers["top"]
    return layers["soc"] * layers["bulk_density"] * thickness * (1 - layers["coarse_fragments"] / 100) * 0.01


def test_as_many_sites_as_the_study(sites: pd.DataFrame):
    assert len(sites) == 147 and sites["site"].is_unique
    assert sites["vegetation"].value_counts().to_dict() == COUNTS == {"forest": 78, "grassland": 25, "wetland": 44}
    assert sites["design"].value_counts().to_dict() == DESIGNS


def test_sites_lie_inside_apart_and_off_any_grid(sites: pd.DataFrame):
    x, y = sites["x"].to_numpy(), sites["y"].to_numpy()
    place = points(x, y)
    outline = region_outline()
    assert all(outline.contains(p) for p in place)
    assert min(p.distance(outline.exterior) for p in place) > 3500
    assert (lake_shore(x, y) > 0).all()
    assert pdist(np.column_stack([x, y])).min() > 6000
    assert len(np.unique(x)) == len(np.unique(y)) == 147


def test_sites_stand_in_their_vegetation(sites: pd.DataFrame, landscape: Landscape):
    there = landscape.vegetation_at(sites["x"].to_numpy(), sites["y"].to_numpy())
    names = np.array(["forest", "grassland", "wetland"])[there]
    # A site is placed within half a kilometre of the node that was drawn; some cross an edge.
    assert (names == sites["vegetation"]).mean() > 0.97


def test_every_soil_type_belongs_to_one_vegetation_type(sites: pd.DataFrame):
    for vegetation, (_, names) in SOIL_TYPES.items():
        assert set(sites.loc[sites["vegetation"] == vegetation, "soil_type"]) == set(names)
    assert set(COARSE_FRAGMENTS) == set(sites["soil_type"])


def test_cores_scatter_about_the_truth_as_asked(sites: pd.DataFrame):
    ratio = sites["core_0-10"] / sites["socd_0-10"]
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() == pytest.approx(np.hypot(MICROSITE_CV, 0.08), rel=0.1)
    assert (sites["core_0-10"] < sites["core_0-30"]).all() and (sites["core_0-30"] < sites["core_0-50"]).all()
    # One core, one micro-site: depths share its noise, so that the regressions between depths hold.
    assert np.corrcoef(ratio, sites["core_0-50"] / sites["socd_0-50"])[0, 1] > 0.9


def test_as_many_layers_as_the_study(layers: pd.DataFrame):
    assert list(layers.columns) == [name for name in PROFILE_COLUMNS if name != "position_error"]
    assert len(layers) == 440
    transect = layers[layers["source"] == "made-up transect"]
    assert sorted(set(zip(transect["top"], transect["bottom"], strict=True))) == [(0, 10), (10, 20), (20, 30), (30, 50)]
    assert len(transect) == 120 and transect["site"].nunique() == 30


def test_layers_follow_each_other_without_gap(layers: pd.DataFrame):
    for _, profile in layers.groupby("site"):
        assert profile["top"].iloc[0] == 0
        assert (profile["top"].to_numpy()[1:] == profile["bottom"].to_numpy()[:-1]).all()
        assert (profile["bottom"] > profile["top"]).all() and profile["bottom"].max() <= 100


def test_eq_1_gives_back_the_cores(layers: pd.DataFrame, sites: pd.DataFrame):
    by_site = layers.assign(carbon=carbon(layers)).groupby("site")
    total, bottom = by_site["carbon"].sum(), by_site["bottom"].max()
    cores = sites.set_index("site")
    for design, depth in {"topsoil": 10, "upper": 30, "standard": 50, "transect": 50}.items():
        chosen = cores.index[cores["design"] == design]
        assert (bottom[chosen] == depth).all()
        np.testing.assert_allclose(total[chosen], cores.loc[chosen, f"core_0-{depth}"], rtol=2e-3)
    horizon = cores.index[cores["design"] == "horizon"]
    assert (total[horizon] < cores.loc[horizon, "core_0-50"] * 1.8).all()
    below_50 = horizon[bottom[horizon] > 50]
    assert (total[below_50] > cores.loc[below_50, "core_0-50"]).all()


def test_bulk_density_falls_exponentially_with_carbon(layers: pd.DataFrame):
    slope, intercept = np.polyfit(layers["soc"], np.log(layers["bulk_density"]), 1)
    assert slope == pytest.approx(-0.0045, abs=0.001)
    assert np.exp(intercept) == pytest.approx(1.42, abs=0.06)
    assert layers["bulk_density"].between(0.2, 2.0).all()
    assert layers["soc"].between(1, 400).all()


def test_stones_depend_on_the_soil_type(layers: pd.DataFrame):
    means = layers.groupby("soil_type")["coarse_fragments"].mean()
    assert means.idxmax() == "brown coniferous forest soil" and means.idxmin() == "peat soil"
    assert layers["coarse_fragments"].between(0, 60).all()


def test_nitrogen_is_reported_of_the_uppermost_layer(layers: pd.DataFrame, sites: pd.DataFrame):
    assert layers.loc[layers["top"] > 0, "tn"].isna().all()
    top = layers[layers["top"] == 0].set_index("site")["tn"]
    assert (top / sites.set_index("site")["tn"]).std() == pytest.approx(0.1, abs=0.03)


def test_gaps_at_realistic_rates(reported: pd.DataFrame):
    share = reported.isna().mean()
    assert 0.15 < share["soc"] < 0.35
    assert 0.2 < share["bulk_density"] < 0.45
    assert 0.15 < share["coarse_fragments"] < 0.4
    with_tn = reported[reported["top"] == 0]["tn"].notna().mean()
    assert 0.4 < with_tn < 0.7
    assert reported[["site", "lon", "lat", "top", "bottom", "vegetation", "soil_type", "source"]].notna().all().all()


def test_transects_are_complete(reported: pd.DataFrame):
    transect = reported[reported["source"] == "made-up transect"]
    assert transect[["soc", "bulk_density", "coarse_fragments"]].notna().all().all()
    assert transect.loc[transect["top"] == 0, "tn"].notna().all()


def test_each_layer_has_soc_or_som(reported: pd.DataFrame, layers: pd.DataFrame):
    assert (reported["soc"].isna() ^ reported["som"].isna()).all()
    from_som = reported["som"].notna()
    np.testing.assert_allclose(SOC_PER_SOM * reported.loc[from_som, "som"], layers.loc[from_som, "soc"], atol=0.01)


def test_every_soil_type_keeps_measured_stones(reported: pd.DataFrame):
    assert (reported.groupby("soil_type")["coarse_fragments"].count() > 0).all()


def test_everything_says_that_it_is_made_up(reported: pd.DataFrame):
    assert reported["source"].str.startswith("made-up").all()
