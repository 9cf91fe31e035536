"""Tables that cannot be read as they stand: every message names the row and the key that helps; none is a traceback."""

import datetime

import geopandas as gpd
import openpyxl
import pandas as pd
import pytest
from pydantic import ValidationError
from shapely import Point

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.bad_rows import left_out_table
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.read_profiles import profiles_of

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
HEADER = "site,lon,lat,top,bottom,soc,bulk_density"
ROWS = ("A,120,50,0,10,40,1.0", "A,120,50,10,30,20,1.2", "B,121,51,0,10,45,1.0", "B,121,51,10,30,25,1.1")
ORGANIC = ("A,120,50,7,2,400,.1", "A,120,50,2,0,300,.2", "A,120,50,0,10,40,1", "A,120,50,10,30,20,1.2")


def text(*rows, header=HEADER):
    return "\n".join([header, *(rows or ROWS)]) + "\n"


@pytest.fixture
def read(tmp_path):
    """Profiles of a table given as text, or of a file that is there."""

    def reading(content=None, name="p.csv", sites=None, **keys):
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if sites is not None:
            (tmp_path / "s.csv").write_text(sites)
            keys["sites"] = {"table": "s.csv", "key": "site"}
        observations = Observations.model_validate({"table": name, **keys})
        table = read_observations(tmp_path / name, observations, tmp_path / "s.csv" if sites is not None else None)
        return profiles_of(table, observations, DEPTHS, (110, 40, 130, 60))

    return reading


@pytest.fixture
def problems(read, tmp_path):
    def found(*args, **keys):
        with pytest.raises(InputError) as caught:
            read(*args, **keys)
        return [problem.replace(f"{tmp_path}/", "") for problem in map(str, caught.value.problems)]

    return found


@pytest.mark.parametrize(
    ("content", "keys", "said"),
    [
        (text(*(r.replace(",45,", ",-9999,") for r in ROWS)), {},
         "p.csv, line 4: site B: `soc` is -9999 (1 record), which looks like a marker of missing values; if it is "
         "one, set `missing: [-9999]`"),
        (text("A,120,50,0,999,40,1"), {}, "`bottom` is 999 (1 record), which looks like a marker"),
        (text("A,120,50,0,30,n.d.,1"), {}, "`soc` is 'n.d.' (1 record); expected a number; if it marks missing values, "
         "set `missing: [n.d.]`"),
        (text("A,120,50,0,30,<0.5,1"), {}, "'<0.5', below a detection limit (1 record); set `below_detection: half`"),
        (text('A,120,50,0,30,"1,234.5",1'), {}, "which seems to group digits by threes (1 record)"),
        (text('A,120,50,0,30,"1,234",1'), {}, "or `thousands: ','` if commas group digits"),
        (text('A,120,50,0,30,"2,5",1'), {"thousands": ","}, "`soc` is '2,5'"),
        (text("A;120,5;50,1;0;30;12.345;1", header=HEADER.replace(",", ";")), {"decimal": ","},
         "group digits by threes"),
        (text("土,120,50,0,30,40,1").encode("gbk"), {}, "line 2: byte 0xcd (byte 41 of the file) is not UTF-8"),
        (text("土,120,50,0,30,40,1").encode("gbk"), {}, "`encoding: gbk` reads '土' there"),
        (text("Mü,120,50,0,30,40,1").encode("latin-1"), {}, "`encoding: latin-1` reads 'Mü' there"),
        (text().encode("utf-16-le"), {}, "try `encoding: utf-16-le`"),
        (text().encode("utf-8-sig"), {"encoding": "gbk"}, "begins with the mark of utf-8; expected gbk"),
        (bytes(range(256)), {}, "is not UTF-8"),
        (b"PK\x03\x04", {}, "looks like .xlsx"),
        (text(), {"crs": "EPSG:32651"}, "lon and lat look like degrees"),
        (text("A,5538000,284000,0,30,40,1"), {"crs": "EPSG:32651"}, "x and y are swapped?"),
        (text("A,284000,5538000,0,30,40,1"), {}, "Say which: `crs: EPSG:…`"),
        (text("A,50N,120E,0,30,40,1"), {}, "`lon` is '50N'; expected a number, or nothing where none was measured "
         "(N is not a hemisphere of a longitude; swapped?)"),
        (text("A,120 75 0 E,50,0,30,40,1"), {}, "minutes and seconds are below 60"),
        (text(*ORGANIC), {}, "set `depth_zero: mineral`"),
        (text(*ORGANIC), {"on_bad_row": "drop"}, "set `depth_zero: mineral`"),
        (text("A,120,50,-8,0,400,.1", "A,120,50,0,30,20,1.2"), {"on_bad_row": "drop"}, "set `depth_zero: mineral`"),
        (text("A,120,50,10,0,40,1", "A,120,50,10,30,20,1"), {"depth_zero": "mineral"}, "is it upside down"),
        (text("A,120,50,-8,-3,40,1", "A,120,50,0,30,20,1"), {"depth_zero": "mineral"}, "is a layer missing?"),
        (text("A,120,50,-8,0,40,1", "A,120,50,0,30,20,1"), {"depth_zero": "surface"}, "lies above the surface"),
        (text(*ROWS[:1]), {"units": {"som": "%"}}, "observations.units.som: the table has no such column"),
        (text("A,120,50,0,30,4,"), {"units": {"soc": "kg/m2"}},
         "`soc` is given per area, which needs the row's bulk density"),
        (text("A,120,50,Oct-12,40", header="site,lon,lat,D,soc"), {"columns": {"depth": "D"}},
         "`depth` (column `D`): 'Oct-12' is not a depth interval such as 0-10"),
        (text("A,120,50,0-10 cm,40", header="site,lon,lat,depth,soc"), {"units": {"depth": "m"}},
         "is in cm, but `units` say m"),
        (text("A,120,50,-5,40", header="site,lon,lat,D,soc"), {"columns": {"thickness": "D"}},
         "is -5; expected more than 0"),
        ("My soil data;;;;;;\n" + text().replace(",", ";"), {},
         "line 2: looks like the columns' names; if it is, set `header: 2`"),
        ("My soil data\n" + text(), {}, "Do the columns' names stand further down? Say where: `header: LINE`"),
        (text("A,120,50,0,30,4,1", header="ID,X,lat,bottom,top_,soc,z"), {"columns": {"site": "ID", "lon": "X"}},
         "the column `top` is missing; did you mean `top_`?"),
        (text("A,120,50,30,4", header="ID,X,lat,bottom,soc"), {"columns": {"site": "ID", "lon": "X"}},
         "the column `top` is missing; it has: ID, X, lat, bottom, soc"),
        (text(), {"columns": {"lat": "Lat."}}, "'Lat.' is not a column of p.csv; did you mean `lat`?"),
        (text(*(r + ",1,2" for r in ROWS), header=HEADER + ",soc,soc"), {}, "the column soc is there more than once"),
        (text(), {"sheet": "one"}, "observations.sheet: has no meaning for p.csv"),
        (text(), {"columns": {"site": ["entry", "profile"]}}, "observations.columns.site: 'entry' is not a column"),
        (text("A,120,50,1,2,3,4", header="site,lon,lat,C1,C2,B1,B2"), {"wide": {"0-10": {"soc": "C3"}}},
         "observations.wide: 0-10: 'C3' is not a column of p.csv"),
        (text("A,120,50,1,2,x1,4", header="site,lon,lat,C1,C2,B1,B2"),
         {"wide": {"0-10": {"soc": "C1", "bulk_density": "B1"}, "10-30": {"soc": "C2"}}},
         "p.csv, line 2 (0-10): site A: `bulk_density` is 'x1'"),
        (text(*(r.replace(",1.", ",1300.") for r in ROWS)), {"on_bad_row": "drop", "sure_of": ["bulk_density"]},
         "`on_bad_row: drop` would leave out 4 of 4 rows for one reason"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_says_what_helps(problems, content, keys, said):
    found = problems(content, **keys)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"units": {"soc": "mol/kg"}}, "'mol/kg' is not a unit of `soc`; valid here: g/kg, %,"),
        ({"units": {"bulk_density": "%"}}, "'%' is not a unit of `bulk_density`; valid here: g/cm3, kg/m3"),
        ({"units": {"coarse_fragments": "g/kg"}}, "is a share of mass; a share of volume is needed"),
        ({"units": {"sok": "%"}}, "'sok' is not a column with units; did you mean `som`?"),
        ({"crs": "EPSG:999999"}, "is not a CRS; expected e.g. EPSG:32651"),
        ({"encoding": "klingon"}, "is not an encoding of text"),
        ({"encoding": "base64"}, "is not an encoding of text"),
        ({"delimiter": "ab"}, "cannot stand between fields"),
        ({"decimal": ",", "thousands": ","}, "a number needs two different marks"),
        ({"wide": {"0..x": {"soc": "C"}}}, "is not a depth interval such as 0-10"),
        ({"wide": {"0-10": {"lon": "x"}}}, "'lon' does not vary by layer"),
        ({"wide": {"0-10": {"soc": "C"}}, "columns": {"top": "t"}}, "`columns.top` does not go with `wide`"),
        ({"columns": {"depth": "d", "top": "t"}}, "the depths need one form"),
        ({"columns": {"lon": ["a", "b"]}}, "only `site` may be made of several"),
    ],
)
def test_keys_that_cannot_be_right_are_refused_by_themselves(keys, said):
    with pytest.raises(ValidationError, match="Observations") as caught:
        Observations.model_validate({"table": "p.csv", **keys})
    assert said in str(caught.value)


LAYERS = "site,top,bottom,soc,bulk_density\n1,0,10,40,1\n1.0,10,30,20,1.2\n2,0,30,25,1\n3,0,30,25,1\n"
SITES = "site,lon,lat\n1,120,50\n2,121,51\n9,122,50\n"


def test_rows_without_a_partner_are_counted_on_both_sides(read, problems):
    (problem,) = problems(LAYERS, sites=SITES)
    assert problem.startswith("p.csv, line 5: site 3: its site, 3, is not in s.csv (1 such row)")
    found = read(LAYERS, sites=SITES, on_bad_row="drop")
    assert "1 of 3 sites of s.csv have no layers: 9." in map(str, found.notes)
    assert any("1 of 4 rows left out: 1 without a row in the table of sites" in note for note in map(str, found.notes))
    assert found.table["site"].unique().tolist() == ["1", "2"]


def test_a_site_listed_twice_and_keys_that_never_meet(problems):
    assert "s.csv, line 5: site 1 is listed in line 2 already" in problems(LAYERS, sites=SITES + "1,120,50\n")[0]
    assert "no row of p.csv has its site in s.csv" in problems(LAYERS, sites="site,lon,lat\nX1,120,50\n")[0]
    assert "observations.sites.key: 'site' is not a column" in problems(LAYERS, sites=SITES.replace("site", "id"))[0]
    assert "s.csv, line 3: site 2: `lon` is 'n.d.'" in problems(LAYERS, sites=SITES.replace("121", "n.d."))[0]


def test_bad_rows_are_left_out_counted_and_listed(read):
    rows = (
        *ROWS, "B,121,51,30,30,4,1.3", "B,121,51,30,50,4,5.03", "B,121,51,50,60,4,0", "B,121,51,60,70,mud,1",
        "A,120,50,30,60,4,1", "A,120,50,30,60,4,1", "C,122,50,0,10,4,1", "C,122,50,5,20,4,1", "C,122,50,20,30,4,1",
    )  # fmt: skip
    found = read(text(*rows), on_bad_row="drop")
    table = left_out_table(found.left_out).sort_values("row")
    assert table["row"].tolist() == [6, 7, 8, 9, 11, 12, 13]
    assert table["site"].tolist() == ["B", "B", "B", "B", "A", "C", "C"]
    assert table["column"].tolist() == ["top", "bulk_density", "bulk_density", "soc", "", "top", "top"]
    assert table["value"].tolist() == ["30", "5.03", "0", "mud", "", "0", "5"]
    assert any("7 of 13 rows left out: 2 `bulk_density` outside" in note for note in map(str, found.notes))
    order = read(text(*reversed(rows)), on_bad_row="drop")
    pd.testing.assert_frame_equal(order.table, found.table)
    assert not read(text()).left_out


def test_layers_that_are_open_below_are_left_out_with_a_word(read):
    rows = ("A,120,50,0-10,40,1.0", "A,120,50,10-30,20,1.2", "A,120,50,30+,20,1.2", "A,120,50,>60 cm,20,1.2")
    found = read(text(*rows, header="site,lon,lat,depth,soc,bulk_density"))
    assert [(left.row, left.value) for left in found.left_out] == [(4, "30+"), (5, ">60 cm")]
    assert any("2 layers open below, such as '30+'" in note for note in map(str, found.notes))
    assert found.table["socd"].notna().all()


@pytest.mark.parametrize("zero", ["mineral", "surface"])
def test_zero_and_what_the_first_thirty_centimetres_are(read, zero):
    """7 cm of organic layers and 23 cm of mineral soil; or 30 cm from the surface, written as heights."""
    if zero == "mineral":
        rows = ("A,120,50,7,0,350,.1", "A,120,50,0,-23,20,1.2")
    else:
        rows = ("A,120,50,0,-7,350,.1", "A,120,50,-7,-30,20,1.2")
    found = read(text(*rows), depth_zero=zero).table.set_index("depth")["socd"]
    assert found["0-30"] == pytest.approx((350 * 0.1 * 7 + 20 * 1.2 * 23) / 100)


def test_detection_limits(read):
    rows = ("A,120,50,0,10,40,1", "A,120,50,10,30,< 8,1")
    carbon = {how: read(text(*rows), below_detection=how).table.set_index("depth").at["0-30", "socd"]
              for how in ("half", "zero", "limit")}  # fmt: skip
    assert carbon == pytest.approx({"half": 4 + 0.8, "zero": 4, "limit": 4 + 1.6})
    assert any(
        "1 value below the detection limit became half" in n
        for n in map(str, read(text(*rows), below_detection="half").notes)
    )


def test_what_stands_on_the_first_row_only_counts_for_the_site(read):
    rows = ("A,120,50,0,10,40,1", "A,,,10,30,20,1.2", "B,121,51,0,10,45,1", "B,121,51,10,30,25,1.1")
    notes = list(map(str, read(text(*rows)).notes))
    assert "Filled from other rows of the same site: coordinates in 1 row." in notes


def test_duplicate_columns_that_nothing_reads_or_that_agree_are_noted(read):
    found = read(text(*(f"{r},a,b,{r[0]}" for r in ROWS), header=HEADER + ",zz,zz,site"))
    assert "the column `zz` of p.csv is there 2 times, and nothing reads it." in map(str, found.notes)
    assert "the column `site` of p.csv is there 2 times, with the same content." in map(str, found.notes)


def workbook(tmp_path, change):
    book = openpyxl.Workbook()
    for row in text().splitlines():
        book.active.append([float(v) if v.replace(".", "").isdigit() else v for v in row.split(",")])
    change(book)
    book.save(tmp_path / "p.xlsx")


def test_spreadsheets_are_read_as_they_are_shown(read, tmp_path):
    def as_percent(book):
        for row in range(2, 6):
            book.active[f"F{row}"].value /= 1000
            book.active[f"F{row}"].number_format = "0.0%"

    workbook(tmp_path, as_percent)
    found = read(name="p.xlsx", units={"soc": "%"})
    assert found.table["socd"].round(9).tolist() == read(text()).table["socd"].round(9).tolist()
    assert any("4 cells formatted as percentages are read as shown" in note for note in map(str, found.notes))


def test_spreadsheets_with_dates_formulas_and_several_sheets(problems, tmp_path):
    workbook(tmp_path, lambda book: book.active.__setitem__("E3", datetime.datetime(2024, 10, 12)))
    assert "row 3: site A: `bottom` is a date (2024-10-12)" in problems(name="p.xlsx")[0]
    workbook(tmp_path, lambda book: book.active.__setitem__("F2", "=20*2"))
    assert "1 formula without a value, the first in F2" in problems(name="p.xlsx")[0]
    workbook(tmp_path, lambda book: book.create_sheet("notes").append(["read me"]))
    assert "has several sheets (Sheet, notes); say which: `sheet: Sheet`" in problems(name="p.xlsx")[0]
    assert "has no sheet 'x'; it has: Sheet, notes" in problems(name="p.xlsx", sheet="x")[0]


def test_points_elsewhere_than_their_columns_and_two_crs(read, problems, tmp_path):
    table = pd.DataFrame([row.split(",") for row in ROWS], columns=HEADER.split(","))
    points = [
        Point(float(x), float(y) + (i == 0)) for i, (x, y) in enumerate(zip(table["lon"], table["lat"], strict=True))
    ]
    gpd.GeoDataFrame(table, geometry=points, crs=4326).to_file(tmp_path / "p.gpkg")
    notes = list(map(str, read(name="p.gpkg").notes))
    assert any("1 point elsewhere than its columns" in note for note in notes)
    gpd.GeoDataFrame(table.drop(columns=["lon", "lat"]), geometry=points, crs=4326).to_file(tmp_path / "q.gpkg")
    assert "but q.gpkg declares WGS 84" in problems(name="q.gpkg", crs="EPSG:32651")[0]


def test_markers_among_names_and_words_read_as_empty_are_mentioned(read):
    rows = [f"{row},{kind}" for row, kind in zip(ROWS, ("n.d.", "n.d.", "-9999", "Gelisol"), strict=True)]
    rows[1] = rows[1].replace(",1.2,", ",NA,")
    notes = list(map(str, read(text(*rows, header=HEADER + ",soil_type")).notes))
    assert any("`soil_type` is 'n.d.' in 2 records, which counts as a name" in note for note in notes)
    assert any("`soil_type` is '-9999' in 1 record" in note and "`missing: [-9999]`" in note for note in notes)
    assert "NA read as empty: bulk_density 1." in notes
    listed = list(map(str, read(text(*rows, header=HEADER + ",soil_type"), missing=["n.d.", -9999]).notes))
    assert not any("counts as a name" in note for note in listed)


def test_carbon_per_area_without_depths_is_a_missing_column(problems):
    rows = [",".join(row.split(",")[:3] + row.split(",")[5:]) for row in ROWS]
    found = problems(text(*rows, header="site,lon,lat,soc,bulk_density"), units={"soc": "kg/m2"})
    assert "the column `top` is missing" in found[0]
