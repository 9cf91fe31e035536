"""Declarations of a file, or of a catalogue about it: missing values and packing."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from engine.errors import InputError, Where
from engine.sources.spec import StoredSpec

Number = int | float
Range = tuple[float, float]
DEFAULT_FILLS = {
    "int16": -32767,
    "uint16": 65535,
    "int32": -2147483647,
    "uint32": 4294967295,
    "int64": -9223372036854775806,
    "uint64": 18446744073709551614,
}
"""What NetCDF fills unwritten integers with (NUG, appendix "Fill Values"); bytes have no such value, and that of
floating-point numbers is beyond `decode.LIMIT`."""
ZARR_FORMAT = "zarr_format"
"""Key under which `zarr_store` keeps a store's format in the encoding of its variables."""
_BY_ATTRIBUTES = ("HDF5Image", "HDF4Image")
"""Drivers of GDAL that hand on a variable's attributes without heeding all of them."""
_RANGE = "`valid_range: [LOWEST, HIGHEST]` (of stored values)"
_RANGES = ("valid_range", "valid_min", "valid_max")
EXACT = 2**53
"""Largest integer that float64 holds exactly; 64-bit integers beyond it count as missing."""


@dataclass(frozen=True)
class Declared:
    """Declarations about the values of one file; None for each that is absent.

    Attributes
    ----------
    nodata : tuple of int or float
        Stored numbers that mean missing. NaN and infinity always do, and are left out.
    scale, offset : float or None
        Measurements are `stored × scale + offset`.
    valid_range : (float, float) or None
        Lowest and highest stored number that is a measurement.
    view : str or None
        Integer type as which the stored bits are to be read, where it is not the one that they are stored as.
    """

    nodata: tuple[Number, ...] = ()
    scale: float | None = None
    offset: float | None = None
    valid_range: Range | None = None
    view: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodata", tuple(dict.fromkeys(code for code in self.nodata if math.isfinite(code))))

    def over(self, other: "Declared") -> "Declared":
        """Complete these declarations by the other's; values that either declares missing are missing."""
        return Declared(
            self.nodata + other.nodata,
            other.scale if self.scale is None else self.scale,
            other.offset if self.offset is None else self.offset,
            other.valid_range if self.valid_range is None else self.valid_range,
            other.view if self.view is None else self.view,
        )


def of_attributes(
    attributes: Mapping[str, Any], stored: np.dtype, spec: StoredSpec, where: Where, *, fills: bool = False
) -> Declared:
    """Read the attributes of a variable by the CF conventions and the NetCDF User Guide.

    Fill values and valid ranges speak of stored (packed) numbers. A range of another type than the packed numbers
    speaks of unpacked ones, as the User Guide has it. `_Unsigned` turns the numbers of both. Numbers may come as text.

    Parameters
    ----------
    stored : dtype
        Type of the stored numbers.
    fills : bool
        Whether what NetCDF itself fills unwritten numbers with is missing.

    Raises
    ------
    InputError
        If an attribute cannot be understood and the entry does not replace it.
    """
    if stored.kind not in "iufb":
        raise InputError(where.problem(f"holds {stored}, not numbers; choose a variable of numbers"))
    reader = _Attributes(attributes, spec)
    scale, offset = reader.packing("scale_factor", 1.0), reader.packing("add_offset", 0.0)
    view = _view(attributes.get("_Unsigned"), stored)
    limits = reader.limits()
    if limits and view is None and stored == np.int8 and limits[0] >= 0 and 127 < limits[1] <= 255:
        view = "uint8"  # the way of saying so that is older than `_Unsigned`
    if limits and reader.speaks_of_unpacked(stored):
        limits = _packed(limits, scale, offset, stored)
    elif limits and view:
        limits = turned(limits[0], view), turned(limits[1], view)
    if limits and limits[0] > limits[1]:
        reader.problems.append(f"valid range {limits[0]:g} to {limits[1]:g} is empty; add {_RANGE} to the entry")
    codes = reader.fills()
    if view:
        codes = [turned(code, view) for code in codes]
    elif fills and "_FillValue" not in attributes and stored.name in DEFAULT_FILLS:
        codes.append(DEFAULT_FILLS[stored.name])
    if reader.problems:
        raise InputError(where.problem(problem) for problem in reader.problems)
    return Declared(tuple(codes), scale, offset, limits, view)


def of_band(file: DatasetReader, spec: StoredSpec, where: Where) -> Declared:
    """Read GDAL's metadata of a band.

    Raises
    ------
    InputError
        If it makes no sense and the entry does not replace it.
    """
    band = spec.band - 1
    kind, nodata = file.dtypes[band], file.nodatavals[band]
    if kind.startswith("complex"):
        raise InputError(
            where.problem(f"band {spec.band} holds complex numbers; make a raster of the part that is wanted")
        )
    told: dict[str, Any] = {"scale_factor": file.scales[band], "add_offset": file.offsets[band]}
    if nodata is not None:
        told["_FillValue"] = nodata
    if file.driver in _BY_ATTRIBUTES:
        tags = {**file.tags(), **file.tags(spec.band)}
        told |= {key: tags[key] for key in ("_FillValue", "missing_value", "_Unsigned", *_RANGES) if key in tags}
    return of_attributes(told, np.dtype(kind), spec, where)


def of_catalogue(nodata: Any, scale: Any, offset: Any) -> Declared:
    """Read a catalogue's metadata of a file that has its own; text that is not a number is ignored.

    A scale of 1 with an offset of 0 is what catalogues write who do not know, and leaves the word to the file.
    """

    def number(value: Any) -> float | None:
        try:
            (one,) = numbers(value)
        except ValueError:
            return None
        return float(one) if math.isfinite(one) else None

    factor, added = number(scale) or None, number(offset)
    if factor in (None, 1) and added in (None, 0):
        factor = added = None
    try:
        codes = tuple(numbers(nodata))
    except ValueError:
        codes = ()
    return Declared(codes, factor, added)


def numbers(value: Any) -> list[Number]:
    """Return every number of an attribute: one, several, or text of such.

    Raises
    ------
    ValueError
        If there is anything else.
    """
    if value is None:
        return []
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return [_number(word) for word in re.split(r"[\s,;]+", value.strip("[](){} \t\r\n\0")) if word]
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers(part)]
    if isinstance(value, int | float):
        return [value]
    raise ValueError(f"{value!r} is not a number")


def _number(word: str) -> Number:
    """Parse a number in text, also with the letter of its type, as `ncdump` writes it."""
    for text in (word, re.sub(r"(?<=[\d.])[uU]?[bsfdlLBSFD]{1,2}$", "", word)):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    raise ValueError(f"{word!r} is not a number")


class _Attributes:
    """The attributes of one variable; what cannot be understood, and the entry does not replace, is a problem."""

    def __init__(self, attributes: Mapping[str, Any], spec: StoredSpec) -> None:
        self.attributes, self.spec = attributes, spec
        self.problems: list[str] = []

    def numbers(self, key: str, count: int | None, remedy: str | None) -> list[Number]:
        """Return the numbers of one attribute, [] without any; `remedy` is None if the entry replaces them."""
        value = self.attributes.get(key)
        try:
            found = numbers(value)
            if not found or count in (None, len(found)):
                return found
            expected = "one number" if count == 1 else f"{count} numbers"
        except ValueError:
            expected = "a number" if count in (None, 1) else f"{count} numbers"
        if remedy:
            shown = value.tolist() if isinstance(value, np.ndarray) else value
            self.problems.append(f"{key} is {shown!r}, expected {expected}; add {remedy} to the entry")
        return []

    def packing(self, key: str, default: float) -> float | None:
        """Return scale or offset."""
        short = "scale" if key == "scale_factor" else "offset"
        replaced = getattr(self.spec, short) is not None
        remedy = None if replaced else f"`{short}: {default:g}`, or what it should be,"
        found = self.numbers(key, 1, remedy)
        value = float(found[0]) if found else None
        if value is None or (math.isfinite(value) and (value or short == "offset")):
            return value
        if not replaced:
            what = "makes every value the same" if value == 0 else "makes every value missing"
            self.problems.append(f"{key} is {value:g}, which {what}; add {remedy} to the entry")
        return None

    def fills(self) -> list[Number]:
        """Return the stored numbers that mean missing."""
        remedy = "`nodata: -9999` (the stored value that means missing; `nodata: []` where none does)"
        return [
            code
            for key in ("_FillValue", "missing_value")
            for code in self.numbers(key, None, remedy if self.spec.nodata is None else None)
        ]

    def limits(self) -> tuple[Number, Number] | None:
        """Return the lowest and highest valid number; infinite if only one of them is declared."""
        if self.spec.valid_range is not None:
            return None
        if both := self.numbers("valid_range", 2, _RANGE):
            low, high = both
        else:
            low = next(iter(self.numbers("valid_min", 1, _RANGE)), -math.inf)
            high = next(iter(self.numbers("valid_max", 1, _RANGE)), math.inf)
        low, high = (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
        return None if math.isinf(low) and math.isinf(high) else (low, high)

    def speaks_of_unpacked(self, stored: np.dtype) -> bool:
        """Return whether the valid range has the type of unpacked numbers, not the packed type."""
        packing = [self._type(key) for key in ("scale_factor", "add_offset") if key in self.attributes]
        given = [key for key in _RANGES if key in self.attributes]
        ranges = [self._type(key) for key in given]
        if not packing or not ranges:
            return False
        widest, limits = np.result_type(*packing), np.result_type(*ranges)
        if stored.kind in "iub" and limits.kind == "f":
            return True
        typed = isinstance(self.attributes[given[0]], np.ndarray | np.generic)
        return typed and limits == widest and limits != stored and np.can_cast(stored, limits)

    def _type(self, key: str) -> np.dtype:
        value = self.attributes[key]
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "iuf":
            return value.dtype
        try:
            return np.asarray(numbers(value) or [0]).dtype
        except ValueError:
            return np.dtype("int8")


def _view(unsigned: Any, stored: np.dtype) -> str | None:
    """Return the integer type that `_Unsigned` asks for, None if it is the stored one."""
    if unsigned is None or stored.kind not in "iu":
        return None
    said = str(np.ravel(unsigned)[0] if np.size(unsigned) else "").strip().lower()
    kind = {"true": "u", "1": "u", "false": "i", "0": "i"}.get(said, stored.kind)
    return None if kind == stored.kind else np.dtype(f"{kind}{stored.itemsize}").name


def turned(code: Number, view: str) -> Number:
    """Return a number in an integer type, if it was written in the type of the same bits with the other sign."""
    info, kind = np.iinfo(view), np.dtype(view)
    if math.isinf(code) or code != int(code) or info.min <= code <= info.max:
        return code
    other = int(code) + (1 if code < info.min else -1) * 2 ** (8 * kind.itemsize)
    return other if info.min <= other <= info.max else code


def _packed(limits: tuple[Number, Number], scale: float | None, offset: float | None, stored: np.dtype) -> Range:
    """Convert a range of unpacked numbers to packed numbers, without narrowing it by rounding."""
    factor = 1.0 if scale is None else scale
    low, high = sorted((limit - (offset or 0.0)) / factor for limit in limits)
    if stored.kind in "iub":
        slack = (1e-6 * max(1.0, abs(v)) if math.isfinite(v) else 0.0 for v in (low, high))
    else:
        slack = (1e-6 * abs(v) if math.isfinite(v) else 0.0 for v in (low, high))
    below, above = slack
    return low - below, high + above
