"""Vector files read as sound polygons: what had to be changed is noted, what cannot be polygons is refused."""

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS as ProjCRS
from pyproj.exceptions import CRSError

from engine.errors import Finding, InputError, Where
from engine.formatting import counted, verb
from engine.grid.grid import parse_crs, require_place
from engine.polygons.antimeridian import AmbiguousRing, needs_wrapping, wrap
from engine.polygons.repair import flat_parts, polygonal, valid
from engine.remote.files import Place, on_disk
from engine.remote.retry import RemoteError, reason, unsigned

DEGREES = "EPSG:4326"
EQUAL_AREA = "EPSG:6933"
_FARTHEST = 540.0
"""Longitude, degrees, beyond which numbers are not degrees: one and a half circles."""
_PAST_POLE = 0.01
"""Degrees by which rounding may put a corner beyond a pole."""
_CRS_MEMBER = re.compile(r'"crs"\s*:\s*\{[^{}]*"properties"\s*:\s*\{[^{}]*"name"\s*:\s*"([^"]*)"')
_HEAD = 2**16
"""Bytes at either end of a GeoJSON file in which its `crs` is looked for."""


@dataclass(frozen=True)
class Polygons:
    """Polygons of a file.

    Attributes
    ----------
    frame : GeoDataFrame
        Valid, flat and not empty; those in degrees within ±180°. With a CRS.
    notes : tuple of str
        What had to be changed, left out or chosen.
    """

    frame: gpd.GeoDataFrame
    notes: tuple[str, ...]


def read_polygons(path: Place, layer: str | None, attribute: str | None, crs: str | None, key: str) -> Polygons:
    """Read a vector file.

    Parameters
    ----------
    attribute : str, optional
        A column that must be there.
    crs : str, optional
        The run file's, which counts before the file's own.
    key : str
        Of the run file, for errors.

    Raises
    ------
    InputError
        If it cannot be read, holds anything but polygons, declares no CRS, or has coordinates that cannot be meant.
    """
    where = Where(key, unsigned(str(path)) if "://" in str(path) else str(path))
    try:
        with on_disk(path) as file:
            frame, notes = _read(file, layer, where)
            if crs is None and file.suffix.lower() in (".geojson", ".json"):
                _require_known_crs(file, where)
    except (RemoteError, FileNotFoundError) as error:
        raise InputError(where.problem(f"cannot be fetched ({reason(error)})")) from error
    if "geometry" not in frame or frame.empty:
        raise InputError(Finding(f"{path}: holds no geometries", key))
    if attribute is not None and attribute not in frame:
        columns = ", ".join(frame.columns.drop("geometry"))
        raise InputError(Finding(f"{path.name} has no column {attribute!r}; it has {columns}", f"{key}.attribute"))
    frame = _with_crs(frame, crs, key, path, notes)
    frame = _without_empty(frame, notes)
    if frame.empty:
        raise InputError(Finding(f"{path}: holds no geometries", key))
    _require_polygons(frame, Where(key, str(path)), notes)
    if frame.crs.is_geographic:
        frame = _in_degrees(frame, where)
    return Polygons(_made_sound(frame, where, notes), tuple(notes))


def _read(file: Path, layer: str | None, where: Where) -> tuple[gpd.GeoDataFrame, list[str]]:
    options: dict[str, Any] = {"layer": layer} if layer else {}
    try:
        if file.suffix.lower() == ".parquet":
            return gpd.read_parquet(file), []
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            frame = gpd.read_file(file, on_invalid="fix", **options)
        notes = _of_layers(file, layer)
        if any("closed ring" in str(w.message) for w in said):
            notes.append("rings that do not end where they begin were closed")
        return frame, notes
    except (DataSourceError, DataLayerError, OSError, ValueError, shapely.errors.ShapelyError) as error:
        text = str(error).replace(str(file), file.name)  # which may be a copy
        raise InputError(where.problem(f"cannot be read as polygons ({text}). Is the file whole?")) from error


def _of_layers(file: Path, layer: str | None) -> list[str]:
    names = [str(name) for name, _ in pyogrio.list_layers(file)]
    if layer or len(names) < 2:
        return []
    return [f"the file has {len(names)} layers ({', '.join(names[:10])}), of which the first is read; `layer` chooses"]


def _require_known_crs(file: Path, where: Where) -> None:
    """Refuse a `crs` member that GDAL does not know and would silently read as degrees."""
    with file.open("rb") as content:
        head = content.read(_HEAD)
        content.seek(max(0, file.stat().st_size - _HEAD))
        text = (head + b"\n" + content.read()).decode(errors="replace")
    for name in _CRS_MEMBER.findall(text)[:1]:
        try:
            ProjCRS.from_user_input(name)
        except CRSError as error:
            raise InputError(
                where.problem(f"its `crs` member is {name!r}, which PROJ does not know; name it by `crs`")
            ) from error


def _with_crs(frame: gpd.GeoDataFrame, crs: str | None, key: str, path: Place, notes: list[str]) -> gpd.GeoDataFrame:
    if crs is not None:
        wanted = parse_crs(crs, f"{key}.crs").proj
        if frame.crs is not None and not frame.crs.equals(wanted, ignore_axis_order=True):
            notes.append(f"the file declares the CRS {frame.crs.name}, but `crs` of the run file counts: {wanted.name}")
        frame = frame.set_crs(wanted, allow_override=True)
    if frame.crs is None:
        raise InputError(
            Finding(f"{path}: declares no CRS; if you know it, add e.g. `crs: EPSG:4326` to the entry", key)
        )
    require_place(CRS(frame.crs.to_wkt()), Where(f"{key}.crs", repr(crs)) if crs else Where(key, str(path)))
    return frame


def _without_empty(frame: gpd.GeoDataFrame, notes: list[str]) -> gpd.GeoDataFrame:
    drawn = frame.geometry.to_numpy()
    known = ~(shapely.is_missing(drawn) | shapely.is_empty(drawn))
    if missing := int((~known).sum()):
        notes.append(
            f"{missing} of {counted(len(frame), 'feature')} {verb(missing, 'has', 'have')} no geometry and "
            f"{verb(missing, 'is', 'are')} left out"
        )
    return frame[known]


def _require_polygons(frame: gpd.GeoDataFrame, where: Where, notes: list[str]) -> None:
    """Refuse geometries without an area; of a collection the polygons count."""
    kinds = frame.geom_type
    areal = kinds.isin(["Polygon", "MultiPolygon"])
    mixed = [({part.geom_type for part in flat_parts(g)} if not a else set())
             for g, a in zip(frame.geometry, areal, strict=True)]  # fmt: skip
    collected = ~areal & np.array(["Polygon" in parts for parts in mixed], bool)
    if not (areal | collected).any():
        raise InputError(f"{where} holds {', '.join(sorted(set(kinds)))}; expected polygons")
    if others := Counter(kinds[~areal & ~collected]):
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        first = int(np.flatnonzero((~areal & ~collected).to_numpy())[0]) + 1
        raise InputError(
            f"{where} holds {listed} among its {len(frame)} features, the first as number {first}; expected polygons "
            "only. Leave the others out, or put them into a layer of their own"
        )
    if bare := sum(bool(parts - {"Polygon"}) for parts in np.array(mixed, object)[collected.to_numpy()]):
        notes.append(f"{_count(bare, 'collection')} of polygons with lines or points: only the polygons count")


def _in_degrees(frame: gpd.GeoDataFrame, where: Where) -> gpd.GeoDataFrame:
    """Refuse what cannot be longitudes and latitudes; put corners that rounding moved past a pole back onto it."""
    unit = frame.crs.axis_info[0].unit_name if frame.crs.axis_info else "degree"
    if unit != "degree":
        frame = frame.to_crs(DEGREES)
    xy = frame.get_coordinates()
    if not np.isfinite(xy.to_numpy()).all():
        return frame  # refused for that
    (west, east), (south, north) = ((float(xy[a].min()), float(xy[a].max())) for a in "xy")
    if max(-south, north) > 90 + _PAST_POLE:
        swapped = max(-west, east) <= 90 + _PAST_POLE and max(-south, north) <= 180 + _PAST_POLE
        hint = "are longitude and latitude swapped?" if swapped else "are they metres? Then name their CRS by `crs`"
        raise InputError(
            where.problem(
                f"its {frame.crs.name} latitudes run from {south:.6g} to {north:.6g}, longitudes from {west:.6g} "
                f"to {east:.6g}; expected latitudes within ±90: {hint}"
            )
        )
    if max(-west, east) > _FARTHEST:
        raise InputError(
            where.problem(
                f"its {frame.crs.name} longitudes run from {west:.6g} to {east:.6g}; expected degrees within ±180 "
                "or 0 to 360. Are they metres? Then name their CRS by `crs`"
            )
        )
    if max(-south, north) > 90:
        clipped = shapely.transform(frame.geometry.to_numpy(), lambda p: np.clip(p, [-np.inf, -90], [np.inf, 90]))
        frame = frame.set_geometry(gpd.GeoSeries(clipped, frame.index, crs=frame.crs))
    return frame


def _made_sound(frame: gpd.GeoDataFrame, where: Where, notes: list[str]) -> gpd.GeoDataFrame:
    """Make polygons flat and valid, within ±180° if in degrees."""
    drawn = shapely.force_2d(frame.geometry.to_numpy())
    if not np.isfinite(shapely.get_coordinates(drawn)).all():
        bad = next(i for i, g in enumerate(drawn) if not np.isfinite(shapely.get_coordinates(g)).all())
        raise InputError(where.problem(f"feature {bad + 1} has corners without coordinates (NaN or infinite)"))
    sound = np.array([polygonal(geometry) for geometry in drawn], object)
    turned = np.zeros(len(sound), bool)
    if frame.crs.is_geographic:
        turned = needs_wrapping(sound)
        jumped = [_wrapped(sound, int(i), where) for i in np.flatnonzero(turned)]
        if count := sum(jumped):
            notes.append(
                f"{_count(count, 'polygon')} of {len(sound)} {'jumps' if count == 1 else 'jump'} across ±180°: an edge "
                "of more than 180° of longitude is taken to cross the line, on its short way"
            )
    faulty = np.flatnonzero(~shapely.is_valid(sound) & ~turned)
    if faulty.size:
        before, why = sound[faulty], shapely.is_valid_reason(sound[faulty[0]])
        sound[faulty] = [valid(geometry) for geometry in before]
        notes.append(
            f"{_count(len(faulty), 'polygon')} of {len(sound)} {'was' if len(faulty) == 1 else 'were'} not valid (the "
            f"first: {_shortened(why)}) and {'was' if len(faulty) == 1 else 'were'} repaired: "
            f"{_km2(before, frame.crs):,.6g} km² as drawn, {_km2(sound[faulty], frame.crs):,.6g} km² now"
        )
    empty = shapely.area(sound) == 0
    if empty.all():
        raise InputError(where.problem("none of its polygons has an area"))
    if empty.any():
        notes.append(f"{_count(int(empty.sum()), 'polygon')} of {len(sound)} without an area left out")
    return frame.set_geometry(gpd.GeoSeries(sound, frame.index, crs=frame.crs))[~empty]


def _wrapped(sound: np.ndarray, i: int, where: Where) -> bool:
    try:
        sound[i], jumped = wrap(sound[i])
    except AmbiguousRing as error:
        raise InputError(
            where.problem(f"feature {i + 1}: {error}. Cut it at ±180° (RFC 7946), or add corners along its long edges")
        ) from error
    return jumped


def _shortened(text: str) -> str:
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.6g}", text)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _km2(geometries: np.ndarray, crs: ProjCRS) -> float:
    """Return the area, also of rings that cross themselves: then by the surveyor's formula."""
    series = gpd.GeoSeries(geometries, crs=crs)
    if crs.is_geographic:
        return float(series.to_crs(EQUAL_AREA).area.sum()) / 1e6
    return float(series.area.sum()) * crs.axis_info[0].unit_conversion_factor ** 2 / 1e6


def spacing(crs: CRS) -> float:
    """Return the distance of points on an edge that keeps the edge in place when only its points are projected."""
    return 0.1 if crs.geographic else 10_000.0
