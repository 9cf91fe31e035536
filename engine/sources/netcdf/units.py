"""Units of axes: how much longer or wider one of a file is than the unit of its CRS."""

import math
import re

from odc.geo import CRS

from engine.errors import InputError, Where
from engine.sources.netcdf.coordinates import Coordinate

_US_FOOT = 1200 / 3937
_LENGTHS = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "km": 1e3, "kilometer": 1e3, "kilometre": 1e3, "hm": 100.0, "cm": 0.01,
    "centimeter": 0.01, "centimetre": 0.01, "mm": 1e-3, "millimeter": 1e-3, "millimetre": 1e-3, "ft": 0.3048,
    "foot": 0.3048, "feet": 0.3048, "international_foot": 0.3048, "us-ft": _US_FOOT, "ftus": _US_FOOT,
    "us_survey_foot": _US_FOOT, "us_survey_feet": _US_FOOT, "survey_foot": _US_FOOT, "survey_feet": _US_FOOT,
    "foot_us": _US_FOOT, "us_foot": _US_FOOT, "us_feet": _US_FOOT,
}  # fmt: skip
"""Metres."""
_ANGLES = {
    "degree": math.radians(1), "deg": math.radians(1), "°": math.radians(1), "arcdegree": math.radians(1),
    "rad": 1.0, "radian": 1.0, "mrad": 1e-3, "milliradian": 1e-3, "µrad": 1e-6, "urad": 1e-6, "microradian": 1e-6,
    "arc_minute": math.radians(1 / 60), "arcmin": math.radians(1 / 60), "arcminute": math.radians(1 / 60),
    "arc_second": math.radians(1 / 3600), "arcsec": math.radians(1 / 3600), "arcsecond": math.radians(1 / 3600),
    "grad": math.pi / 200, "gon": math.pi / 200,
}  # fmt: skip
"""Radians."""
_COMPASS = r"degrees?_?(east|north|e|n)|degrees?_?(true)?"
_NONE = ("", "1", "-", "none", "unitless", "pixel", "pixels")
_NUMBER = re.compile(r"([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)\s*\*?\s*(.*)", re.IGNORECASE)


def factor(coordinate: Coordinate, crs: CRS, where: Where) -> float:
    """Return the factor from the numbers of a coordinate to those of the CRS; 1 without units.

    Raises
    ------
    InputError
        If the units are not known, or are of length where the CRS has angles, or the other way round.
    """
    text = coordinate.units
    if text.lower() in _NONE:
        return 1.0
    own = crs.proj.axis_info[0].unit_conversion_factor if crs.proj.axis_info else 1.0
    size, is_angle = _size_of(text, coordinate, where)
    if is_angle == crs.geographic:
        if is_angle or not math.isclose(size, own, rel_tol=1e-5):
            return 1.0 if math.isclose(size, own, rel_tol=1e-9) else size / own
        return 1.0  # feet, of one kind or the other
    if is_angle and (height := _perspective_height(crs)):
        return size * height / own
    here, there = ("an angle", "a length") if is_angle else ("a length", "an angle")
    raise InputError(
        where.problem(
            f"{coordinate.name} has units {text!r}, {here}, while the unit of its CRS ({_name(crs)}) is {there}; "
            "correct the units or the grid mapping of the file, or give the `crs` of its coordinates"
        )
    )


def _size_of(text: str, coordinate: Coordinate, where: Where) -> tuple[float, bool]:
    """Return the metres or radians in a unit, and whether it is an angle."""
    match = _NUMBER.fullmatch(text)
    times, unit = (float(match[1]), match[2]) if match else (1.0, text)
    plain = re.sub(r"\s+", "_", unit.strip().lower().rstrip("."))
    if re.fullmatch(_COMPASS, plain):
        plain = "degree"
    for table, is_angle in ((_LENGTHS, False), (_ANGLES, True)):
        for name in (plain, plain.removesuffix("s")):
            if name in table and times > 0:
                return times * table[name], is_angle
    raise InputError(
        where.problem(
            f"{coordinate.name} has units {text!r}; expected m, km, feet, degrees or radians (or none, for those "
            "of the CRS). Correct the units of the file, e.g. with ncatted"
        )
    )


def _perspective_height(crs: CRS) -> float:
    """Return the height, m, of the satellite of a geostationary view, whose plane is often in angles; else 0."""
    if "eostationary" not in getattr(crs.proj.coordinate_operation, "method_name", ""):
        return 0.0
    return float(crs.proj.to_cf().get("perspective_point_height", 0.0))


def _name(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else crs.proj.name
