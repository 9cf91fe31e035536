"""Eq. 1 and the densities of profiles: hand-worked values, reasons of exclusion, and what must not change them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.soil_carbon.profiles.density import carbon_density, profile_densities


def profile(*layers, site="A"):
    """Layers of (top, bottom, soc, bulk density, coarse fragments)."""
    frame = pd.DataFrame(layers, columns=["top", "bottom", "soc", "bulk_density", "coarse_fragments"], dtype=float)
    return frame.assign(site=site, bulk_density_filled=False, coarse_fragments_filled=True, soc_from_som=False)


def density(layers, top, bottom, unfilled="", harmonise="spline"):
    (row,) = profile_densities(layers, top, bottom, unfilled, harmonise).to_dict("records")
    return row


HORIZONS = ((0, 20, 40, 1.0, 0), (20, 50, 20, 1.4, 5))


def test_equation_1():
    # 50 g/kg · 1.2 g/cm³ · 10 cm · (1 − 0.1) · 0.01 = 5.4 kg/m²; and in kg and m: 0.05 · 1200 · 0.1 · 0.9
    assert carbon_density(50.0, 1.2, 10.0, 10.0) == pytest.approx(5.4)
    assert carbon_density(50.0, 1.2, 10.0, 10.0) == pytest.approx(0.05 * 1200 * 0.1 * 0.9)


@pytest.mark.parametrize(
    ("top", "bottom", "socd", "split", "filled"),
    [
        (0, 10, 4.0, 1, 1),
        (0, 20, 8.0, 0, 1),
        (0, 30, 8 + 2.66, 1, 2),
        (0, 50, 8 + 7.98, 0, 2),
        (10, 30, 4 + 2.66, 2, 2),
    ],
)
def test_horizons_are_split_in_proportion(top, bottom, socd, split, filled):
    result = density(profile(*HORIZONS), top, bottom, harmonise="layers")
    assert result["socd"] == pytest.approx(socd)
    assert result["rule"] == ("split" if split else "exact")
    assert result["layers_split"] == split
    assert result["coarse_fragments_filled"] == filled
    assert result["excluded"] == ""


@pytest.mark.parametrize(
    ("layers", "kind", "reason"),
    [
        (((0, 20, 40, 1, 0),), "end too shallow", "profile ends at 20 cm"),
        (((5, 40, 40, 1, 0),), "start too deep", "profile starts at 5 cm"),
        (((40, 60, 40, 1, 0),), "start too deep", "profile starts at 40 cm"),
        (((0, 10, 40, 1, 0), (20, 30, 40, 1, 0)), "have a gap", "gap 10–20 cm"),
        (((0, 10, 40, 1, 0), (40, 50, 40, 1, 0)), "have a gap", "gap 10–30 cm"),
        (((0, 10, np.nan, 1, 0), (10, 30, 40, 1, 0)), "lack SOC", "no SOC in layer 0–10 cm"),
        (
            ((0, 10, 40, np.nan, 0), (10, 30, 40, 1, 0)),
            "lack bulk density",
            "no bulk density in layer 0–10 cm and none fits",
        ),
        (
            ((0, 10, np.nan, np.nan, 0), (10, 20, 4, 1, 0)),
            "end too shallow",
            "profile ends at 20 cm; no SOC in layer 0–10 cm",
        ),
    ],
)
@pytest.mark.parametrize("harmonise", ["spline", "layers"])
def test_what_excludes_a_profile(layers, kind, reason, harmonise):
    result = density(profile(*layers), 0, 30, "none fits", harmonise)
    assert np.isnan(result["socd"])
    assert (result["kind"], result["excluded"], result["rule"]) == (kind, reason, "")
    assert result["coarse_fragments_filled"] == result["layers_split"] == 0


def test_what_lies_below_does_not_matter():
    deep = profile((0, 30, 40, 1, 0), (35, 60, np.nan, np.nan, 0))
    assert density(deep, 0, 30)["socd"] == pytest.approx(12)


def test_sites_do_not_mix():
    both = pd.concat(
        [profile(*HORIZONS, site="A"), profile((0, 30, 10, 1, 0), site="B"), profile((0, 5, 1, 1, 0), site="C")]
    )
    result = profile_densities(both, 0, 30, harmonise="layers").set_index("site")
    assert result["socd"].to_dict() == pytest.approx({"A": 10.66, "B": 3.0, "C": np.nan}, nan_ok=True)
    assert result["rule"].to_dict() == {"A": "split", "B": "exact", "C": ""}
    assert result["excluded"].to_dict() == {"A": "", "B": "", "C": "profile ends at 5 cm"}


@st.composite
def profiles(draw):
    """A profile without gaps from 0 to at least 60 cm, in whole millimetres."""
    bounds = sorted(draw(st.sets(st.integers(1, 599), max_size=6)) | {0, draw(st.integers(600, 900))})
    count = len(bounds) - 1
    values = [
        draw(st.lists(v, min_size=count, max_size=count))
        for v in (st.floats(0, 500), st.floats(0.05, 2.5), st.floats(0, 95))
    ]
    return profile(*zip((b / 10 for b in bounds[:-1]), (b / 10 for b in bounds[1:]), *values, strict=True))


@settings(deadline=None, max_examples=40)
@given(profiles(), st.integers(1, 599), st.integers(0, 599), st.sampled_from(["spline", "layers"]))
def test_densities_add_up_over_depth(layers, middle, start, harmonise):
    top, middle = sorted((start / 10, middle / 10))
    parts = [part for part in ((top, middle), (middle, 60)) if part[0] < part[1]]
    densities = [density(layers, *part, harmonise=harmonise)["socd"] for part in parts]
    assert sum(densities) == pytest.approx(density(layers, top, 60, harmonise=harmonise)["socd"], abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(profiles(), st.integers(1, 599))
def test_cutting_a_layer_in_two_alike_changes_nothing(layers, cut):
    cut = cut / 10
    upper, lower = layers[layers["top"] < cut], layers[layers["bottom"] > cut]
    halves = pd.concat(
        [upper.assign(bottom=upper["bottom"].clip(upper=cut)), lower.assign(top=lower["top"].clip(lower=cut))]
    )
    for bottom in (10, 30, 60):
        before, after = (density(frame, 0, bottom, harmonise="layers")["socd"] for frame in (layers, halves))
        assert after == pytest.approx(before, abs=1e-9)
