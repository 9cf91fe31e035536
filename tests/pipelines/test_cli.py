"""The verbs of `gelisol`: help, exit codes, what they print, and what a second run does again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_run import SmallRun

import engine
from engine.storage.zarr_store import open_dataset
from pipelines import STAGES
from pipelines.run.stage_keys import ARTEFACTS
from pipelines.runfile.reader import RunFile, load


def stamps(directory: Path, *stages: str) -> dict[Path, int]:
    """When each file of some stages was written."""
    found = {}
    for name in (name for stage in stages for name in ARTEFACTS[stage]):
        path = directory / name
        found |= {f: f.stat().st_mtime_ns for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file()}
    assert found
    return found


def kept(output: str) -> list[str]:
    """Stages that a run says it kept."""
    return [line.partition(":")[0] for line in output.splitlines() if line.endswith("done before, kept")]


MAPPED = STAGES[: STAGES.index("map") + 1]


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished results."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


# Help, version, wrong usage


@pytest.mark.parametrize("verb", ["demo", "init", "check", "run", "status", "report", "sources", "search", "schema"])
def test_every_verb_has_help_with_an_example(gelisol, verb):
    result = gelisol(verb, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"gelisol {verb}" in result.output


def test_help_lists_the_verbs(gelisol):
    result = gelisol("--help")
    assert result.exit_code == 0
    assert all(verb in result.output for verb in ("demo", "init", "check", "run", "status", "report"))


def test_version(gelisol):
    assert gelisol("--version").output == f"gelisol {engine.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("paint",),
        ("run",),
        ("check", "run.yaml", "--colour"),
        ("run", "run.yaml", "--until", "lunch"),
        ("demo", "--size", "huge"),
    ],
)
def test_wrong_usage_exits_with_2(gelisol, arguments):
    result = gelisol(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.output


LIBRARIES = {"dask", "distributed", "numpy", "pandas", "pydantic", "rasterio", "xarray", "xgboost"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("pipelines.cli", LIBRARIES),
        ("pipelines.commands.status", LIBRARIES - {"numpy", "pydantic"} | {"zarr"}),
        ("pipelines.run.execute", {"dask.array", "dask_ml", "matplotlib", "skops"}),
    ],
)
def test_starts_without_the_heavy_libraries(module: str, heavy: set[str]):
    """Help, completion and status must be there at once; a run waits for none that it may not need."""
    code = f"import sys, {module}; sys.exit(' '.join({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_the_command_itself(tmp_path: Path):
    """As installed: exit code 1, a message and not a line of a traceback."""
    command = [Path(sys.executable).with_name("gelisol"), "init", "atlantis"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "1 problem with the input:"
    assert "'atlantis' is not in the catalogue; it has blank, circumpolar" in done.stderr
    assert not list(tmp_path.iterdir())


# init and check


def test_init_writes_run_file_and_readme(gelisol, tmp_path: Path):
    result = gelisol("init", "circumpolar", tmp_path / "north")
    assert result.exit_code == 0
    assert {f.name for f in (tmp_path / "north").iterdir()} == {
        "README.md", "run.yaml", "run-1km.yaml", "sources", "gelisol.schema.json",
    }  # fmt: skip
    assert f"gelisol check {tmp_path / 'north' / 'run.yaml'}" in result.output


def test_init_does_not_overwrite(gelisol, tmp_path: Path):
    (tmp_path / "run.yaml").write_text("name: mine\n")
    result = gelisol("init", "blank", tmp_path)
    assert result.exit_code == 1
    assert "is not overwritten" in result.stderr
    assert (tmp_path / "run.yaml").read_text() == "name: mine\n"


def test_init_needs_a_folder(gelisol):
    result = gelisol("init", "blank", "s3://bucket/run")
    assert result.exit_code == 1 and "a run file is written to a folder on disk" in result.stderr


def test_blank_run_file_names_what_is_missing(gelisol, tmp_path: Path):
    """The template reads as it is; what it lacks is files, each under its key."""
    assert gelisol("init", "blank", tmp_path).exit_code == 0
    result = gelisol("check", tmp_path / "run.yaml")
    assert result.exit_code == 1
    config, _ = load(tmp_path / "run.yaml")
    for name in config.covariates:
        assert f"covariates.{name}.href: no" in result.stderr
    assert "domain.boundary: no such file" in result.stderr
    assert "PROFILES.csv: no such file" in result.stderr
    assert result.stderr.startswith(f"{len(config.covariates) + 2} problems")


def test_check_shows_sources_grid_and_plan(run: SmallRun, gelisol):
    result = gelisol("check", run.path)
    assert result.exit_code == 0, result.output
    tables = result.stdout.partition("Values where the map will be")
    rows, values = (
        {line.split("│")[1].strip(): line for line in part.splitlines() if line.startswith("│")}
        for part in (tables[0] + tables[2].partition("Grid")[2], tables[2].partition("Grid")[0])
    )
    assert "2001–2002 (24)" in rows["mat"]
    assert "degC" in values["mat"] and "classes" in values["vegetation"]
    assert "vegetation: codes that no class lists, so missing: 9" in result.stdout
    assert "60 × 100" in rows["tn"]
    assert "polygons" in rows["vegetation"]
    assert "40 × 50 of 5000 m in 4 blocks" in rows["cells"]
    assert rows["tn"].count("100%") == 1 and "95%" in rows["tn"]  # 38 of 40 sites
    assert all("to do" in rows[stage] for stage in STAGES)
    assert "40 sites, 80 layers" in result.stdout
    assert not run.out.exists()


def test_check_shows_what_is_done_and_what_is_stale(run: SmallRun, finished: Path, gelisol, on_scheduler):
    shutil.copytree(finished, run.out)
    touched = run.data / "profiles.csv"
    settings = [*on_scheduler, "--set", f"data={run.data}"]

    def plan() -> dict[str, str]:
        lines = gelisol("check", run.path, *settings).stdout.splitlines()
        return {
            c[1].strip(): c[2].strip() for line in lines if len(c := line.split("│")) == 4 and c[1].strip() in STAGES
        }

    before = plan()
    assert before["profiles"] == "done" and before["report"] == "to do"
    touched.write_text(touched.read_text().replace("made up", "made"))
    stale = {
        "profiles": "stale: the profile table changed", "select": "stale: follows profiles",
        "train": "stale: follows select", "map": "stale: follows train",
    }  # fmt: skip
    assert plan() == before | stale


# run


def test_results_are_there(finished: Path):
    for stage in MAPPED:
        assert all((finished / name).exists() for name in ARTEFACTS[stage]), stage
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["gelisol"] == engine.__version__
    assert provenance["seed"] == 7
    assert set(MAPPED) <= set(provenance["stages"])
    assert set(provenance["sources"]) == {"mat", "ai", "tn", "vegetation"}
    assert provenance["grid"]["shape"] == [40, 50]
    grid = provenance["grid"]
    assert grid["cells_complete"] == grid["cells_mapped"] == provenance["stages"]["map"]["cells"]
    assert grid["cells_mapped"] < grid["cells_inside"] < 2000
    assert not [f for f in finished.rglob("*") if ".partial" in f.name]


def test_resolved_run_file_is_one(finished: Path, pristine: Path, gelisol, on_scheduler):
    """It reads, says the same but for places, keeps its order, and `check` finds every file from where it is."""
    config, base = load(finished / "run.yaml")
    original, _ = load(pristine / "run.yaml")
    assert base == finished
    keys = [line.partition(":")[0] for line in (finished / "run.yaml").read_text().splitlines() if line[0].isalpha()]
    assert keys == [key for key in RunFile.model_fields if key in keys]
    assert config.model == original.model
    assert config.depths == original.depths
    result = gelisol("check", finished / "run.yaml", *on_scheduler)
    assert result.exit_code == 0, result.output


def test_second_run_keeps_everything(out: Path, pristine: Path, gelisol, on_scheduler):
    before = stamps(out, *MAPPED)
    result = gelisol("run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler)
    assert result.exit_code == 0
    assert kept(result.stderr) == list(MAPPED)
    assert stamps(out, *MAPPED) == before


@pytest.mark.parametrize(
    ("setting", "keeps"),
    [
        ("title=Elsewhere", MAPPED),
        ("model.interval=0.9", ("profiles", "cube", "select", "train")),
        ("model.seed=8", ("profiles", "cube", "select")),
    ],
)
def test_changed_setting_redoes_what_depends_on_it(out: Path, pristine: Path, gelisol, on_scheduler, setting, keeps):
    before, cube = stamps(out, "map"), stamps(out, "cube")
    result = gelisol("run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler, "--set", setting)
    assert result.exit_code == 0, result.output
    assert kept(result.stderr) == list(keeps)
    after = stamps(out, "map")
    assert all((after[file] == before[file]) == ("map" in keeps) for file in before)
    assert stamps(out, "cube") == cube


def test_deleted_artefact_is_made_again(out: Path, pristine: Path, gelisol, on_scheduler):
    expected = (out / "stocks.csv").read_bytes()
    (out / "stocks.csv").unlink()
    result = gelisol("run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler)
    assert kept(result.stderr) == list(MAPPED[:-1])
    assert (out / "stocks.csv").read_bytes() == expected


def test_fresh_forgets_what_was_done(out: Path, pristine: Path, gelisol, on_scheduler):
    before = stamps(out, "profiles")
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "profiles", *on_scheduler]
    assert kept(gelisol(*arguments).stderr) == ["profiles"]
    assert kept(gelisol(*arguments, "--fresh").stderr) == []
    assert all(after != before[file] for file, after in stamps(out, "profiles").items())
    assert set(json.loads((out / "ledger.json").read_text())["stages"]) == {"profiles"}


def test_until_stops(run: SmallRun, gelisol):
    result = gelisol("run", run.path, "--until", "profiles")
    assert result.exit_code == 0
    assert {f.name for f in run.out.iterdir()} == {
        *ARTEFACTS["profiles"],
        "run.yaml",
        "provenance.json",
        "ledger.json",
        "events.jsonl",
        "gelisol.log",
    }


def test_same_numbers_whatever_the_blocks_and_the_workers(run: SmallRun, finished: Path, gelisol, client):
    """`finished` has blocks of 32 cells and two threads of one worker; here blocks of 16 and two worker processes."""
    address = client.scheduler_info()["address"]
    settings = ("domain.chunk=16", f"cluster={{kind: address, address: '{address}'}}")
    result = gelisol("run", run.path, "--until", "map", *(part for s in settings for part in ("--set", s)))
    assert result.exit_code == 0, result.output
    for table in ("stocks.csv", "replicate_totals.csv", "validation.csv", "depth_regression.csv"):
        assert (run.out / table).read_bytes() == (finished / table).read_bytes(), table
    for store in ("cube.zarr", "maps.zarr"):
        ours, theirs = open_dataset(run.out / store), open_dataset(finished / store)
        for name in theirs.data_vars:
            np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=name)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run.out / "profiles.parquet"), pd.read_parquet(finished / "profiles.parquet")
    )


# report


def test_report_needs_a_results_folder(gelisol, tmp_path: Path):
    result = gelisol("report", tmp_path)
    assert result.exit_code == 1
    assert "holds no run.yaml" in result.stderr
