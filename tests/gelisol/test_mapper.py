"""`SoilMapper`: an estimator by scikit-learn's own checks, on tables by name, and on a Dataset."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gelisol
from engine.errors import GelisolError

QUICK: dict[str, Any] = {"replicates": 5, "parameters": {"n_estimators": 60, "learning_rate": 0.2}}


@parametrize_with_checks([gelisol.SoilMapper(**QUICK)])
def test_is_an_estimator(estimator: Any, check: Any):
    check(estimator)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    cover = pd.Categorical(rng.choice(["wood", "bog", "steppe"], 80))
    return pd.DataFrame({"temperature": rng.normal(-3, 2, 80), "cover": cover, "wetness": rng.random(80)})


@pytest.fixture
def carbon(table: pd.DataFrame) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 0.2, len(table))
    return (10 - table["temperature"] + 4 * (table["cover"] == "bog") + noise).to_numpy()


def test_columns_are_found_by_name(table: pd.DataFrame, carbon: np.ndarray):
    mapper = gelisol.SoilMapper(**QUICK).fit(table, carbon)
    once = mapper.predict(table)
    other = table[["wetness", "cover", "temperature"]].assign(extra=1.0)
    np.testing.assert_array_equal(mapper.predict(other), once)
    statistics = mapper.predict_statistics(other.set_axis([f"p{i}" for i in range(80)], axis="index"))
    np.testing.assert_array_equal(statistics["mean"], once)
    assert statistics.index[0] == "p0" and statistics["applicable"].mean() > 0.9
    assert (statistics["pi_upper"] > statistics["ci_upper"]).all()


def test_classes_are_known_by_name(table: pd.DataFrame, carbon: np.ndarray):
    """Whichever the rest of the categories are, or their order."""
    mapper = gelisol.SoilMapper(**QUICK).fit(table, carbon)
    rows = table.iloc[:9]
    text = rows.assign(cover=rows["cover"].astype(str))
    np.testing.assert_array_equal(mapper.predict(text), mapper.predict(rows))
    assert mapper.score(table, carbon) > 0.8
    with pytest.raises(ValueError, match="X: the column 'cover' holds 'lake'; fitted to bog, steppe, wood"):
        mapper.predict(rows.assign(cover="lake"))


def test_clones_and_pickles_after_use(table: pd.DataFrame, carbon: np.ndarray):
    mapper = gelisol.SoilMapper(**QUICK, random_state=3).fit(table, carbon)
    once = mapper.predict(table)
    again = pickle.loads(pickle.dumps(mapper))
    np.testing.assert_array_equal(again.predict(table), once)
    same = clone(mapper)
    assert same.get_params() == mapper.get_params() and not hasattr(same, "model_")
    np.testing.assert_array_equal(same.fit(table, carbon).predict(table), once)
    assert (clone(mapper).set_params(random_state=4).fit(table, carbon).predict(table) != once).any()


def test_goes_through_grid_search_and_pipeline(table: pd.DataFrame, carbon: np.ndarray):
    grid = {"soilmapper__parameters": [{"n_estimators": 1}, {"n_estimators": 60, "learning_rate": 0.2}]}
    pipeline = make_pipeline(StandardScaler(), gelisol.SoilMapper(replicates=3))
    search = GridSearchCV(pipeline, grid, cv=3).fit(table[["temperature", "wetness"]], carbon)
    assert search.best_params_ == {"soilmapper__parameters": grid["soilmapper__parameters"][1]}
    families = GridSearchCV(gelisol.SoilMapper(replicates=3), {"family": ["svm", "xgboost"]}, cv=2).fit(table, carbon)
    assert families.best_score_ > 0


def test_maps_a_dataset_as_its_points(whole: Path):
    """Equal to what the estimator says of the cells' values as a table, and to `map_dataset` of one target."""
    run = gelisol.open(whole / "out")
    sites, cube = run.sites.query("used"), run.cube
    mapper = gelisol.SoilMapper(**QUICK, target="observed_0-10", units="kg m-2").fit(cube, sites)
    found = pickle.loads(pickle.dumps(mapper)).predict(cube)
    assert all(variable.chunks is not None for variable in found.data_vars.values())
    assert found["mean"].attrs["units"] == "kg m-2" and found.odc.geobox == cube.odc.geobox
    maps = found.load()
    settings = {"families": [{"name": "xgboost", "parameters": QUICK["parameters"], "grid": {}}], "replicates": 5}
    other = gelisol.map_dataset(
        cube, sites, "observed_0-10", selection={"screen": False},
        validation={"folds": 5, "repeats": 1, "schemes": ["random"]}, **settings,
    )  # fmt: skip
    for name in ("mean", "sd", "pi_lower", "pi_upper", "cell_mean", "cell_lower", "cell_upper"):
        np.testing.assert_array_equal(maps[name].values, other[name].values, err_msg=name)
    cells = np.argwhere(np.isfinite(maps["mean"].values))[::100]
    y, x = (xr.DataArray(place, dims="cell") for place in cells.T)
    table = cube.isel(y=y, x=x).to_dataframe()[["tn", "vegetation", "ai", "mat"]]
    table["vegetation"] = table["vegetation"].map({1: "forest", 2: "grassland"})
    np.testing.assert_array_equal(mapper.predict(table), maps["mean"].values[tuple(cells.T)])


def test_intervals_of_rows_and_of_cells(table: pd.DataFrame, carbon: np.ndarray, whole: Path):
    """Rows have no place: theirs is that of a new point. A map on another grid has that of cells, where it is asked."""
    mapper = gelisol.SoilMapper(**QUICK).fit(table, carbon)
    bounds = mapper.predict_interval(table)
    np.testing.assert_array_equal(bounds, mapper.predict_statistics(table)[["pi_lower", "pi_upper"]])
    assert np.mean((bounds[:, 0] <= carbon) & (carbon <= bounds[:, 1])) > 0.8 and bounds.shape == (80, 2)
    run = gelisol.open(whole / "out")
    with pytest.raises(GelisolError, match="X: found a Dataset, expected a table"):
        mapper.predict_interval(run.cube)
    sites, cube = run.sites.query("used"), run.cube[["tn", "mat"]]
    on_cells = gelisol.SoilMapper(**QUICK, target="observed_0-10").fit(cube, sites)
    here = on_cells.predict(cube).load()
    degrees = on_cells.predict(cube.odc.reproject("EPSG:4326", resolution=0.04)).load()
    at = {"lon": sites["lon"].to_xarray(), "lat": sites["lat"].to_xarray()}
    there = degrees.sel(longitude=at["lon"], latitude=at["lat"], method="nearest")
    on_plane = sites.to_crs(cube.odc.crs.proj).geometry
    cells = here.sel(x=on_plane.x.to_xarray(), y=on_plane.y.to_xarray(), method="nearest")
    off = (there["cell_mean"] - there["mean"]).values, (cells["cell_mean"] - cells["mean"]).values
    known = np.isfinite(off).all(axis=0)
    assert known.sum() > 25 and np.corrcoef(off[0][known], off[1][known])[0, 1] > 0.9
    assert "cell_mean" not in gelisol.SoilMapper(**QUICK, target="observed_0-10", residual_error=False).fit(
        cube, sites
    ).predict(cube)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "forest"}, "family: unknown family 'forest'; valid here: rf, svm, brt, xgboost"),
        ({"family": 3}, "family: expected a name"),
        ({"parameters": {"n_estimator": 3}}, "unknown hyperparameter 'n_estimator'; did you mean `n_estimators`"),
        ({"parameters": [1]}, "parameters: expected a mapping; found list"),
        ({"replicates": 1}, "replicates: expected a whole number from 2 on; found int 1"),
        ({"interval": 95}, "interval: expected a number between 0 and 1, e.g. 0.95; found 95"),
        ({"random_state": -1}, "random_state: expected a number from 0 on"),
    ],
)  # fmt: skip
def test_wrong_settings_get_a_sentence(table: pd.DataFrame, carbon: np.ndarray, settings: dict, message: str):
    with pytest.raises(GelisolError, match=message):
        gelisol.SoilMapper(**settings).fit(table, carbon)


def test_wrong_tables_get_a_sentence(table: pd.DataFrame, carbon: np.ndarray, whole: Path):
    mapper = gelisol.SoilMapper(**QUICK).fit(table, carbon)
    with pytest.raises(ValueError, match="X: the model needs each of the columns temperature, cover, wetness once; "
                                         "missing or repeated: wetness; did you mean `wet_ness`"):  # fmt: skip
        mapper.predict(table.rename(columns={"wetness": "wet_ness"}))
    with pytest.raises(ValueError, match=r"lacks a class in 1 row$"):
        mapper.predict(table.assign(cover=table["cover"].where(table.index > 0)))
    run = gelisol.open(whole / "out")
    with pytest.warns(UserWarning, match=r"y: 5 of 40 rows \(.*\) do not train the model"):
        gelisol.SoilMapper(**QUICK, target="observed_0-10").fit(run.cube, run.sites)
    with pytest.raises(GelisolError, match="target: with a Dataset, name the column"):
        gelisol.SoilMapper(**QUICK).fit(run.cube, run.sites)
    with pytest.raises(GelisolError, match="X: has no variable temperature, cover, wetness"):
        mapper.predict(run.cube)
    with pytest.raises(GelisolError, match="y: expected a GeoDataFrame"):
        gelisol.SoilMapper(**QUICK, target="soc").fit(run.cube, carbon)
