"""Units of carbon columns, judged by the usual carbon of soils of a bulk density or depth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

FACTORS: Mapping[str, float] = {"g/kg": 1.0, "%": 10.0, "g/g": 1000.0, "dg/kg": 0.1, "mg/kg": 0.001}
"""Unit → g/kg in one of it."""

BULK_DENSITY = (0.1, 0.2, 0.3, 0.4, 0.55, 0.85, 1.15, 1.45, 1.75)
CARBON_OF_DENSITY = (480.0, 420.0, 300.0, 200.0, 110.0, 45.0, 19.0, 7.5, 3.0)
"""Carbon, g/kg, that a soil of each bulk density, g/cm³, typically holds; the scatter is a factor of about 3."""

DEPTH = (2.0, 10.0, 25.0, 60.0, 100.0)
CARBON_OF_DEPTH = (40.0, 25.0, 12.0, 5.0, 3.0)
"""Carbon, g/kg, of mineral soil at each depth, cm: far less certain, so that it founds doubts only."""

PURE = 700.0
"""g/kg that nothing exceeds: pure organic matter holds some 580, and analyses scatter."""

APART = 0.62
"""Decades by which a column must be off, of 1 to the next unit, to be sure; no 20 profiles of real soil are."""

SLOPE = 0.015
"""Of 1 / bulk density (cm³/g) on carbon (g/kg): some 0.008 in soils, since the volumes of organic and mineral matter
add up; ten times as much where the column is in %."""

VERY_LIGHT = 0.25
"""g/cm³ that only organic layers are lighter than; ice-rich mineral soil seldom is."""

FEWEST = 5
"""Layers from which a column can be judged; of fewer, only glaring differences are told, as doubts."""

FEWEST_FOR_SLOPE = 12
_MOST_FOR_SLOPE = 400
_DEPTH_CLASSES = (-np.inf, 5, 15, 30, 60, 100, np.inf)


@dataclass(frozen=True)
class Verdict:
    """Verdict on the unit of a column of carbon.

    Parameters
    ----------
    factor : float
        By which the values would have to be multiplied to be in g/kg.
    sure : bool
        Whether more than one sign says so.
    n : int
        Layers that were judged.
    typical, expected : float
        Median of their values, and of what soils of their bulk density (or depth) hold, g/kg.
    by : str
        `bulk density`, `depth` or `largest`: what they were judged by.
    """

    factor: float
    sure: bool
    n: int
    typical: float
    expected: float
    by: str


def judge_carbon(carbon: "pd.Series[float]", bulk_density: "pd.Series[float]", depth: "pd.Series[float]") -> Verdict:
    """Judge the unit of a column that is meant to be in g/kg.

    Carbon and bulk density are tied: organic layers are light. The median distance, in decades, of the values from what
    soils of their bulk density hold tells units apart that differ by factors of ten or more; the slope of
    1 / bulk density on carbon, and very light layers, confirm it without that scale. A column without bulk density is
    judged by its largest value and by depth.

    Parameters
    ----------
    carbon : Series
        Organic carbon in what is meant to be g/kg; missing where not measured.
    bulk_density : Series
        g/cm³; missing where not measured.
    depth : Series
        Middle of the layer, cm.

    Returns
    -------
    Verdict
        With factor 1 where nothing speaks against g/kg.
    """
    carbon = carbon.where(carbon > 0)
    dense = bulk_density.where((bulk_density > 0.02) & (bulk_density <= 2.7))
    both = carbon.notna() & dense.notna()
    if both.sum() >= 2:
        return _by_density(carbon[both], dense[both], depth[both], carbon.dropna().to_numpy())
    there = carbon.notna() & depth.notna()
    return _by_depth(carbon[there].to_numpy(), depth[there].to_numpy())


def distance_from_typical(layers: pd.DataFrame, som_to_soc: float) -> "pd.Series[float]":
    """Return decades between the carbon of layers and that of soils of their bulk density (else: at their depth).

    Parameters
    ----------
    layers : DataFrame
        `soc`, `som` (g/kg), `bulk_density` (g/cm³), `top`, `bottom` (cm).
    som_to_soc : float
        Carbon's share of organic matter.
    """
    carbon = layers["soc"].fillna(layers["som"] * som_to_soc)
    by_density = np.interp(layers["bulk_density"], BULK_DENSITY, np.log10(CARBON_OF_DENSITY))
    by_depth = np.interp((layers["top"] + layers["bottom"]) / 2, DEPTH, np.log10(CARBON_OF_DEPTH))
    expected = np.where(layers["bulk_density"].notna(), by_density, by_depth)
    return np.log10(carbon.where(carbon > 0)) - expected


def _by_density(
    carbon: "pd.Series[float]", bulk_density: "pd.Series[float]", depth: "pd.Series[float]", whole: np.ndarray
) -> Verdict:
    expected = np.interp(bulk_density, BULK_DENSITY, np.log10(CARBON_OF_DENSITY))
    off = np.log10(carbon.to_numpy()) - expected
    level = float(np.median(off))
    factor = _nearest(-level, whole)
    if factor in (0.1, 10.0) and abs(level) < APART + (0.2 if carbon.size < FEWEST else 0.0):
        factor = 1.0
    sure = factor != 1.0 and carbon.size >= 2 * FEWEST and (
        factor in (1000.0, 0.001)
        or (factor == 10.0 and _light_layers_hold_little(carbon.to_numpy(), bulk_density.to_numpy(), off))
        or _slope_is_of(factor, carbon, bulk_density, depth)
    )  # fmt: skip
    typical, typically = float(carbon.median()), float(10 ** np.median(expected))
    return Verdict(factor, sure, carbon.size, typical, typically, "bulk density")


def _light_layers_hold_little(carbon: np.ndarray, bulk_density: np.ndarray, off: np.ndarray) -> bool:
    """Return whether layers so light that they must be organic hold the carbon of mineral soil in g/kg."""
    light = bulk_density < VERY_LIGHT
    if light.sum() < 3:
        return False
    return bool(np.mean((carbon[light] > 3) & (carbon[light] < 65)) >= 0.6 and np.median(off[light]) <= -APART)


def _slope_is_of(
    factor: float, carbon: "pd.Series[float]", bulk_density: "pd.Series[float]", depth: "pd.Series[float]"
) -> bool:
    """Return whether 1 / bulk density rises with carbon as it does in another unit, among layers of about one depth.

    Deeper layers are denser for their load and hold less carbon, which would make the slope of all layers too steep.
    """
    of_depth = pd.cut(depth, _DEPTH_CLASSES).cat.codes
    pairs = pd.DataFrame({"carbon": carbon, "volume": 1 / bulk_density})
    apart = (pairs - pairs.groupby(of_depth).transform("median"))[
        pairs.groupby(of_depth)["carbon"].transform("size") > 2
    ]
    if len(apart) < FEWEST_FOR_SLOPE or np.ptp(apart["carbon"]) == 0:
        return False
    some = apart.iloc[:: max(1, len(apart) // _MOST_FOR_SLOPE)]
    slope, _, low, high = theilslopes(some["volume"], some["carbon"])
    return bool(low > SLOPE if factor > 1 else slope > 0 and high < SLOPE / 2)


def _by_depth(carbon: np.ndarray, depth: np.ndarray) -> Verdict:
    if carbon.size < 2:
        return Verdict(1.0, False, carbon.size, np.nan, np.nan, "depth")
    expected = np.interp(depth, DEPTH, np.log10(CARBON_OF_DEPTH))
    level, typical = float(np.median(np.log10(carbon) - expected)), float(np.median(carbon))
    typically = float(10 ** np.median(expected))
    largest = float(np.quantile(carbon, 0.98))
    if typical > PURE or (largest < 0.7 and carbon.size >= FEWEST):
        factor = (1000.0 if level <= -1.5 else 10.0) if largest < 0.7 else _nearest(-level, carbon)
        return Verdict(factor, factor != 1.0, carbon.size, typical, typically, "largest")
    below_pure_carbon = carbon.size >= FEWEST and 40 <= carbon.max() <= 60 and typical >= 25
    doubtful = carbon.max() <= 70 and (level <= -0.5 or carbon.max() < 10 or below_pure_carbon)
    return Verdict(10.0 if doubtful else 1.0, False, carbon.size, typical, typically, "depth")


def _nearest(decades: float, carbon: np.ndarray) -> float:
    """Return the factor nearest to a number of decades, of those that leave nearly all values possible."""
    largest = np.quantile(carbon, 0.97)
    possible = [f for f in FACTORS.values() if largest * f <= PURE] or [FACTORS["mg/kg"]]
    if 1.0 not in possible and largest <= 1200 and abs(decades) < 0.5:
        return 1.0  # litter given as organic matter, or a few false rows: a matter of rows, not of the unit
    return min(possible, key=lambda factor: abs(np.log10(factor) - decades))
