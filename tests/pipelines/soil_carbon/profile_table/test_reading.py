"""Reading the observation table: formats, names, and what is said of a file that cannot be read."""

import geopandas as gpd
import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profile_table.table import misspelt

CSV = "site,lon,lat,top,bottom,soc\nA,120.5,50.25,0,10,40\n\nB,121,51,0,10,\n"


def read_table(path, columns, decimal="."):
    return read_observations(path, Observations(table=str(path), columns=columns, decimal=decimal))


def problem(path, columns=None):
    with pytest.raises(InputError) as caught:
        read_table(path, columns or {})
    return str(caught.value)


def test_csv_rows_are_counted_as_lines_of_the_file(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('site,source\nA,"two\nlines"\n\nB,x\n', encoding="utf-8-sig")
    table = read_table(path, {})
    assert table.frame.index.tolist() == [2, 5]
    assert table.frame["site"].tolist() == ["A", "B"]
    assert table.where(5) == f"{path}, line 5"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_stray_blanks(tmp_path, separator):
    path = tmp_path / "p.csv"
    path.write_text(CSV.replace(",", f" {separator} "))
    frame = read_table(path, {}).frame
    assert frame.columns.tolist() == ["site", "lon", "lat", "top", "bottom", "soc"]
    assert frame.loc[2, "lon"] == 120.5
    assert pd.isna(frame.loc[4, "soc"])


def test_a_spreadsheet_of_central_europe(tmp_path):
    """Semicolons, decimal commas, a byte order mark, and rows that only hold separators, too many of them."""
    path = tmp_path / "p.csv"
    rows = ["site;lon;soc;source", "A;120,5;40,25;Müller, 1999", ";;;;;;", "", "B;-1;3e1;", ";;;"]
    path.write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    frame = read_table(path, {}, ",").frame
    assert frame.index.tolist() == [2, 5]
    assert pd.to_numeric(frame["lon"]).tolist() == [120.5, -1] and pd.to_numeric(frame["soc"]).tolist() == [40.25, 30]
    assert frame.loc[2, "source"] == "Müller, 1999"


def test_columns_of_another_name_take_the_default_one(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id,soc,SOC_g_kg\nA,wrong,40\n")
    table = read_table(path, {"site": "id", "soc": "SOC_g_kg"})
    assert table.frame.loc[2, ["site", "soc", "SOC_g_kg"]].tolist() == ["A", 40.0, "40"]
    assert table.column("soc") == "`soc` (column `SOC_g_kg`)"
    assert "'SOC_gkg' is not a column" in problem(path, {"soc": "SOC_gkg"})
    assert "did you mean `SOC_g_kg`?" in problem(path, {"soc": "SOC_gkg"})


def test_two_default_columns_may_trade_names(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("site,lon,lat\nA,50,120\n")
    assert read_table(path, {"lon": "lat", "lat": "lon"}).frame.loc[2, ["lon", "lat"]].tolist() == [120.0, 50.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"site,lon\n", "not one record"),
        (b"site,source\nA,x\nB,M\xfcller\n", "line 3: byte 0xfc (byte 19 of the file) is not UTF-8"),
        (b"site,lon\nA,1\nB,2,3\n", "line 3: 3 fields between ',', the lines before have 2"),
        (b"site,lon,lon\nA,1,2\n", "line 1: the column lon is there more than once with different content"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path, content, said):
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    assert said in problem(path)


def test_missing_file_and_unknown_format(tmp_path):
    assert "no such file" in problem(tmp_path / "nowhere.csv")
    (tmp_path / "p.xls").write_bytes(b"PK")
    assert "cannot read .xls; expected .csv" in problem(tmp_path / "p.xls")
    for name in ("p.parquet", "p.gpkg", "p.xlsx", "p.shp", "p.geojson"):
        (tmp_path / name).write_bytes(b"neither one nor the other")
        assert "cannot be read as" in problem(tmp_path / name)


def test_parquet_keeps_numbers_and_counts_rows_from_one(tmp_path):
    path = tmp_path / "p.parquet"
    pd.DataFrame({"site": [7, 8], "soc": [1.5, 2.5]}).to_parquet(path)
    table = read_table(path, {})
    assert table.where(table.frame.index[0]) == f"{path}, row 1"
    assert table.frame["soc"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson"])
def test_points_become_degrees(tmp_path, name):
    points = gpd.GeoDataFrame({"site": ["A"]}, geometry=gpd.points_from_xy([120.5], [50.25]), crs=4326)
    points.to_crs(3857 if name == "p.gpkg" else 4326).to_file(tmp_path / name)
    frame = read_table(tmp_path / name, {}).frame
    assert frame.loc[1, ["lon", "lat"]].tolist() == pytest.approx([120.5, 50.25])


def test_points_do_not_replace_columns_of_degrees(tmp_path):
    points = gpd.GeoDataFrame(
        {"site": ["A"], "x": [1.0], "lat": [2.0]}, geometry=gpd.points_from_xy([9], [9]), crs=4326
    )
    points.to_file(tmp_path / "p.gpkg")
    assert read_table(tmp_path / "p.gpkg", {"lon": "x"}).frame.loc[1, ["lon", "lat"]].tolist() == [1.0, 2.0]


def test_lines_are_no_sites(tmp_path):
    square = gpd.GeoDataFrame({"site": ["A"]}, geometry=gpd.points_from_xy([9], [9]).buffer(1), crs=4326)
    square.to_file(tmp_path / "p.gpkg")
    assert "row 1: geometry is Polygon; expected Point (1 of 1" in problem(tmp_path / "p.gpkg")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_points_without_crs(tmp_path):
    gpd.GeoDataFrame({"site": ["A"]}, geometry=gpd.points_from_xy([9], [9])).to_file(tmp_path / "p.gpkg")
    assert "declares no CRS" in problem(tmp_path / "p.gpkg")


def test_an_unread_column_with_a_familiar_name_is_mentioned(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("site,bulk_dens,colour\nA,1.2,red\n")
    (note,) = misspelt(read_table(path, {}))
    assert "observations.columns: {bulk_density: bulk_dens}" in note.message
    assert misspelt(read_table(path, {"bulk_density": "bulk_dens"})) == []
