"""Names for coordinate reference systems without one, such as PROJ strings, so that files carry a readable name."""

import re
from typing import Any

import pyproj
from odc.geo import CRS

NAMELESS = ("unknown", "unnamed", "undefined", "")
"""What PROJ and GDAL call a CRS that came without a name."""
WGS84 = "World Geodetic System 1984"
_KEEPS_CAPITALS = re.compile(r"^(Lambert|Albers|Mercator|Mollweide|Eckert|Krovak|Cassini|Bonne|Goode|Hotine|Robinson|"
                             r"Wagner|Winkel|[IVX]+|[A-Z]\)|\(.*)$")  # fmt: skip
_PARALLELS = (
    "Latitude of standard parallel", "Latitude of 1st standard parallel", "Latitude of 2nd standard parallel",
)  # fmt: skip
_ORIGINS = ("Latitude of natural origin", "Latitude of false origin", "Latitude of projection centre")
_MERIDIANS = (
    "Longitude of natural origin", "Longitude of false origin", "Longitude of projection centre", "Longitude of origin",
)  # fmt: skip


def named(crs: CRS) -> CRS:
    """Return the same CRS, with a name if it had none.

    Parameters
    ----------
    crs : CRS
        Of any origin, e.g. a PROJ string.

    Returns
    -------
    CRS
        One that has a name as it is; one that the EPSG database holds with the name it has there; another projected
        one with what it is and where it is centred, e.g. `Lambert azimuthal equal-area, 51° N 121.5° E`.
    """
    if _has_name(crs.proj):
        return crs
    entries = crs.proj.to_json_dict()
    if crs.epsg:
        name = pyproj.CRS.from_epsg(crs.epsg).name
    elif "conversion" in entries:
        name = _description(entries["conversion"])
    else:
        return crs
    entries["name"] = name
    for part in ("conversion", "base_crs"):
        if part in entries and entries[part].get("name", "").lower() in NAMELESS:
            entries[part] |= {"name": name if part == "conversion" else _base_name(entries[part])}
    return CRS(pyproj.CRS.from_json_dict(entries).to_wkt())


def crs_text(crs: CRS) -> str:
    """Return a CRS in a line: its code, or without one its name."""
    return f"EPSG:{crs.epsg}" if crs.epsg else crs.proj.name


def crs_label(crs: CRS) -> str:
    """Return the name of a CRS for a table: of one without a name what a database holds, or what it is.

    Returns
    -------
    str
        E.g. `WGS 84 / UTM zone 51N`; of a CRS that no database holds, `custom, Albers equal-area, 25° N and 47° N
        105° E`, or `custom, longitude and latitude on WGS 84`.
    """
    proj = crs.proj.source_crs if crs.proj.is_bound and crs.proj.source_crs else crs.proj
    if _has_name(proj):
        return proj.name
    known = named(CRS(proj)).proj
    if CRS(proj).epsg:
        return known.name
    if code := proj.to_authority():
        return pyproj.CRS.from_authority(*code).name
    if _has_name(known):
        return f"custom, {known.name}"
    kind = "longitude and latitude" if proj.is_geographic else proj.type_name
    on = next((part for part in (proj.datum, proj.ellipsoid) if part is not None and _has_name(part)), None)
    return f"custom, {kind}" + (f" on {_base_name({'datum': {'name': on.name}})}" if on else "")


def _has_name(part: Any) -> bool:
    name = part.name.strip().lower()
    return name not in NAMELESS and not name.startswith("unknown based on ")


def _description(conversion: dict[str, Any]) -> str:
    """Return method, standard parallels or latitude of origin, and central meridian."""
    values = {parameter["name"]: parameter["value"] for parameter in conversion.get("parameters", [])}
    latitudes = [values[name] for name in _PARALLELS if name in values]
    if not latitudes:
        latitudes = [values[name] for name in _ORIGINS if name in values]
    places = [_degrees(value, "N", "S") for value in dict.fromkeys(latitudes)]
    meridians = [_degrees(values[name], "E", "W") for name in _MERIDIANS if name in values][:1]
    where = " ".join(filter(None, (" and ".join(places), *meridians)))
    return ", ".join(filter(None, (_method(conversion["method"]["name"]), where)))


def _method(name: str) -> str:
    """Write `Lambert Azimuthal Equal Area` as a sentence does: `Lambert azimuthal equal-area`."""
    first, *others = name.replace("Equal Area", "equal-area").replace("_", " ").split()
    return " ".join([first, *(word if _KEEPS_CAPITALS.match(word) else word.lower() for word in others)])


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):.9g}° {positive if value >= 0 else negative}"


def _base_name(base: dict[str, Any]) -> str:
    datum = base.get("datum") or base.get("datum_ensemble") or {}
    name = str(datum.get("name", "unknown"))
    return "WGS 84" if name.startswith(WGS84) else name
