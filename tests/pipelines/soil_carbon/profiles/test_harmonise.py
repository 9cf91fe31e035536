"""Carbon of layers across a boundary: which rule applies, what it gives, and that it neither makes nor loses any."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.soil_carbon.profiles.density import profile_densities
from pipelines.soil_carbon.profiles.gap_filling import fill_layers
from pipelines.soil_carbon.profiles.harmonise import layer_parts
from pipelines.soil_carbon.profiles.read_profiles import read_profiles

DATA = Path(__file__).parents[5] / "shared" / "data" / "circumpolar"
FLAGS = {"bulk_density_filled": False, "coarse_fragments_filled": False, "soc_from_som": False}


def layers(*rows, site="A"):
    """Layers of (top, bottom, kg C/m³): SOC in g/kg at a bulk density of 1 g/cm³."""
    frame = pd.DataFrame(rows, columns=["top", "bottom", "soc"], dtype=float)
    return frame.assign(site=site, bulk_density=1.0, coarse_fragments=0.0, **FLAGS)


def density(frame, top, bottom, harmonise="spline"):
    (row,) = profile_densities(frame, top, bottom, harmonise=harmonise).to_dict("records")
    return row


def test_a_layer_is_divided_by_the_spline():
    # λ = 0.1: the slope is −36/42.4 at 10 cm, the mean 8 + 0.2 · slope; from the top, mean − 10 · slope/6, the spline
    # falls by slope/20 · x².
    slope = -36 / 42.4
    mean = 8 + 0.2 * slope
    upper = 5 * (mean - 10 * slope / 6) + slope / 20 * 5**3 / 3
    result = density(layers((0, 10, 8), (10, 20, 2)), 0, 5)
    assert result["socd"] == pytest.approx(0.8 * upper / (10 * mean))
    assert result["socd"] == pytest.approx(0.454217, abs=1e-6)
    assert (result["rule"], result["layers_split"]) == ("spline", 1)
    assert density(layers((0, 10, 8), (10, 20, 2)), 0, 5, "layers")["socd"] == pytest.approx(0.4)


@pytest.mark.parametrize("harmonise", ["spline", "layers", "exact"])
def test_a_profile_sampled_at_the_target_depths_comes_back_unchanged(harmonise):
    sampled = layers((0, 10, 60), (10, 20, 30), (20, 30, 12), (30, 50, 5))
    for depth, carbon in (((0, 10), 6), ((0, 30), 10.2), ((10, 30), 4.2), ((0, 50), 11.2)):
        result = density(sampled, *depth, harmonise)
        assert result["socd"] == pytest.approx(carbon, rel=1e-15)
        assert (result["rule"], result["layers_split"], result["excluded"]) == ("exact", 0, "")


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 40, 20)],  # one layer: the spline knows no more than the layer
        [(0, 20, 100), (20, 40, 1)],  # the spline falls below zero under 20 cm
        [(0, 20, 10), (20, 40, 0)],
        [(0, 40, 0), (40, 60, 0)],
    ],
)
def test_divided_in_proportion_where_the_spline_does_not_serve(rows):
    by_spline, by_layers = (density(layers(*rows), 0, 30, harmonise) for harmonise in ("spline", "layers"))
    assert by_spline == by_layers
    assert by_spline["rule"] == "split"


def test_only_the_layer_where_the_spline_is_negative_falls_back():
    rows = [(0, 8, 9), (8, 20, 12), (20, 40, 100), (40, 60, 1)]
    parts = layer_parts(layers(*rows).assign(concentration=lambda frame: frame["soc"]), 10, 50)
    assert parts["crosses"].tolist() == [False, True, False, True]
    assert parts["proportional"].tolist() == [False, False, False, True]
    assert parts["socd"][3] == pytest.approx(1 * 0.1)
    assert density(layers(*rows), 10, 50)["rule"] == "split"


@pytest.mark.parametrize(("gap", "rule"), [(3, "spline"), (3.1, "")])
def test_a_small_gap_is_bridged(gap, rule):
    uniform = layers((0, 10, 40), (10 + gap, 30, 40))
    result = density(uniform, 0, 30)
    assert result["rule"] == rule
    assert result["excluded"] == ("" if rule else "gap 10–13.1 cm")
    assert (result["gap_bridged"], result["socd"]) == pytest.approx((3, 12) if rule else (0, np.nan), nan_ok=True)
    assert density(uniform, 0, 30, "layers")["kind"] == "have a gap"


def test_several_gaps_count_together_and_only_inside():
    several = layers((0, 10, 9), (12, 20, 8), (22, 28, 7), (29, 60, 6), (69, 80, 6))
    assert density(several, 0, 30)["excluded"] == "gap 10–12 cm; gap 20–22 cm; gap 28–29 cm"
    assert density(several, 0, 60)["gap_bridged"] == pytest.approx(5)
    assert density(several, 0, 11)["gap_bridged"] == pytest.approx(1)
    assert density(several, 11, 21)["excluded"] == "gap 11–12 cm; gap 20–21 cm"
    # Between the layers' ends the bridge is straight.
    ends = 9 * 10 + 8 * 8 + 7 * 6 + 6 * 31
    assert density(several, 0, 60)["socd"] * 100 == pytest.approx(ends + 2 * 8.5 + 2 * 7.5 + 6.5, rel=0.002)


def test_no_bridge_below_zero():
    steep = layers((0, 20, 100), (20, 40, 0.1), (41, 80, 0.1))
    assert density(steep, 0, 80)["excluded"] == "gap 40–41 cm"
    assert density(layers((0, 20, 100), (20, 40, 50), (41, 80, 40)), 0, 80)["rule"] == "spline"


def test_nothing_is_added_above_the_first_layer_or_below_the_last():
    assert density(layers((0.5, 10, 40), (10, 30, 40)), 0, 30)["excluded"] == "profile starts at 0.5 cm"
    assert density(layers((0, 10, 40), (10, 29.5, 40)), 0, 30)["excluded"] == "profile ends at 29.5 cm"


def test_layers_without_carbon_do_not_shape_the_spline():
    known = layers((0, 8, 30), (8, 25, 12), (50, 70, 3))
    with_unknown = pd.concat([known, layers((25, 50, np.nan))]).sort_values("top")
    assert density(with_unknown, 0, 20) == density(known, 0, 20)
    assert density(with_unknown, 0, 26)["excluded"] == "no SOC in layer 25–50 cm"


def test_exact_leaves_out_what_crosses_a_boundary():
    result = density(layers((0, 20, 40), (20, 40, 30)), 10, 30, "exact")
    assert result["kind"] == "have a layer across a boundary"
    assert result["excluded"] == "layer 0–20 cm crosses 10 cm; layer 20–40 cm crosses 30 cm"
    assert result["rule"] == "" and result["layers_split"] == 0


@st.composite
def profiles(draw):
    """A profile from 0 to 60 cm or more without gaps, in whole millimetres, its carbon over four orders."""
    bounds = sorted(draw(st.sets(st.integers(5, 595), max_size=6)) | {0, draw(st.integers(600, 900))})
    carbon = [10 ** draw(st.floats(-2, 2.3)) for _ in bounds[1:]]
    return layers(*zip((b / 10 for b in bounds[:-1]), (b / 10 for b in bounds[1:]), carbon, strict=True))


@settings(deadline=None, max_examples=80)
@given(profiles(), st.lists(st.integers(1, 599), min_size=1, max_size=4, unique=True))
def test_carbon_is_neither_made_nor_lost(profile, cuts):
    bounds = [0.0, *(cut / 10 for cut in sorted(cuts)), profile["bottom"].max()]
    measured = profile.assign(concentration=profile["soc"])
    parts = np.stack([layer_parts(measured, *ends)["socd"] for ends in pairwise(bounds)])
    carbon = (profile["soc"] * (profile["bottom"] - profile["top"]) / 100).to_numpy()
    assert parts.sum(axis=0) == pytest.approx(carbon, rel=1e-12)
    assert (parts >= 0).all() and (parts <= carbon * (1 + 1e-12)).all()


@settings(deadline=None, max_examples=40)
@given(profiles(), st.floats(0.1, 100), st.integers(1, 599))
def test_a_uniform_profile_stays_uniform_and_units_do_not_matter(profile, factor, bottom):
    uniform = profile.assign(soc=factor)
    assert density(uniform, 0, bottom / 10)["socd"] == pytest.approx(factor * bottom / 1000)
    scaled = density(profile.assign(soc=profile["soc"] * factor), 0, bottom / 10)["socd"]
    assert scaled == pytest.approx(factor * density(profile, 0, bottom / 10)["socd"])


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_real_horizons_go_through_whole():
    depths = ((0, 10), (0, 30), (0, 50))
    by = {h: read_profiles(DATA / "horizons.csv", depths, {}, {}, harmonise=h) for h in ("spline", "layers", "exact")}
    rules = {h: profiles.rules() for h, profiles in by.items()}
    assert (rules["spline"].sum(axis=1) == 1251).all()
    assert rules["exact"]["exact"].tolist() == rules["spline"]["exact"].tolist() == [156, 177, 109]
    assert (rules["spline"]["spline"] > 4.5 * rules["spline"]["exact"]).all()
    assert (rules["spline"]["split"] < 0.1 * rules["layers"]["split"] + 5).all()
    spline, proportion = (by[h].table.set_index(["site", "depth"])["socd"] for h in ("spline", "layers"))
    ratio = spline.groupby("depth").mean() / proportion.groupby("depth").mean()
    assert ((ratio > 1.005) & (ratio < 1.08)).all()  # carbon lies nearer the surface than proportion has it
    wide = by["spline"].wide()
    assert ((wide["socd_0-30"] >= wide["socd_0-10"]) | wide["socd_0-30"].isna()).all()


def rejoined(measured, depth):
    """Profiles with a boundary at `depth`, as they are and with the two layers that meet there made one."""
    above, below = (measured[measured[side] == depth].set_index("site") for side in ("bottom", "top"))
    sites = above.index.intersection(below.index)
    above, below = above.loc[sites], below.loc[sites]
    thickness = above["bottom"] - above["top"], below["bottom"] - below["top"]
    carbon = (above["soc"] * thickness[0] + below["soc"] * thickness[1]) / (thickness[0] + thickness[1])
    joined = above.assign(bottom=below["bottom"], soc=carbon).reset_index()
    apart = measured[measured["site"].isin(sites)]
    rest = apart[(apart["bottom"] != depth) & (apart["top"] != depth)]
    return apart, pd.concat([rest, joined]).sort_values(["site", "top"], ignore_index=True)


@pytest.fixture(scope="module")
def real_layers():
    """The real horizons, bulk density filled, as layers of kg C/m³."""
    records = pd.read_csv(DATA / "horizons.csv").assign(som=np.nan, soil_type=None).sort_values(["site", "top"])
    filled = fill_layers(records.astype({"soil_type": "str"}).reset_index(drop=True)).layers
    carbon = filled["soc"] * filled["bulk_density"] * (1 - filled["coarse_fragments"] / 100)
    return (
        filled[["site", "top", "bottom"]].assign(soc=carbon, bulk_density=1.0, coarse_fragments=0.0, **FLAGS).dropna()
    )


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize(("depth", "sites"), [(10, 150), (20, 175), (30, 155), (50, 83)])
def test_the_spline_finds_the_carbon_above_a_boundary_better_than_proportion(real_layers, depth, sites):
    apart, joined = rejoined(real_layers, depth)
    measured = profile_densities(apart, 0, depth).set_index("site")["socd"]
    errors = pd.DataFrame(
        {
            harmonise: profile_densities(joined, 0, depth, "", harmonise).set_index("site")["socd"] - measured
            for harmonise in ("spline", "layers")
        }
    ).dropna()
    assert len(errors) == sites
    assert errors["spline"].abs().mean() < 0.95 * errors["layers"].abs().mean()
    assert -errors["spline"].mean() < -0.7 * errors["layers"].mean()
