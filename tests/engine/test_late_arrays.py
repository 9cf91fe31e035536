import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import xarray as xr

READING = """
import json, sys
from engine.storage.zarr_store import open_dataset
values = open_dataset(sys.argv[1])["a"]
before = float(values.isel(x=1)), values.as_numpy().chunks, repr(values) != ""
unasked = [name for name in ("dask.array", "sparse", "numba") if name in sys.modules]
import dask.array, sparse, xarray
lazy = xarray.DataArray(dask.array.ones(4, chunks=2), dims="x")
few = xarray.DataArray(sparse.COO.from_numpy(dask.array.ones(4, chunks=2).compute()), dims="x")
after = lazy.chunks, float(lazy.sum()), type(few.as_numpy().data).__name__, type(lazy.as_numpy().data).__name__
print(json.dumps([unasked, before, after]))
"""


def test_array_libraries_are_imported_when_there_can_be_arrays_of_theirs(tmp_path: Path):
    """Reading a store imports none of them; once the user imports them, xarray knows their arrays."""
    xr.Dataset({"a": ("x", np.arange(3.0))}, {"x": np.arange(3)}).to_zarr(tmp_path / "a.zarr", consolidated=False)
    done = subprocess.run(
        [sys.executable, "-c", READING, tmp_path / "a.zarr"], capture_output=True, text=True, check=True
    )
    unasked, before, after = json.loads(done.stdout)
    assert unasked == []
    assert before == [1.0, None, True]
    assert after == [[[2, 2]], 4.0, "ndarray", "ndarray"]
