"""A row of units beneath the names, two rows of names, and other things above and beside the records."""

from decimal import Decimal

import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.read_profiles import profiles_of

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
COLUMNS = ["site", "lon", "lat", "top", "bottom", "soc", "bulk_density"]


def table():
    layers = [
        (f"S{i}", 121.5 + i / 10, 50.5, top, top + 10 * (1 + bool(top)), 40.0 + i - top, 1.1 + top / 100)
        for i in range(8)
        for top in (0, 10)
    ]
    return pd.DataFrame(layers, columns=COLUMNS)


def with_row(row):
    return pd.concat([pd.DataFrame([row], columns=COLUMNS), table().astype(object)])


def profiles(path, **keys):
    observations = Observations(table=str(path), **keys)
    return profiles_of(read_observations(path, observations), observations, DEPTHS)


@pytest.fixture
def read(tmp_path):
    def of(frame, **keys):
        frame.to_csv(tmp_path / "p.csv", index=False)
        return profiles(tmp_path / "p.csv", **keys)

    return of


def test_a_row_of_units_that_are_those_of_the_run_file_is_not_a_record(read):
    plain = read(table())
    found = read(with_row(["", "°E", "°N", "cm", "cm", "g kg-1", "Mg/m3"]))
    pd.testing.assert_frame_equal(found.table, plain.table)
    assert any("line 2: holds the columns' units (top cm, " in note for note in map(str, found.notes))


@pytest.mark.parametrize("on_bad_row", ["refuse", "drop"])
def test_a_row_of_other_units_says_what_to_write(read, on_bad_row):
    with pytest.raises(InputError) as caught:
        read(with_row(["", "deg", "deg", "cm", "cm", "%", "g/cm3"]), on_bad_row=on_bad_row)
    assert 'write `observations.units: {soc: "%"}`' in str(caught.value.problems[0])
    with pytest.raises(InputError, match="'fathoms' of top is not known"):
        read(with_row(["", "deg", "deg", "fathoms", "cm", "g/kg", "g/cm3"]), on_bad_row=on_bad_row)


def test_a_row_of_units_that_are_declared_is_converted(read):
    plain, percent = read(table()), table()
    percent["soc"] /= 10
    rows = pd.concat([with_row(["", "", "", "cm", "cm", "%", "g/cm3"]).iloc[:1], percent.astype(object)])
    pd.testing.assert_frame_equal(read(rows, units={"soc": "wt%"}).table, plain.table)


def test_names_in_the_second_row_are_found_though_the_first_has_some(tmp_path):
    text = "site,where,,depth,,soil,\n" + table().to_csv(index=False)
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        profiles(tmp_path / "p.csv")
    assert any("set `header: 2`" in problem for problem in map(str, caught.value.problems))


def test_what_another_form_of_table_needs_is_said(read):
    with pytest.raises(InputError) as caught:
        read(table().drop(columns=["lon", "lat", "top", "bottom"]).rename(columns={"soc": "soc_0_10"}))
    hint = " ".join(map(str, caught.value.problems))
    assert "`wide: {" in hint and "`columns: {depth: NAME}`" in hint and "`sites: {table: FILE" in hint


def test_parquet_of_other_programs(tmp_path):
    frame = table()
    frame.to_parquet(tmp_path / "a.parquet")
    plain = profiles(tmp_path / "a.parquet").table
    odd = frame.assign(soc=[Decimal(str(v)) for v in frame["soc"]], site=frame["site"].map(str.encode))
    odd.set_index(["site", "top"]).to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(profiles(tmp_path / "b.parquet").table, plain)
