"""The catalogue: run files that read, descriptions that are STAC, and a check that says what to download from where."""

import json
import re
from pathlib import Path

import geopandas as gpd
import pystac
import pytest

from engine.errors import InputError
from engine.sources.metadata import read_about
from pipelines.runfile.descriptions import entries
from pipelines.runfile.reader import load

CATALOGS = Path(__file__).parents[2] / "catalogs"
RUNS = {"northeast-china": "run.yaml", "qinghai-tibet": "run.yaml", "circumpolar": "run-1km.yaml"}
TABLE_1 = {"mat", "map", "ai", "ndvi", "evi", "npp", "vegetation", "clay_silt", "tn", "ph"}


@pytest.fixture(params=RUNS)
def domain(request) -> str:
    return request.param


@pytest.fixture
def folder(domain, tmp_path, gelisol) -> Path:
    assert gelisol("init", domain, tmp_path / "d").exit_code == 0
    return tmp_path / "d"


def test_every_covariate_of_the_study_is_there_and_described(domain, folder):
    run, base = load(folder / RUNS[domain])
    assert set(run.covariates) == TABLE_1
    assert run.covariates["clay_silt"].units == "%"
    for name, spec in run.covariates.items():
        about = read_about(base / str(spec.about), name)
        assert about.address.startswith("http") and about.provider and about.licence
        assert f"`{name}`" in (folder / "README.md").read_text(encoding="utf-8")


def test_lines_beyond_the_study_read_once_uncommented(domain, folder):
    path = folder / RUNS[domain]
    text, n = re.subn(r"^  # (\w+: \{.*\})$", r"  \1", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    run, base = load(path)
    more = set(run.covariates) - TABLE_1
    assert n >= 9 and len(more) >= 9
    assert {"permafrost", "active_layer", "elevation", "slope", "wetness", "ndvi_250m"} <= more
    for name, spec in entries(run).items():
        if spec.about:
            assert read_about(base / spec.about, name).how_to_get


def test_descriptions_are_valid_stac():
    catalog = pystac.Catalog.from_file(CATALOGS / "sources" / "catalog.json")
    children = list(catalog.get_children())
    assert {c.id for c in children} == {p.stem for p in (CATALOGS / "sources").glob("*.json")} - {"catalog"}
    for child in children:
        child.validate()
        assert child.extra_fields["gelisol:access"] in ("open", "login", "request")


def test_outlines_are_the_corners_that_their_readme_gives():
    corners = {
        "northeast_china": (117.5333, 47.6167, 129.3667, 53.4333),
        "qinghai_tibet": (73.3144, 26.0033, 104.783, 39.7806),
    }
    for name, box in corners.items():
        outline = gpd.read_file(CATALOGS / name / "boundary.geojson")
        assert outline.is_valid.all() and outline.crs == "EPSG:4326"
        assert outline.total_bounds == pytest.approx(box, abs=1e-3)


def test_check_lists_what_is_to_be_downloaded_and_where_from(tmp_path, gelisol):
    gelisol("init", "northeast-china", tmp_path)
    result = gelisol("check", tmp_path / "run.yaml")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("•")]
    heads = [line.removeprefix("• covariates.").partition(": ")[0] for line in lines if "covariates." in line]
    missing = [name.partition(".")[0] for head in heads for name in head.split(", ")]
    assert set(missing) == TABLE_1 and len(missing) == len(TABLE_1)
    for line in lines:
        if line.startswith("• covariates."):
            assert " Get it from " in line and "http" in line
    assert "covariates.ai.href: no such file" in result.stderr and "10.6084/m9.figshare.7504448" in result.stderr
    assert len({line.partition("Get it from")[2] for line in lines}) == len(lines)  # a line for each data set
    assert "covariates.clay_silt, tn, ph: no such file: " in result.stderr and "clay_0-5cm" in result.stderr


def test_sources_lists_whose_data_they_are(folder, domain, gelisol):
    result = gelisol("sources", folder / RUNS[domain])
    assert result.exit_code == 0, result.output
    assert "clay_silt.clay" in result.stdout and "10.6084/m9.figshare.7504448" in result.stdout


def test_a_description_that_is_none(tmp_path):
    for text, message in (
        ("{", "cannot be read as JSON"),
        ('{"type": "Feature"}', "is not a STAC collection"),
        (json.dumps({"type": "Collection", "gelisol:access": "maybe"}), "gelisol:access is 'maybe'"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_about(tmp_path / "a.json", "covariates.v.about")
    with pytest.raises(InputError, match="no such file"):
        read_about(tmp_path / "none.json", "covariates.v.about")
