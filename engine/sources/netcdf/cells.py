"""Cells along an axis: first centre, step and number, from coordinates, bounds and the run file."""

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from engine.errors import InputError, Where
from engine.grid.grid import crs_of
from engine.sources.netcdf.coordinates import Coordinate, numbers, text_of
from engine.sources.spec import StoredSpec

_UNEVEN = 0.01
"""Share of a pixel by which the spacing of coordinates may vary: rounding in float32."""
_OFF = 0.02
"""Share of a pixel by which the middle of a cell's bounds may miss its coordinate."""
_CORNER = {"center": (0.0, 0.0), "lower_left": (0.5, 0.5), "upper_left": (0.5, -0.5)}
"""Pixels from what `coordinates` says to the centre, to the east and to the north."""


def centres(
    dataset: xr.Dataset, axis: Coordinate, spec: StoredSpec, where: Where, side: int, *, is_longitude: bool = False
) -> tuple[float, float, int]:
    """Return first centre, step and number of pixels of an axis: from the run file, its bounds or its coordinates."""
    values = numbers(axis.variable, axis.name)
    if unknown := np.flatnonzero(~np.isfinite(values)).tolist():
        raise InputError(where.problem(f"{axis.name} has no number at place {unknown[0] + 1} of {len(values)}"))
    full = 360.0 if is_longitude and axis.role == "x" else None
    if full and "rad" not in axis.units.lower():
        values = np.unwrap(values, period=full)
    bounds = bounds_of(dataset, axis)
    if len(values) == 1:
        return _single(values[0], bounds, axis, where)
    start, step, n = _regular(values, axis.name, where)
    if "coordinates" in spec.model_fields_set:
        return start + _CORNER[spec.coordinates][side] * abs(step), step, n
    if bounds is not None and bounds.shape == (n, 2):
        start += _offset(values, bounds, abs(step), axis, full, where)
    return start, step, n


def bounds_of(dataset: xr.Dataset, axis: Coordinate) -> np.ndarray | None:
    """Return the edges of every cell, shape (n, 2), if the file holds them."""
    name = text_of(axis.variable.attrs.get("bounds"))
    if name not in dataset.variables or dataset[name].dims[:1] != (axis.dim,) or dataset[name].ndim != 2:
        return None
    return numbers(dataset[name].variable, name, axis.variable)


def _offset(
    values: np.ndarray, bounds: np.ndarray, step: float, axis: Coordinate, full: float | None, where: Where
) -> float:
    """Return the offset of the cells' centres from their coordinates."""
    low, high = bounds.min(axis=1), bounds.max(axis=1)
    off = (low + high) / 2 - values
    if full:
        off = (off + full / 2) % full - full / 2
    inner = slice(1, -1) if len(values) > 2 else slice(None)  # cells at the poles may be cut off
    typical, width = float(np.median(off[inner])), float(np.median((high - low)[inner]))
    if abs(typical) < _OFF * step:
        return 0.0
    if abs(width / step - 1) > 2 * _OFF or np.abs(off[inner] - typical).max() > 2 * _OFF * step or abs(typical) > step:
        raise InputError(
            where.problem(
                f"the bounds of {axis.name} (`{axis.variable.attrs['bounds']}`) do not fit its coordinates, e.g. "
                f"{low[0]:g} to {high[0]:g} around {values[0]:g}; say what the coordinates mark with "
                "`coordinates: center` (or lower_left, upper_left)"
            )
        )
    return typical


def _single(value: float, bounds: np.ndarray | None, axis: Coordinate, where: Where) -> tuple[float, float, int]:
    """Return the one pixel of an axis, which is as wide as its bounds."""
    if bounds is None or bounds.shape != (1, 2) or not abs(bounds[0, 1] - bounds[0, 0]) > 0:
        raise InputError(
            where.problem(
                f"{axis.name} has one place ({value:g}) and no bounds, so that the width of its cell is unknown; "
                "expected two places or more, or `bounds`"
            )
        )
    return float(bounds[0].mean()), float(abs(bounds[0, 1] - bounds[0, 0])), 1


def _regular(values: np.ndarray, dim: str, where: Where) -> tuple[float, float, int]:
    """Start, step and number of evenly spaced coordinates; float32 files store them rounded."""
    steps = np.diff(values)
    mean = (values[-1] - values[0]) / (len(values) - 1)
    if mean == 0 or np.abs(steps / mean - 1).max() > _UNEVEN * max(1, len(values) / 1000):
        raise InputError(
            where.problem(f"{dim} is not evenly spaced (steps {steps.min():g} to {steps.max():g}); warp it first")
        )
    return float(values[0]), float(mean), len(values)


def require_on_earth(geobox: GeoBox, x: Coordinate, y: Coordinate, where: Where) -> None:
    """Refuse longitudes and latitudes that are not in degrees."""
    box = geobox.boundingbox
    if not crs_of(geobox).geographic:
        return
    degree = crs_of(geobox).proj.axis_info[0].unit_conversion_factor / np.radians(1)
    tolerance = 1.01 * abs(geobox.resolution.y) * degree
    if max(-box.bottom, box.top) * degree > 90 + tolerance or max(-box.left, box.right) * degree > 720:
        raise InputError(
            where.problem(
                f"{x.name} from {box.left:g} to {box.right:g} and {y.name} from {box.bottom:g} to {box.top:g} "
                "cannot be longitudes and latitudes in degrees; if they are of a projection, give its `crs`"
            )
        )


def require_no_corners(gdal: list[float], west: tuple[float, float], first: tuple[float, float], where: Where) -> None:
    """Refuse coordinates on the edges of GDAL's pixels: they mark corners; parts of a file are whole pixels off."""
    if not gdal or not np.allclose(np.abs((gdal[1], gdal[5])), np.abs((west[1], first[1])), rtol=1e-3):
        return
    off = np.array([(west[0] - gdal[0]) / gdal[1], (first[0] - gdal[3]) / gdal[5]])
    if np.abs(off - np.round(off)).max() < 2 * _OFF:
        raise InputError(
            where.problem(
                "its coordinates lie on the edges of the pixels that `GeoTransform` declares: they look like "
                "corners, add `coordinates: upper_left` (or `lower_left`, or `center` if they are not)"
            )
        )


def require_centres(south: float, north: float, step: float, where: Where) -> None:
    """Refuse latitudes that reach past one pole and stop half a cell short of the other: they mark corners."""
    past = (np.array([-south, north]) + step / 2 - 90) / step
    for beyond, short, corner in ((0, 1, "lower_left"), (1, 0, "upper_left")):
        if np.allclose(past[[beyond, short]], (0.5, -0.5), atol=0.05):
            raise InputError(
                where.problem(
                    f"latitudes from {south:g} to {north:g} in steps of {step:g} cannot be centres of cells, "
                    f"which would reach past the pole; they look like corners: add `coordinates: {corner}` "
                    "(or `coordinates: center` if they are not)"
                )
            )
