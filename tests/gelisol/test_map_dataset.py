"""Mapping a Dataset and points of one's own: the command line's numbers, lazily, and a sentence for each mistake."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import small_run
import xarray as xr
from dask.callbacks import Callback
from distributed import Client

import gelisol
from engine.errors import GelisolError

STATISTICS = ("mean", "sd", "ci_lower", "ci_upper", "uncertainty", "pi_lower", "pi_upper")
OF_CELL = ("cell_mean", "cell_lower", "cell_upper")
QUICK: dict[str, Any] = {
    "families": [{"name": "xgboost", "parameters": {"n_estimators": 40}, "grid": {}}],
    "validation": {"folds": 5, "repeats": 2, "schemes": ["random"]},
    "replicates": 8,
    "seed": 7,
}
"""The model section of the small run."""


@pytest.fixture(scope="module")
def cube(whole: Path) -> xr.Dataset:
    return gelisol.open(whole / "out").cube


@pytest.fixture(scope="module")
def points(whole: Path) -> gpd.GeoDataFrame:
    """The sites of the run, with the nitrogen that was measured there."""
    profiles = pd.read_parquet(whole / "out" / "profiles.parquet").drop_duplicates("site").set_index("site")
    sites = gelisol.open(whole / "out").sites
    return sites.assign(tn=sites["site"].map(profiles["tn"])).to_crs(small_run.CRS)


def mapped(cube: xr.Dataset, points: pd.DataFrame, target: Any = "observed_0-10", **settings: Any) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return gelisol.map_dataset(cube, points, target, **{"selection": {"screen": False}, **QUICK, **settings})


def predicted(dataset: xr.Dataset) -> list[Any]:
    """Compute, and return the keys of the tasks that predicted."""
    keys: list[Any] = []

    def note(key: Any, *_: Any) -> None:
        if isinstance(key, tuple) and str(key[0]).startswith("gelisol-map-"):
            keys.append(key)

    with Callback(pretask=note):
        dataset.compute(scheduler="threads")
    return keys


@pytest.fixture(scope="module")
def both(cube: xr.Dataset, points: gpd.GeoDataFrame, threads: Client) -> xr.Dataset:
    """Both depths, as the command line maps them, with the coordinates of its table."""
    degrees = pd.DataFrame(points.drop(columns="geometry"))
    return mapped(
        cube, degrees, ["observed_0-10", "observed_0-30"], at_site={"tn": "tn"}, zones="vegetation", units="kg m-2",
        client=threads,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(whole: Path, threads: Client, tmp_path_factory: pytest.TempPathFactory) -> gelisol.Run:
    """The same run, without errors of what completed its profiles: of those a table of densities knows nothing."""
    out = tmp_path_factory.mktemp("plain") / "out"
    shutil.copytree(whole / "out", out)
    return gelisol.run(whole / "run.yaml", threads, out=out, until="map", observations__errors=False)


def test_equal_to_the_command_line_to_the_bit(plain: gelisol.Run, both: xr.Dataset):
    maps = plain.maps.load()
    found = both.compute()
    for name in (*STATISTICS, *OF_CELL, "dissimilarity", "applicable"):
        assert found[name].dtype == maps[name].dtype and found[name].dims == maps[name].dims
        np.testing.assert_array_equal(found[name].values, maps[name].values, err_msg=name)
    assert found["depth"].values.tolist() == ["0-10", "0-30"] and found["depth_bottom"].values.tolist() == [10, 30]
    assert found["mean"].attrs["units"] == "kg m-2" and maps["applicable"].sum() > 100
    scores = plain.scores.iloc[0]
    assert found.attrs["rmse_random"] == pytest.approx(scores["rmse"], rel=1e-12)


def test_cells_have_an_interval_that_follows_the_points(both: xr.Dataset, cube: xr.Dataset, points: gpd.GeoDataFrame):
    """Narrower than that of a new core; other without zones; none where it is not wanted."""
    found = both[[*OF_CELL, "pi_lower", "pi_upper"]].isel(depth=0).load()
    width = found["cell_upper"] - found["cell_lower"]
    assert (width > 0).sum() == found["cell_mean"].notnull().sum() > 100
    assert float(width.mean()) < float((found["pi_upper"] - found["pi_lower"]).mean())
    without_zones = mapped(cube, points, at_site={"tn": "tn"}, thresholds=[2.5], quantiles=[0.975])
    asked = without_zones[["probability_over_2_5", "cell_q97_5", "cell_upper"]].load()
    known = asked["cell_upper"].notnull().values
    np.testing.assert_allclose(asked["cell_q97_5"].values[known], asked["cell_upper"].values[known], rtol=1e-6)
    assert (asked["probability_over_2_5"].values[known] > 0.5).any() and asked["cell_q97_5"].attrs["long_name"]
    assert not np.array_equal(without_zones["cell_mean"].values, found["cell_mean"].values, equal_nan=True)
    np.testing.assert_array_equal(without_zones["mean"].values, both["mean"][0].values)
    assert not set(OF_CELL) & set(mapped(cube, points, residual_error=False))
    few = points[points["used"]].iloc[:9]
    with pytest.warns(UserWarning, match="fewer than 10 points with residuals that differ.*: the map has no cell_mean"):
        settings = {**QUICK, "validation": {"folds": 2, "repeats": 1, "schemes": ["random"]}}
        lacking = gelisol.map_dataset(cube, few, "observed_0-10", selection={"screen": False}, **settings)
    assert not set(OF_CELL) & set(lacking)


def test_lazy_with_one_task_a_block(both: xr.Dataset):
    assert all(variable.chunks is not None for variable in both.data_vars.values())
    blocks = both["applicable"].data.npartitions
    assert blocks == 4
    assert len({key for key in dict(both.__dask_graph__()) if str(key[0]).startswith("gelisol-map-")}) == blocks
    assert len(predicted(both)) == blocks


def test_knows_its_place(both: xr.Dataset, cube: xr.Dataset):
    assert both.odc.geobox == cube.odc.geobox and both.rio.crs == cube.rio.crs
    assert all(variable.attrs["units"] for variable in both.data_vars.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: cube.chunk({"y": 7, "x": 13}),
        lambda cube: cube.load(),
        lambda cube: cube.transpose("x", "y"),
        lambda cube: cube.assign(ai=cube["ai"].astype("float64")),
        lambda cube: cube.rename(y="lat", x="lon"),
    ],
    ids=["chunks", "memory", "order", "float64", "names"],
)
def test_the_same_however_the_dataset_is_laid_out(cube: xr.Dataset, points: gpd.GeoDataFrame, change: Callable):
    once = mapped(cube, points)
    again = mapped(change(cube.copy(deep=True)), points)
    np.testing.assert_array_equal(again["mean"].values, once["mean"].values)
    np.testing.assert_array_equal(again["cell_upper"].values, once["cell_upper"].values)


def test_own_codes_of_classes_and_degrees(points: gpd.GeoDataFrame, threads: Client):
    """A grid of longitudes and latitudes, classes 10 and 20, no `domain`, rows from south to north."""
    lat, lon = np.arange(49.6, 52.4, 0.05), np.arange(119.2, 123.8, 0.05)
    rng = np.random.default_rng(0)
    cover = np.where(lon[None, :] + 0 * lat[:, None] > 121, 10, 20).astype("int16")
    cover[:5] = -1
    data = {
        "nitrogen": (("lat", "lon"), small_run._nitrogen(*np.meshgrid(lon, lat)), {"units": "g/kg"}),
        "noise": (("lat", "lon"), rng.random((len(lat), len(lon)))),
        "cover": (("lat", "lon"), cover, {"flag_values": [10, 20], "flag_meanings": "forest grass"}),
    }
    dataset = xr.Dataset(data, {"lat": lat, "lon": lon}).odc.assign_crs("EPSG:4326")
    settings = {**QUICK, "validation": {"folds": 5, "repeats": 1, "schemes": ["random", "knndm"]}}
    found = mapped(dataset, points.drop(columns="geometry"), client=threads, **settings).load()
    assert found["mean"].dims == ("lat", "lon") and found.odc.geobox == dataset.odc.geobox
    assert found["mean"][:5].isnull().all() and found["mean"][5:].notnull().all()
    truth = dataset["nitrogen"].where(found["mean"].notnull()).values.ravel()
    known = np.isfinite(truth)
    assert np.corrcoef(truth[known], found["mean"].values.ravel()[known])[0, 1] > 0.8
    assert {"rmse_random", "rmse_knndm"} <= found.attrs.keys()
    assert (found["cell_upper"] > found["cell_lower"]).sum() == known.sum()


def test_points_that_train_nothing_are_said(cube: xr.Dataset, points: gpd.GeoDataFrame):
    with pytest.warns(UserWarning, match="35 of 40 points train the model; 3 without a value of vegetation; 2 outside"):
        gelisol.map_dataset(cube, points, "observed_0-10", selection={"screen": False}, **QUICK)


def test_workers_need_no_disk_of_ours(cube: xr.Dataset, points: gpd.GeoDataFrame, tmp_path: Path):
    """What goes to a worker is all that it needs: the model is unpacked from what the graph holds."""
    import pickle

    from gelisol._fitted import _ready

    found = mapped(cube.load(), points)["cell_upper"]
    once = found.values
    travelled = pickle.loads(pickle.dumps(found))
    _ready.cache_clear()
    np.testing.assert_array_equal(travelled.values, once)


def test_without_a_client_and_beside_another_one(cube: xr.Dataset, points: gpd.GeoDataFrame, threads: Client):
    """The client that is given trains, whichever was made last and is the current one."""
    once = mapped(cube, points, client=threads)["mean"].values
    with Client(processes=False, n_workers=1, dashboard_address=None, protocol="inproc"):
        np.testing.assert_array_equal(mapped(cube, points, client=threads)["mean"].values, once)
    done = subprocess.run(
        [sys.executable, "-c", "from engine.execution.tasks import run_each; from distributed import Client;"
         "c = Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=False);"
         "print(sorted(r for _, r in run_each(c, abs, [-1, 2], total=2))); c.close()"],
        capture_output=True, text=True, check=False, timeout=120, cwd=Path(gelisol.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout == "[1, 2]\n", done.stderr


@pytest.mark.slow
def test_on_processes(cube: xr.Dataset, points: gpd.GeoDataFrame, client: Client):
    """Validated, trained and mapped by processes that got the data and the model with their tasks."""
    here = mapped(cube.load(), points)["pi_upper"].values
    found = mapped(cube.load(), points, client=client)["pi_upper"]
    np.testing.assert_array_equal(found.compute(scheduler=client).values, here)


def _of(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda call: {**call, name: change(call[name])}


MISTAKES: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = [
    (_of("dataset", lambda d: d["mat"]), r"dataset: .*found DataArray. Make one: dataset.to_dataset\(name"),
    (_of("dataset", lambda d: d["mat"].expand_dims("band")), r"dataset.to_dataset\('band'\)"),
    (_of("dataset", lambda d: d["mat"].values), "dataset: expected an xarray.Dataset.*found ndarray of shape"),
    (_of("dataset", lambda d: "cube.zarr"), "dataset: .*Open it first"),
    (lambda call: {**call, "dataset": call["points"], "points": call["dataset"]}, "The Dataset is the first argument"),
    (_of("dataset", lambda d: d[[]]), "dataset: has no variables"),
    (_of("dataset", lambda d: d[["domain"]]), "dataset: has no variables"),
    (_of("dataset", lambda d: d.drop_vars("spatial_ref")), r"dataset: declares no CRS.*assign_crs\('EPSG:…'\)"),
    (
        _of("dataset", lambda d: d.drop_vars("spatial_ref").rename(y="lat", x="lon")),
        r"dataset: declares no CRS.*EPSG:4326",
    ),
    (_of("dataset", lambda d: d.rename(y="rows", x="cols")), "dataset: its dimensions are rows, cols; expected y and"),
    (_of("dataset", lambda d: d.drop_vars("y")), "dataset: has no coordinates along y"),
    (_of("dataset", lambda d: d.isel(y=[0, 1, 5, 9])), "dataset: its coordinates y and x are not evenly spaced"),
    (
        _of("dataset", lambda d: d.assign(mat=d["mat"].expand_dims("band"))),
        r"dataset\['mat'\]: has dimensions band, y, x; expected y, x only. Take dataset\['mat'\].squeeze\('band'",
    ),
    (
        _of("dataset", lambda d: d.assign(ndvi=d["mat"].expand_dims(time=[1, 2]))),
        r"dataset\['ndvi'\]: has dimensions time, y, x; expected y, x only. Take dataset\['ndvi'\].mean\('time'\)",
    ),
    (
        _of("dataset", lambda d: d.assign(kind=d["mat"].astype(str))),
        r"dataset\['kind'\]: holds <U\d+; expected numbers, or whole-number codes with the attributes flag_values",
    ),
    (
        _of("dataset", lambda d: d.assign(ai=d["ai"].assign_attrs(_FillValue=-9999))),
        r"dataset\['ai'\]: -9999 still stands for missing; open it decoded",
    ),
    (
        _of("dataset", lambda d: d.assign(vegetation=d["vegetation"].assign_attrs(flag_meanings="forest"))),
        r"dataset\['vegetation'\]: has 2 flag_values and 1 flag_meanings",
    ),
    (_of("points", lambda p: p.set_crs(None, allow_override=True)), "points: declares no CRS"),
    (_of("points", lambda p: p.iloc[:0]), "points: has no rows"),
    (_of("points", lambda p: np.zeros((3, 3))), "points: .*found ndarray"),
    (_of("points", lambda p: "points.gpkg"), "points: .*Read the file first"),
    (
        _of("points", lambda p: pd.DataFrame(p.drop(columns="geometry")).rename(columns={"lon": "lat", "lat": "lon"})),
        "points: .*Are lon and lat swapped",
    ),
    (
        _of("points", lambda p: p.assign(geometry=p.geometry.translate(xoff=3e6))),
        "points: none of them is on the grid; they are at lon .* the grid at lon",
    ),
    (
        _of("target", lambda t: "observed_0_10"),
        "target: expected the column 'observed_0_10' of the points once; found it nowhere; did you mean `observed_0-1",
    ),
    (_of("target", lambda t: None), "target: expected the name of a column, or several; found NoneType"),
    (_of("target", lambda t: []), "target: expected the name of a column"),
    (_of("target", lambda t: "site"), "target: the column 'site' holds .*; expected numbers"),
    (
        _of("points", lambda p: p.assign(**{"observed_0-10": p["observed_0-10"].where(p.index > 1)})),
        r"target: 2 of 40 rows \(0, 1\) without a number in the column 'observed_0-10'; leave them out: points.dropna",
    ),
    (_of("points", lambda p: p.assign(**{"observed_0-10": np.nan})), "target: the column .* holds no number"),
    (lambda call: {**call, "client": "tcp://127.0.0.1:8786"}, "client: expected a distributed.Client"),
    (lambda call: {**call, "units": None}, "units: expected text"),
    (lambda call: {**call, "at_site": {"nitrogen": "tn"}}, "at_site: 'nitrogen' is not a covariate"),
    (lambda call: {**call, "at_site": {"tn": "N"}}, r"at_site\['tn'\]: expected the column 'N'"),
    (lambda call: {**call, "zones": "soil"}, "zones: 'soil' is not a covariate; valid here: mat, ai, tn, vegetation"),
    (lambda call: {**call, "zones": "mat"}, "zones: 'mat' holds numbers; expected codes of classes"),
    (lambda call: {**call, "at_site": "tn"}, "at_site: expected a mapping"),
    (lambda call: {**call, "replicats": 9}, "replicats: unknown setting; did you mean `replicates`"),
    (lambda call: {**call, "replicates": 1}, "replicates: .*greater than or equal to 2; found 1"),
    (lambda call: {**call, "families": ["forest"]}, "families.*'forest' is not among rf, svm, brt, xgboost"),
    (lambda call: {**call, "selection": {"screeen": False}}, "screeen: unknown setting; did you mean"),
    (lambda call: {**call, "validation": {"folds": 36}}, "validation.folds: 36 folds need at least 36 sites"),
    (lambda call: {**call, "validation": {"independent": "other.csv"}}, "validation.independent: applies to run files"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_get_a_sentence_that_names_the_argument(
    cube: xr.Dataset, points: gpd.GeoDataFrame, threads: Client, mistake: Callable, message: str
):
    call = {
        "dataset": cube, "points": points, "target": "observed_0-10", "client": threads,
        "selection": {"screen": False}, **QUICK,
    }  # fmt: skip
    with pytest.raises(GelisolError, match=message):
        gelisol.map_dataset(**mistake(call))
