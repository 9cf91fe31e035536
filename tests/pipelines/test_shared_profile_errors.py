"""A run whose bulk densities are partly filled: replicates learn drawn densities, unless that is switched off."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from small_run import SmallRun

from engine.cube.sampling import sample
from engine.ensemble.manifest import SHARED
from engine.ensemble.trained import Ensemble
from engine.uncertainty.error_model import ErrorModel
from pipelines.preflight.prepare import open_run
from pipelines.soil_carbon.model.positions import drawn_places, with_positions
from pipelines.soil_carbon.model.training_table import TrainingTable


def test_what_is_drawn_reaches_the_replicates_and_the_model_of_the_errors(pristine: Path, finished: Path, gelisol):
    ensemble, prepared = Ensemble(finished / "ensemble"), open_run(pristine / "run.yaml")
    errors = prepared.profiles.errors
    assert errors is not None
    table = pd.read_parquet(finished / "ensemble" / "training.parquet")
    at = [errors.sites.index(site) for site in table["site"]]
    model = prepared.config.model
    np.testing.assert_array_equal(ensemble.shared, errors.draws(model.replicates, model.seed)[:, at])
    # Sites S04, S09, … have no bulk density of their own.
    without = table["site"].str[1:].astype(int) % 5 == 4
    assert np.array_equal((ensemble.shared != 0).all(axis=(0, 2)), without)
    assert np.array_equal((ensemble.shared != 0).any(axis=(0, 2)), without)
    profiles = pd.read_parquet(finished / "profiles.parquet").set_index(["site", "depth"])["socd"]
    assert ensemble.observed[:, 0].tolist() == profiles.xs("0-10", level="depth")[table["site"]].tolist()
    joint = ErrorModel.load(finished / "error_model.npz")
    np.testing.assert_allclose(joint.shared, ensemble.shared - ensemble.shared.mean(axis=0), atol=1e-12)
    result = gelisol("check", pristine / "run.yaml", "--out", finished)
    text = " ".join(result.output.split())
    assert "drawn anew in every replicate: the coefficients of the function that fills bulk density (8 sites)" in text


def test_sites_with_a_position_error_are_moved(run: SmallRun, finished: Path):
    """S01 … have an error of 60 km, the others none; covariates are those of the cells at the drawn places."""

    def add(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(position_error=np.where(table["site"].str[1:].astype(int) % 4 == 1, 60_000, 0))

    run.edit_profiles(add)
    prepared = open_run(run.path, (), finished)
    training = TrainingTable.assemble(prepared, ("mat", "ai", "tn"))
    moved = with_positions(training, prepared).moved
    number = training.table["site"].str[1:].astype(int)
    assert moved is not None and moved.rows.tolist() == np.flatnonzero(number % 4 == 1).tolist()
    lon, lat = drawn_places(
        *(training.table[c].to_numpy()[moved.rows] for c in ("lon", "lat")), np.full(len(moved.rows), 6e4), 8, 7
    )
    cells = sample(finished / "cube.zarr", lon.ravel(), lat.ravel(), ["domain", "mat", "ai", "tn"])
    there = cells[["mat", "ai"]].to_numpy().reshape(8, -1, 2)
    inside = ((cells["domain"] != 0) & cells.notna().all(axis=1)).to_numpy().reshape(8, -1)
    expected = np.where(inside[..., None], there, training.x[moved.rows, :2])
    np.testing.assert_array_equal(moved.x[:, :, :2], expected)
    assert 0.5 < inside.mean() < 1 and (moved.x[:, :, 1] != training.x[moved.rows, 1]).mean() > 0.5
    measured = number.to_numpy()[moved.rows] % 3 == 0
    assert (moved.x[:, measured, 2] == training.x[moved.rows, 2][measured]).all()
    assert (moved.x[:, ~measured, 2] != training.x[moved.rows, 2][~measured]).mean() > 0.5
    for off in ("observations.errors=false", "observations.errors.positions=false"):
        assert with_positions(training, open_run(run.path, (off,), finished)).moved is None


def test_without_errors_the_sites_are_taken_as_they_are(
    pristine: Path, finished: Path, tmp_path: Path, gelisol, on_scheduler
):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    arguments = ["--out", out, "--until", "map", *on_scheduler, "--set", "observations.errors=false"]
    result = gelisol("run", pristine / "run.yaml", *arguments)
    assert result.exit_code == 0, result.output
    plain, drawn = Ensemble(out / "ensemble"), Ensemble(finished / "ensemble")
    assert plain.shared is None and not (out / "ensemble" / SHARED).exists()
    np.testing.assert_array_equal(plain.observed, drawn.observed)
    np.testing.assert_array_equal(plain.bootstrap, drawn.bootstrap)
    assert plain.manifest.files != drawn.manifest.files
    assert ErrorModel.load(out / "error_model.npz").shared is None
    # Scores are about the sites as they are, both times.
    assert (out / "validation.csv").read_bytes() == (finished / "validation.csv").read_bytes()
