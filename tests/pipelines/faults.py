"""Runs of the small example as processes of their own, in which something goes wrong."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from small_run import SmallRun

from engine.storage.paths import OutPath, files_in
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.error_model import ErrorModel
from pipelines.soil_carbon.model.joint_errors import FILE as ERROR_MODEL

BLOCKS, REPLICATES, REPEATS, COGS = 12, 8, 2, 24
"""Pieces of work of the small run with blocks of 16 cells."""
TABLES = (
    "stocks.csv", "stocks_applicable.csv", "replicate_totals.csv", "validation.csv", "importance.csv",
    "zone_differences.csv", "representativeness.csv", "stock_uncertainty.csv", "depth_regression.csv", "selection.csv",
)  # fmt: skip
COMMAND = Path(sys.executable).with_name("gelisol")


class FaultyRun:
    """A small run, with a folder for faults and for the count of what was done."""

    def __init__(self, run: SmallRun, folder: Path, *, workers: int = 1):
        self.run, self.folder = run, folder
        self.settings = ["domain.chunk=16", f"cluster.workers={workers}"]
        folder.mkdir()
        self.faults()

    def faults(self, *faults: tuple[str, int, str], **facts: Any) -> None:
        """What goes wrong in the next runs: at which step, the how manieth piece of work since the beginning, what."""
        entries = [
            {"step": step, "nth": nth, "harm": harm, "out": str(self.run.out), **facts} for step, nth, harm in faults
        ]
        (self.folder / "faults.json").write_text(json.dumps(entries))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `gelisol run`."""
        preload = json.dumps([str(Path(__file__).with_name("fault_preload.py"))])
        environment = os.environ | {
            "GELISOL_FAULTS": str(self.folder), "DASK_DISTRIBUTED__WORKER__PRELOAD": preload, "MPLBACKEND": "agg",
        }  # fmt: skip
        settings = [part for s in self.settings for part in ("--set", s)]
        return subprocess.Popen(
            [COMMAND, "run", self.run.path, *settings, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def go(self, *arguments: str) -> tuple[int, str]:
        """Run to the end; exit code and what was said."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    def calls(self) -> Counter[str]:
        """Pieces of work that were begun so far, by step."""
        calls = self.folder / "calls"
        return Counter(line.split()[0] for line in calls.read_text().splitlines()) if calls.exists() else Counter()

    def harm_done(self) -> int:
        """Faults that have happened."""
        return len(list(self.folder.glob("done-*")))


def assert_same_results(ours: OutPath, theirs: Path) -> None:
    """Maps and tables, bit for bit."""
    for table in TABLES:
        assert (ours / table).read_bytes() == (theirs / table).read_bytes(), table
    assert ErrorModel.load(ours / ERROR_MODEL).digest == ErrorModel.load(theirs / ERROR_MODEL).digest
    for store in ("cube.zarr", "maps.zarr"):
        assert_same_store(ours / store, theirs / store)
    files = sorted(f.name for f in (theirs / "cog").iterdir())
    assert files == sorted(f.name for f in (ours / "cog").iterdir()) and len(files) == 2 * COGS
    for file in (name for name in files if name.endswith(".tif")):
        with (ours / "cog" / file).open("rb") as content, rasterio.open(content) as one:
            found = one.read(1)
        with rasterio.open(theirs / "cog" / file) as other:
            np.testing.assert_array_equal(found, other.read(1), err_msg=file)
    leftovers = [p for p in files_in(ours) if ".partial" in str(p) or p.name == "run.lock"]
    assert leftovers == []


def assert_same_store(ours: OutPath, theirs: Path) -> None:
    """Every variable, bit for bit."""
    one, other = open_dataset(ours), open_dataset(theirs)
    assert set(one.data_vars) == set(other.data_vars)
    for name in other.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


def assert_found_and_mended(
    out: OutPath, finished: Path, chunk: OutPath, gelisol: Callable[..., Any], arguments: list[Any]
) -> None:
    """A changed chunk of the map and a lost one of the cube are named, and a run does those two blocks alone again."""
    checked = gelisol("check", *arguments, "--deep")
    assert checked.exit_code == 1
    assert checked.stderr.startswith("3 problems") and f"{chunk}: is not what was written" in checked.stderr
    assert "interrupted: 3 of 4 blocks are kept" in gelisol("check", *arguments).stdout
    result = gelisol("run", *arguments, "--until", "map")
    assert result.exit_code == 0, result.output
    for step in ("cube", "map"):
        assert f"{step}: 3 of 4 blocks were done before" in result.stderr
    assert f"cog: {COGS} of {COGS} files were done before" in result.stderr
    assert gelisol("check", *arguments, "--deep").exit_code == 0
    assert_same_results(out, finished)
