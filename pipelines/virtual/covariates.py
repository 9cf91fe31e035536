"""The covariates of the virtual landscape, from the same few causes.

Moisture rises from south-west to north-east, cold deepens northward and upward; lowlands are wet; vegetation follows
moisture, and soils follow climate, relief and vegetation. Every function takes and returns fields on the landscape's
nodes, float32; the weights are those of standardised causes.
"""

import numpy as np
from scipy.special import expit

from pipelines.virtual.fields import Draw

Fields = dict[str, np.ndarray]

RANGES: dict[str, tuple[float, float]] = {
    "mat": (-4.3, 1.7),
    "map": (236.0, 680.0),
    "ai": (0.3, 1.0),
    "ndvi": (0.1, 0.88),
    "evi": (0.06, 0.6),
    "npp": (0.1, 0.8),
    "tn": (0.5, 8.0),
    "ph": (4.5, 8.5),
    "clay_silt": (20.0, 95.0),
}
"""Lowest and highest value of each covariate inside the region, in the units of the study's Table 1."""

LABELS: dict[str, tuple[str, str]] = {
    "mat": ("mean annual temperature", "degC"),
    "map": ("mean annual precipitation", "mm"),
    "ai": ("aridity index", "1"),
    "ndvi": ("normalised difference vegetation index", "1"),
    "evi": ("enhanced vegetation index", "1"),
    "npp": ("net primary production", "kg C m-2"),
    "tn": ("total nitrogen", "g/kg"),
    "ph": ("pH", "1"),
    "clay_silt": ("clay + silt", "%"),
    "vegetation": ("vegetation type", "1"),
}
"""Name and units of each covariate."""

CLASSES = ("forest", "grassland", "wetland")

SHARES = {"forest": 0.62, "grassland": 0.29, "wetland": 0.09}
"""Shares of the region's area: the study's stocks over its densities, 3.6/10.4, 1.3/8.1 and 0.6/11.6 × 10⁵ km²."""


def classify(wetland: np.ndarray, grassland: np.ndarray) -> np.ndarray:
    """Return vegetation, as places in `CLASSES`, from the two fields that decide it: wetland goes before grassland."""
    return np.select([wetland > 0, grassland > 0], [2, 1], 0).astype("uint8")


def climate(draw: Draw) -> Fields:
    """Return MAT (°C), MAP (mm), AI, and `relief`, standardised height of the land.

    The aridity index rises with precipitation and falls with evaporation, which follows warmth.
    """
    east, north = _gradients(draw)
    relief = draw.scaled(draw({180: 0.4, 70: 0.35, 25: 0.25}) - 0.3 * east)
    warmth = draw.scaled(-0.8 * north + 0.25 * east - 0.5 * relief + 0.35 * draw({250: 0.5, 90: 0.5}))
    rain = draw.scaled(0.65 * east + 0.45 * north + 0.15 * relief + 0.55 * draw({280: 0.5, 100: 0.3, 40: 0.2}))
    evaporation = draw.scaled(0.4 * warmth + 0.8 * draw({220: 0.5, 80: 0.5}))
    moisture = draw.scaled(rain - 0.6 * evaporation)
    return {
        "relief": relief,
        "mat": draw.stretched(warmth, RANGES["mat"]),
        "map": draw.stretched(rain, RANGES["map"]),
        "ai": draw.stretched(moisture, RANGES["ai"]),
    }


def vegetation(draw: Draw, given: Fields) -> Fields:
    """Return `wetland` and `grassland` (positive where the class may stand), NDVI, EVI and NPP (kg C/m²)."""
    moisture, warmth = draw.scaled(given["ai"]), draw.scaled(given["mat"])
    wetness = draw.scaled(-0.6 * given["relief"] + 0.5 * moisture + 0.9 * draw({60: 0.4, 25: 0.6}))
    dryness = draw.scaled(-0.9 * moisture + 0.1 * warmth + 0.75 * draw({110: 0.6, 35: 0.4}))
    wetland = wetness - np.quantile(wetness[draw.inside], 1 - SHARES["wetland"])
    dry_land = draw.inside & (wetland <= 0)
    grassland = dryness - np.quantile(dryness[dry_land], 1 - SHARES["grassland"] / (1 - SHARES["wetland"]))
    trees = expit(-4 * grassland) * expit(-5 * wetland)
    green = draw.scaled(0.7 * draw.scaled(trees) + 0.45 * moisture + 0.5 * draw({120: 0.4, 40: 0.6}))
    canopy = draw.scaled(green + 0.5 * draw({90: 0.5, 30: 0.5}))
    growth = draw.scaled(0.75 * green + 0.3 * warmth + 0.5 * draw({150: 0.5, 50: 0.5}))
    return {
        "wetland": wetland,
        "grassland": grassland,
        # Leaves saturate the index: dense canopies differ little.
        "ndvi": draw.stretched(np.tanh(0.45 * green + 0.3), RANGES["ndvi"]),
        "evi": draw.stretched(np.tanh(0.4 * canopy + 0.1), RANGES["evi"]),
        "npp": draw.stretched(growth, RANGES["npp"]),
    }


def soil(draw: Draw, given: Fields) -> Fields:
    """Return TN (g/kg), pH, clay + silt (%)."""
    moisture, relief = draw.scaled(given["ai"]), given["relief"]
    wetness = np.clip(draw.scaled(given["wetland"]), -2, 2)
    nitrogen = draw.scaled(0.4 * moisture + 0.35 * wetness + 0.8 * draw({130: 0.5, 45: 0.3, 20: 0.2}))
    acidity = draw.scaled(0.65 * moisture + 0.15 * wetness + 0.65 * draw({150: 0.5, 40: 0.5}))
    fine = draw.scaled(-0.4 * relief + 0.25 * wetness + 0.85 * draw({160: 0.4, 60: 0.4, 25: 0.2}))
    low, high = np.log(RANGES["tn"])
    return {
        "tn": np.exp(draw.stretched(nitrogen, (low, high))),
        "ph": draw.stretched(-acidity, RANGES["ph"]),
        "clay_silt": draw.stretched(fine, RANGES["clay_silt"]),
    }


def _gradients(draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised easting and northing."""
    x, y = np.meshgrid(draw.plane.x.astype("float32"), draw.plane.y.astype("float32"))
    return draw.scaled(x), draw.scaled(y)
