"""Bad observation tables: each mistake is named with file, line, site, value and what was expected."""

import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.soil_carbon.profiles.read_profiles import read_profiles

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
DOMAIN = (115.0, 45.0, 130.0, 55.0)


def layers(**changes):
    """Two sound sites of two layers; `changes` replace whole columns."""
    table = {
        "site": ["A", "A", "B", "B"],
        "lon": [120, 120, 121, 121],
        "lat": [50, 50, 51, 51],
        "top": [0, 10, 0, 10],
        "bottom": [10, 30, 10, 30],
        "soc": [40, 20, 45, 25],
        "bulk_density": [1.0, 1.2, 1.0, 1.1],
        "coarse_fragments": [0, 5, 0, 10],
    }
    return pd.DataFrame({**table, **changes})


def densities(**changes):
    table = {"site": ["A", "B"], "lon": [120, 121], "lat": [50, 51], "socd_0-10": [4, 5], "socd_0-30": [9, 10]}
    return pd.DataFrame({**table, **changes})


@pytest.fixture
def problems(tmp_path):
    def check(table, bounds=DOMAIN, columns=None, at_site=None, depths=DEPTHS):
        path = tmp_path / "p.csv"
        table.to_csv(path, index=False)
        with pytest.raises(InputError) as caught:
            read_profiles(path, depths, columns or {}, at_site or {}, bounds)
        return [problem.replace(str(path), "p.csv") for problem in map(str, caught.value.problems)]

    return check


@pytest.fixture
def notes(tmp_path):
    def read(table, bounds=DOMAIN):
        path = tmp_path / "p.csv"
        table.to_csv(path, index=False)
        return list(map(str, read_profiles(path, DEPTHS, {}, {}, bounds).notes))

    return read


def test_sound_tables_have_no_warning(notes):
    for table in (layers(), densities()):
        assert not [note for note in notes(table) if note.startswith("warning:")]


def test_missing_columns_are_all_named_with_the_nearest(problems):
    found = problems(layers().rename(columns={"lat": "Latt", "soc": "C"}).drop(columns="top"))
    assert len(found) == 4
    assert "the column `lat` is missing; did you mean `Latt`?" in found[0]
    assert "the column `top` is missing" in found[1]
    assert "the column `soc` is missing" in found[2]
    assert "gives densities instead, one row per site: socd_0-10, socd_0-30" in found[3]
    assert "observations.at_site: tn: 'TN' is not a column" in problems(layers(), at_site={"tn": "TN"})[0]
    assert "has the name of a result" in problems(layers(depth=1), at_site={"tn": "depth"})[0]


def test_every_target_depth_needs_its_density(problems):
    found = problems(densities(), depths=((0.0, 10.0), (0.0, 50.0), (0.0, 100.0)))
    assert "`socd_0-50` is missing" in found[0]
    assert "`socd_0-100` is missing" in found[1]


@pytest.mark.parametrize(
    ("changes", "line", "said"),
    [
        ({"soc": ["40", "n.d.", "45", "25"]}, "3: site A", "`soc` is 'n.d.' (1 record); expected a number"),
        (
            {"soc": ["40", "2,5", "45", "25"]},
            "3: site A",
            "`soc` is '2,5', with a decimal comma (1 record)",
        ),
        ({"lon": ["120", "somewhere", "121", "121"]}, "3: site A", "(not an angle such as 121.5"),
        ({"soc": ["40", "inf", "45", "25"]}, "3: site A", "`soc` is 'inf'; expected a number"),
        (
            {"soc": [40, 20, -9999, 25]},
            "4: site B",
            "`soc` is -9999 (1 record), which looks like a marker of missing values; if it",
        ),
        ({"soc": [40, 20, 45000, 25]}, "4: site B", "expected 0 to 700 g/kg (in mg/kg it would be 45 g/kg)"),
        ({"som": [None, 1200, None, None]}, "3: site A", "`som` is 1200; expected 0 to 1000 g/kg"),
        ({"som": [None, 15, None, None]}, "3: site A", "SOC 20 g/kg exceeds SOM 15 g/kg"),
        (
            {"bulk_density": [1, 1200, 1, 1]},
            "3: site A",
            "is 1200; expected above 0 and up to 2.7 g/cm³ (in kg/m³ it would be 1.2 g/cm³)",
        ),
        ({"bulk_density": [1, 0, 1, 1]}, "3: site A", "`bulk_density` is 0; expected above 0"),
        ({"coarse_fragments": [0, 0, 101, 0]}, "4: site B", "`coarse_fragments` is 101; expected 0 to 100 volume %"),
        ({"tn": [1, 2, 2500, 1]}, "4: site B", "`tn` is 2500; expected 0 to 100 g/kg (in mg/kg it would be 2.5 g/kg)"),
        ({"site": ["A", None, "B", "B"]}, "3", "`site` is empty"),
        ({"lon": [120, None, 121, 121]}, "3: site A", "`lon` is empty; every record needs one"),
        ({"lat": [50, 50, 51, 151]}, "5: site B", "expected degrees, lon −180 to 180"),
        ({"lon": [120, 120, 121, 121.001]}, "5: site B", "but before at lon 121.00000, lat 51.00000"),
        ({"top": [0, None, 0, 10]}, "3: site A", "`top` is empty"),
        ({"bottom": ["10", "thirty", "10", "30"]}, "3: site A", "`bottom` is 'thirty'; expected a number"),
        ({"top": ["0", "10-Dec", "0", "10"]}, "3: site A", "spreadsheets turn depths"),
        ({"top": [0, 30, 0, 10]}, "3: site A", "top 30 is not above bottom 30"),
        ({"top": [-5, 10, 0, 10]}, "2: site A", "layer -5–10 cm lies above the surface"),
        ({"top": [0, 8, 0, 10]}, "3: site A", "layer 8–30 cm overlaps layer 0–10 cm of line 2"),
        ({"top": [0, 10, 0, 0]}, "5: site B", "layer 0–30 cm overlaps layer 0–10 cm of line 4"),
    ],
)
def test_one_mistake_in_a_layer_table_is_one_message(problems, changes, line, said):
    (found,) = problems(layers(**changes))
    assert found.startswith(f"p.csv, line {line}")
    assert said in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"socd_0-10": [-1, 5]}, "line 2: site A: `socd_0-10` is -1; expected 0 to 500 kg C/m²"),
        (
            {"socd_0-30": [9, 9998]},
            "line 3: site B: `socd_0-30` is 9998; expected 0 to 500 kg C/m² (in g/m² it would be 10 kg C/m²)",
        ),
        ({"socd_0-30": [9, 9999]}, "line 3: site B: `socd_0-30` is 9999 (1 record), which looks like a marker"),
        ({"socd_0-10": [4, 12]}, "line 3: site B: socd_0-10 is 12 but socd_0-30 is 10"),
        ({"socd_0-10": ["4", "x"]}, "line 3: site B: `socd_0-10` is 'x'"),
        ({"site": ["A", "A"], "lon": 120, "lat": 50}, "line 3: site A: is listed in line 2 already"),
    ],
)
def test_one_mistake_in_a_density_table_is_one_message(problems, changes, said):
    (found,) = problems(densities(**changes))
    assert said in found


def test_decimal_commas_are_one_problem_a_column(problems):
    found = problems(layers(soc=["4,1", "2,5", "45", "n.d."], lat=["50,1", "50,1", "51", "51"]))
    assert [problem.partition(": ")[0] for problem in found] == ["p.csv, line 2", "p.csv, line 2", "p.csv, line 5"]
    assert "`soc` is '4,1', with a decimal comma (2 records: lines 2, 3); set `decimal: ','`" in found[1]


def test_densities_in_another_unit_are_a_suspicion(notes):
    (warning,) = (note for note in notes(densities(**{"socd_0-10": [4, 42], "socd_0-30": [9, 58]})) if "warn" in note)
    assert "1 site holds more than 20 kg C/m² in 0-10 cm" in warning and "t/ha" in warning and "B" in warning


def test_columns_that_a_density_table_does_not_need_are_not_judged(notes):
    assert "0-10 cm: 2 of 2 profiles used." in notes(densities(soc="not measured", bulk_density=-1))


def test_an_exact_copy_of_a_layer_is_no_overlap(problems):
    (found,) = problems(pd.concat([layers(), layers().iloc[[1]]]))
    assert "line 6: site A: layer 10–30 cm is an exact copy of an earlier record" in found


def test_a_thick_layer_overlaps_all_that_it_spans(problems):
    table = layers(site="A", lon=120, lat=50, top=[0, 10, 20, 30], bottom=[40, 20, 30, 50])
    found = problems(table)
    assert [f.split(":")[0] for f in found] == [f"p.csv, line {n}" for n in (3, 4, 5)]
    assert all("overlaps layer 0–40 cm of line 2" in f for f in found)


def test_all_mistakes_come_at_once_and_long_lists_are_counted(problems):
    many = pd.DataFrame({"site": [f"S{i}" for i in range(25)], "lon": 120, "lat": 50, "top": 0, "bottom": 10})
    found = problems(many.assign(soc=-1, bulk_density=1300))
    assert len(found) == 12
    assert "`bulk_density` is in kg/m3, not g/cm³: 25 of 25 values exceed 2.7 g/cm³" in found[0]
    assert found[11] == "p.csv: 15 more records like these: `soc` outside 0 to 700 g/kg"


@pytest.mark.parametrize("table", [layers(), densities()])
@pytest.mark.parametrize("bounds", [DOMAIN, None])
def test_swapped_coordinates_are_one_problem(problems, table, bounds):
    (found,) = problems(table.rename(columns={"lon": "lat", "lat": "lon"}), bounds)
    assert "lon and lat look swapped: 2 of 2 sites" in found
    assert "site A at lon 50, lat 120" in found


@pytest.mark.parametrize(
    ("lon", "lat", "hint"),
    [(250, 50, "subtract 360"), (512345, 5412345, "Projected coordinates?"), (60, 100, "Swapped?")],
)
def test_places_off_the_globe_come_with_a_guess(problems, lon, lat, hint):
    far = densities(lon=[120, lon], lat=[50, lat])
    assert hint in problems(far)[0]


def test_sites_must_reach_the_domain(problems, notes):
    (found,) = problems(layers(), (0.0, 45.0, 10.0, 55.0))
    assert "none of the 2 sites lies in the domain, lon 0 to 10, lat 45 to 55; they span lon 120 to 121" in found
    assert "1 of 2 sites lie outside the domain's bounds." in notes(layers(), (115.0, 45.0, 120.5, 55.0))


def test_a_few_swapped_sites_are_a_suspicion(notes):
    table = densities(lon=[70, 70], lat=[50, 51])
    swapped = table.assign(site=["C", "D"], lon=[71, 52], lat=[50, 72])
    found = notes(pd.concat([table, swapped]), (60, 45, 80, 55))
    assert "1 of 4 sites lie outside the domain's bounds." in found
    assert "warning: 1 site outside the domain would lie inside with lon and lat swapped: D" in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"soc": [4, 2, 4.5, 2.5]}, "`soc` may be in %, not g/kg"),
        ({"coarse_fragments": [0, 0.05, 0, 0.1]}, "`coarse_fragments` may be a fraction, not volume %"),
        ({"bulk_density": [0.001, 0.0012, 0.001, 0.0011]}, "the median bulk density is 0.00105 g/cm³"),
        ({"soc": [440, 20, 45, 25], "bulk_density": [1.5, 1, 1, 1]}, "1 layer holds more than 200 kg C/m³"),
        ({"som": [400, None, None, None]}, "1 layer gives SOC and SOM with SOC/SOM outside 0.4 to 0.7"),
        ({"vegetation": ["forest", "wetland", "forest", "forest"]}, "1 site names more than one vegetation"),
        ({"socd_0-10": 4}, "socd_0-10 not read"),
        ({"bulk_dens": 1}, ""),
    ],
)
def test_suspicions_are_notes(notes, changes, said):
    table = layers(**changes)
    warnings = [note for note in notes(table) if note.startswith("warning:")]
    assert len(warnings) == (1 if said else 0)
    assert all(said in warning for warning in warnings)
