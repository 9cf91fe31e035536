"""Points of a user's table: where they are."""

import os
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from upath import UPath

from gelisol._arguments import ArgumentError, described

_SHOWN = 5
"""Rows that a message names."""
_USUAL = {
    "lon": ("longitude", "long", "lng", "x", "lon_wgs84", "decimallongitude"),
    "lat": ("latitude", "y", "lat_wgs84", "decimallatitude"),
}


def lon_lat(points: Any, argument: str = "points") -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of points, degrees, WGS 84.

    Parameters
    ----------
    points : GeoDataFrame or DataFrame
        Points in any CRS, or columns `lon` and `lat` in degrees.
    argument : str
        What messages call it.

    Raises
    ------
    ArgumentError
        If it is not such a table, has no row, or a row is not a place on Earth.
    """
    import geopandas as gpd

    table = _table(points, argument)
    if not len(table):
        raise ArgumentError(f"{argument}: has no rows; expected at least one point")
    lon, lat = _of_geometry(table, argument) if isinstance(table, gpd.GeoDataFrame) else _of_columns(table, argument)
    _require_places(lon, lat, table.index, argument)
    return lon, lat


def _table(points: Any, argument: str) -> pd.DataFrame:
    expected = f"{argument}: expected a GeoDataFrame of points, or a DataFrame with columns lon and lat in degrees"
    if isinstance(points, pd.DataFrame):
        return points
    if isinstance(points, str | os.PathLike | UPath):
        raise ArgumentError(
            f"{expected}; found {described(points)}. Read the file first: geopandas.read_file or pandas.read_csv"
        )
    if isinstance(points, np.ndarray | list | tuple):
        raise ArgumentError(
            f"{expected}; found {described(points)}, whose columns have no names. Give them: "
            f"pandas.DataFrame({argument}, columns=['lon', 'lat', …])"
        )
    if isinstance(points, xr.Dataset | xr.DataArray):
        raise ArgumentError(f"{expected}; found {described(points)}. Of a table: {argument}.to_dataframe()")
    if isinstance(points, pd.Series):
        raise ArgumentError(f"{expected}; found {described(points)}. Of a GeoSeries: {argument}.to_frame('geometry')")
    raise ArgumentError(f"{expected}; found {described(points)}")


def _of_geometry(table: Any, argument: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        geometry = table.geometry
    except AttributeError:
        raise ArgumentError(
            f"{argument}: is a GeoDataFrame without a geometry; set it, e.g. {argument}.set_geometry(...)"
        ) from None
    if table.crs is None:
        raise ArgumentError(
            f"{argument}: declares no CRS; if you know it, set it, e.g. {argument}.set_crs('EPSG:4326') for degrees"
        )
    if (missing := (geometry.isna() | geometry.is_empty).to_numpy()).any():
        raise ArgumentError(
            f"{argument}: {rows_of(table.index, missing)} without a geometry; drop them or fill them in"
        )
    if (other := (geometry.geom_type != "Point").to_numpy()).any():
        kind = geometry.geom_type[other].iloc[0]
        raise ArgumentError(
            f"{argument}: {rows_of(table.index, other)} whose geometry is {kind}; expected Point, e.g. of "
            f"{argument}.representative_point()"
        )
    degrees = geometry.to_crs("EPSG:4326")
    return degrees.x.to_numpy(), degrees.y.to_numpy()


def _of_columns(table: pd.DataFrame, argument: str) -> tuple[np.ndarray, np.ndarray]:
    names = [str(name) for name in table.columns]
    found = {}
    for axis, usual in _USUAL.items():
        if names.count(axis) > 1:
            raise ArgumentError(f"{argument}: has the column {axis!r} {names.count(axis)} times; expected it once")
        if axis not in names:
            meant = next((name for name in names if name.lower() in (axis, *usual)), None)
            hint = (
                f"; if {meant!r} is that, in degrees: {argument}.rename(columns={{{meant!r}: {axis!r}}})"
                if meant
                else ""
            )
            raise ArgumentError(f"{argument}: has no column {axis!r} (degrees); its columns: {', '.join(names)}{hint}")
        values = pd.to_numeric(table.iloc[:, names.index(axis)], errors="coerce").to_numpy("float64", na_value=np.nan)
        if (unknown := ~np.isfinite(values)).any():
            raise ArgumentError(f"{argument}: {rows_of(table.index, unknown)} without a number in the column {axis!r}")
        found[axis] = values
    return found["lon"], found["lat"]


def _require_places(lon: np.ndarray, lat: np.ndarray, index: pd.Index, argument: str) -> None:
    wrong = ~((np.abs(lat) <= 90) & (lon >= -180) & (lon <= 360))
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    text = (
        f"{argument}: {rows_of(index, wrong)} at lon {lon[first]:g}, lat {lat[first]:g}, which is not a place on Earth "
        "in degrees"
    )
    if np.all((np.abs(lon) <= 90) & (np.abs(lat) <= 360)):
        raise ArgumentError(f"{text}. Are lon and lat swapped?")
    raise ArgumentError(f"{text}. For coordinates in metres, give a GeoDataFrame with its CRS")


def rows_of(index: pd.Index, marked: np.ndarray) -> str:
    """Return how many rows are marked, and the labels of the first of them."""
    labels = [str(label) for label in index[marked][:_SHOWN]]
    count = int(marked.sum())
    more = ", …" if count > _SHOWN else ""
    return f"{count} of {len(index)} rows ({', '.join(labels)}{more})"
