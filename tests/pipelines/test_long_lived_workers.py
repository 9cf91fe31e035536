"""One scheduler and its worker over two runs: what is kept of the first must not be in the second."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from small_run import SmallRun

from engine.ensemble.trained import Ensemble
from engine.execution.ledger import digest_of
from engine.storage.zarr_store import open_dataset

TABLES = ("stocks.csv", "stocks_applicable.csv", "replicate_totals.csv", "stock_uncertainty.csv", "importance.csv")


def _stonier_below(table: pd.DataFrame) -> pd.DataFrame:
    """Coarse fragments of the lower layers only: the first depth, and so every model, stays as it is."""
    lower = table["top"] == 10
    return table.assign(coarse_fragments=table["coarse_fragments"].where(~lower, table["coarse_fragments"] + 25))


def test_a_deep_layer_that_changed_between_two_runs(run: SmallRun, finished: Path, gelisol, on_scheduler):
    out = Path(shutil.copytree(finished, run.directory / "again"))
    arguments = ["run", run.path, "--until", "map"]
    # The worker loads what is in this folder, to map it once more.
    first = gelisol(*arguments, "--out", out, *on_scheduler, "--set", "model.interval=0.9")
    assert first.exit_code == 0 and "map: done before" not in first.output, first.output
    before, shallow = Ensemble(out / "ensemble"), digest_of(out / "ensemble" / "replicate_000.ubj")
    run.edit_profiles(_stonier_below)
    second = gelisol(*arguments, "--out", out, *on_scheduler)
    assert second.exit_code == 0, second.output
    after = Ensemble(out / "ensemble")
    assert digest_of(out / "ensemble" / "replicate_000.ubj") == shallow
    assert not np.array_equal(before.coefficients, after.coefficients) and before.hash != after.hash
    fresh = gelisol(*arguments, "--out", run.directory / "fresh")  # with workers of its own
    assert fresh.exit_code == 0, fresh.output
    for name in TABLES:
        assert (out / name).read_bytes() == (run.directory / "fresh" / name).read_bytes(), name
    ours, theirs = open_dataset(out / "maps.zarr").load(), open_dataset(run.directory / "fresh" / "maps.zarr").load()
    for name in theirs.variables:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=name)
