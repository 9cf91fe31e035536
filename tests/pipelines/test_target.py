"""Other targets than carbon: a content in mg/kg from layers, and a density of nitrogen, from table to page."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from small_run import SmallRun

from pipelines.runfile.target import Target

ZINC = {"name": "zinc", "units": "mg/kg", "label": "Zn", "title": "zinc content"}


@pytest.mark.parametrize(
    ("units", "printed", "cf", "kg"),
    [
        ("mg/kg", "mg/kg", "mg/kg", None),
        ("g kg-1", "g/kg", "g kg-1", None),
        ("kg N m-2", "kg N/m²", "kg m-2", 1.0),
        ("t/ha", "t/ha", "t/ha", 0.1),
        ("g m-2", "g/m²", "g m-2", 0.001),
        ("%", "%", "%", None),
    ],
)
def test_units_tell_whether_there_are_stocks(units, printed, cf, kg):
    target = Target(name="x", units=units)
    assert (target.printed_units, target.cf_units, target.kg_per_m2) == (printed, cf, kg)
    assert target.has_stocks == (kg is not None)


def test_the_default_is_carbon():
    target = Target()
    assert (target.name, target.printed_units, target.cf_units, target.short) == ("socd", "kg C/m²", "kg m-2", "SOCD")
    assert target.stock_unit(0.02) == ("Tg C", 1000.0)
    assert Target(name="tn_density", units="kg N m-2").stock_unit(3e-6) == ("Gg N", 1e6)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"name": "socd", "units": "t/ha"}, "give another quantity another `name`"),
        ({"name": "depth", "units": "cm"}, "is the name of another column"),
        ({"name": "Zn content", "units": "mg/kg"}, "String should match pattern"),
    ],
)
def test_names_that_cannot_be(entry, says):
    with pytest.raises(ValueError, match=says):
        Target.model_validate(entry)


def with_zinc(run: SmallRun, **target) -> pd.DataFrame:
    """Layers of zinc instead of carbon."""
    table = pd.read_csv(run.data / "profiles.csv")
    table = table.assign(zinc=(1.7 * table["soc"]).round(1)).drop(columns=["soc", "bulk_density", "coarse_fragments"])
    table.to_csv(run.data / "profiles.csv", index=False)
    run.set("target", ZINC | target)
    return table


def test_a_content_is_mapped_from_layers_to_the_page(run: SmallRun, gelisol, on_scheduler):
    table = with_zinc(run)
    result = gelisol("run", run.path, *on_scheduler)
    assert result.exit_code == 0, result.output
    out = run.out

    profiles = pd.read_parquet(out / "profiles.parquet")
    by_hand = (
        table.assign(weighted=table["zinc"] * (table["bottom"] - table["top"])).groupby("site")["weighted"].sum() / 30
    )
    found = profiles[profiles["depth"] == "0-30"].set_index("site")["zinc"]
    np.testing.assert_allclose(found, by_hand.reindex(found.index))

    stocks = pd.read_csv(out / "stocks.csv")
    assert stocks.columns.tolist() == [
        "zone", "depth", "area_km2", "zinc_mean", "zinc_spatial_sd", "zinc_sd", "zinc_lower", "zinc_upper",
    ]  # fmt: skip
    total = stocks[stocks["zone"] == "total"].set_index("depth").loc["0-10"]
    maps = xr.open_zarr(out / "maps.zarr", consolidated=False)
    assert total["zinc_mean"] == pytest.approx(float(maps["cell_mean"].isel(depth=0).mean()), rel=1e-3)
    assert total["zinc_lower"] < total["zinc_mean"] < total["zinc_upper"]
    assert maps["mean"].attrs["units"] == "mg/kg"
    assert maps["mean"].attrs["long_name"] == "zinc content, mean of the replicates"
    assert "sd" in pd.read_csv(out / "stock_uncertainty.csv")
    assert "zinc_mean" in pd.read_csv(out / "replicate_totals.csv")

    with rasterio.open(out / "cog" / "zinc_0-30_mean.tif") as file:
        assert file.units == ("mg/kg",)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["units"] == {"mean": "mg/kg"}
    assert "total" not in summary["depths"]["0-10"]
    assert "0–10 cm: mean" in result.output and "mg/kg" in result.output

    page = (out / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<style.*?</style>|src=\"data:[^\"]*\"|href=\"data:[^\"]*\"", "", page, flags=re.S))
    for word in ("carbon", "SOC", "Pg", "Tg C", "kg C"):
        assert not re.search(rf"\b{word}\b" if word != "SOC" else "SOC", text, re.I if word == "carbon" else 0), word
    assert "the mean zinc content is" in text
    for file in (out / "stac").rglob("*.json"):
        assert "carbon" not in file.read_text(encoding="utf-8").lower()


def test_a_density_of_nitrogen_has_stocks_of_nitrogen(run: SmallRun, gelisol, on_scheduler):
    table = pd.read_csv(run.data / "profiles.csv").drop_duplicates("site")
    rng = np.random.default_rng(1)
    upper = (0.02 * table["soc"] * rng.uniform(0.9, 1.1, len(table))).round(3)
    sites = table[["site", "lon", "lat", "vegetation", "tn"]]
    sites.assign(**{"N_0-10": upper, "N_0-30": 2.5 * upper}).to_csv(run.data / "profiles.csv", index=False)
    run.set("target", {"name": "nitrogen", "units": "t N/ha", "column": "N", "title": "nitrogen density"})
    result = gelisol("run", run.path, *on_scheduler)
    assert result.exit_code == 0, result.output
    stocks = pd.read_csv(run.out / "stocks.csv")
    np.testing.assert_allclose(stocks["stock_pg"], stocks["area_km2"] * stocks["nitrogen_mean"] * 1e-7)
    page = (run.out / "report.html").read_text(encoding="utf-8")
    assert re.search(r"the soils hold, as nitrogen density,.*?[TG]g\sN", page, re.S)
    assert not re.search(r"carbon|SOC|Pg C", re.sub(r"data:[^\"]*", "", page))


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (ZINC | {"column": "Zn"}, "`target: zinc` needs Zn_0-10, Zn_0-30 per site, or layers: top, bottom, Zn"),
        (ZINC | {"units": "kg m-2"}, "do not give its density over a depth"),
    ],
)
def test_tables_without_the_target_are_refused(run: SmallRun, gelisol, target, says):
    with_zinc(run)
    run.set("target", target)
    result = gelisol("check", run.path)
    assert result.exit_code == 1
    assert says in " ".join(result.output.split())


def test_negative_amounts_are_refused(run: SmallRun, gelisol):
    with_zinc(run)
    run.edit_profiles(lambda table: table.assign(zinc=table["zinc"].where(table.index != 4, -3.0)))
    result = gelisol("check", run.path)
    assert result.exit_code == 1
    assert "`zinc` is -3; expected a value in mg/kg, which is not negative" in " ".join(result.output.split())
