"""Cube values at points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from engine.grid.grid import crs_of
from engine.sources.base import MISSING_CLASS
from engine.storage.paths import OutPath
from engine.storage.zarr_store import array, open_dataset


def cell_of(geobox: GeoBox, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cell that holds each point.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees, WGS 84.

    Returns
    -------
    rows, cols : ndarray of int, shape (n,)
        0 where the point is off the grid.
    on_grid : ndarray of bool, shape (n,)
    """
    x, y = Transformer.from_crs("EPSG:4326", crs_of(geobox).proj, always_xy=True).transform(lon, lat)
    cols, rows = ~geobox.affine @ (np.asarray(x), np.asarray(y))
    height, width = geobox.shape.yx
    on_grid = np.isfinite(cols) & np.isfinite(rows) & (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    # Truncation is the floor here: what is negative or infinite is off the grid.
    place = [np.where(on_grid, v, 0).astype(int) for v in (rows, cols)]
    return place[0], place[1], on_grid


def sample(cube: OutPath, lon: np.ndarray, lat: np.ndarray, variables: Sequence[str]) -> pd.DataFrame:
    """Return the values of the cells that hold the points; only the chunks under the points are read.

    Returns
    -------
    DataFrame, one row per point, one column per variable
        float32 with NaN or uint8 with 0 where the cell, or the point's place on the grid, is missing.
    """
    geobox = open_dataset(cube).odc.geobox
    rows, cols, on_grid = cell_of(geobox, lon, lat)
    columns = {}
    for name in variables:
        values = np.asarray(array(cube, name).vindex[rows, cols])
        values[~on_grid] = np.nan if values.dtype.kind == "f" else MISSING_CLASS
        columns[name] = values
    return pd.DataFrame(columns)


def random_cells(cube: OutPath, variable: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw cells at random, with replacement, from those whose value is not 0, and return their centres.

    The grid is read in strips, first to count and then to pick, so that memory is bounded by a strip.

    Parameters
    ----------
    variable : str
        A uint8 variable such as the domain.

    Returns
    -------
    lon, lat : ndarray, shape (n,)
        Degrees, WGS 84.
    """
    values = array(cube, variable)
    return random_places(values, open_dataset(cube).odc.geobox, values.chunks[0], n, rng)


def random_places(
    values: Any, geobox: GeoBox, strip: int, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw cells as `random_cells` does, from any array on a grid.

    Parameters
    ----------
    values : array, dims (y, x)
        Whatever NumPy makes an array of when rows are taken from it.
    strip : int
        Rows that are read at a time.
    """
    height = values.shape[0]
    starts = range(0, height, strip)
    counts = np.array([np.count_nonzero(np.asarray(values[s : s + strip])) for s in starts])
    picks = np.sort(rng.integers(0, counts.sum(), n))
    first = np.concatenate([[0], np.cumsum(counts)])
    rows, cols = [], []
    for i, start in enumerate(starts):
        here = picks[(picks >= first[i]) & (picks < first[i + 1])] - first[i]
        if here.size:
            row, col = np.nonzero(np.asarray(values[start : start + strip]))
            rows.append(start + row[here])
            cols.append(col[here])
    centres: Any = np.concatenate(cols) + 0.5, np.concatenate(rows) + 0.5
    x, y = geobox.affine @ centres
    lon, lat = Transformer.from_crs(crs_of(geobox).proj, "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)
