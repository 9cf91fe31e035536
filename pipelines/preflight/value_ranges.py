"""Plausibility of values by a covariate's name and units: a mean annual temperature of 268 is in kelvin.

A name alone proves nothing: `evi1` may be a principal component. What the units that the run file states exclude is a
problem, and so is what lies outside the run file's own `expected`; everything else is a doubt, noted and no more.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.errors import Finding, Level
from engine.sources.entry import FormulaSpec
from engine.sources.spec import SourceSpec, StoredSpec

_TOLERATED = 0.01
"""Share of cells that may lie outside the expected range."""
_CELSIUS = ("degC", "°C", "C", "celsius", "deg C", "degree_Celsius", "degrees_Celsius")
_NOT_SAME = ("sum", "annual_sum", "anomaly")
"""Reductions after which a quantity is another: degree days, differences."""


@dataclass(frozen=True)
class Expectation:
    """Lowest and highest value that a quantity may have in some unit.

    Attributes
    ----------
    low, high : float
        What is usual on land.
    lowest, highest : float
        What can be at all: beyond it no place on the Earth is, if the units are right.
    """

    what: str
    units: tuple[str, ...]
    low: float
    high: float
    lowest: float = -np.inf
    highest: float = np.inf


_WHEN = r"(?:_?(?:mean|avg|max|min|median|annual|summer|winter|spring|autumn|jja|djf|mam|son|[a-z]{3,9}|\d{4}))?"
_BY_NAME: tuple[tuple[str, Expectation], ...] = (
    (
        r"mat|maat|magt|mean_annual_(?:air_|ground_)?temp(?:erature)?",
        Expectation("a mean annual temperature", _CELSIUS, -35, 35, -65, 50),
    ),
    (
        r"t2m|tas|lst|temp|temperature|january|july|t(?:ave|avg|mean)" + _WHEN,
        Expectation("a temperature", _CELSIUS, -70, 60, -95, 100),
    ),
    (
        r"map|precip(?:itation)?" + _WHEN + r"|prec|rain(?:fall)?",
        Expectation("annual precipitation", ("mm", "mm/year", "mm/yr", "mm a-1"), 0, 12000, 0, 30000),
    ),
    (r"ai|aridity(?:_index)?", Expectation("an aridity index", ("1",), 0, 5)),
    (r"(?:ndvi|evi)(?:_?(?:mean|max|min|median|annual|summer|jja|june|july|august|\d{4}))?",
     Expectation("a vegetation index", ("1",), -0.4, 1)),
    (r"npp(?:_?(?:mean|annual|\d{4}))?",
     Expectation("net primary production", ("kg C/m2", "kg C/m²", "kgC/m2"), 0, 4, -5, 20)),
    (r"(?:clay|silt|sand)(?:_\d+)?(?:_?\d+_?cm)?", Expectation("a share of particles", ("%",), 0, 100, 0, 100)),
    (r"tn|n_?total|total_nitrogen|nitrogen", Expectation("total nitrogen", ("g/kg",), 0, 60, 0, 1000)),
    (r"soc|organic_carbon", Expectation("organic carbon", ("g/kg",), 0, 600, 0, 1000)),
    (r"bd|bdod|bulk_density", Expectation("bulk density", ("g/cm3", "g/cm³"), 0.02, 2.6, 0, 23)),
    (r"ph|soil_ph|ph_(?:h2o|water|kcl|cacl2)(?:_\d+)?", Expectation("pH", ("1", "pH"), 2.5, 11, -2, 16)),
    (r"elevation|dem|altitude", Expectation("elevation", ("m",), -500, 9000, -500, 9000)),
    (r"slope", Expectation("slope", ("degree", "degrees", "deg", "°"), 0, 90, 0, 90)),
    (r"\w+_cover", Expectation("a cover", ("%",), 0, 100, 0, 100)),
    (r"alt|active_layer(?:_thickness)?", Expectation("active-layer thickness", ("m",), 0, 30)),
)  # fmt: skip
_BY_UNITS: tuple[Expectation, ...] = (
    Expectation("values in °C", _CELSIUS, -95, 100, -95, 100),
    Expectation("values in kelvin", ("K", "kelvin"), 170, 375, 0, 375),
    Expectation("values in g/kg", ("g/kg",), 0, 1000, 0, 1000),
)
_REPAIRS: tuple[tuple[str, float, float, tuple[str, ...] | None], ...] = (
    ("kelvin", 1.0, -273.15, _CELSIUS),
    ("degrees Celsius", 1.0, 273.15, ("K", "kelvin")),
    ("tenths", 0.1, 0.0, None),
    ("tenths of a kelvin", 0.1, -273.15, _CELSIUS),
    ("hundredths", 0.01, 0.0, None),
    ("hundredths of a kelvin", 0.01, -273.15, _CELSIUS),
    ("thousandths", 0.001, 0.0, None),
    ("ten-thousandths", 0.0001, 0.0, None),
    ("a fraction", 100.0, 0.0, ("%",)),
    ("metres", 1000.0, 0.0, ("mm", "mm/year", "mm/yr", "mm a-1")),
)
"""What values may be in, how it becomes what is expected, and of which units it is the case; None: of any."""


def expectation(name: str, spec: SourceSpec) -> Expectation | None:
    """Return the expected range of a covariate: its own `expected`, else by name if the units match, else by units."""
    if spec.is_categorical:
        return None
    if spec.expected:
        return Expectation("`expected`", (spec.units,), *spec.expected, *spec.expected)
    if isinstance(spec, StoredSpec) and spec.reduce in _NOT_SAME:
        return None
    return next(_known(name, spec), None)


def _known(name: str, spec: SourceSpec) -> Iterator[Expectation]:
    for pattern, expected in _BY_NAME:
        if re.fullmatch(pattern, name, re.IGNORECASE) and spec.units in expected.units:
            yield expected
    yield from (expected for expected in _BY_UNITS if spec.units in expected.units)


def doubt(name: str, spec: SourceSpec, values: np.ndarray) -> Finding | None:
    """Describe implausible values of a covariate, with a remedy; a problem if they are impossible."""
    expected, known = expectation(name, spec), values[np.isfinite(values)]
    if expected is None or known.size == 0 or _outside(known, expected.low, expected.high) <= _TOLERATED:
        return None
    stated = spec.expected is not None or ("units" in spec.model_fields_set and spec.units != "1")
    sure = stated and _outside(known, expected.lowest, expected.highest) > _TOLERATED
    low, middle, high = np.percentile(known, [0, 50, 100])
    units = "" if spec.units == "1" else f" {spec.units}"
    bounds = (expected.lowest, expected.highest) if sure else (expected.low, expected.high)
    return Finding(
        f"values from {low:.6g} to {high:.6g} (median {middle:.6g}){units} are not what is "
        f"expected of {expected.what}: {bounds[0]:g} to {bounds[1]:g}.{_hint(spec, known, expected)} If they are "
        "right, say so: `expected: [lowest, highest]`",
        f"covariates.{name}",
        Level.PROBLEM if sure else Level.NOTE,
    )


def _outside(values: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((values < low) | (values > high)))


def _hint(spec: SourceSpec, known: np.ndarray, expected: Expectation) -> str:
    """Suggest the first unit in which the values would be as expected, and the keys that convert it."""
    for words, scale, offset, units in _REPAIRS:
        if (units is None or spec.units in units) and _fits(known, expected, scale, offset):
            return f" They look like {words}: {_keys(spec, scale, offset)}."
    return ""


def _keys(spec: SourceSpec, scale: float, offset: float) -> str:
    """Return the keys of the entry that convert the unit, on top of those that it has."""
    if isinstance(spec, FormulaSpec):
        sign = "-" if offset < 0 else "+"
        factor = "" if scale == 1 else f" * {scale:g}"
        return f"change the expression to ({spec.expression}){factor}{f' {sign} {abs(offset):g}' if offset else ''}"
    assert isinstance(spec, StoredSpec)
    keys = []
    if scale != 1:
        keys.append(f"`scale: {scale * (spec.scale or 1):g}`")
    if offset or spec.offset:
        keys.append(f"`offset: {(spec.offset or 0) * scale + offset:g}`")
    has = [key for key in ("scale", "offset") if getattr(spec, key) is not None]
    if has:
        return f"{' and '.join(keys)} instead of what is there"
    return f"add {' and '.join(keys)} (times or plus what the file itself declares)"


def _fits(values: np.ndarray, expected: Expectation, scale: float, offset: float) -> bool:
    """Return whether the values would be possible and usual, and not squeezed into a sliver of the expected range."""
    changed = values * scale + offset
    span = expected.high - expected.low
    if _outside(changed, expected.low, expected.high) > _TOLERATED:
        return False
    if expected.low < 0 < expected.high and scale < 0.05:
        return bool(np.abs(changed).max() > span / 50)
    return bool(np.ptp(np.append(changed, 0.0)) > span / 1000)
