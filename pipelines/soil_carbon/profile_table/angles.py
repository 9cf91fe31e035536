"""Longitudes and latitudes as text: hemispheres, degrees, minutes and seconds."""

import re

_HEMISPHERES = {"N": ("lat", 1), "S": ("lat", -1), "E": ("lon", 1), "W": ("lon", -1)}
_WORDS = {"东经": "E", "西经": "W", "北纬": "N", "南纬": "S", "north": "N", "south": "S", "east": "E", "west": "W",
          "с.ш.": "N", "ю.ш.": "S", "в.д.": "E", "з.д.": "W"}  # fmt: skip
_SIGNS = str.maketrans({"−": "-", "–": "-", "º": "°", "˚": "°", "′": "'", "’": "'", "‘": "'", "´": "'", "`": "'",
                        "″": '"', "”": '"', "“": '"', "\xa0": " ", "，": ",",
                        "度": "°", "分": "'", "秒": '"'})  # fmt: skip
_N = r"\d+(?:[.,]\d+)?"
_ANGLE = re.compile(
    rf"([NSEW])?\s*[:,]?\s*([-+])?\s*({_N})\s*(?:°|d|deg|:|\s)?\s*(?:({_N})\s*(?:'(?!')|m|min|:|\s)?\s*)?"
    rf"(?:({_N})\s*(?:\"|''|s|sec)?\s*)?\s*,?\s*([NSEW])?",
    re.IGNORECASE,
)
_DASHED = re.compile(rf"^([NSEW]?\s*\d+)-(\d+)-({_N}\s*[NSEW]?)$", re.IGNORECASE)
"""121-30-15E: between three numbers a dash divides; between two it may be a range."""
LIMITS = {"lon": 180.0, "lat": 90.0}


def angle(text: str, axis: str) -> float:
    """Read an angle in decimal degrees, or in degrees, minutes and seconds.

    Parameters
    ----------
    text : str
        `121°30'15"E`, `121 30 15 E`, `N51.5`, `-121:30:15`, `51° 30,25' N`.
    axis : {"lon", "lat"}

    Returns
    -------
    float
        Degrees; west and south are negative.

    Raises
    ------
    ValueError
        What is wrong with it.
    """
    plain = text.translate(_SIGNS).strip()
    for word, letter in _WORDS.items():
        plain = re.sub(re.escape(word), letter, plain, flags=re.IGNORECASE)
    match = _ANGLE.fullmatch(_DASHED.sub(r"\1 \2 \3", plain))
    if not match:
        raise ValueError("not an angle such as 121.5, 121°30'15\"E or N51.5")
    before, sign, degrees, minutes, seconds, after = match.groups()
    if before and after:
        raise ValueError("names two hemispheres")
    letter = (before or after or "").upper()
    if letter and _HEMISPHERES[letter][0] != axis:
        raise ValueError(f"{letter} is not a hemisphere of a {'longitude' if axis == 'lon' else 'latitude'}; swapped?")
    if letter and sign == "-":
        raise ValueError(f"has a minus sign and a hemisphere ({letter}); one of them is too many")
    parts = [float(part.replace(",", ".")) if part else 0.0 for part in (degrees, minutes, seconds)]
    if any(part and "." in part.replace(",", ".") for part, finer in ((degrees, minutes), (minutes, seconds)) if finer):
        raise ValueError("has a fraction before its last part")
    if parts[1] >= 60 or parts[2] >= 60:
        raise ValueError("minutes and seconds are below 60")
    value = parts[0] + parts[1] / 60 + parts[2] / 3600
    if value > LIMITS[axis] and letter:
        raise ValueError(f"expected at most {LIMITS[axis]:g} degrees")
    return -value if sign == "-" or (letter and _HEMISPHERES[letter][1] < 0) else value
