"""Axes of a variable and the grid that they make."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from engine.errors import InputError, Where
from engine.sources.netcdf.cells import bounds_of, centres, require_centres, require_no_corners, require_on_earth
from engine.sources.netcdf.coordinates import (
    AXIS_NAMES,
    Coordinate,
    Role,
    coordinates_along,
    numbers,
    planes_of,
)
from engine.sources.netcdf.grid_mapping import crs_of_axes, curvilinear, geotransform
from engine.sources.netcdf.units import factor
from engine.sources.spec import StoredSpec


@dataclass(frozen=True)
class Axes:
    """Names of a variable's dimensions, and how they run.

    Attributes
    ----------
    y_ascending, x_descending : bool
        Whether rows run from south to north, and columns from east to west.
    levels : tuple of (str, int)
        Further dimensions, such as depth, and the place on each.
    """

    x: str
    y: str
    time: str | None
    y_ascending: bool
    x_descending: bool = False
    levels: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Layout:
    """The grid of a variable, its axes, the coordinate of time, and what a user wants to know of them."""

    geobox: GeoBox
    axes: Axes
    time: Coordinate | None
    notes: tuple[str, ...] = ()


def layout(dataset: xr.Dataset, variable: xr.DataArray, spec: StoredSpec, where: Where, crs_key: str) -> Layout:
    """Return the grid of a variable and its axes; `crs_key` names the run file's CRS in messages.

    Raises
    ------
    InputError
        If the axes are not found, not regular, or do not go with the CRS.
    """
    along = {str(d): coordinates_along(dataset, variable, str(d), where) for d in variable.dims}
    x, y = (_only(dataset, variable, along, role, where) for role in ("x", "y"))
    time, levels, notes = _others(variable, along, (x, y), spec, where)
    crs = crs_of_axes(dataset, variable, x, y, spec, where, crs_key)
    west, dx, nx = centres(dataset, x, spec, where, 0, is_longitude=crs.geographic)
    first, dy, ny = centres(dataset, y, spec, where, 1)
    fx, fy = factor(x, crs, where), factor(y, crs, where)
    west, dx, first, dy = west * fx, dx * fx, first * fy, dy * fy
    left, top = min(west, west + (nx - 1) * dx) - abs(dx) / 2, max(first, first + (ny - 1) * dy) + abs(dy) / 2
    geobox = GeoBox((ny, nx), Affine.translation(left, top) @ Affine.scale(abs(dx), -abs(dy)), crs)
    require_on_earth(geobox, x, y, where)
    if crs.geographic and "coordinates" not in spec.model_fields_set and bounds_of(dataset, y) is None:
        require_centres(min(first, first + (ny - 1) * dy), max(first, first + (ny - 1) * dy), abs(dy), where)
    if "coordinates" not in spec.model_fields_set and bounds_of(dataset, x) is None and fx == fy == 1:
        require_no_corners(geotransform(dataset, variable, x, y), (west, dx), (first, dy), where)
    names = (x.dim, y.dim, time.dim if time else None)
    axes = Axes(*names, y_ascending=dy > 0, x_descending=dx < 0, levels=levels)
    return Layout(geobox, axes, time, notes)


def _only(
    dataset: xr.Dataset, variable: xr.DataArray, along: dict[str, Coordinate | None], role: Role, where: Where
) -> Coordinate:
    """Return the coordinate of a role: attributes count before names."""
    found = [c for c in along.values() if c is not None and c.role == role]
    chosen = [c for c in found if c.is_sure] or found
    if len(chosen) > 1:
        raise InputError(
            where.problem(
                f"{' and '.join(c.name for c in chosen)} of {variable.name!r} are both {AXIS_NAMES[role]} by "
                f"{'their attributes' if chosen[0].is_sure else 'name'}; correct `axis` or `standard_name` in the file"
            )
        )
    if chosen:
        return chosen[0]
    if planes := planes_of(dataset, map(str, variable.dims)):
        raise InputError(where.problem(curvilinear(planes)))
    known = [c.name for c in along.values() if c is not None]
    raise InputError(
        where.problem(
            f"found no coordinate {AXIS_NAMES[role]} among {tuple(known)} along the dimensions "
            f"{tuple(map(str, variable.dims))} of {variable.name!r}; expected a 1-D coordinate with `standard_name` or "
            "`axis`"
        )
    )


def _others(
    variable: xr.DataArray,
    along: dict[str, Coordinate | None],
    plane: tuple[Coordinate, Coordinate],
    spec: StoredSpec,
    where: Where,
) -> tuple[Coordinate | None, tuple[tuple[str, int], ...], tuple[str, ...]]:
    """Return the dimension of time, further ones (depth, height) with the place that `band` names, and notes."""
    others = [str(d) for d in variable.dims if d not in (plane[0].dim, plane[1].dim)]
    timed = [c for d in others if (c := along[d]) is not None and c.role == "time"]
    timed.sort(key=lambda c: (not c.is_sure, variable.sizes[c.dim] == 1))
    undated = [d for d in others if along[d] is None and d.lower() in ("time", "month", "t", "year", "valid_time")]
    time = next(iter(timed), None)
    if time is None and undated:
        time = Coordinate(undated[0], undated[0], xr.Variable((undated[0],), np.arange(0)), "time", None, is_sure=False)
    levels = [d for d in others if time is None or d != time.dim]
    long = [d for d in levels if variable.sizes[d] > 1]
    if len(long) > 1 or (long and "band" not in spec.model_fields_set):
        size = variable.sizes[long[0]]
        hint = f"; choose one of the {size} places on {long[0]} with `band`, from 1" if len(long) == 1 else ""
        held = f" ({_listed(along[long[0]])})" if hint and _listed(along[long[0]]) else ""
        expected = ", ".join(("time", plane[1].dim, plane[0].dim))
        raise InputError(
            where.problem(f"variable {variable.name!r} has dimensions {variable.dims}; expected {expected}{hint}{held}")
        )
    if long and spec.band > variable.sizes[long[0]]:
        raise InputError(
            where.problem(f"{long[0]} has {variable.sizes[long[0]]} places; place {spec.band} (`band`) does not exist")
        )
    chosen = tuple((d, spec.band - 1 if d in long else 0) for d in levels)
    notes = tuple(text for d, place in chosen if (text := _read_at(along[d], place, variable.sizes[d])))
    return time, chosen, notes


def _listed(level: Coordinate | None) -> str:
    if level is None:
        return ""
    values = [_shown(v) for v in np.asarray(level.variable.values).ravel()[:8]]
    more = ", …" if level.variable.size > len(values) else ""
    return f"{level.name} = {', '.join(values)}{more}{f' {level.units}' if level.units else ''}"


def _read_at(level: Coordinate | None, place: int, size: int) -> str:
    """Return the place of a further dimension that is read."""
    if level is None:
        return ""
    try:
        value = _shown(np.asarray(level.variable.values)[place], numbers(level.variable, level.name)[place])
    except (ValueError, TypeError):
        value = _shown(np.asarray(level.variable.values)[place])
    of = f", place {place + 1} of {size}" if size > 1 else ""
    return f"{level.name} = {value}{f' {level.units}' if level.units not in ('', '1') else ''} is read{of}"


def _shown(value: object, number: float | None = None) -> str:
    if number is not None or isinstance(value, np.number | int | float):
        return f"{value if number is None else number:g}"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
