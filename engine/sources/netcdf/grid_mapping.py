"""CRS of a variable: from its grid mapping, or from other attributes that writers leave."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from odc.geo import CRS

from engine.errors import InputError, Where
from engine.grid.grid import parse_crs, require_place
from engine.sources.netcdf.coordinates import Coordinate, numbers, planes_of, text_of
from engine.sources.spec import StoredSpec

DEGREES = CRS("EPSG:4326")
_TEXTS = ("crs_wkt", "spatial_ref", "esri_pe_string", "proj4", "proj4text", "proj4_string", "proj4_params", "epsg_code",
          "EPSG_code", "epsg", "EPSG", "srid", "proj:code", "proj:wkt2", "proj:projjson", "proj:epsg")  # fmt: skip
"""Attributes that hold a whole CRS."""
_PARAMETERS = ("standard_parallel", "longitude_of_central_meridian", "latitude_of_projection_origin",
               "longitude_of_projection_origin", "straight_vertical_longitude_from_pole", "grid_north_pole_latitude",
               "grid_north_pole_longitude", "longitude_of_prime_meridian")  # fmt: skip
"""Single attributes, degrees, of which a file may hold others than its whole CRS has."""


def crs_of_axes(
    dataset: xr.Dataset, variable: xr.DataArray, x: Coordinate, y: Coordinate, spec: StoredSpec, where: Where, key: str
) -> CRS:
    """Return the CRS of the coordinates.

    Raises
    ------
    InputError
        If nothing declares one, what does cannot be read, or it does not go with the coordinates.
    """
    if spec.crs:
        return require_place(parse_crs(spec.crs, key), Where(key, repr(spec.crs)))
    declared = _declared(dataset, variable, x, y, where)
    if declared is None:
        if x.kind == y.kind == "degrees":
            return DEGREES
        raise InputError(where.problem(_undeclared(dataset, variable, x)))
    own = declared.to_2d() if len(declared.axis_info) > 2 or declared.is_compound else declared
    if not (own.is_geographic or own.is_projected):
        raise InputError(
            where.problem(
                f"its CRS ({own.name}) is {own.type_name.lower()}, which has no known place on the Earth; give "
                "the CRS of its coordinates, e.g. `crs: EPSG:3413`"
            )
        )
    if "rotated" in (x.kind, y.kind) and not _is_rotated(own) and own.is_geographic:
        raise InputError(
            where.problem(f"{x.name} is a longitude of a rotated pole, but its CRS ({own.name}) is not rotated")
        )
    if x.kind == y.kind == "degrees" and (own.is_projected or _is_rotated(own)) and _in_degrees(x, y):
        # Longitudes and latitudes beside a projection are those of the datum on which it stands.
        own = own.geodetic_crs or own
    if own.is_geographic and own.equals(DEGREES.proj, ignore_axis_order=True):
        return DEGREES
    return require_place(CRS(own.to_wkt()), where)


def _is_rotated(crs: pyproj.CRS) -> bool:
    return bool(crs.is_geographic and crs.is_derived)


def _in_degrees(x: Coordinate, y: Coordinate) -> bool:
    """Return whether coordinates called longitudes and latitudes, perhaps by name alone, can be degrees."""
    if x.is_sure and y.is_sure:
        return True
    across, up = (np.abs(numbers(axis.variable, axis.name)) for axis in (x, y))
    return bool(np.nanmax(across) <= 360 and np.nanmax(up) <= 90)


def _undeclared(dataset: xr.Dataset, variable: xr.DataArray, x: Coordinate) -> str:
    if planes := planes_of(dataset, map(str, variable.dims)):
        return curvilinear(planes)
    what = "a longitude of a rotated pole" if x.kind == "rotated" else "not a longitude"
    named = text_of(variable.attrs.get("grid_mapping"))
    why = f" (`grid_mapping: {named}` is not in the file)" if named and named not in dataset.variables else ""
    return (
        f"{x.name} is {what} and no grid mapping declares a CRS{why}; if you know it, add e.g. "
        "`crs: EPSG:3413` to the entry"
    )


def curvilinear(planes: list[str]) -> str:
    """Describe that cells lie at two-dimensional coordinates, and the remedy."""
    return (
        f"{' and '.join(planes[:2])} {'are' if len(planes) > 1 else 'is'} two-dimensional: a curvilinear grid, which "
        "is not read. Interpolate it to a regular grid first (e.g. `cdo remapbil`, xESMF), or, if the file has "
        "the x and y of a projection, give its `crs`"
    )


def _declared(
    dataset: xr.Dataset, variable: xr.DataArray, x: Coordinate, y: Coordinate, where: Where
) -> pyproj.CRS | None:
    name, others = _named_mapping(dataset, variable, x, y), _unnamed_mappings(dataset)
    if name is not None:
        sources = [(name, dict(dataset[name].attrs))]
    else:
        sources = [(str(variable.name), dict(variable.attrs)), *others, ("the file", dict(dataset.attrs))]
    for what, attrs in sources:
        crs, problem = _crs_from(attrs)
        if crs is not None:
            return crs
        if problem and (name is not None or not others):
            raise InputError(
                where.problem(
                    f"the CRS that {what} declares cannot be read ({problem}); if you know it, add e.g. "
                    "`crs: EPSG:3413` to the entry"
                )
            )
    return None


def _named_mapping(dataset: xr.Dataset, variable: xr.DataArray, x: Coordinate, y: Coordinate) -> str | None:
    """Return the grid mapping that the variable names for its axes; the extended form lists the coordinates of each."""
    text = text_of(variable.attrs.get("grid_mapping"))
    mappings: dict[str, list[str]] = {}
    if ":" not in text:
        mappings = {name: [] for name in text.split()}
    for token in text.replace(":", ": ").split() if ":" in text else ():
        if token.endswith(":"):
            mappings[token.removesuffix(":")] = []
        elif mappings:
            mappings[next(reversed(mappings))].append(token)
    mappings = {name: of for name, of in mappings.items() if name in dataset.variables}
    own = [name for name, of in mappings.items() if {x.name, y.name} <= set(of) or {x.dim, y.dim} <= set(of)]
    return next(iter([*own, *(name for name, of in mappings.items() if not of), *mappings]), None)


def _unnamed_mappings(dataset: xr.Dataset) -> list[tuple[str, dict[str, Any]]]:
    """Return the probable grid mapping of a file whose variable names none, if it has one."""
    found = [
        (str(name), dict(v.attrs)) for name, v in dataset.variables.items()
        if v.ndim == 0 and ({"grid_mapping_name", "crs_wkt", "spatial_ref", "esri_pe_string"} & v.attrs.keys())
    ]  # fmt: skip
    return found if len(found) == 1 else []


def _crs_from(attrs: Mapping[str, Any]) -> tuple[pyproj.CRS | None, str]:
    """Return the CRS that attributes declare, or why it cannot be read; neither if they declare none."""
    problem = ""
    for text in _whole(attrs):
        try:
            crs = pyproj.CRS.from_user_input(text)
        except pyproj.exceptions.CRSError as error:
            problem = problem or str(error)
            continue
        other = _contradicted(crs, attrs)
        return (None, other) if other else (crs, "")
    if attrs.get("grid_mapping_name"):
        try:
            return pyproj.CRS.from_cf({key: _plain(value) for key, value in attrs.items()}), ""
        except (pyproj.exceptions.CRSError, KeyError, ValueError, TypeError) as error:
            problem = problem or str(error)
    return None, problem


def _contradicted(crs: pyproj.CRS, attrs: Mapping[str, Any]) -> str:
    """Return the single attribute of a grid mapping that contradicts its whole CRS; "" without one."""
    whole = crs.to_cf()
    for key in _PARAMETERS:
        if key not in attrs or key not in whole:
            continue
        ours, theirs = (np.sort(np.ravel(np.asarray(_plain(part[key]), "float64"))) for part in (attrs, whole))
        if ours.shape != theirs.shape:
            continue
        apart = np.abs(ours - theirs)
        if "longitude" in key:
            apart = np.minimum(apart % 360, 360 - apart % 360)
        if apart.max(initial=0) > 1e-3:
            return f"`{key}` is {_plain(attrs[key])}, but {_plain(whole[key])} in the CRS beside it, {crs.name}"
    return ""


def geotransform(dataset: xr.Dataset, variable: xr.DataArray, x: Coordinate, y: Coordinate) -> list[float]:
    """Return GDAL's six numbers of the grid, if the grid mapping has them; else none."""
    name = _named_mapping(dataset, variable, x, y)
    text = text_of(dataset[name].attrs.get("GeoTransform")) if name else ""
    try:
        numbers_of = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        return []
    return numbers_of if len(numbers_of) == 6 and numbers_of[1] and numbers_of[5] else []


def _whole(attrs: Mapping[str, Any]) -> Iterator[Any]:
    for key in _TEXTS:
        if key in attrs and (value := _plain(attrs[key])):
            bare = isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdigit())
            yield f"EPSG:{int(value)}" if bare else json.dumps(value) if isinstance(value, dict) else value
    gdal = attrs.get("_CRS")  # GDAL's Zarr driver
    for key in ("wkt", "projjson", "url"):
        if isinstance(gdal, dict) and gdal.get(key):
            yield json.dumps(gdal[key]) if isinstance(gdal[key], dict) else gdal[key]


def _plain(value: Any) -> Any:
    """Convert an attribute to Python's own type."""
    if isinstance(value, np.ndarray | np.generic):
        return value.item() if value.size == 1 else value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
