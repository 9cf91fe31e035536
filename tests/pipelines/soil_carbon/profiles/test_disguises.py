"""One set of profiles in the forms that people keep theirs in: whatever the form, the profiles are the same."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from engine.sources.entry import source_spec
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.read_profiles import Profiles, profiles_of

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
ATTRIBUTES = ["vegetation", "soil_type"]
COLUMNS = ["site", "lon", "lat", "top", "bottom", "soc", "bulk_density", "coarse_fragments", "tn", *ATTRIBUTES]
Disguise = Callable[[pd.DataFrame, Path], dict[str, Any]]


def plain() -> pd.DataFrame:
    """Six sites of three layers; some bulk densities are missing."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(6):
        for top, bottom, soc in ((0, 10, 120), (10, 25, 45), (25, 60, 12)):
            carbon = round(soc * rng.uniform(0.7, 1.3), 1)
            density = round(float(np.exp(0.4 - 0.005 * carbon)), 2)
            rows.append((f"S{number}", 121.5 + number / 8, 50.25 + number / 16, top, bottom, carbon,
                         np.nan if (number, top) == (3, 10) else density, 5 * number, round(carbon / 12, 2),
                         ("Lärchenwald", "草甸")[number % 2], "Gelisol"))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def read(keys: dict[str, Any], folder: Path) -> Profiles:
    observations = Observations.model_validate({"at_site": {"nitrogen": "tn"}} | keys)
    sites = folder / observations.sites.table if observations.sites else None
    covariates = {"nitrogen": source_spec(href="n.tif", units="g/kg")}
    table = read_observations(folder / observations.table, observations, sites, covariates, DEPTHS)
    return profiles_of(table, observations, DEPTHS, (110, 40, 130, 60))


def csv(table: pd.DataFrame, folder: Path, name: str = "p.csv", **how: Any) -> dict[str, Any]:
    table.to_csv(folder / name, index=False, **how)
    return {"table": name}


def first_only(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table.assign(**{c: table[c].where(~table["site"].duplicated()) for c in columns})


def projected(table: pd.DataFrame, code: int) -> pd.DataFrame:
    x, y = Transformer.from_crs(4326, code, always_xy=True).transform(table["lon"], table["lat"])
    return table.assign(lon=x, lat=y)


def points(table: pd.DataFrame, folder: Path, name: str, code: int) -> dict[str, Any]:
    frame = gpd.GeoDataFrame(table.drop(columns=["lon", "lat"]),
                             geometry=gpd.points_from_xy(table["lon"], table["lat"]), crs=4326)  # fmt: skip
    if name.endswith(".shp"):
        frame = frame.rename(columns={"bulk_density": "bd", "coarse_fragments": "cf"})
    frame.to_crs(code).to_file(folder / name, encoding="utf-8")
    return {"table": name} | ({"columns": {"bulk_density": "bd", "coarse_fragments": "cf"}} if "bd" in frame else {})


def angle(value: float, letters: str) -> str:
    whole = int(value)
    minutes = int((value - whole) * 60)
    return f"{whole}°{minutes:02d}'{((value - whole) * 60 - minutes) * 60:g}\"{letters}"


def percent_and_kilograms(table, folder):
    changed = table.assign(soc=table["soc"] / 10, bulk_density=table["bulk_density"] * 1000, top=table["top"] / 100,
                           bottom=table["bottom"] * 10, coarse_fragments=table["coarse_fragments"] / 100,
                           tn=table["tn"] * 1000)  # fmt: skip
    units = {
        "soc": "%",
        "bulk_density": "kg m-3",
        "top": "m",
        "bottom": "mm",
        "coarse_fragments": "cm³ cm⁻³",
        "tn": "ppm",
    }
    return csv(changed, folder) | {"units": units}


def central_europe(table, folder):
    return csv(table, folder, sep=";", decimal=",", encoding="utf-8-sig") | {"decimal": ","}


def thousands(table, folder):
    changed = table.assign(bulk_density=(table["bulk_density"] * 1000).map("{:,.0f}".format).replace("nan", ""))
    return csv(changed, folder, sep="\t") | {"thousands": ",", "units": {"bulk_density": "kg/m3"}}


def encoded(encoding: str, declared: bool) -> Disguise:
    def disguise(table, folder):
        return csv(table, folder, encoding=encoding) | ({"encoding": encoding} if declared else {})

    return disguise


def gbk(table, folder):
    changed = table.assign(vegetation=table["vegetation"].replace("Lärchenwald", "L"))
    return csv(changed, folder, encoding="gbk") | {"encoding": "gbk"}


def workbook(table, folder):
    with pd.ExcelWriter(folder / "p.xlsx") as writer:
        pd.DataFrame({"": ["made up"]}).to_excel(writer, sheet_name="read me", index=False)
        table.to_excel(writer, sheet_name="layers", index=True, startrow=2)
    return {"table": "p.xlsx", "sheet": "layers"}


def parquet(table, folder):
    table.to_parquet(folder / "p.parquet")
    return {"table": "p.parquet"}


def geoparquet(table, folder):
    frame = gpd.GeoDataFrame(table.drop(columns=["lon", "lat"]),
                             geometry=gpd.points_from_xy(table["lon"], table["lat"]), crs=4326)  # fmt: skip
    frame.to_crs(32651).to_parquet(folder / "p.parquet")
    return {"table": "p.parquet"}


def compressed(table, folder):
    csv(table, folder)
    (folder / "p.csv.gz").write_bytes(gzip.compress((folder / "p.csv").read_bytes()))
    return {"table": "p.csv.gz"}


def zipped(table, folder):
    csv(table, folder)
    with zipfile.ZipFile(folder / "p.zip", "w") as archive:
        archive.write(folder / "p.csv", "inside.csv")
    return {"table": "p.zip"}


def zipped_shapefile(table, folder):
    keys = points(table, folder, "p.shp", 4326)
    with zipfile.ZipFile(folder / "p.zip", "w") as archive:
        for file in folder.glob("p.[!z]*"):
            archive.write(file, file.name)
    return keys | {"table": "p.zip"}


def two_tables(table, folder):
    survey = table["site"].str[1:].astype(int) // 3
    split = table.assign(entry=survey, profile=table["site"], site="same")
    csv(split[["entry", "profile", "top", "bottom", "soc", "bulk_density", "coarse_fragments", "tn"]], folder)
    sites = projected(split.drop_duplicates("profile"), 32651).rename(columns={"lon": "E", "lat": "N"})
    csv(sites[["entry", "profile", "E", "N", *ATTRIBUTES]], folder, "sites.csv", sep=";")
    key = {"key": ["entry", "profile"], "columns": {"lon": "E", "lat": "N"}, "crs": "EPSG:32651"}
    return {"table": "p.csv", "columns": {"site": "profile"}, "sites": {"table": "sites.csv", **key}}


def one_key(table, folder):
    csv(table.drop(columns=["lon", "lat", *ATTRIBUTES]), folder)
    keys = points(table.drop_duplicates("site")[["site", "lon", "lat", *ATTRIBUTES]], folder, "sites.gpkg", 3857)
    return {"table": "p.csv", "sites": {**keys, "key": "site"}}


def first_rows(table, folder):
    return csv(first_only(table, ["lon", "lat", *ATTRIBUTES]), folder)


def angles(table, folder):
    return csv(
        table.assign(lon=[angle(v, "E") for v in table["lon"]], lat=[angle(v, "N") for v in table["lat"]]), folder
    )


def hemispheres(table, folder):
    changed = table.assign(lon=[f"E {v:.5f}".replace(".", ",") for v in table["lon"]],
                           lat=[f"{v} N" for v in table["lat"]])  # fmt: skip
    return csv(changed, folder, sep=";")


def zone(table, folder):
    changed = projected(table, 32651).rename(columns={"lon": "Easting", "lat": "Northing"})
    return csv(changed, folder) | {"crs": 32651, "columns": {"lon": "Easting", "lat": "Northing "}}


def another_datum(table, folder):
    return csv(projected(table, 4284), folder) | {"crs": "EPSG:4284"}


def markers(table, folder):
    changed = table.assign(bulk_density=table["bulk_density"].fillna(-9999).astype(object))
    changed["tn"] = changed["tn"].astype(object)
    changed.loc[4, "tn"] = "n.d."
    return csv(changed, folder) | {"missing": [-9999, "N.D."]}


def ranges(table, folder):
    depth = [f"{top}–{bottom} cm" for top, bottom in zip(table["top"], table["bottom"], strict=True)]
    changed = table.drop(columns=["top", "bottom"]).assign(HORIZON=depth)
    return csv(changed, folder) | {"columns": {"depth": "HORIZON"}}


def ranges_in_metres(table, folder):
    depth = [f"{top / 100:g} to {bottom / 100:g}" for top, bottom in zip(table["top"], table["bottom"], strict=True)]
    return csv(table.drop(columns=["top", "bottom"]).assign(depth=depth), folder) | {"units": {"depth": "m"}}


def thicknesses(table, folder):
    changed = table.assign(d=(table["bottom"] - table["top"]) / 100).drop(columns=["top", "bottom"])
    return csv(changed, folder) | {"columns": {"thickness": "d"}, "units": {"thickness": "m"}}


def wide(table, folder):
    names = {"soc": "C", "bulk_density": "BD", "coarse_fragments": "CF", "tn": "N"}
    sites = table.drop_duplicates("site")[["site", "lon", "lat", *ATTRIBUTES]].set_index("site")
    keys = {}
    for (top, bottom), rows in table.groupby(["top", "bottom"]):
        keys[f"{top}-{bottom}"] = {name: f"{short}_{top}_{bottom}" for name, short in names.items()}
        sites = sites.join(rows.set_index("site")[[*names]].rename(columns=keys[f"{top}-{bottom}"]))
    return csv(sites.reset_index(), folder) | {"wide": keys}


def heights(table, folder):
    """The uppermost layer lies above zero, counted upwards; the others downward from zero."""
    organic = table["top"] == 0
    changed = table.assign(
        top=np.where(organic, 10, table["top"] - 10), bottom=np.where(organic, 0, table["bottom"] - 10)
    )
    return csv(changed, folder) | {"depth_zero": "mineral"}


def negative_tops(table, folder):
    return csv(table.assign(top=table["top"] - 10, bottom=table["bottom"] - 10), folder) | {"depth_zero": "mineral"}


def all_heights(table, folder):
    return csv(table.assign(top=10 - table["top"], bottom=10 - table["bottom"]), folder) | {"depth_zero": "mineral"}


def negative_depths(table, folder):
    return csv(table.assign(top=-table["top"], bottom=-table["bottom"]), folder) | {"depth_zero": "surface"}


def bad_rows(table, folder):
    extra = table.iloc[[0, 1, 2, 3, 5]].astype(object)
    extra["site"] = ["S0", "S0", "S0", "S1", "S1"]
    extra.iloc[1, table.columns.get_loc("bulk_density")] = 0
    extra.iloc[2, table.columns.get_loc("coarse_fragments")] = 104
    extra.iloc[3, table.columns.get_loc("bottom")] = 0
    extra.iloc[4, table.columns.get_loc("soc")] = "mud"
    return csv(pd.concat([table.astype(object), extra]), folder) | {"on_bad_row": "drop"}


def shuffled_and_renamed(table, folder):
    changed = table.sample(frac=1, random_state=3).rename(columns={"soc": "SOC\n(g/kg) ", "site": "Profile ID"})
    changed.insert(0, "colour", "x")
    changed.insert(4, "colour", "y", allow_duplicates=True)
    changed.to_csv(folder / "p.csv", index=True)
    return {"table": "p.csv", "columns": {"soc": "SOC (g/kg)", "site": " Profile ID"}}


def carbon_per_area(table, folder):
    fine, thick = 1 - table["coarse_fragments"] / 100, table["bottom"] - table["top"]
    changed = table.assign(soc=table["soc"] * table["bulk_density"] * thick * fine * 0.1).dropna()
    return csv(changed, folder) | {"units": {"soc": "t C ha-1"}}


def carbon_per_volume(table, folder):
    fine = 1 - table["coarse_fragments"] / 100
    changed = table.assign(soc=table["soc"] * table["bulk_density"] * fine).dropna()
    return csv(changed, folder) | {"units": {"soc": "kg C m^-3"}}


def title_lines(table, folder):
    (folder / "p.csv").write_text("Survey of 1999;;\n;;\n" + table.to_csv(index=False, sep=";"), encoding="utf-8")
    return {"table": "p.csv", "header": 3}


def as_excel_writes_text(table, folder):
    (folder / "p.csv").write_text("sep=|\r\n" + table.to_csv(index=False, sep="|"), encoding="utf-8")
    return {"table": "p.csv"}


DISGUISES: dict[str, Disguise] = {
    "csv": csv,
    **{f.__name__: f for f in (
        percent_and_kilograms, central_europe, thousands, gbk, workbook, parquet, geoparquet, compressed, zipped,
        zipped_shapefile, two_tables, one_key, first_rows, angles, hemispheres, zone, another_datum, markers, ranges,
        ranges_in_metres, thicknesses, wide, heights, negative_tops, all_heights, negative_depths, bad_rows,
        shuffled_and_renamed, carbon_per_area, carbon_per_volume, title_lines, as_excel_writes_text,
    )},
    "utf-16": encoded("utf-16", declared=False),
    "utf-16-le": encoded("utf-16-le", declared=True),
    "gb18030": encoded("gb18030", declared=True),
    **{f"{name}": (lambda table, folder, name=name, code=code: points(table, folder, name, code))
       for name, code in (("p.gpkg", 32651), ("p.geojson", 4326), ("p.shp", 3413))},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*CRS.*geojson.*")
@pytest.mark.parametrize("name", DISGUISES)
def test_every_disguise_gives_the_same_profiles(tmp_path, name):
    (tmp_path / "plain").mkdir()
    table = plain()
    known = {"gbk": table.assign(vegetation=table["vegetation"].replace("Lärchenwald", "L")),
             "markers": table.assign(tn=table["tn"].mask(table.index == 4)),
             "carbon_per_area": table.dropna(), "carbon_per_volume": table.dropna()}.get(name, table)  # fmt: skip
    expected = read(csv(known, tmp_path / "plain"), tmp_path / "plain").table
    found = read(DISGUISES[name](table, tmp_path), tmp_path).table
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=2e-6 if name == "another_datum" else 1e-9)
    assert expected["socd"].notna().sum() >= 11
