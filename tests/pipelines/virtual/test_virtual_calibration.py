"""A cross-validation on the virtual region lands near the study's (R² of Eq. 4 0.47, RMSE 1.52, MAE 1.20)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pyproj import Transformer
from scipy.stats import linregress
from sklearn.model_selection import KFold

from engine.models.families import FAMILIES
from engine.storage.zarr_store import open_dataset
from engine.validation.cross_validation import Scores
from pipelines.runfile.reader import load
from pipelines.soil_carbon.profiles.read_profiles import read_profiles
from pipelines.virtual.covariates import RANGES
from pipelines.virtual.outline import REGION_CRS


@pytest.fixture(scope="module")
def sites(region: Path) -> pd.DataFrame:
    """Densities from the written layers, gaps filled, and the covariates of each site's cell."""
    run, base = load(region / "run.yaml")
    table = base / run.observations.table
    sites = read_profiles(table, run.depths, run.observations.columns, run.observations.at_site).wide()
    x, y = Transformer.from_crs("EPSG:4326", REGION_CRS, always_xy=True).transform(sites["lon"], sites["lat"])
    truth = open_dataset(region / "truth.zarr").drop_vars("socd").load()
    cells = truth.sel(x=xr.DataArray(x, dims="site"), y=xr.DataArray(y, dims="site"), method="nearest")
    measured = sites["tn"].astype(float)
    for name in (*RANGES, "vegetation"):
        sites[name] = cells[name].values
    sites["tn"] = measured.fillna(sites["tn"])
    return sites


def test_all_sites_have_a_density_and_their_covariates(sites: pd.DataFrame):
    assert len(sites) == 147
    assert sites[["socd_0-10", *RANGES]].notna().all().all() and (sites["vegetation"] > 0).all()
    assert sites["socd_0-30"].notna().sum() > 100 and sites["socd_0-50"].notna().sum() > 60


def test_cross_validation_lands_near_the_study(sites: pd.DataFrame):
    classes = np.column_stack([sites["vegetation"] == code for code in (1, 2, 3)])
    x = np.column_stack([sites[list(RANGES)], classes]).astype("float32")
    y = sites["socd_0-10"].to_numpy(float)
    scores = []
    for repeat in range(3):
        predicted = np.empty(len(y))
        for train, test in KFold(10, shuffle=True, random_state=repeat).split(x):
            model = FAMILIES["xgboost"].build({}, repeat).fit(x[train], y[train])
            predicted[test] = model.predict(x[test])
        scores.append(Scores.of(y, predicted))
    assert np.mean([s.r2_explained for s in scores]) == pytest.approx(0.47, abs=0.1)
    assert np.mean([s.rmse for s in scores]) == pytest.approx(1.52, abs=0.2)
    assert np.mean([s.mae for s in scores]) == pytest.approx(1.20, abs=0.2)


@pytest.mark.parametrize("depth, slope", [("socd_0-30", 2.2), ("socd_0-50", 2.52)])
def test_deeper_carbon_regresses_on_the_topsoil(sites: pd.DataFrame, depth: str, slope: float):
    both = sites.dropna(subset=[depth])
    line = linregress(both["socd_0-10"], both[depth])
    assert line.pvalue < 0.001 and line.rvalue**2 > 0.8
    assert line.slope == pytest.approx(slope, rel=0.25)
