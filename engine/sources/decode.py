"""Decoding of stored values: masks, fill codes, valid ranges, scale and offset; classes."""

import numpy as np

from engine.sources.base import MISSING_CLASS
from engine.sources.declared import EXACT, Declared, Number, turned
from engine.sources.spec import StoredSpec

LIMIT = 9.9e36
"""Beyond this a number is no measurement, in whatever units: NetCDF fills with 9.97e36, others with the largest that
float32 can hold, often without a word, or with one that is not exact."""
_SINGLE = 1.2e-7
"""Relative error of a number that was once a float32, or written with as many digits."""
_NOTHING = Declared()
_PLAIN = 2**24
"""Whole numbers up to here come unharmed through any type and text."""


def decode(stored: np.ndarray, spec: StoredSpec, declared: Declared, masked: np.ndarray | None = None) -> np.ndarray:
    """Decode stored numbers to measurements.

    Missing is what a mask says, what the file or its catalogue declares, what `spec.nodata` lists in addition, and
    what is outside `spec.valid_range`, or else outside the declared one. The spec's scale and offset replace the
    declared ones.

    Parameters
    ----------
    masked : ndarray of bool, optional
        What a mask or an alpha band says is missing.

    Returns
    -------
    ndarray of float64, NaN where missing
    """
    values = _viewed(stored, declared)
    missing = _beyond(values) if masked is None else masked | _beyond(values)
    for code in (*declared.nodata, *_as_tuple(spec.nodata)):
        missing |= _equal(values, code, declared.view)
    measured = values.astype("float64")
    if limits := spec.valid_range or declared.valid_range:
        low, high = _rounded(limits, values.dtype)
        missing |= (measured < low) | (measured > high)
    scale = next(v for v in (spec.scale, declared.scale, 1.0) if v is not None)
    offset = next(v for v in (spec.offset, declared.offset, 0.0) if v is not None)
    measured *= scale
    measured += offset
    measured[missing] = np.nan
    return measured


def classify(
    stored: np.ndarray, spec: StoredSpec, declared: Declared = _NOTHING, masked: np.ndarray | None = None
) -> np.ndarray:
    """Convert stored class codes to 1, 2, … in the order of `spec.classes`.

    Missing are codes that are not listed, those of `spec.nodata`, and what a mask says. A code that the file declares
    as missing and the entry lists is the class that the entry says.

    Parameters
    ----------
    masked : ndarray of bool, optional
        What a mask or an alpha band says is missing.

    Returns
    -------
    ndarray of uint8
    """
    values = _viewed(stored, declared)
    classes = np.full(values.shape, MISSING_CLASS, "uint8")
    for number, codes in enumerate((spec.classes or {}).values(), start=1):
        classes[np.isin(values, np.asarray(codes))] = number
    for code in _as_tuple(spec.nodata):
        classes[_equal(values, code, declared.view)] = MISSING_CLASS
    if masked is not None:
        classes[masked] = MISSING_CLASS
    return classes


def notes_on_classes(spec: StoredSpec, declared: Declared) -> tuple[str, ...]:
    """Note codes that the file declares as missing although the entry lists them as a class."""
    return tuple(
        f"the file says that {code:g} is missing, `classes` that it is {name}: the class counts"
        for name, codes in (spec.classes or {}).items()
        for code in declared.nodata
        if code in codes
    )


def _viewed(stored: np.ndarray, declared: Declared) -> np.ndarray:
    """Return the bits as numbers of another type."""
    if declared.view is None:
        return stored
    return stored.astype(stored.dtype.newbyteorder("="), copy=False).view(declared.view)


def _beyond(values: np.ndarray) -> np.ndarray:
    """Return where values lie beyond any measurement."""
    if values.dtype.name in ("int64", "uint64"):
        return (values > EXACT) | (values < (-EXACT if values.dtype.kind == "i" else 0))
    if values.dtype.kind != "f":
        return np.zeros(values.shape, bool)
    return ~(np.abs(values) < min(LIMIT, float(np.finfo(values.dtype).max)))


def _equal(values: np.ndarray, code: Number, view: str | None = None) -> np.ndarray | bool:
    """Return where a code is found: exactly for integers, within the precision of type and text for other numbers."""
    kind = values.dtype
    if not abs(code) < LIMIT:
        return False
    if kind.kind != "f":
        whole = turned(code, view) if view else code
        low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else (0, 1)
        return values == kind.type(int(whole)) if whole == int(whole) and low <= whole <= high else False
    if abs(code) > np.finfo(kind).max:
        return False
    if abs(code) <= _PLAIN and code == int(code):
        return values == code
    near = abs(code) * _SINGLE
    return (values >= code - near) & (values <= code + near)


def _rounded(limits: tuple[float, float], kind: np.dtype) -> tuple[float, float]:
    """Round limits to the value's type, so that a number equal to a limit lies within."""
    if kind.kind != "f" or kind.itemsize >= 8:
        return limits
    low, high = (kind.type(np.clip(v, np.finfo(kind).min, np.finfo(kind).max)) for v in limits)
    return min(limits[0], float(low)), max(limits[1], float(high))


def _as_tuple(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
