"""Draws of maps from the joint distribution of a run's errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from engine.ensemble.trained import Ensemble
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import ErrorModel
from gelisol._arguments import ArgumentError, described
from pipelines.soil_carbon.model.joint_errors import FILE
from pipelines.soil_carbon.prepared import ZONES

if TYPE_CHECKING:
    from engine.storage.paths import OutPath
    from pipelines.runfile.reader import RunFile

_MOST_BYTES = 4e9


def draw_maps(directory: OutPath, config: RunFile, bbox: Sequence[float], n: int) -> xr.DataArray:
    """Draw maps of a part of a run's region; see `Run.draws`."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"n: expected a whole number from 1; found {described(n)}")
    if not (directory / FILE).exists():
        raise ArgumentError(
            f"{directory}: has no {FILE}, the joint distribution of the errors; the stage `map` makes it unless "
            "`model.residual_error` is false or the sites are too few"
        )
    maps = open_dataset(directory / "maps.zarr")
    rows, cols = _window(maps, bbox)
    part = maps.isel(y=rows, x=cols)
    mean = part["mean"].values
    mapped = np.isfinite(mean).all(axis=0)
    if (needed := 4.0 * n * mean.shape[0] * mapped.size) > _MOST_BYTES:
        raise ArgumentError(
            f"bbox: {n} draws of {mapped.size:,} cells and {mean.shape[0]} depths take {needed / 1e9:.0f} GB; at most "
            f"{_MOST_BYTES / 1e9:.0f} GB are drawn at a time: take a part of the area, or fewer"
        )
    values = np.full((n, *mean.shape), np.nan, "float32")
    if mapped.any():
        values[:, :, mapped] = _of_cells(directory, config, part, rows, cols, mapped, n)
    attrs = {"long_name": f"{config.target.long}, draws given the sites", "units": config.target.cf_units}
    coords = {name: part[name] for name in ("depth", "y", "x", "spatial_ref") if name in part.coords}
    return xr.DataArray(values, {"draw": np.arange(n), **coords}, ("draw", "depth", "y", "x"), "draws", attrs)


def _of_cells(
    directory: OutPath, config: RunFile, part: xr.Dataset, rows: slice, cols: slice, mapped: np.ndarray, n: int
) -> np.ndarray:
    """Draw the mapped cells, shape (n, depths, cells)."""
    ensemble, model = Ensemble(directory / "ensemble"), ErrorModel.load(directory / FILE)
    cube = open_dataset(directory / "cube.zarr").isel(y=rows, x=cols)
    x = ensemble.features.matrix({name: cube[name].values[mapped] for name in ensemble.features.covariates})
    zone = np.zeros(len(x), "int64")
    if config.zones is not None:
        zone = cube[config.zones if isinstance(config.zones, str) else ZONES].values[mapped].astype("int64")
    columns = model.basis.columns(part["mean"].values[0][mapped], x, zone)
    row, col = np.nonzero(mapped)
    where = part["x"].values[col].astype(float), part["y"].values[row].astype(float)
    return Draws.of(model, n).at(*where, columns, ensemble.predict_all(x))


def _window(maps: xr.Dataset, bbox: Sequence[float]) -> tuple[slice, slice]:
    """Return rows and columns of the cells in the rectangle of the grid that holds a box of degrees."""
    from pyproj import Transformer

    try:
        west, south, east, north = (float(value) for value in bbox)
    except (TypeError, ValueError):
        raise ArgumentError(f"bbox: expected west, south, east and north in degrees; found {described(bbox)}") from None
    if not (-90 <= south < north <= 90 and -180 <= west <= 180 and -180 <= east <= 180 and west != east):
        raise ArgumentError(
            f"bbox: expected west, south, east and north in degrees, south below north; found {west:g}, {south:g}, "
            f"{east:g}, {north:g}"
        )
    to_grid = Transformer.from_crs("EPSG:4326", maps.odc.geobox.crs.proj, always_xy=True)
    left, bottom, right, top = to_grid.transform_bounds(west, south, east, north)
    x, y = maps["x"].values, maps["y"].values
    cols, rows = np.flatnonzero((x >= left) & (x <= right)), np.flatnonzero((y >= bottom) & (y <= top))
    if not rows.size or not cols.size:
        grid = maps.odc.geobox.extent.to_crs("EPSG:4326").boundingbox
        raise ArgumentError(
            f"bbox: no cell's centre lies in it; the grid reaches from lon {grid.left:.4g} to {grid.right:.4g} and "
            f"from lat {grid.bottom:.4g} to {grid.top:.4g}"
        )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
