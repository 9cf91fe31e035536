"""A run, opened: whole, interrupted, of another version, in an object store."""

import pickle
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import small_run
import xarray as xr

import gelisol
from engine.errors import GelisolError
from engine.storage.paths import OutPath

STATISTICS = ("mean", "sd", "ci_lower", "ci_upper", "uncertainty", "pi_lower", "pi_upper")


@pytest.fixture(scope="module")
def run(whole: Path) -> gelisol.Run:
    return gelisol.open(whole / "out")


@pytest.mark.parametrize("name", ["maps", "cube"])
def test_datasets_are_lazy_and_know_place_and_units(run: gelisol.Run, name: str):
    dataset = getattr(run, name)
    assert all(variable.chunks is not None for variable in dataset.data_vars.values())
    assert dataset.rio.crs == dataset.odc.geobox.crs
    assert dataset.odc.geobox.resolution.x == 5000
    assert {v: a.attrs.get("units") for v, a in dataset.data_vars.items() if not a.attrs.get("units")} == {}


def test_depths_have_bounds(run: gelisol.Run):
    maps = run.maps
    assert maps["depth_top"].values.tolist() == [0, 0] and maps["depth_bottom"].values.tolist() == [10, 30]
    assert maps["depth_bottom"].attrs["units"] == "cm"


def test_tables(run: gelisol.Run):
    assert run.stocks.set_index(["zone", "depth"]).loc[("total", "0-10"), "stock_pg"] > 0
    scores = run.scores
    assert scores["repeats"].tolist() == [2] and scores["rmse"].between(0, 10).all()
    sites = run.sites
    assert isinstance(sites, gpd.GeoDataFrame) and sites.crs == "EPSG:4326"
    assert sites["used"].sum() == 35 and (sites.loc[~sites["used"], "why_not"] != "").all()
    assert sites.loc[sites["used"], "predicted_0-10"].notna().mean() > 0.9


def test_calibration_is_the_table_or_says_why_not(run: gelisol.Run, out: Path):
    with pytest.raises(gelisol.InputError, match=r"model\.validation\.coverage is 0; give it 1"):
        _ = run.calibration
    text = (out / "run.yaml").read_text(encoding="utf-8")
    (out / "run.yaml").write_text(text.replace("coverage: 0", "coverage: 1"), encoding="utf-8")
    again = gelisol.open(out)
    with pytest.raises(gelisol.InputError, match=r"no calibration\.csv yet; the stage `train`"):
        _ = again.calibration
    (out / "calibration.csv").write_text("method,zone,nominal,inside\nmapped,NA,0.95,0.9\n")
    assert again.calibration["inside"].tolist() == [0.9]


def test_verdict(run: gelisol.Run):
    verdict = run.verdict
    assert verdict in ("supported", "weak", "none") and verdict.conclusion and verdict.reasons
    assert len(verdict.totals) == 2
    again = pickle.loads(pickle.dumps(verdict))
    assert (again, again.totals) == (verdict, verdict.totals)


def test_predictions_at_points_are_those_of_the_maps(run: gelisol.Run):
    maps = run.maps.load()
    there = np.argwhere(np.isfinite(maps["mean"].isel(depth=0).values))[::50]
    x, y = maps["x"].values[there[:, 1]], maps["y"].values[there[:, 0]]
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=small_run.CRS, index=np.arange(len(there)) + 7)
    found = run.predict(points)
    assert found.index.equals(points.index)
    for depth, label in enumerate(small_run.DEPTHS):
        for name in STATISTICS:
            expected = maps[name].values[depth, there[:, 0], there[:, 1]]
            np.testing.assert_array_equal(found[f"socd_{label}_{name}"].to_numpy(), expected, err_msg=name)
    np.testing.assert_array_equal(found["dissimilarity"], maps["dissimilarity"].values[there[:, 0], there[:, 1]])
    np.testing.assert_array_equal(found["applicable"], maps["applicable"].values[there[:, 0], there[:, 1]] == 1)


def test_points_without_a_value_are_empty(run: gelisol.Run):
    points = pd.DataFrame({"lon": [121.45, 0.0, 121.0], "lat": [51.3, 0.0, 51.0]})  # in the lake, far away, inside
    found = run.predict(points)
    assert found["socd_0-10_mean"].notna().tolist() == [False, False, True]
    assert not found["applicable"].iloc[:2].any()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("points.csv", "points: expected a GeoDataFrame.*found str 'points.csv'. Read the file first"),
        (np.zeros((3, 2)), r"points: .*found ndarray of shape \(3, 2\), whose columns have no names"),
        (xr.Dataset(), "points: .*found Dataset"),
        (None, "points: .*found NoneType"),
        (pd.DataFrame({"longitude": [1.0], "lat": [2.0]}), "no column 'lon'.*if 'longitude' is that"),
        (pd.DataFrame({"lon": [], "lat": []}), "points: has no rows"),
        (pd.DataFrame({"lon": [121.0, None], "lat": [51.0, 51.0]}), r"points: 1 of 2 rows \(1\) without a number"),
        (pd.DataFrame({"lon": ["east"], "lat": [51.0]}), "without a number in the column 'lon'"),
        (pd.DataFrame({"lon": [51.0], "lat": [121.0]}), "Are lon and lat swapped"),
        (pd.DataFrame({"lon": [512000.0], "lat": [5100000.0]}), "give a GeoDataFrame with its CRS"),
        (pd.DataFrame({"lon": [10.0], "lat": [51.0]}), "points: none of them is on the grid"),
        (gpd.GeoDataFrame(geometry=gpd.points_from_xy([121.0], [51.0])), "points: declares no CRS"),
        (
            gpd.GeoDataFrame(geometry=gpd.points_from_xy([121.0], [51.0]).buffer(0.1), crs=4326),
            "geometry is Polygon; expected Point",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_points_get_a_sentence(run: gelisol.Run, points: object, message: str):
    with pytest.raises(GelisolError, match=message):
        run.predict(points)  # type: ignore[arg-type]


def test_plot(run: gelisol.Run):
    axes = run.plot("sd", "0-30")
    assert axes.get_title() == "sd (kg m-2), 0–30 cm" and len(axes.images) == 1
    assert run.plot("dissimilarity", ax=axes) is axes
    with pytest.raises(GelisolError, match="statistic: unknown map 'maen'; did you mean `mean`"):
        run.plot("maen")
    with pytest.raises(GelisolError, match="depth: '30-60' is not mapped; the maps have 0-10, 0-30"):
        run.plot(depth="30-60")


def test_what_a_notebook_shows(run: gelisol.Run):
    text, html = repr(run), run._repr_html_()
    assert "profiles done" in text and "verdict: " in text
    assert "data:image/png;base64,iVBOR" in html and "xgboost" in html and "0–30 cm" in html


def test_what_a_notebook_shows_is_escaped(out: Path, tmp_path: Path):
    odd = Path(shutil.move(out, tmp_path / "<b>&out"))
    (odd / "validation.csv").write_text((odd / "validation.csv").read_text().replace("xgboost", "<i>x"))
    html = gelisol.open(odd)._repr_html_()
    assert "<b>" not in html and "<i>" not in html and "&lt;b&gt;&amp;out" in html and "&lt;i&gt;x" in html


def _stop_after(out: Path, *gone: str) -> gelisol.Run:
    for name in gone:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return gelisol.open(out)


def test_an_interrupted_run_serves_what_it_holds(out: Path):
    run = _stop_after(out, "maps.zarr", "stocks.csv", "summary.json", "sites.gpkg", "validation.csv")
    assert run.predict(pd.DataFrame({"lon": [121.0], "lat": [51.0]}))["socd_0-10_mean"].notna().all()
    assert len(run.cube) and run.sites["used"].sum() == 35
    for name, stage in (("maps", "map"), ("stocks", "map"), ("scores", "train"), ("verdict", "report")):
        with pytest.raises(GelisolError, match=f"the stage `{stage}` makes it.*until='{stage}'"):
            getattr(run, name)
    assert "gelisol.Run" in repr(run) and "gelisol.Run" in run._repr_html_()


def test_before_training_sites_are_observed_only(out: Path):
    shutil.rmtree(out / "ensemble")
    profiles = pd.read_parquet(out / "profiles.parquet").drop(columns="not_modelled")
    profiles.to_parquet(out / "profiles.parquet")
    run = _stop_after(out, "sites.gpkg")
    assert not run.sites["used"].any() and run.sites["observed_0-10"].notna().all()
    assert run.sites["predicted_0-10"].isna().all()
    with pytest.raises(GelisolError, match="the stage `train` makes it"):
        run.predict(pd.DataFrame({"lon": [121.0], "lat": [51.0]}))


def test_a_run_of_another_version_serves_what_it_holds(out: Path):
    """Its run file has keys that are no more, its records are lost, its headline is damaged."""
    (out / "run.yaml").write_text("nmae: old\n")
    (out / "summary.json").write_text("{")
    run = _stop_after(out, "ledger.json", "events.jsonl")
    assert run.maps["mean"].notnull().any() and len(run.stocks) and len(run.sites)
    assert "0–10 cm" in run._repr_html_()
    with pytest.raises(GelisolError, match=r"summary.json: is damaged"):
        run.verdict  # noqa: B018


def test_a_damaged_table_names_the_stage(out: Path):
    (out / "profiles.parquet").write_bytes(b"nothing")
    with pytest.raises(GelisolError, match=r"profiles.parquet: cannot be read.*the stage `profiles` makes it anew"):
        gelisol.open(out).sites  # noqa: B018


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        (7, "directory: expected a path or an address.*found int 7"),
        ("", "directory: expected a path"),
        ("nowhere", "directory: .*nowhere is not there, or empty"),
        ("ftp://host/out", "directory: 'ftp://host/out' cannot hold results"),
        ("elsewhere", "directory: .*holds nothing that a run leaves"),
        ("file", "is a file, where a folder is needed"),
    ],
)  # fmt: skip
def test_mistakes_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: object, message: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "run.yaml").write_text("name: x\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(GelisolError, match=message):
        gelisol.open(directory)  # type: ignore[arg-type]


def test_results_in_an_object_store(whole: Path, bucket: OutPath):
    bucket.fs.put(str(whole / "out"), bucket.path, recursive=True)  # type: ignore[union-attr]
    here, there = gelisol.open(whole / "out"), gelisol.open(str(bucket))
    # Not by workers of another test, whose environment has no credentials.
    xr.testing.assert_identical(there.maps.load(scheduler="threads"), here.maps.load(scheduler="threads"))
    points = pd.DataFrame({"lon": [121.0], "lat": [51.0]})
    pd.testing.assert_frame_equal(there.predict(points), here.predict(points))
    assert "verdict" in repr(there) and len(there.sites) == 40
