"""Sites that never train the model: the map is held against them, and what is wrong with their table is found first."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_run

from engine.cube.build import DOMAIN
from engine.cube.sampling import cell_of, random_cells
from engine.errors import InputError
from engine.storage.zarr_store import open_dataset
from pipelines.preflight.prepare import open_run
from pipelines.run.stage_keys import RunKeys
from pipelines.soil_carbon.model.independent_sites import IN_TRAINING, SITES, TABLE, try_independent
from pipelines.soil_carbon.prepared import Prepared

KEY = "model.validation.independent"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the small run's results."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def as_mapped(folder: Path, n: int = 30) -> pd.DataFrame:
    """Sites at random cells without one that trains the model, with the densities of the map there."""
    cube, maps = folder / "cube.zarr", open_dataset(folder / "maps.zarr")
    lon, lat = random_cells(cube, DOMAIN, 3 * n, np.random.default_rng(0))
    training = pd.read_parquet(folder / "ensemble" / "training.parquet")
    geobox = open_dataset(cube).odc.geobox
    rows, cols, _ = cell_of(geobox, lon, lat)
    taken = set(zip(*cell_of(geobox, training["lon"], training["lat"])[:2], strict=True))
    mean = maps["mean"].values[:, rows, cols]
    free = [i for i in range(len(lon)) if (rows[i], cols[i]) not in taken and np.isfinite(mean[0, i])]
    frame = pd.DataFrame({"lon": lon, "lat": lat} | {f"socd_{d}": mean[k] for k, d in enumerate(small_run.DEPTHS)})
    return frame.iloc[free[:n]].reset_index(drop=True).assign(site=[f"I{i}" for i in range(n)])


def opened(pristine: Path, folder: Path, table: pd.DataFrame, name: str = "independent.csv") -> Prepared:
    table.to_csv(folder.parent / name, index=False)
    return open_run(pristine / "run.yaml", (f"{KEY}={folder.parent / name}",), folder)


def test_what_is_predicted_is_the_map(pristine: Path, folder: Path):
    table = as_mapped(folder)
    notes = try_independent(opened(pristine, folder, table), {"block_km": 30.0})
    assert str(notes[-1]) == "30 of 30 independent sites try the map."
    scores = pd.read_csv(folder / TABLE).set_index("depth")
    assert scores["n"].tolist() == [30, 30]
    assert (scores["rmse"] < 1e-4).all() and (scores["skill"] > 0.999).all()
    assert scores["r"].to_numpy() == pytest.approx(1) and scores["covered_0.5"].tolist() == [1, 1]
    training = pd.read_parquet(folder / "ensemble" / "training.parquet")["y"].mean()
    assert scores.loc["0-10", "training_mean"] == pytest.approx(training)
    errors = table["socd_0-10"] - training
    assert scores.loc["0-10", "rmse_of_mean"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert scores.loc["0-10", "bias_of_mean"] == pytest.approx(-errors.mean(), rel=1e-4)
    maps, sites = open_dataset(folder / "maps.zarr"), pd.read_parquet(folder / SITES).query("depth == '0-30'")
    rows, cols, _ = cell_of(maps.odc.geobox, sites["lon"], sites["lat"])
    for name, layer in (("predicted", "mean"), ("lower", "pi_lower"), ("upper", "pi_upper")):
        np.testing.assert_allclose(sites[name], maps[layer].values[1, rows, cols], rtol=1e-5)


def test_a_map_that_is_too_high(pristine: Path, folder: Path):
    table = as_mapped(folder)
    table["socd_0-10"] += -0.5
    try_independent(opened(pristine, folder, table), {"block_km": 30.0})
    row = pd.read_csv(folder / TABLE).iloc[0]
    assert row["bias"] == pytest.approx(0.5, abs=1e-4) and row["rmse"] == pytest.approx(0.5, abs=1e-4)
    assert row["bias_se"] < 1e-4


def test_sites_that_cannot_try_the_map_are_counted(pristine: Path, folder: Path):
    training = pd.read_parquet(folder / "ensemble" / "training.parquet")
    table = as_mapped(folder, 10)
    table.loc[0, ["lon", "lat"]] = training.loc[0, ["lon", "lat"]] + 1e-4  # in the same cell
    table.loc[1, ["lon", "lat"]] = [121.45, 51.3]  # the lake
    table.loc[2, ["lon", "lat"]] = [119.1, 52.4]
    table.loc[3:5, "socd_0-30"] = np.nan
    note = str(try_independent(opened(pristine, folder, table), {})[-1])
    assert f"1 {IN_TRAINING}" in note and "1 without a covariate" in note and "1 outside" in note
    scores = pd.read_csv(folder / TABLE).set_index("depth")
    assert scores["n"].to_dict() == {"0-10": 7, "0-30": 4}
    sites = pd.read_parquet(folder / SITES).query("depth == '0-10'").set_index("site")
    assert sites["left_out"].value_counts()[""] == 7
    assert sites.loc[sites["left_out"] != "", "predicted"].isna().all()


def test_none_that_can_is_a_warning_and_no_longer_asked_for_leaves_nothing(pristine: Path, folder: Path):
    training = pd.read_parquet(folder / "ensemble" / "training.parquet")
    table = training[["site", "lon", "lat"]].assign(**{"socd_0-10": 4.0, "socd_0-30": 9.0})
    prepared = opened(pristine, folder, table)
    notes = try_independent(prepared, {})
    assert str(notes[-1]).startswith("warning: 0 of ")
    assert pd.read_csv(folder / TABLE)["n"].tolist() == [0, 0]
    assert try_independent(open_run(pristine / "run.yaml", (), folder), {}) == ()
    assert not (folder / TABLE).exists() and not (folder / SITES).exists()


def test_the_keys_of_observations_read_it(pristine: Path, folder: Path):
    """In a section of its own; and a bare file is read with the keys of the run's own table."""
    table = as_mapped(folder).rename(columns={"lon": "Laenge", "lat": "Breite"})
    table.to_csv(folder.parent / "german.csv", index=False, sep=";", decimal=",")
    section = f"{{table: '{folder.parent / 'german.csv'}', decimal: ',', columns: {{lon: Laenge, lat: Breite}}}}"
    run = pristine / "run.yaml"
    alone = open_run(run, (f"{KEY}={section}",), folder).independent
    assert alone is not None and len(alone.wide()) == 30
    plain = as_mapped(folder).rename(columns={"site": "Ort"})
    plain.to_csv(folder.parent / "plain.csv", index=False)
    with pytest.raises(InputError, match="site"):
        open_run(run, (f"{KEY}={folder.parent / 'plain.csv'}",), folder)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere.csv", f"no such file; `{KEY}.table` starts"),
        ("profiles.csv", "is the table that trains the model"),
        ("{table: profiles.csv, at_site: {tn: tn}}", "`at_site` does not apply here"),
        ("{table: profiles.csv, decmal: ','}", "decmal"),
    ],
)
def test_what_is_wrong_with_the_table_is_found_by_check(pristine: Path, gelisol, value: str, said: str):
    result = gelisol("check", pristine / "run.yaml", "--set", f"{KEY}={value}")
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split()), result.stderr


def test_bad_rows_are_found_by_check(pristine: Path, gelisol, tmp_path: Path):
    pd.DataFrame({"site": ["A"], "lon": [121.0], "lat": [500.0], "socd_0-10": [4.0], "socd_0-30": [-9.0]}).to_csv(
        tmp_path / "bad.csv", index=False
    )
    result = gelisol("check", pristine / "run.yaml", "--set", f"{KEY}={tmp_path / 'bad.csv'}")
    assert result.exit_code == 1 and "bad.csv" in result.stderr and "lat" in result.stderr


def test_only_the_report_depends_on_it(pristine: Path, folder: Path):
    without = RunKeys(open_run(pristine / "run.yaml", (), folder)).stages()
    table = as_mapped(folder)
    first = RunKeys(opened(pristine, folder, table)).stages()
    second = RunKeys(opened(pristine, folder, table.iloc[1:])).stages()
    assert len({keys["report"] for keys in (without, first, second)}) == 3
    for stage in ("profiles", "cube", "select", "train", "map"):
        assert without[stage] == first[stage] == second[stage]
