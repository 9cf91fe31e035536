"""Where the values of a variable are: its axes, the grid that they make and its CRS."""

from dataclasses import dataclass

import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from engine.errors import InputError
from engine.grid import parse_crs
from engine.sources.netcdf.times import TIME_NAMES
from engine.sources.spec import SourceSpec

_X_NAMES = ("lon", "longitude", "x")
_Y_NAMES = ("lat", "latitude", "y")
_UNEVEN = 0.01
"""Share of a pixel by which the spacing of coordinates may vary: rounding in float32."""


@dataclass(frozen=True)
class Axes:
    """Names of a variable's dimensions, and whether its rows run from south to north.

    Attributes
    ----------
    level : (str, int) or None
        A further dimension, such as depth, and the place on it.
    """

    x: str
    y: str
    time: str | None
    y_ascending: bool
    level: tuple[str, int] | None = None


def layout(
    dataset: xr.Dataset, variable: xr.DataArray, spec: SourceSpec, where: str, crs_key: str
) -> tuple[GeoBox, Axes]:
    """Grid of a variable, and its axes; `crs_key` names the run file's CRS in messages."""
    x, y = (_axis(variable, names, where) for names in (_X_NAMES, _Y_NAMES))
    time, level = _others(variable, (x, y), spec, where)
    (x0, dx, nx), (y0, dy, ny) = (_regular(variable[d].values, d, where) for d in (x, y))
    if dx < 0:
        raise InputError(f"{where}: {x} runs from east to west; expected west to east")
    if spec.coordinates != "center":
        x0, y0 = x0 + abs(dx) / 2, y0 + abs(dy) / 2 * (1 if spec.coordinates == "lower_left" else -1)
    elif "coordinates" not in spec.model_fields_set and y.lower() in ("lat", "latitude"):
        _require_centres(min(y0, y0 + (ny - 1) * dy), max(y0, y0 + (ny - 1) * dy), abs(dy), where)
    crs = parse_crs(spec.crs, crs_key) if spec.crs else _declared_crs(dataset, variable, x, where)
    top = max(y0, y0 + (ny - 1) * dy) + abs(dy) / 2
    affine = Affine.translation(x0 - dx / 2, top) @ Affine.scale(dx, -abs(dy))
    axes = Axes(x, y, time, y_ascending=dy > 0, level=level)
    return GeoBox((ny, nx), affine, crs), axes


def _others(
    variable: xr.DataArray, plane: tuple[str, str], spec: SourceSpec, where: str
) -> tuple[str | None, tuple[str, int] | None]:
    """The dimension of time, and a further one (depth, height) with the place on it that `band` names."""
    others = [str(d) for d in variable.dims if d not in plane]
    time = next((d for d in others if d.lower() in TIME_NAMES), None)
    levels = [d for d in others if d != time]
    if time is None and len(levels) == 1 and variable.sizes[levels[0]] == 1:
        return levels[0], None
    if not levels:
        return time, None
    size = variable.sizes[levels[0]]
    if len(levels) > 1 or (size > 1 and "band" not in spec.model_fields_set):
        hint = f"; choose one of the {size} places on {levels[0]} with `band`, from 1" if len(levels) == 1 else ""
        expected = ", ".join(("time", plane[1], plane[0]))
        raise InputError(
            f"{where}: variable {variable.name!r} has dimensions {variable.dims}; expected {expected}{hint}"
        )
    if spec.band > size:
        raise InputError(f"{where}: {levels[0]} has {size} places, not a place {spec.band} (`band`)")
    return time, (levels[0], spec.band - 1)


def _require_centres(south: float, north: float, step: float, where: str) -> None:
    """Latitudes of cell centres do not reach past one pole and stop short of the other by half a cell: corners do."""
    past = (np.array([-south, north]) + step / 2 - 90) / step
    for beyond, short, corner in ((0, 1, "lower_left"), (1, 0, "upper_left")):
        if np.allclose(past[[beyond, short]], (0.5, -0.5), atol=0.05):
            raise InputError(
                f"{where}: latitudes from {south:g} to {north:g} in steps of {step:g} cannot be centres of cells, "
                f"which would reach past the pole; they look like corners: add `coordinates: {corner}` "
                "(or `coordinates: center` if they are not)"
            )


def _declared_crs(dataset: xr.Dataset, variable: xr.DataArray, x: str, where: str) -> CRS:
    """WGS 84 of longitudes; of projected coordinates what the grid mapping (CF conventions) says."""
    if x.lower() in ("lon", "longitude"):
        return CRS("EPSG:4326")
    mapping = variable.attrs.get("grid_mapping", "")
    try:
        return CRS(pyproj.CRS.from_cf(dataset[mapping].attrs).to_wkt())
    except (KeyError, pyproj.exceptions.CRSError) as error:
        raise InputError(
            f"{where}: {x} is not a longitude and no grid mapping declares a CRS; if you know it, add e.g. "
            "`crs: EPSG:3413` to the entry"
        ) from error


def _axis(variable: xr.DataArray, names: tuple[str, ...], where: str) -> str:
    for dim in map(str, variable.dims):
        if dim.lower() in names and dim in variable.coords and variable.sizes[dim] > 1:
            return dim
    raise InputError(f"{where}: found no coordinate {' / '.join(names)} among {tuple(map(str, variable.coords))}")


def _regular(values: np.ndarray, dim: str, where: str) -> tuple[float, float, int]:
    """Start, step and number of evenly spaced coordinates; float32 files store them rounded."""
    values = values.astype("float64")
    steps = np.diff(values)
    mean = (values[-1] - values[0]) / (len(values) - 1)
    if (
        not np.isfinite(values).all()
        or mean == 0
        or np.abs(steps / mean - 1).max() > _UNEVEN * max(1, len(values) / 1000)
    ):
        raise InputError(
            f"{where}: {dim} is not evenly spaced (steps {steps.min():g} to {steps.max():g}); warp it first"
        )
    return float(values[0]), float(mean), len(values)
