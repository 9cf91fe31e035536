"""The circumpolar run file on real data, coarser than it is: end to end, with numbers that can be true."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rasterio.warp import transform

from engine.storage.zarr_store import open_dataset

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY.parent / "shared" / "data" / "circumpolar"
CELL_KM2 = 60.0**2

pytestmark = pytest.mark.skipif(not (DATA / "pedons.csv").exists(), reason=f"real data are not there: {DATA}")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, gelisol, on_scheduler) -> Path:
    out = tmp_path_factory.mktemp("circumpolar") / "out"
    settings = (
        f"data={DATA}",
        "domain.resolution=60000",
        "model.families=[{name: xgboost, grid: {}}]",
        "model.replicates=10",
        "model.validation.repeats=2",
        "model.validation.schemes=[random]",
        "model.validation.coverage=0",
    )
    arguments = [part for setting in settings for part in ("--set", setting)]
    run_file = REPOSITORY / "catalogs" / "circumpolar" / "run.yaml"
    result = gelisol("run", run_file, "--out", out, "--until", "map", *arguments, *on_scheduler)
    assert result.exit_code == 0, result.output
    return out


def test_scores_are_modest(results: Path):
    """Pedons are few, clustered and noisy: more than this would be a leak, less a fault."""
    scores = pd.read_csv(results / "validation.csv")
    r2 = scores.loc[scores["scheme"] == "random", "r2"]
    assert r2.between(0.05, 0.35).all(), r2.tolist()
    assert (scores["bias"].abs() < 1).all()


def test_most_pedons_train(results: Path):
    training = pd.read_parquet(results / "ensemble" / "training.parquet")
    assert 450 < len(training) < 519
    assert training["y"].between(0, 60).all()


@pytest.mark.parametrize(
    ("covariate", "low", "high"),
    [
        ("mat", -30, 0),
        ("july", -15, 25),
        ("map", 50, 3000),
        ("tree_cover", 0, 100),
        ("elevation", -50, 4000),
        ("clay", 0, 100),
        ("silt", 0, 100),
        ("ph", 3, 10),
    ],
)
def test_covariates_are_decoded(results: Path, covariate: str, low: float, high: float):
    """Scales, fill codes and months: all values are in the units that the run file states."""
    values = open_dataset(results / "cube.zarr")[covariate].values
    known = values[np.isfinite(values)]
    assert known.size > 5000
    assert known.min() >= low and known.max() <= high, (known.min(), known.max())
    assert known.max() - known.min() > (high - low) / 4


def test_temperatures_fall_towards_the_pole(results: Path):
    """A file that marks the corners of its cells lies right, and its seventh month is July."""
    cube = open_dataset(results / "cube.zarr")
    mat, july = cube["mat"].values, cube["july"].values
    known = np.isfinite(mat) & np.isfinite(july)
    from_pole = np.hypot(*np.meshgrid(cube["x"].values, cube["y"].values))[known]
    assert np.corrcoef(from_pole, mat[known])[0, 1] > 0.3
    assert np.corrcoef(from_pole, july[known])[0, 1] > 0.5
    assert (july[known] > mat[known] + 5).mean() > 0.99


def test_area_and_stocks_can_be_true(results: Path):
    """Land with MAT ≤ 0 °C north of 50° N: some 23 million km², with hundreds of Pg in 0–30 cm."""
    total = pd.read_csv(results / "stocks.csv").set_index(["zone", "depth"]).loc["total"]
    assert total["area_km2"].between(18e6, 26e6).all()
    assert 10 < total.loc["0-30", "socd_mean"] < 20
    assert 30 < total.loc["0-100", "socd_mean"] < 60
    assert 200 < total.loc["0-30", "stock_pg"] < 500


def test_deeper_holds_more_everywhere(results: Path):
    shallow, deep = open_dataset(results / "maps.zarr")["mean"].values
    mapped = np.isfinite(shallow)
    np.testing.assert_array_equal(mapped, np.isfinite(deep))
    assert mapped.sum() * CELL_KM2 > 18e6
    assert (deep[mapped] > shallow[mapped]).all()
    assert (shallow[mapped] > 0).all()


@pytest.mark.parametrize(
    ("place", "lon", "lat", "mapped"),
    [
        ("North Pole", 0.0, 89.5, False),
        ("Barents Sea", 40.0, 74.0, False),
        ("Hudson Bay", -85.0, 60.0, False),
        ("Greenland's ice", -40.0, 72.0, False),
        ("Berlin, warmer than 0 °C", 13.4, 52.5, False),
        ("Yakutsk", 129.7, 62.0, True),
        ("Great Slave Lake's hinterland", -112.0, 64.0, True),
        ("Alaska, Brooks Range's south", -150.0, 66.5, True),
    ],
)
def test_land_is_mapped_and_sea_is_not(results: Path, place: str, lon: float, lat: float, mapped: bool):
    mean = open_dataset(results / "maps.zarr")["mean"].isel(depth=0)
    x, y = transform("EPSG:4326", mean.odc.crs.to_wkt(), [lon], [lat])
    value = mean.sel(x=x[0], y=y[0], method="nearest").item()
    assert np.isfinite(value) == mapped, f"{place}: {value}"


def test_zones_are_land_cover(results: Path):
    stocks = pd.read_csv(results / "stocks.csv")
    first = stocks[stocks["depth"] == "0-30"].set_index("zone")["area_km2"]
    assert set(first.index) == {"forest", "shrub", "herbaceous", "cropland", "wetland", "bare", "total"}
    assert first.drop("total").sum() == pytest.approx(first["total"])
    assert first["forest"] > first["herbaceous"] > first["shrub"]
