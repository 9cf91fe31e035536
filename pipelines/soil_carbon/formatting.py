"""Numbers and labels as people write them."""

import re
from collections.abc import Iterable

import numpy as np

NAMES = {"rf": "RF", "svm": "SVM", "brt": "BRT", "xgboost": "XGBoost", "knndm": "kNNDM"}
"""Families and fold schemes as papers write them, where the run file's key is another."""


def named(key: str) -> str:
    """Return a family or a fold scheme as papers write it; a dotted name without its module."""
    return NAMES.get(key, key.rpartition(".")[2])


def sentence(text: str) -> str:
    """Capitalise the first letter of a text."""
    return text[:1].upper() + text[1:]


def typeset(note: str) -> str:
    """Replace dashes and minus signs in a note of the log by those of print, e.g. `0–10 cm`."""
    return re.sub(r"(?<=\()-(?=\d)", "−", re.sub(r"(?<=\d)-(?=[\d.]+ cm)", "–", note))


def depth_text(label: str) -> str:
    """Return a depth label with its unit, e.g. `0–30 cm`."""
    return f"{label.replace('-', '–')} cm"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number to at least `digits` significant digits, a count in full, with a true minus; a dash for NaN."""
    if value is None or not np.isfinite(value):
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace("-", "−")
    return f"{value:,.{_decimals(value, digits)}f}".replace("-", "−")


def span(lower: float, upper: float) -> str:
    """Format two numbers to the same decimals, e.g. `9.4–10.2`."""
    if not np.isfinite([lower, upper]).all():
        return "–"
    decimals = _decimals(max(abs(lower), abs(upper)), 3)
    return f"{lower:,.{decimals}f}–{upper:,.{decimals}f}".replace("-", "−")


def plus_minus(mean: float, sd: float, decimals: int | None = None) -> str:
    """Format a mean and its SD to the same decimals, e.g. `9.80 ± 2.51`; the mean alone where there is no SD."""
    if not np.isfinite(mean):
        return "–"
    decimals = _decimals(mean, 3) if decimals is None else decimals
    spread = f" ± {sd:,.{decimals}f}" if np.isfinite(sd) else ""
    # Adding 0 takes the sign off what rounds to it.
    return f"{round(mean, decimals) + 0.0:,.{decimals}f}".replace("-", "−") + spread


def signed(value: float, space: str = "") -> str:
    """Format a number with its sign, two decimals, and a true minus."""
    return f"{'−' if round(value, 2) < 0 else '+'}{space}{abs(value):.2f}"


def fixed(value: float, decimals: int = 2) -> str:
    """Format a number to a given number of decimals, with a true minus."""
    return plus_minus(value, np.nan, decimals)


def p_value(value: float) -> str:
    """Format a p value for tables."""
    return "–" if np.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_text(value: float) -> str:
    """Format a p value for text."""
    return f"p {p_value(value)}" if value < 0.001 else f"p = {p_value(value)}"


def listed(names: Iterable[object], last: str = "and") -> str:
    """List names in a sentence: `a, b and c`."""
    *others, final = [str(name) for name in names] or ["none"]
    return f"{', '.join(others)} {last} {final}" if others else final


def unit(units: str) -> str:
    """Format units for reading; empty for a plain number."""
    return {"1": "", "degC": "°C", "kg m-2": "kg C/m²"}.get(units, units.replace("m2", "m²").replace("m3", "m³"))


def with_unit(label: str, units: str) -> str:
    """Return a quantity and its units, as axes show them."""
    return f"{label}, {unit(units)}" if unit(units) else label


def size(n_bytes: float) -> str:
    """Format a number of bytes for reading."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{number(n_bytes)} {unit}"
        n_bytes /= 1000
    return f"{number(n_bytes)} GB"


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - int(np.floor(np.log10(abs(value))))) if value else 0
