"""Coordinates of a variable, identified by CF attributes before names, and their numbers."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from cf_xarray.criteria import coordinate_criteria

from engine.errors import InputError, Where
from engine.sources.declared import numbers as plain_numbers

Role = Literal["x", "y", "time", "level"]
Kind = Literal["degrees", "rotated", "plane"]
_CRITERIA: tuple[tuple[str, Role, Kind | None], ...] = (
    ("longitude", "x", "degrees"), ("latitude", "y", "degrees"), ("X", "x", None), ("Y", "y", None),
    ("time", "time", None), ("Z", "level", None), ("vertical", "level", None),
)  # fmt: skip
"""cf-xarray's criteria, and what they make of a coordinate."""
_SURE = ("standard_name", "units", "axis", "_CoordinateAxisType", "cartesian_axis", "long_name")
"""Attributes that tell the role, the one that tells most first."""
_NAMES: tuple[tuple[str, Role, Kind | None], ...] = (
    (r"(nav_|x_?)?lon(g|gitude|gitudes)?s?_?\d*", "x", "degrees"),
    (r"(nav_|y_?)?lat(itude|itudes)?s?_?\d*", "y", "degrees"),
    (r"(r|rot_?|rotated_|grid_)lon(gitude)?", "x", "rotated"),
    (r"(r|rot_?|rotated_|grid_)lat(itude)?", "y", "rotated"),
    (r"x_?\d*|x_?c(oord(inate)?)?s?|x_?dim|eastings?|projection_x_coordinate", "x", "plane"),
    (r"y_?\d*|y_?c(oord(inate)?)?s?|y_?dim|northings?|projection_y_coordinate", "y", "plane"),
    (
        r"(valid_?)?time_?\d*|t|dates?|datetime|months?|years?|month_?of_?year|day_?of_?year|doy|yyyymm(dd)?",
        "time",
        None,
    ),
)
"""Names, as the last resort: pattern, role, kind."""
_DATED = re.compile(r"\w+\s+since\s|(day|month|year) as %Y", re.IGNORECASE)
AXIS_NAMES = {"x": "lon / longitude / x", "y": "lat / latitude / y"}


@dataclass(frozen=True, eq=False)
class Coordinate:
    """Coordinate: a variable along one dimension that gives the place or time of its entries.

    Attributes
    ----------
    kind : {"degrees", "rotated", "plane"} or None
        Longitudes and latitudes, those of a rotated pole, or a projection's plane, as far as it says.
    is_sure : bool
        Whether an attribute says so, not the name alone.
    """

    name: str
    dim: str
    variable: xr.Variable
    role: Role | None
    kind: Kind | None
    is_sure: bool

    @property
    def units(self) -> str:
        """Units as written, "" without any."""
        return text_of(self.variable.attrs.get("units"))


def coordinate_of(name: str, dim: str, variable: xr.Variable, where: Where) -> Coordinate:
    """Identify a variable along one dimension.

    Raises
    ------
    InputError
        If its attributes contradict each other.
    """
    told = {key: found for key in _SURE if (found := _by_attribute(key, variable.attrs))}
    roles = {role: key for key, (role, _) in told.items() if key != "long_name" and role in ("x", "y", "time")}
    if len(roles) > 1:
        said = " and ".join(f"{role} by `{key}` ({variable.attrs[key]})" for role, key in roles.items())
        raise InputError(where.problem(f"coordinate {name} is {said}; correct these attributes of the file"))
    by_name = _by_name(name)
    if not told:
        role, kind = by_name or (None, None)
        return Coordinate(name, dim, variable, role, kind, is_sure=False)
    role = next(iter(told.values()))[0]
    kinds = [found for _, found in told.values() if found] + [by_name[1] for _ in "1" if by_name and by_name[0] == role]
    kind = kinds[0] if kinds else None
    if by_name == (role, "rotated") and text_of(variable.attrs.get("standard_name")) not in ("longitude", "latitude"):
        kind = "rotated"
    return Coordinate(name, dim, variable, role, kind, is_sure=True)


def _by_attribute(key: str, attrs: dict[str, object]) -> tuple[Role, Kind | None] | None:
    text = text_of(attrs.get(key))
    if not text:
        return None
    if key == "units" and _DATED.match(text):
        return "time", None
    for criterion, role, kind in _CRITERIA:
        listed = coordinate_criteria[criterion].get(key, ())
        if text.lower() in {value.lower() for value in listed}:
            if kind is None and role in ("x", "y") and key not in ("axis", "cartesian_axis"):
                kind = "rotated" if text.lower().startswith("grid_") else "plane"
            return role, kind
    return None


def _by_name(name: str) -> tuple[Role, Kind | None] | None:
    return next(((role, kind) for names, role, kind in _NAMES if re.fullmatch(names, name, re.IGNORECASE)), None)


def coordinates_along(dataset: xr.Dataset, variable: xr.DataArray, dim: str, where: Where) -> Coordinate | None:
    """Return the most informative coordinate of each dimension: its own, or one of another name along it."""
    named = text_of(variable.attrs.get("coordinates")).split()
    names = [dim, *(name for name in (*named, *map(str, dataset.variables)) if name != dim)]
    found = []
    for name in dict.fromkeys(names):
        if name in dataset.variables and dataset[name].dims == (dim,) and name != variable.name:
            coordinate = coordinate_of(name, dim, dataset[name].variable, where)
            if name == dim or name in named or (coordinate.is_sure and coordinate.role in ("x", "y", "time")):
                found.append(coordinate)
    sure = [c for c in found if c.is_sure and c.role]
    known = [c for c in found if c.role]
    return next(iter([*sure, *known, *found]), None)


def planes_of(dataset: xr.Dataset, dims: Iterable[str]) -> list[str]:
    """Return the two-dimensional longitudes and latitudes over some dimensions."""
    within = set(dims)
    return [
        str(name) for name, variable in dataset.variables.items()
        if variable.ndim >= 2 and set(map(str, variable.dims)) <= within
        and _is_position(str(name), variable.attrs)
    ]  # fmt: skip


def _is_position(name: str, attrs: dict[str, object]) -> bool:
    told = [found for key in _SURE if key != "axis" and (found := _by_attribute(key, attrs))]
    role, kind = next(iter(told), None) or _by_name(name) or (None, None)
    return role in ("x", "y") and kind == "degrees"


def numbers(variable: xr.Variable, name: str, parent: xr.Variable | None = None) -> np.ndarray:
    """Return values of a coordinate as float64, NaN where missing; bounds are packed as their coordinate (`parent`) is.

    Raises
    ------
    ValueError
        If they, or what they are packed with, are not numbers.
    """
    attrs = variable.attrs
    if parent is not None and not {"scale_factor", "add_offset"} & attrs.keys() and variable.dtype == parent.dtype:
        attrs = {**parent.attrs, **attrs}
    stored = np.asarray(variable.values)
    unsigned = text_of(attrs.get("_Unsigned")).lower()
    if stored.dtype.kind in "iu" and unsigned in ("true", "false"):
        stored = stored.view(f"{'u' if unsigned == 'true' else 'i'}{stored.dtype.itemsize}")
    try:
        values = stored.astype("float64")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} holds {str(np.ravel(stored)[0])!r}, expected numbers") from error
    for key in ("_FillValue", "missing_value"):
        for fill in np.ravel(attrs.get(key, ())):
            # Zarr fills with 0 what was never written, and 0 is a place like any other.
            if np.issubdtype(np.asarray(fill).dtype, np.number) and fill != 0:
                values[stored == fill] = np.nan
    return values * _packing(attrs, "scale_factor", 1.0, name) + _packing(attrs, "add_offset", 0.0, name)


def _packing(attrs: Mapping[str, Any], key: str, default: float, name: str) -> float:
    """Return scale or offset of a coordinate."""
    value = attrs.get(key)
    try:
        found = plain_numbers(value)
    except ValueError:
        found = []
    if value is None or (len(found) == 1 and math.isfinite(found[0]) and (found[0] or key == "add_offset")):
        return float(found[0]) if found else default
    shown = value.tolist() if isinstance(value, np.ndarray) else value
    raise ValueError(f"{key} of {name} is {shown!r}, expected one number; correct it in the file")


def text_of(value: object) -> str:
    """Return an attribute that is text, "" where it is absent or something else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.strip() if isinstance(text, str) else ""
