"""`sites.gpkg`: what was observed and what is predicted out of bag, site by site; and the kinds of sources."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest

from engine.ensemble.trained import Ensemble
from pipelines.soil_carbon.profiles.source_kinds import DATABASE, LITERATURE, OTHER, SURVEY, UNSTATED, kind_of
from pipelines.soil_carbon.results.sites_file import LAYER, SITES, write_sites

LABELS = ("0-10", "0-30")


@pytest.fixture(scope="module")
def out(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(finished, tmp_path_factory.mktemp("sites") / "out"))
    write_sites(copy, LABELS)
    return copy


def test_a_layer_that_gis_opens(out: Path):
    assert [name for name, _ in pyogrio.list_layers(out / SITES)] == [LAYER]
    sites = gpd.read_file(out / SITES)
    assert sites.crs == "EPSG:4326" and (sites.geom_type == "Point").all()
    np.testing.assert_allclose(sites.geometry.x, sites["lon"])
    profiles = pd.read_parquet(out / "profiles.parquet")
    assert sorted(sites["site"]) == sorted(profiles["site"].unique())


def test_observed_predicted_and_residual(out: Path):
    sites = gpd.read_file(out / SITES).set_index("site")
    profiles = pd.read_parquet(out / "profiles.parquet")
    for label in LABELS:
        socd = profiles[profiles["depth"] == label].set_index("site")["socd"]
        np.testing.assert_allclose(sites[f"observed_{label}"], socd[sites.index])
        residual = sites[f"observed_{label}"] - sites[f"predicted_{label}"]
        np.testing.assert_allclose(sites[f"residual_{label}"], residual)
    ensemble = Ensemble(out / "ensemble")
    training = pd.read_parquet(out / "ensemble" / "training.parquet")
    shallow = sites.loc[training["site"], "predicted_0-10"]
    np.testing.assert_allclose(shallow, np.nanmean(ensemble.out_of_bag.astype(float), axis=0))
    assert (sites["used"] == sites.index.isin(training["site"])).all()
    assert ((sites["why_not"] == "") == sites["used"]).all()
    assert sites.loc[~sites["used"], "predicted_0-10"].isna().all()


def test_comes_with_the_report(out: Path, gelisol):
    (out / SITES).unlink()
    result = gelisol("report", out)
    assert result.exit_code == 0, result.output
    assert (out / SITES).exists() and SITES in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads((out / "stac" / "collection.json").read_text())["assets"]["sites"]["href"] == "../sites.gpkg"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("this study", SURVEY),
        ("own field survey 2019", SURVEY),
        ("made-up transect", SURVEY),
        ("Expedition 2018", SURVEY),
        ("Smith et al. 2005", LITERATURE),
        ("Ding, 2016", LITERATURE),
        ("https://doi.org/10.1000/182", LITERATURE),
        ("made-up literature", LITERATURE),
        ("Second national soil survey", DATABASE),
        ("NCSCDv2", DATABASE),
        ("WoSIS 2019 (Batjes et al. 2020)", DATABASE),
        ("数据库", DATABASE),
        ("S17", OTHER),
        ("", UNSTATED),
        (None, UNSTATED),
        (np.nan, UNSTATED),
    ],
)
def test_kinds_of_sources(source, kind):
    assert kind_of(source) == kind
