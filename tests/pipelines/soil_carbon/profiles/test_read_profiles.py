"""The whole way from a table to densities per site and depth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from pipelines.soil_carbon.model.depth_regression import fit_depth_regressions
from pipelines.soil_carbon.profiles.read_profiles import Profiles, read_profiles

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
DATA = Path(__file__).parents[5] / "shared" / "data" / "circumpolar"
COLUMNS = [
    "site", "lon", "lat", "vegetation", "soil_type", "tn", "source", "depth", "socd", "bulk_density_filled",
    "coarse_fragments_filled", "soc_from_som", "bulk_density_from", "layers_split", "rule", "gap_bridged",
    "excluded",
]  # fmt: skip

TABLE = """site,lon,lat,vegetation,soil_type,top,bottom,soc,som,bulk_density,coarse_fragments,tn,source
B,121,51,wetland,Histel,0,30,,100,0.5,,8,survey
A,120,50,forest,Cambisol,0,5,60,,0.8,0,,papers
A,120,50,forest,Cambisol,5,20,40,,1.0,10,3,papers
A,120,50,forest,Cambisol,20,40,20,,1.2,20,1,papers
C,122,52,,Cambisol,0,10,50,,1.0,,,papers
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "profiles.csv"
    path.write_text(TABLE)
    return path


def test_layers_to_densities(table):
    profiles = read_profiles(table, DEPTHS, {}, {"tn": "tn"}, (115, 45, 130, 55), "layers")
    long = profiles.table
    assert long.columns.tolist() == COLUMNS
    assert long[["site", "depth"]].apply(tuple, axis=1).tolist() == [
        (site, depth) for site in "ABC" for depth in ("0-10", "0-30")
    ]
    overall = (0 + 10 + 20) / 3  # B's soil type has no coarse fragments, C's has a mean of 10
    a_10 = 60 * 0.8 * 5 * 0.01 + 40 * 1.0 * 5 * 0.9 * 0.01
    a_30 = a_10 + 40 * 1.0 * 10 * 0.9 * 0.01 + 20 * 1.2 * 10 * 0.8 * 0.01
    b_30 = 58 * 0.5 * 30 * (1 - overall / 100) * 0.01
    assert long["socd"].tolist() == pytest.approx([a_10, a_30, b_30 / 3, b_30, 4.5, np.nan], nan_ok=True)
    assert long["layers_split"].tolist() == [1, 1, 1, 0, 0, 0]
    assert long["soc_from_som"].tolist() == [0, 0, 1, 1, 0, 0]
    assert long["coarse_fragments_filled"].tolist() == [0, 0, 1, 1, 1, 0]
    assert long["excluded"].tolist() == ["", "", "", "", "", "profile ends at 10 cm"]
    assert long["source"].tolist() == ["papers"] * 2 + ["survey"] * 2 + ["papers"] * 2
    assert str(profiles.notes[0]) == "3 sites, 5 layers."
    assert long["rule"].tolist() == ["split", "split", "split", "exact", "exact", ""]
    assert (long["gap_bridged"] == 0).all()
    assert str(profiles.notes[-1]) == (
        "0-30 cm: 2 of 3 profiles used: 1 exact, 1 split in proportion; 1 end too shallow."
    )


def test_what_becomes_of_layers_across_a_boundary(table):
    def read(harmonise):
        profiles = read_profiles(table, DEPTHS, {}, {}, harmonise=harmonise)
        return tuple(map(str, profiles.notes[-2:])), profiles.rules().to_dict("index")

    assert read("spline") == (
        (
            "0-10 cm: 3 of 3 profiles used: 1 exact, 1 by spline, 1 split in proportion (one layer, or a spline below "
            "zero).",
            "0-30 cm: 2 of 3 profiles used: 1 exact, 1 by spline; 1 end too shallow.",
        ),
        {
            "0-10": {"exact": 1, "spline": 1, "split": 1, "given": 0, "excluded": 0},
            "0-30": {"exact": 1, "spline": 1, "split": 0, "given": 0, "excluded": 1},
        },
    )
    assert read("exact")[0] == (
        "0-10 cm: 1 of 3 profiles used: 1 exact; 2 have a layer across a boundary.",
        "0-30 cm: 1 of 3 profiles used: 1 exact; 1 end too shallow; 1 have a layer across a boundary.",
    )


def test_measured_covariates_are_weighted_within_the_first_depth(table):
    def tn(depths):
        return read_profiles(table, depths, {}, {"nitrogen": "tn"}).wide().set_index("site")["tn"].to_dict()

    nan = np.nan
    assert tn(((0.0, 10.0),)) == pytest.approx({"A": 3, "B": 8, "C": nan}, nan_ok=True)
    assert tn(((0.0, 30.0),)) == pytest.approx({"A": (15 * 3 + 10 * 1) / 25, "B": 8, "C": nan}, nan_ok=True)
    assert tn(((0.0, 5.0),)) == pytest.approx({"A": 3, "B": 8, "C": nan}, nan_ok=True)  # the shallowest value there is


def test_wide_has_one_row_per_site(table):
    wide = read_profiles(table, DEPTHS, {}, {"tn": "tn"}).wide()
    assert wide.columns.tolist() == [*COLUMNS[:6], "socd_0-10", "socd_0-30"]
    assert wide["site"].tolist() == ["A", "B", "C"]
    assert wide["vegetation"].tolist()[:2] == ["forest", "wetland"]
    assert pd.isna(wide["vegetation"][2])
    assert wide["socd_0-30"].isna().tolist() == [False, False, True]


def test_parquet_brings_back_the_same_profiles(table, tmp_path):
    profiles = read_profiles(table, DEPTHS, {}, {"tn": "tn"})
    profiles.table.to_parquet(tmp_path / "profiles.parquet")
    again = Profiles(pd.read_parquet(tmp_path / "profiles.parquet"))
    pd.testing.assert_frame_equal(again.table, profiles.table)
    pd.testing.assert_frame_equal(again.wide(), profiles.wide())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(tmp_path, random):
    rng = np.random.default_rng(1)
    layers = [
        (
            f"S{site}",
            120 + site / 10,
            50,
            top,
            bottom,
            soc,
            None if site % 4 == 0 else 1.3 * np.exp(-0.005 * soc) + site / 99,
        )
        for site in range(9)
        for top, bottom, soc in (
            (0, 7, rng.uniform(50, 90)),
            (7, 22, rng.uniform(20, 50)),
            (22, 60, rng.uniform(2, 20)),
        )
    ]
    path = tmp_path / "p.csv"

    def densities():
        names = ["site", "lon", "lat", "top", "bottom", "soc", "bulk_density"]
        pd.DataFrame(layers, columns=names).to_csv(path, index=False)
        return read_profiles(path, DEPTHS, {}, {})

    before = densities()
    random.shuffle(layers)
    after = densities()
    pd.testing.assert_frame_equal(after.table, before.table, check_exact=True)
    assert after.notes == before.notes
    assert before.table["bulk_density_filled"].sum() == 3 * (2 + 3)


def test_densities_given_by_the_table(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id,lon,lat,C10,socd_0-30,tn\n2,121,51,5,,1.5\n1,120,50,4,9,\n")
    profiles = read_profiles(path, DEPTHS, {"site": "id", "socd_0-10": "C10"}, {"tn": "tn"})
    assert profiles.table.columns.tolist() == COLUMNS
    assert profiles.table["socd"].tolist() == pytest.approx([4, 9, 5, np.nan], nan_ok=True)
    assert profiles.table["excluded"].tolist() == ["", "", "", "no 0-30 cm density in the table"]
    assert profiles.wide()["tn"].tolist() == pytest.approx([np.nan, 1.5], nan_ok=True)
    assert profiles.table["rule"].tolist() == ["given", "given", "given", ""]
    assert profiles.rules()["given"].to_dict() == {"0-10": 2, "0-30": 1}
    assert str(profiles.notes[-1]) == "0-30 cm: 1 of 2 profiles used; 1 have no density in the table."


def test_no_profile_for_the_first_depth(table):
    with pytest.raises(InputError, match=r"no profile gives a density for the first depth\. 40-60 cm: 0 of 3 profiles"):
        read_profiles(table, ((40.0, 60.0), (0.0, 10.0)), {}, {})


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_circumpolar_pedons():
    columns = {"vegetation": "vegetation_as_recorded"}
    profiles = read_profiles(DATA / "pedons.csv", ((0, 30), (0, 100)), columns, {}, (-180, 50, 180, 90))
    wide = profiles.wide()
    assert len(wide) == 524
    assert wide[["socd_0-30", "socd_0-100"]].notna().sum().tolist() == [519, 519]
    source = pd.read_csv(DATA / "pedons.csv").set_index("site")
    np.testing.assert_array_equal(wide["socd_0-100"], source["socd_0-100"][wide["site"]])
    (line,) = fit_depth_regressions(wide, ("0-30", "0-100")).itertuples()
    assert line.n == 519
    assert 1 < line.slope < 100 / 30


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_circumpolar_horizons():
    profiles = read_profiles(DATA / "horizons.csv", DEPTHS, {}, {"ph": "ph"})
    wide = profiles.wide()
    assert len(wide) == 1251
    assert (wide["socd_0-30"] >= wide["socd_0-10"] - 1e-9)[wide["socd_0-30"].notna()].all()
    assert ((profiles.table["excluded"] == "") == profiles.table["socd"].notna()).all()
