"""Shares of a map that is read strip by strip."""

import numpy as np
import pytest
import xarray as xr

from pipelines.soil_carbon.results.overviews import share_of_cells


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_share_of_the_cells_that_have_enough(chunk):
    """Missing cells, −1 or NaN, count in neither."""
    values = np.array([[0, 18, 19], [-1, 20, 19], [-1, -1, 3]])
    layer = xr.DataArray(values, dims=("y", "x"))
    layer.encoding["preferred_chunks"] = {"y": chunk, "x": 3}
    assert share_of_cells(layer, 19) == pytest.approx(3 / 6)
    known = layer.where(layer >= 0)
    known.encoding = layer.encoding
    assert share_of_cells(known, 19) == pytest.approx(3 / 6)
    assert np.isnan(share_of_cells(layer.where(False), 19))
