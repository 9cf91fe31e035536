"""What the catalogue of the outputs says: of which years, which land, whose, and under which licence."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from pystac.extensions.projection import SCHEMA_URI
from pystac.validation import JsonSchemaSTACValidator, validate

from engine.sources.entry import source_spec
from engine.sources.spec import SourceSpec
from engine.storage.zarr_store import open_dataset
from pipelines.runfile.reader import RunFile, load
from pipelines.soil_carbon.results.catalogue import covariate_years, period_of, write_catalogue
from pipelines.soil_carbon.results.overviews import limits, picture

ABOUT = {
    "title": "CHELSA V2.1",
    "licence": "CC-BY-4.0",
    "doi": "10.16904/envidat.228.v2.1",
    "address": "https://chelsa-climate.org",
    "period": [1981, 2010],
    "providers": [["Swiss Federal Institute WSL", ["producer"]], ["EnviCloud", ["host"]]],
}


@pytest.fixture(scope="module")
def out(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(finished, tmp_path_factory.mktemp("catalogue") / "out"))
    (copy / "report.html").write_text("a page")
    record = json.loads((copy / "provenance.json").read_text())
    record["sources"]["ai"]["about"] = [ABOUT]
    (copy / "provenance.json").write_text(json.dumps(record))
    return copy


def written(out: Path, **output) -> tuple[RunFile, pystac.Collection]:
    config, _ = load(out / "run.yaml")
    config = config.model_copy(
        update={"output": type(config.output).model_validate({"dir": config.output.dir, **output})}
    )
    write_catalogue(config, out)
    return config, pystac.Collection.from_file(str(out / "stac" / "collection.json"))


def test_is_valid_stac(out: Path):
    _, collection = written(out, licence="CC-BY-4.0", providers=[{"name": "Soil Institute"}])
    validator = JsonSchemaSTACValidator()
    # The extension's own schema lies behind a network.
    validator.schema_cache[SCHEMA_URI] = {"$schema": "http://json-schema.org/draft-07/schema#"}
    for thing in (collection, *collection.get_items()):
        assert validate(thing, validator)
        for asset in thing.assets.values():
            assert Path(asset.get_absolute_href() or "").exists()


def test_that_data_are_made_up_is_said_once_a_sentence(out: Path):
    config, _ = load(out / "run.yaml")
    for title in ("Virtual region (made-up data)", "Virtual region"):
        write_catalogue(config.model_copy(update={"synthetic": True, "title": title}), out)
        collection = pystac.Collection.from_file(str(out / "stac" / "collection.json"))
        assert collection.title == "Virtual region (made-up data)"
        assert f"of {collection.title}, mapped by Gelisol." in collection.description
        assert collection.description.count("made-up data") == 1


def test_times_are_those_that_the_maps_stand_for(out: Path):
    _, collection = written(out)
    (start, end), *_ = collection.extent.temporal.intervals
    assert start is not None and end is not None
    assert (start.year, end.year, end.month, end.day) == (1981, 2010, 12, 31)  # of mat 2001–2002, of ai 1981–2010
    finished = json.loads((out / "provenance.json").read_text())["stages"]["map"]["finished"]
    for item in collection.get_items():
        assert item.datetime is None and item.common_metadata.start_datetime == start
        assert item.common_metadata.created is not None
        assert item.common_metadata.created.isoformat() == finished
    assert "1981–2010" in collection.description


def test_a_period_of_its_own_counts_first(out: Path):
    _, collection = written(out, period=[2005, 2015])
    assert [moment.year for moment in collection.extent.temporal.intervals[0] if moment] == [2005, 2015]
    with pytest.raises(ValueError, match="backwards"):
        written(out, period=[2015, 2005])


def test_without_any_period_the_time_is_that_of_the_making_and_it_is_said(out: Path):
    config, _ = load(out / "run.yaml")
    plain = {name: spec.model_copy(update={"period": None}) for name, spec in config.covariates.items()}
    assert period_of(config.model_copy(update={"covariates": plain}), {}) is None


def test_years_of_a_covariate():
    def spec(**more) -> SourceSpec:
        return source_spec(**{"href": "a.tif", **more})

    assert covariate_years(spec(period=[2000, 2020]), {"period": "1990–2022"}) == (2000, 2020)
    assert covariate_years(spec(), {"period": "1990–2022", "about": [ABOUT]}) == (1990, 2022)
    assert covariate_years(spec(), {"period": "", "about": [ABOUT]}) == (1981, 2010)
    assert covariate_years(spec(), {}) is None
    formula = {"expression": "a + b", "of": {"a": {"href": "a", "period": [1999, 2001]}, "b": {"href": "b"}}}
    assert covariate_years(source_spec(**formula), {}) == (1999, 2001)


def test_licence_and_providers(out: Path):
    _, collection = written(
        out, licence="CC-BY-4.0", providers=[{"name": "Soil Institute", "url": "https://soil.example"}]
    )
    assert collection.license == "CC-BY-4.0" and "not stated" not in collection.description
    names = [provider.name for provider in collection.providers or []]
    assert names == ["Soil Institute", "Swiss Federal Institute WSL"]
    texts = {link.title: link.href for link in collection.links if link.rel == "license"}
    assert texts["Licence of the maps: CC-BY-4.0"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert "Licence of CHELSA V2.1: CC-BY-4.0" in texts
    assert [link.href for link in collection.links if link.rel == "derived_from"] == [
        "https://doi.org/10.16904/envidat.228.v2.1"
    ]


def test_a_licence_that_nobody_stated_is_said(out: Path):
    _, collection = written(out)
    assert collection.license == "other"
    assert "The licence of the maps is not stated (`output.licence`" in collection.description


def test_the_box_is_that_of_the_domain(out: Path):
    """Of the cells of the domain by another road: each of their centres, projected."""
    _, collection = written(out)
    with open_dataset(out / "cube.zarr") as cube:
        inside = cube["domain"].load()
        rows, cols = np.nonzero(inside.values)
        lon, lat = rasterio.warp.transform(
            cube.odc.crs.to_wkt(), "EPSG:4326", inside.x.values[cols], inside.y.values[rows]
        )
    expected = (min(lon), min(lat), max(lon), max(lat))
    for box in (collection.extent.spatial.bboxes[0], *(item.bbox for item in collection.get_items())):
        assert box == pytest.approx(expected, abs=0.1)


def test_bands_have_names_units_a_named_crs_and_styles(out: Path):
    _, collection = written(out)
    names = {path.stem for path in (out / "cog").glob("*.tif")}
    assert names == {path.stem for path in (out / "cog").glob("*.qml")}
    for name in names:
        with rasterio.open(out / "cog" / f"{name}.tif") as file:
            assert file.descriptions == (name,)
            assert file.units[0] in ("kg m-2", "1") and file.tags(1)["units"] == file.units[0]
            assert "outside the domain" in file.tags(1)["missing"] and file.nodata is not None
            assert "Lambert azimuthal equal-area, 51° N 121.5° E" in file.crs.to_wkt()
    assert "socd_0-30_mean" in names
    with open_dataset(out / "maps.zarr") as maps:
        assert "Lambert azimuthal equal-area, 51° N 121.5° E" in maps["spatial_ref"].attrs["crs_wkt"]
        low, high = limits(picture(maps["mean"].isel(depth=1)).values)
    shader = ElementTree.parse(out / "cog" / "socd_0-30_mean.qml").getroot().find(".//colorrampshader")
    assert shader is not None
    shown = float(shader.get("minimumValue", "")), float(shader.get("maximumValue", ""))
    assert shown == pytest.approx((low, high), rel=1e-6)
    item = next(item for item in collection.get_items() if item.id.endswith("socd-0-30"))
    assert item.assets["mean"].extra_fields["bands"][0]["name"] == "socd_0-30_mean"
    assert item.assets["mean_style"].href.endswith("cog/socd_0-30_mean.qml")
    assert "Lambert azimuthal equal-area, 51° N 121.5° E" in item.properties["proj:wkt2"]
