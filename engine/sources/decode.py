"""From stored values to measurements: fill codes, scale and offset, classes."""

import math
from dataclasses import dataclass

import numpy as np

from engine.sources.base import MISSING_CLASS
from engine.sources.spec import SourceSpec


@dataclass(frozen=True)
class Declared:
    """What a file, or a catalogue of it, says of its encoding; None where it says nothing.

    Attributes
    ----------
    nodata : tuple of float or None
        Numbers that mean missing. NaN and infinity do so without being told, and are left out.
    """

    nodata: tuple[float, ...] | None = None
    scale: float | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        if self.nodata is not None:
            object.__setattr__(self, "nodata", tuple(code for code in self.nodata if math.isfinite(code)))

    def over(self, other: "Declared") -> "Declared":
        """What is said here, and where nothing is, by the other."""
        return Declared(
            other.nodata if self.nodata is None else self.nodata,
            other.scale if self.scale is None else self.scale,
            other.offset if self.offset is None else self.offset,
        )


def decode(stored: np.ndarray, spec: SourceSpec, declared: Declared) -> np.ndarray:
    """Stored numbers to measurements.

    Fill codes are the declared ones, those of `spec.nodata` and everything outside `spec.valid_range`. The spec's
    scale and offset replace the declared ones.

    Returns
    -------
    ndarray of float64, NaN where missing
    """
    scale, offset = (
        next((v for v in values if v is not None), default)
        for values, default in (((spec.scale, declared.scale), 1.0), ((spec.offset, declared.offset), 0.0))
    )
    values = stored.astype("float64")
    missing = ~np.isfinite(values)
    for code in (*(declared.nodata or ()), *_as_tuple(spec.nodata)):
        # A float32 file stores the rounded code; NumPy compares a Python float in the precision of the array.
        missing |= stored == float(code)
    if spec.valid_range:
        low, high = spec.valid_range
        missing |= (values < low) | (values > high)
    values = values * scale + offset
    values[missing] = np.nan
    return values


def classify(stored: np.ndarray, spec: SourceSpec) -> np.ndarray:
    """Stored class codes to 1, 2, … in the order of `spec.classes`; codes that are not listed are missing.

    Returns
    -------
    ndarray of uint8
    """
    classes = np.full(stored.shape, MISSING_CLASS, "uint8")
    for number, codes in enumerate((spec.classes or {}).values(), start=1):
        classes[np.isin(stored, np.asarray(codes))] = number
    return classes


def _as_tuple(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
