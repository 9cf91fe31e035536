"""Whether values can be what a covariate's name says: a mean annual temperature of 268 is in kelvin."""

import re
from dataclasses import dataclass

import numpy as np

from engine.sources.spec import SourceSpec

_TOLERATED = 0.01
"""Share of cells that may lie outside the expected range."""


@dataclass(frozen=True)
class Expectation:
    """Lowest and highest value that a quantity may have in some unit."""

    what: str
    units: tuple[str, ...]
    low: float
    high: float


_BY_NAME: tuple[tuple[str, Expectation], ...] = (
    (r"mat|maat|magt|mean_annual_temp\w*", Expectation("a mean annual temperature", ("degC", "°C", "C"), -35, 35)),
    (
        r"t2m|tas|temp|temperature|january|july|t(?:ave|avg|mean)\w*",
        Expectation("a temperature", ("degC", "°C", "C"), -70, 60),
    ),
    (
        r"map|precip\w*|prec|rain\w*",
        Expectation("annual precipitation", ("mm", "mm/year", "mm/yr", "mm a-1"), 10, 12000),
    ),
    (r"ai|aridity\w*", Expectation("an aridity index", ("1",), 0, 5)),
    (r"ndvi\w*|evi\w*", Expectation("a vegetation index", ("1",), -0.4, 1)),
    (r"npp\w*", Expectation("net primary production", ("kg C/m2", "kg C/m²", "kgC/m2"), 0, 4)),
    (r"clay\w*|silt\w*|sand\w*", Expectation("a share of particles", ("%",), 0, 100)),
    (r"tn|n_?total|nitrogen\w*", Expectation("total nitrogen", ("g/kg",), 0, 60)),
    (r"soc|organic_carbon", Expectation("organic carbon", ("g/kg",), 0, 600)),
    (r"bd|bdod|bulk_density", Expectation("bulk density", ("g/cm3", "g/cm³"), 0.02, 2.6)),
    (r"ph|ph_\w+|soil_ph", Expectation("pH", ("1", "pH"), 2.5, 11)),
    (r"elevation|dem|altitude|height", Expectation("elevation", ("m",), -500, 9000)),
    (r"slope", Expectation("slope", ("degree", "degrees", "deg", "°"), 0, 90)),
    (r"\w*_?cover", Expectation("a cover", ("%",), 0, 100)),
    (r"alt|active_layer\w*", Expectation("active-layer thickness", ("m",), 0, 30)),
)
_REPAIRS = (
    ("kelvin: add `offset: -273.15`", 1.0, -273.15),
    ("tenths: add `scale: 0.1`", 0.1, 0.0),
    ("tenths of a kelvin: add `scale: 0.1` and `offset: -273.15`", 0.1, -273.15),
    ("hundredths: add `scale: 0.01`", 0.01, 0.0),
    ("thousandths: add `scale: 0.001`", 0.001, 0.0),
    ("ten-thousandths: add `scale: 0.0001`", 0.0001, 0.0),
    ("a fraction: add `scale: 100`", 100.0, 0.0),
)


def expectation(name: str, spec: SourceSpec) -> Expectation | None:
    """What to expect of a covariate: its own `expected`, else by name if the units are those of the name."""
    if spec.is_categorical:
        return None
    if spec.expected:
        return Expectation("`expected`", (spec.units,), *spec.expected)
    for pattern, expected in _BY_NAME:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return expected if spec.units in expected.units else None
    return None


def doubt(name: str, spec: SourceSpec, values: np.ndarray) -> str | None:
    """What speaks against some of a covariate's values, and what may mend it; None if nothing does."""
    expected, known = expectation(name, spec), values[np.isfinite(values)]
    if expected is None or known.size == 0 or _outside(known, expected) <= _TOLERATED:
        return None
    low, middle, high = np.percentile(known, [0, 50, 100])
    mended = next((words for words, scale, offset in _REPAIRS if _mends(known, expected, scale, offset)), None)
    hint = f" They look like {mended} (or change what is there)." if mended else ""
    units = "" if spec.units == "1" else f" {spec.units}"
    return (
        f"covariates.{name}: values from {low:.6g} to {high:.6g} (median {middle:.6g}){units} are not what is "
        f"expected of {expected.what}: {expected.low:g} to {expected.high:g}.{hint} If they are right, say so: "
        "`expected: [lowest, highest]`"
    )


def _outside(values: np.ndarray, expected: Expectation) -> float:
    return float(np.mean((values < expected.low) | (values > expected.high)))


def _mends(values: np.ndarray, expected: Expectation, scale: float, offset: float) -> bool:
    """Whether the values fit once changed, and are not squeezed into a sliver of what is expected."""
    changed = values * scale + offset
    span = expected.high - expected.low
    if expected.low < 0 < expected.high and scale < 0.05:
        return bool(_outside(changed, expected) <= _TOLERATED and np.abs(changed).max() > span / 50)
    return bool(_outside(changed, expected) <= _TOLERATED and np.ptp(np.append(changed, 0.0)) > span / 1000)
