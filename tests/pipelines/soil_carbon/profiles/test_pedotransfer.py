"""Published bulk density functions, each against a value worked by hand."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import BulkDensity, Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.gap_filling import fill_layers
from pipelines.soil_carbon.profiles.pedotransfer import FUNCTIONS
from pipelines.soil_carbon.profiles.read_profiles import profiles_of, read_profiles


def test_the_run_file_names_the_functions_there_are():
    assert set(get_args(BulkDensity.model_fields["function"].annotation)) == set(FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "soc", "by_hand"),
    [
        ("adams-1973", 100, 0.82563),  # OM 17.24 %: 100 / (70.656 + 50.463)
        ("alexander-1980", 40, 1.044),  # 1.66 − 0.308 · 2
        ("federer-1993", 0, 1.45),
        ("federer-1993", 580, 0.111),  # OM 100 %
        ("honeysett-ratkowsky-1989", 100, 0.65680),  # 1 / (0.564 + 0.958544)
        ("hossain-2015", 100, 0.72095),  # 0.071 + 1.322 · 0.491644
        ("manrique-jones-1991", 90, 0.706),  # 1.66 − 0.318 · 3
        ("song-2005", 100, 0.85207),  # 1.377 · 0.618783
    ],
)
def test_values_worked_by_hand(name, soc, by_hand):
    assert FUNCTIONS[name](np.array([float(soc)]))[0] == pytest.approx(by_hand, abs=2e-5)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_bulk_density_falls_with_carbon_and_stays_possible(function):
    soc = np.linspace(0, 580, 200)
    values = function(soc)
    assert np.isnan(values).tolist() == (soc > function.highest).tolist()
    known = values[soc <= function.highest]
    assert (np.diff(known) <= 0).all()
    assert known.min() > 0.05
    assert known.max() < 1.8


def layers(**changes):
    table = {"soc": [10.0, 100.0, 400.0], "som": np.nan, "bulk_density": np.nan, "coarse_fragments": 0.0}
    return pd.DataFrame({**table, **changes}).assign(soil_type=pd.Series([None] * 3, dtype="str"))


def test_layers_are_filled_by_the_function_that_was_named():
    filled = fill_layers(layers(), published="hossain-2015")
    assert filled.layers["bulk_density"].tolist() == pytest.approx(FUNCTIONS["hossain-2015"]([10, 100, 400]).tolist())
    assert filled.layers["bulk_density_filled"].all()
    assert str(filled.notes[0]).startswith(
        "Bulk density filled in 3 layers: BD = 0.071 + 1.322 · exp(−0.071 · OC) (Hossain"
    )


def test_layers_outside_what_the_function_is_for_stay_empty():
    filled = fill_layers(layers(bulk_density=[1.2, np.nan, np.nan]), published="alexander-1980")
    assert filled.layers["bulk_density"].isna().tolist() == [False, False, True]
    assert filled.unfilled == "alexander-1980 is for soils of up to 150 g/kg SOC"
    assert "stays missing in 1 layer: alexander-1980 is for soils of up to 150 g/kg" in str(filled.notes[1])
    assert "differs from it by +0.15 g/cm³ in the mean" in str(filled.notes[2])


def table_without_bulk_density(path):
    rows = [(f"S{i}", 120 + i / 10, 50, top, top + 10, 60 - top + i) for i in range(12) for top in (0, 10, 20)]
    pd.DataFrame(rows, columns=["site", "lon", "lat", "top", "bottom", "soc"]).to_csv(path, index=False)
    return path


def test_a_table_without_bulk_density_is_refused_with_the_ways_out(tmp_path):
    with pytest.raises(InputError) as caught:
        read_profiles(table_without_bulk_density(tmp_path / "p.csv"), ((0.0, 30.0),), {}, {})
    first, second = map(str, caught.value.problems)
    assert "0 of 12 profiles used; 12 lack bulk density" in first
    assert "only 0 layers have both SOC and bulk density, 10 are needed" in second
    assert "`observations.bulk_density: {function: hossain-2015}`, or one of adams-1973" in second


def test_a_published_function_makes_it_usable_and_is_flagged(tmp_path):
    path = table_without_bulk_density(tmp_path / "p.csv")
    keys = Observations(table=str(path), bulk_density=BulkDensity(function="hossain-2015"))
    table = profiles_of(read_observations(path, keys), keys, ((0.0, 30.0),)).table
    assert table["socd"].notna().all()
    assert (table["bulk_density_filled"] == 3).all()
    assert (table["bulk_density_from"] == "hossain-2015").all()


def test_carbon_of_organic_matter_is_a_key(tmp_path):
    path = tmp_path / "p.csv"
    rows = [(f"S{i}", 120 + i / 10, 50, 0, 30, 100 + i, 1.0) for i in range(12)]
    pd.DataFrame(rows, columns=["site", "lon", "lat", "top", "bottom", "som", "bulk_density"]).to_csv(path, index=False)
    for share in (0.5, 0.58):
        keys = Observations(table=str(path), som_to_soc=share)
        profiles = profiles_of(read_observations(path, keys), keys, ((0.0, 30.0),))
        assert profiles.table["socd"][0] == pytest.approx(share * 100 * 0.3)
        assert f"SOC = {share:g} · SOM in 12 layers." in map(str, profiles.notes)
    with pytest.raises(ValueError, match=r"less than or equal to 0.7"):
        Observations(table="p.csv", som_to_soc=58)
