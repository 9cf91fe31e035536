"""The code of docs/python.md runs, from top to bottom, in the folder of a small finished run."""

import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import xarray as xr

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_the_guide_runs(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(shutil.copytree(whole, tmp_path / "run"))
    matplotlib.use("agg")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    try:
        for block in blocks:
            exec(compile(block, str(GUIDE), "exec"), names)
    finally:
        names["client"].close()
    assert xr.open_zarr("density.zarr")["mean"].notnull().sum() > 1000
    assert names["check"].is_sound
