"""Units that the data give away: what is refused, what is doubted, and what must be left alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.carbon_units import FACTORS, judge_carbon
from pipelines.soil_carbon.profiles.read_profiles import profiles_of

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
LAYERS = ((0, 10), (10, 30), (30, 60))


def soils(n=40, seed=0, topsoil=60.0, spread=1.0):
    """Sites of three layers whose carbon and bulk density are tied as in soils: volumes of both matters add up."""
    rng = np.random.default_rng(seed)
    rows = []
    for site in range(n):
        rich = np.exp(rng.normal(0, spread))
        for top, bottom in LAYERS:
            soc = min(topsoil * rich * np.exp(-top / 40 + rng.normal(0, 0.3)), 560)
            matter = soc / 580
            density = np.exp(rng.normal(0, 0.12)) / ((1 - matter) / (1.5 + 0.002 * top) + matter / 0.2)
            rows.append(
                (f"S{site:02}", 120 + site / 10, 50, top, bottom, soc, min(density, 2.2), 10 * rng.random(), soc / 15)
            )
    names = ["site", "lon", "lat", "top", "bottom", "soc", "bulk_density", "coarse_fragments", "tn"]
    return pd.DataFrame(rows, columns=names).round(5)


@pytest.fixture
def read(tmp_path):
    def of(table, **keys):
        path = tmp_path / "p.csv"
        table.to_csv(path, index=False)
        observations = Observations(table=str(path), **keys)
        return profiles_of(read_observations(path, observations), observations, DEPTHS)

    return of


@pytest.fixture
def problems(read):
    def of(table, **keys):
        with pytest.raises(InputError) as caught:
            read(table, **keys)
        return list(map(str, caught.value.problems))

    return of


def warnings(profiles):
    return [note for note in map(str, profiles.notes) if note.startswith("warning:")]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("topsoil", "spread"), [(60, 1.0), (30, 0.5), (300, 0.4)])
def test_the_right_unit_passes_without_a_word(read, seed, topsoil, spread):
    assert not warnings(read(soils(seed=seed, topsoil=topsoil, spread=spread)))


@pytest.mark.parametrize(("unit", "written"), [("%", '"%"'), ("g/g", "g/g"), ("mg/kg", "mg/kg")])
def test_carbon_in_another_unit_is_refused_with_what_to_write(problems, unit, written):
    table = soils()
    (problem,) = problems(table.assign(soc=table["soc"] / FACTORS[unit]).drop(columns="tn"))
    assert f"`soc` is in {unit}, not g/kg" in problem
    assert f"write `observations.units: {{soc: {written}}}`" in problem
    assert "line 2: " in problem and "and 115 more" in problem
    assert "of its 120 layers" in problem
    assert "`observations.sure_of: [soc]`" in problem


def test_litter_and_peat_do_not_hide_that_a_column_is_in_percent(problems):
    table = soils()
    table["soc"] /= 10
    table.loc[:5, ["soc", "bulk_density"]] = [[45.0, 0.12]] * 6
    assert any('units: {soc: "%"}' in problem for problem in problems(table))


def test_litter_above_what_carbon_can_be_does_not_make_a_table_percent(problems):
    table = soils()
    table.loc[[0, 3, 6, 9, 12, 15], ["soc", "bulk_density"]] = [[760.0, 0.1]] * 6
    found = problems(table)
    assert len(found) == 6
    assert all("expected 0 to 700 g/kg (pure organic matter holds some 580" in problem for problem in found)
    assert "%" not in "".join(found)


def test_one_who_is_sure_is_believed(read):
    table = soils()
    profiles = read(table.assign(soc=table["soc"] / 10).drop(columns="tn"), sure_of=("soc",))
    assert not [note for note in warnings(profiles) if "soc" in note]


def test_one_source_in_percent_among_others(problems):
    table = soils().assign(source="a")
    late = table["site"] >= "S28"
    table.loc[late, "source"] = "b"
    table.loc[late, "soc"] /= 10
    (problem,) = problems(table.drop(columns="tn"))
    assert "in source b, `soc` is in %" in problem
    assert "Convert these rows" in problem


@pytest.mark.parametrize(
    ("column", "factor", "says"),
    [
        ("soc", 0.1, "`soc` is in %"),
        ("coarse_fragments", 0.01, "may be a fraction"),
        ("bulk_density", 1000, "is in kg/m3"),
        (["top", "bottom"], 0.01, "are in m"),
        (["top", "bottom"], 10, "in mm"),
    ],
)
def test_a_source_in_another_unit_is_named_whatever_the_column(tmp_path, read, column, factor, says):
    table = soils().assign(source="a")
    late = table["site"] >= "S28"
    table["coarse_fragments"] += 1
    table = table.astype(dict.fromkeys(("top", "bottom"), float))
    table.loc[late, "source"] = "b"
    table.loc[late, column] *= factor
    try:
        found = warnings(read(table.drop(columns="tn")))
    except InputError as error:
        found = list(map(str, error.problems))
    assert any("in source b, " in text and says in text for text in found), found


def test_a_few_layers_of_a_source_are_doubted(read):
    table = soils().assign(source="a")
    late = table["site"] >= "S36"
    table.loc[late, "source"] = "b"
    table.loc[late, "soc"] /= 10
    (warning,) = warnings(read(table.drop(columns="tn")))
    assert "in source b, `soc` is in %" in warning or "in source b, `soc` may be in %" in warning


@pytest.mark.parametrize("seed", range(3))
def test_two_units_without_a_source_are_doubted(read, seed):
    table = soils(seed=seed, spread=0.5).drop(columns="tn")
    assert not warnings(read(table))
    some = table["site"].str[1:].astype(int) % 3 == 0
    (warning,) = warnings(read(table.assign(soc=table["soc"].where(~some, table["soc"] / 10))))
    assert "may be in two units: 14 sites of 40 hold about a tenth" in warning
    metres = table.astype(dict.fromkeys(("top", "bottom"), float))
    metres.loc[some, ["top", "bottom"]] /= 100
    (warning,) = warnings(read(metres))
    assert "14 of 40 sites end within 3 cm, at broken depths" in warning


def test_organic_matter_in_percent(problems):
    table = soils()
    only = table.assign(som=table["soc"] / 5.8).drop(columns=["soc", "tn"])
    (problem,) = problems(only)
    assert "`som` is in %" in problem
    both = problems(table.assign(som=table["soc"] / 5.8, bulk_density=np.nan))
    assert any("units ten times apart: SOC/SOM is 5.8" in problem for problem in both)


def test_without_bulk_density_a_unit_can_only_be_doubted(read):
    table = soils(topsoil=30, spread=0.5)
    keys = {"bulk_density": {"function": "hossain-2015"}}
    plain = table.drop(columns=["bulk_density", "tn"])
    assert not warnings(read(plain, **keys))
    (warning,) = warnings(read(plain.assign(soc=plain["soc"] / 10), **keys))
    assert "`soc` may be in %, not g/kg" in warning


def test_a_poor_soil_is_doubted_but_not_refused(read):
    (warning,) = warnings(read(soils(topsoil=1.5, spread=0.5).drop(columns="tn")))
    assert "may be in %" in warning


@pytest.mark.parametrize(
    ("column", "factor", "unit"),
    [
        ("bulk_density", 1000, "kg/m3"),
        ("bulk_density", 100, "cg/cm3"),
        ("coarse_fragments", 0.01, "fraction"),
        ("tn", 0.1, '"%"'),
        ("tn", 1000, "mg/kg"),
    ],
)
def test_other_columns_in_another_unit(problems, column, factor, unit):
    table = soils()
    table["coarse_fragments"] *= 3
    (problem,) = problems(table.assign(**{column: table[column] * factor}))
    assert f"write `observations.units: {{{column}: {unit}}}`" in problem
    assert "would be" in problem


def test_stones_by_mass_are_not_a_unit_of_volume(problems):
    table = soils()
    (problem,) = problems(table.assign(coarse_fragments=60 * table["coarse_fragments"]))
    assert "`coarse_fragments` is in g/kg, not volume %" in problem
    assert "a share of volume is needed" in problem


def test_what_to_write_is_accepted(read, problems):
    table = soils()
    wrong = table.assign(soc=table["soc"] / 10, bulk_density=1000 * table["bulk_density"], tn=table["tn"] / 10)
    assert len(problems(wrong)) >= 2
    units = {"soc": "%", "bulk_density": "kg/m3", "tn": "%"}
    assert not warnings(read(wrong, units=units))


def test_a_unit_that_was_named_wrongly_is_to_be_corrected(problems):
    (problem,) = problems(soils(topsoil=30, spread=0.4).drop(columns="tn"), units={"soc": "%"})
    assert "is in g/kg" in problem
    assert "correct `observations.units.soc`, which says %" in problem


def test_a_doubt_goes_when_the_unit_is_named(read):
    poor = soils(topsoil=1.5, spread=0.5).drop(columns="tn")
    assert warnings(read(poor))
    assert not warnings(read(poor, units={"soc": "g/kg"}))


@pytest.mark.parametrize(("factor", "unit"), [(0.01, "m"), (10, "mm")])
def test_depths_in_another_unit(problems, factor, unit):
    table = soils()
    deeper = table[table["top"] == 30].assign(top=60, bottom=120)
    table = pd.concat([table, deeper]).sort_values(["site", "top"])
    found = problems(table.assign(top=table["top"] * factor, bottom=table["bottom"] * factor))
    assert f"`top` and `bottom` are in {unit}, not cm" in found[0]
    assert f"`observations.units: {{top: {unit}, bottom: {unit}}}`" in found[0]


def test_deep_profiles_in_cm_are_not_taken_for_mm(read):
    table = soils()
    deeper = [table[table["top"] == 30].assign(top=top, bottom=top + 40) for top in (60, 100, 140, 180, 220)]
    assert not warnings(read(pd.concat([table, *deeper])))


@pytest.mark.parametrize(("factor", "unit"), [(10, "t/ha"), (1000, "g/m2")])
def test_densities_in_another_unit(problems, factor, unit):
    rng = np.random.default_rng(2)
    upper = rng.uniform(2, 6, 30)
    table = pd.DataFrame({"site": range(30), "lon": 120, "lat": 50, "socd_0-10": upper, "socd_0-30": 2.2 * upper})
    table[["socd_0-10", "socd_0-30"]] *= factor
    found = problems(table)
    assert len(found) == 2
    assert f"`socd_0-10` is in {unit}, not kg C/m²" in found[0]
    assert f"`observations.units: {{socd_0-10: {unit}}}`" in found[0]


@pytest.mark.parametrize(
    ("column", "value", "absent"),
    [
        ("bulk_density", 2.82, "kg/m³"),
        ("coarse_fragments", 104, "g/kg"),
        ("bottom", "inf", "dates"),
        ("lon", "n.d.", "-117"),
    ],
)
def test_a_hint_is_given_only_where_it_can_be_right(problems, column, value, absent):
    table = soils().astype({column: object})
    table.loc[4, column] = value
    (problem,) = problems(table)
    assert "line 6: site S01" in problem
    assert absent not in problem.partition("expected")[2].replace("volume %", "")


def test_a_verdict_needs_two_signs():
    nothing = pd.Series(dtype=float)
    assert judge_carbon(nothing, nothing, nothing).factor == 1
    few = judge_carbon(pd.Series([1.4, 2.6, 0.9]), pd.Series([1.1, 0.9, 1.2]), pd.Series([5.0, 5.0, 20.0]))
    assert (few.factor, few.sure) == (10, False)


DATA = Path(__file__).parents[5] / "shared" / "data" / "circumpolar"


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")
def test_real_profiles_in_four_units():
    table = pd.read_csv(DATA / "horizons.csv")
    middle, rng = (table["top"] + table["bottom"]) / 2, np.random.default_rng(4)
    sites = table["site"].unique()
    for _ in range(10):
        some = table["site"].isin(rng.choice(sites, 50, replace=False))
        for factor in (1.0, 10.0, 1000.0, 0.001):
            verdict = judge_carbon(table["soc"][some] / factor, table["bulk_density"][some], middle[some])
            assert (verdict.factor, verdict.sure) == (factor, factor != 1.0)
