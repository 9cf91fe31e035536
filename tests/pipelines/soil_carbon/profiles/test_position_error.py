"""The column `position_error`: read in any unit, checked, and said what becomes of it."""

import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.read_profiles import profiles_of

DEPTHS = ((0.0, 10.0),)


def read(tmp_path, off, more=None, densities=False, **keys):
    n = len(off)
    frame = pd.DataFrame({"site": [f"s{k}" for k in range(n)], "lon": 100.0, "lat": 50.0 + pd.RangeIndex(n) / 100})
    frame = frame.assign(**({"socd_0-10": 3.0} if densities else {"top": 0, "bottom": 10, "soc": 20.0}))
    frame = frame if densities else frame.assign(bulk_density=1.2, coarse_fragments=1.0)
    frame = frame.assign(**{(more or "position_error"): off}).astype(object)
    if keys.pop("units_row", None):
        row = {"soc": "g/kg", "bulk_density": "g/cm3", "position_error": "km"}
        frame = pd.concat([pd.DataFrame([row]), frame])
    frame.to_csv(tmp_path / "table.csv", index=False)
    observations = Observations.model_validate({"table": "table.csv", **keys})
    return profiles_of(
        read_observations(tmp_path / "table.csv", observations, None, None, DEPTHS), observations, DEPTHS
    )


@pytest.mark.parametrize("densities", [False, True])
def test_it_is_kept_by_site_and_noted(tmp_path, densities):
    profiles = read(tmp_path, [100, 300, "", 0], densities=densities)
    assert profiles.wide()["position_error"].fillna(-1).tolist() == [100, 300, -1, 0]
    (note,) = [str(n) for n in profiles.notes if "position error" in str(n)]
    assert note == (
        "2 sites have a position error, 200 m (median SD), at most 300 m: each replicate draws places about them. "
        "1 of 4 sites give none."
    )
    profiles = read(tmp_path, [100, 300, "", 0], densities=densities, errors={"positions": False})
    assert any("places are taken as they are" in str(n) for n in profiles.notes)


def test_units_are_declared_or_named(tmp_path):
    found = read(tmp_path, [0.1, 2], units={"position_error": "km"})
    assert found.wide()["position_error"].tolist() == [100, 2000]
    found = read(tmp_path, [0.1, 2], more="GPS", columns={"position_error": "GPS"}, units={"position_error": "km"})
    assert found.wide()["position_error"].tolist() == [100, 2000]
    with pytest.raises(InputError, match=r'observations.units: \{position_error: "km"\}'):
        read(tmp_path, [0.1, 2], units_row=True)
    with pytest.raises(ValueError, match="'degrees' is not a unit of `position_error`; valid here: m, km, ft"):
        read(tmp_path, [0.1, 2], units={"position_error": "degrees"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-5, r"`position_error` is -5; expected 0 to 200000 m"),
        (5e5, r"`position_error` is 500000; expected 0 to 200000 m \(such a place says nothing"),
        ("poor", r"position_error.*'poor'"),
        (-9999, r"position_error.*-9999"),
    ],
)
def test_what_is_impossible_is_refused_in_words(tmp_path, value, said):
    with pytest.raises(InputError, match=said) as raised:
        read(tmp_path, [100, value, 50])
    assert "line 3" in str(raised.value)


def test_bad_rows_may_be_left_out(tmp_path):
    profiles = read(tmp_path, [100, -5, 50], on_bad_row="drop")
    assert profiles.wide()["position_error"].tolist() == [100, 50] and len(profiles.left_out) == 1


@pytest.mark.parametrize("errors", [["", ""], [0, 0]])
def test_nothing_given_nothing_noted(tmp_path, errors):
    profiles = read(tmp_path, errors)
    assert not [n for n in profiles.notes if "position error" in str(n)]
    assert ("position_error" in profiles.wide()) == (errors[0] == 0)


def test_a_table_without_the_column_has_none(tmp_path):
    assert "position_error" not in read(tmp_path, [1, 2], more="note").wide()
