"""Coordinates of the sites: angles as text, points of vector files, and any CRS, brought to degrees of WGS 84."""

import numpy as np
import pandas as pd
from pyproj import CRS, Transformer

from engine.errors import Finding, InputError
from engine.formatting import counted, verb
from pipelines.soil_carbon.profile_table.checks import Problems
from pipelines.soil_carbon.profile_table.names import RawTable
from pipelines.soil_carbon.profile_table.vector import GEOMETRY

APART = 0.01
"""Degrees between the point and the columns of a record that are worth a word."""
_WGS84 = CRS.from_epsg(4326)


def points_of(
    raw: RawTable, frame: pd.DataFrame, crs: str | None, key: str
) -> tuple[pd.DataFrame, str | None, list[Finding]]:
    """Take `lon` and `lat` from a vector file's points where the table has no such columns.

    Parameters
    ----------
    raw : RawTable
    frame : DataFrame
        Under default names.
    crs : str or None
        What the run file says.
    key : str
        Its section, for messages.

    Returns
    -------
    frame : DataFrame
        Without geometry.
    crs : str or None
        Of its `lon` and `lat`.
    notes : list of Finding

    Raises
    ------
    InputError
        Points without a CRS, or with another than the run file's.
    """
    if GEOMETRY not in frame or GEOMETRY not in raw.header:
        return frame, crs, []
    points = frame[GEOMETRY]
    frame = frame.drop(columns=GEOMETRY)
    x = points.map(lambda p: p.x, na_action="ignore").astype(np.float64)
    y = points.map(lambda p: p.y, na_action="ignore").astype(np.float64)
    if {"lon", "lat"} <= set(frame):
        return frame, crs, _compare(raw, frame, x, y, crs)
    if raw.crs is None and crs is None:
        raise InputError(
            f"{raw.path}: declares no CRS; name it, e.g. `{key}.crs: EPSG:4326`, or give columns `lon` and `lat` in "
            "degrees."
        )
    if raw.crs and crs and not CRS.from_user_input(crs).equals(CRS.from_wkt(raw.crs), ignore_axis_order=True):
        raise InputError(
            Finding(
                f"{crs}, but {raw.path} declares {CRS.from_wkt(raw.crs).name}; leave the key out, or correct the file.",
                f"{key}.crs",
            )
        )
    return frame.assign(lon=x, lat=y), raw.crs or crs, []


def to_degrees(frame: pd.DataFrame, crs: str | None, problems: Problems) -> tuple[pd.DataFrame, list[Finding]]:
    """Transform `lon` and `lat` from a CRS to degrees of WGS 84.

    Parameters
    ----------
    frame : DataFrame
        Numbers; x in `lon`, y in `lat`.
    crs : str or None
        None where they are degrees already.
    problems : Problems
        Takes places that the CRS does not have.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
    """
    if crs is None or not {"lon", "lat"} <= set(frame):
        return frame, []
    source = CRS.from_user_input(crs)
    if source.equals(_WGS84, ignore_axis_order=True):
        return frame, []
    x, y = frame["lon"].to_numpy(np.float64), frame["lat"].to_numpy(np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return frame, []
    if source.is_projected and (np.abs(x[known]) <= 180).all() and (np.abs(y[known]) <= 90).all():
        problems.report(
            f"{problems.table.path}: lon and lat look like degrees (x {x[known].min():g} to {x[known].max():g}, y "
            f"{y[known].min():g} to {y[known].max():g}), but `crs` says {source.name}; leave out `crs`."
        )
        return frame, []
    transform = Transformer.from_crs(source, _WGS84, always_xy=True)
    lon, lat = transform.transform(x, y)
    lost = pd.Series(known & ~(np.isfinite(lon) & np.isfinite(lat)), frame.index)
    outside = pd.Series(known & ~lost.to_numpy() & _outside(source, lon, lat), frame.index)
    notes = []
    if 2 * (lost | outside).sum() > known.sum():
        swapped = transform.transform(y, x)
        inside = known & np.isfinite(swapped[0]) & ~_outside(source, *swapped)
        hint = "x and y are swapped" if inside.sum() * 2 > known.sum() else "another zone or another unit of length"
        first = frame[lost | outside].iloc[0]
        problems.report(
            f"{problems.at(first)}: x {first['lon']:g}, y {first['lat']:g}: {(lost | outside).sum()} of "
            f"{known.sum()} places "
            f"lie outside the area of {source.name}: {hint}?"
        )
        for axis in ("lon", "lat"):
            problems.faulty(axis, frame.index)
        return frame.assign(lon=np.nan, lat=np.nan), []
    elif outside.any():
        notes.append(Finding.warning(f"{outside.sum()} of {known.sum()} places lie outside the area of {source.name}."))
    problems.add_rows(
        f"outside {source.name}",
        frame[lost],
        lambda row: f"x {row['lon']:g}, y {row['lat']:g} has no place in {source.name}",
        "lon",
    )
    good = np.isfinite(lon) & np.isfinite(lat)
    return frame.assign(lon=np.where(good, lon, np.nan), lat=np.where(good, lat, np.nan)), notes


def _outside(crs: CRS, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return places far outside a CRS's area of use: half its extent, at least six degrees, beyond its bounds."""
    area = crs.area_of_use
    if area is None:
        return np.zeros(lon.shape, bool)
    width = area.east - area.west if area.east >= area.west else area.east + 360 - area.west
    height = area.north - area.south
    beside = np.abs((lon - (area.west + width / 2) + 180) % 360 - 180) > width / 2 + max(6.0, width / 2)
    beyond = np.abs(lat - (area.south + height / 2)) > height / 2 + max(6.0, height / 2)
    return beside | beyond


def _compare(raw: RawTable, frame: pd.DataFrame, x: pd.Series, y: pd.Series, crs: str | None) -> list[Finding]:
    """Warn if a file's points and its columns lie at different places."""
    lon, lat = (pd.to_numeric(frame[c], errors="coerce") for c in ("lon", "lat"))
    both = x.notna() & lon.notna() & lat.notna()
    if raw.crs is None or not both.any():
        return []
    one = _degrees(x[both], y[both], raw.crs)
    other = _degrees(lon[both], lat[both], crs or "EPSG:4326")
    apart = int((np.abs(one - other).max(axis=0) > APART).sum())
    if not apart:
        return []
    return [
        Finding.warning(
            f"{raw.path.name}: {counted(apart, 'point')} elsewhere than {verb(apart, 'its', 'their')} columns "
            "`lon` and `lat` say; the columns are used."
        )
    ]


def _degrees(x: pd.Series, y: pd.Series, crs: str) -> np.ndarray:
    return np.array(Transformer.from_crs(crs, _WGS84, always_xy=True).transform(x.to_numpy(), y.to_numpy()))
