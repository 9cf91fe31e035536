"""Units that columns of a profile table may have, and the factor to those of the pipeline."""

import re
from dataclasses import dataclass
from types import MappingProxyType

CONTENT = MappingProxyType({
    "g/kg": 1.0, "%": 10.0, "g/100g": 10.0, "g/g": 1e3, "kg/kg": 1e3, "fraction": 1e3, "mg/g": 1.0, "‰": 1.0,
    "kg/t": 1.0, "dg/kg": 0.1, "cg/kg": 1e-2, "mg/kg": 1e-3, "µg/g": 1e-3, "g/t": 1e-3, "ppm": 1e-3,
})  # fmt: skip
"""Mass per mass of fine earth → g/kg."""
PER_VOLUME = MappingProxyType({"kg/m3": 1.0, "g/l": 1.0, "mg/cm3": 1.0, "g/m3": 1e-3, "g/cm3": 1e3, "t/m3": 1e3})
"""Mass per volume of the whole layer, stones included → kg/m³."""
PER_AREA = MappingProxyType({
    "kg/m2": 1.0, "t/ha": 0.1, "g/cm2": 10.0, "mg/cm2": 0.01, "g/m2": 1e-3, "kg/ha": 1e-4, "t/km2": 1e-3,
})  # fmt: skip
"""Mass per area of the whole layer → kg/m²."""
_MASS_PER_VOLUME = MappingProxyType({
    "g/cm3": 1.0, "kg/m3": 1e-3, "t/m3": 1.0, "kg/dm3": 1.0, "kg/l": 1.0, "g/ml": 1.0, "g/l": 1e-3, "g/dm3": 1e-3,
    "mg/mm3": 1.0, "mg/cm3": 1e-3, "g/m3": 1e-6, "cg/cm3": 1e-2,
})  # fmt: skip
_LENGTH = MappingProxyType({"cm": 1.0, "m": 100.0, "mm": 0.1, "dm": 10.0, "inch": 2.54, "ft": 30.48})
_DISTANCE = MappingProxyType({"m": 1.0, "km": 1000.0, "ft": 0.3048})
_VOLUME_SHARE = MappingProxyType({"%": 1.0, "fraction": 100.0, "cm3/cm3": 100.0, "‰": 0.1})
_BY_COLUMN = {
    "soc": {**CONTENT, **PER_VOLUME, **PER_AREA},
    "som": CONTENT,
    "tn": CONTENT,
    "bulk_density": _MASS_PER_VOLUME,
    "top": _LENGTH,
    "bottom": _LENGTH,
    "depth": _LENGTH,
    "thickness": _LENGTH,
    "coarse_fragments": _VOLUME_SHARE,
    "position_error": _DISTANCE,
}
STANDARD = {
    "soc": "g/kg", "som": "g/kg", "tn": "g/kg", "bulk_density": "g/cm3", "top": "cm", "bottom": "cm", "depth": "cm",
    "thickness": "cm", "coarse_fragments": "%", "position_error": "m",
}  # fmt: skip
"""Units that the pipeline computes in; densities `socd_…` are in kg/m2."""
_MASS_OF_STONES = ("g/kg", "kg/kg", "g/g", "mass%")

_ALIASES = {
    "wt.%": "mass%", "wt-%": "mass%", "%wt": "mass%", "%byweight": "mass%", "%bymass": "mass%",
    "weightpercent": "mass%", "masspercent": "mass%", "mass-%": "mass%", "%byvolume": "vol%", "permil": "‰",
    "per/mil": "‰", "/mil": "‰", "/mille": "‰", "in.": "inch",
    "percent": "%", "pct": "%", "massfraction": "fraction", "1": "fraction", "weight%": "mass%", "wt%": "mass%",
    "w%": "mass%", "m%": "mass%", "%w/w": "mass%", "%mass": "mass%", "%weight": "mass%", "volume%": "vol%",
    "%vol": "vol%",
    "%volume": "vol%", "vol.%": "vol%", "v%": "vol%", "%v/v": "vol%", "volfraction": "volumefraction",
    "permille": "‰", "promille": "‰", "g/hg": "g/100g", "dag/kg": "g/100g", "cg/g": "g/100g", "centimetre": "cm",
    "centimeter": "cm", "centimetres": "cm", "centimeters": "cm", "metre": "m", "meter": "m", "metres": "m",
    "meters": "m",
    "millimetre": "mm", "millimeter": "mm", "millimetres": "mm", "millimeters": "mm", "in": "inch", "inches": "inch",
    '"': "inch", "foot": "ft", "feet": "ft", "g/cc": "g/cm3", "m3/m3": "cm3/cm3", "l/l": "cm3/cm3",
    "Mg/m3": "t/m3", "Mg/ha": "t/ha", "Mg/km2": "t/km2", "g/Mg": "g/t", "kg/Mg": "kg/t", "g/cm-2": "g/cm2",
    "t/ha2": "t/hm2", "t/hm2": "t/ha", "Mg/hm2": "t/ha", "kg/hm2": "kg/ha", "g/dm3": "g/l", "kg/dm3": "kg/dm3",
    "mg/ml": "mg/cm3",
}  # fmt: skip
"""Other ways to write a unit, after `_spelt`."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−–％μ", "0123456789---%µ")
_SUBSTANCES = r"(?<![A-Za-z])(SOC|SOM|TOC|OC|OM|TN|C|N|soil)(?![A-Za-z])"


@dataclass(frozen=True)
class Conversion:
    """What turns a column into the pipeline's units.

    Parameters
    ----------
    factor : float
        On the values.
    per : {"mass", "volume", "area"}
        What carbon is given per; all but `mass` also need the layer's bulk density, and an area its thickness.
    """

    factor: float
    per: str = "mass"


def conversion(column: str, unit: str) -> Conversion:
    """Find how to convert a column.

    Parameters
    ----------
    column : str
        Default name.
    unit : str
        As a person writes it: `g kg-1`, `g/kg`, `g·kg⁻¹` are one.

    Returns
    -------
    Conversion

    Raises
    ------
    ValueError
        If the column has no such unit; the message lists those that it may have.
    """
    known = PER_AREA if column.startswith("socd_") else _BY_COLUMN[column]
    spelt = _canonical(unit)
    if column == "coarse_fragments":
        if spelt in _MASS_OF_STONES:
            raise ValueError(
                f"{unit!r} of `coarse_fragments` is a share of mass; a share of volume is needed: divide the volume of "
                f"the stones (mass / 2.65 g/cm³) by that of the layer. Valid here: {', '.join(known)}"
            )
        spelt = {"vol%": "%", "volumefraction": "fraction", "m3/m3": "cm3/cm3"}.get(spelt, spelt)
    elif spelt == "mass%":
        spelt = "%"
    if spelt not in known:
        raise ValueError(f"{unit!r} is not a unit of `{column}`; valid here: {', '.join(known)}")
    per = "mass"
    if column == "soc":
        per = "volume" if spelt in PER_VOLUME else "area" if spelt in PER_AREA else "mass"
    return Conversion(known[spelt], per)


def has_units(column: str) -> bool:
    """Return whether the table's columns of this default name have units that can be declared."""
    return column.startswith("socd_") or column in _BY_COLUMN


def ratio(unit: str, target: str) -> float | None:
    """Return the factor from one unit to another of the same kind, or None if they differ in kind."""
    one, other = _canonical(unit), _canonical(target)
    if one == other:
        return 1.0
    for known in (CONTENT, _MASS_PER_VOLUME, PER_AREA, _LENGTH, _VOLUME_SHARE):
        if one in known and other in known:
            return known[one] / known[other]
    return None


def _canonical(unit: str) -> str:
    spelt = _spelt(unit)
    return _ALIASES.get(spelt, _ALIASES.get(spelt.lower(), spelt))


def _spelt(unit: str) -> str:
    """Normalise a unit: `g/kg` for `g C kg⁻¹`, `g kg^-1`, `g·kg-1` or ` g / kg soil`."""
    text = re.sub(r"[{}]", "", unit.translate(_SUPERSCRIPTS).strip())
    if match := re.fullmatch(r"[(\[]([^()\[\]]+)[)\]]", text):
        text = match[1].strip()
    text = re.sub(r"(?<![A-Za-z])([kmMµuT]?g|t)-?C(?![A-Za-z])", r"\1", text)  # gC, kg-C
    text = re.sub(r"(?<![A-Za-z])(?:Kg|KG)(?![A-Za-z])", "kg", text)  # no other unit is written so
    text = re.sub(r"(?<![A-Za-z])gr(?![A-Za-z])", "g", text)
    text = re.sub(r"(?<=[/\s])(d|m)?L(?![A-Za-z])", lambda m: f"{m[1] or ''}l", text)
    text = re.sub(r"\s+per\s+", "/", re.sub(r"(?<=[A-Za-z])\s+(?=-[123]$)", "", text))
    text = re.sub(_SUBSTANCES, " ", text)
    text = re.sub(r"\s*(?:\^|\*\*)\s*", "", text).replace("(100 g)-1", "100g-1").replace("ug", "µg")
    text = re.sub(r"\s*/\s*", "/", text).strip()
    if match := re.fullmatch(r"([A-Za-zµ]+\d?)[\s·*.]+(100 ?)?([A-Za-zµ]+)-([123])", text):
        above, hundred, below, power = match.groups()
        text = f"{above}/{hundred or ''}{below}{'' if power == '1' else power}"
    return re.sub(r"\s+", "", text)
