"""The true soil organic carbon density of the virtual landscape, kg C/m², calibrated to the study's maps."""

import numpy as np
from scipy.special import expit

from pipelines.virtual.covariates import Fields
from pipelines.virtual.fields import Draw

DEPTHS = ((0, 10), (0, 30), (0, 50))
"""Depth intervals with a known truth, cm."""

TOPSOIL = (4.2, 1.1)
"""Mean and spatial SD of 0–10 cm in the study's map."""

TOPSOIL_RANGE = (0.1, 8.0)

BELOW_10 = (0.56, 1.2, 0.12)
BELOW_30 = (1.54, 0.32, 0.18)
"""Intercept (kg C/m²), slope on 0–10 cm and scatter (CV) of the carbon in 10–30 and in 30–50 cm: 0–30 cm comes
to the study's 9.8 ± 2.5 and 0–50 cm to its 12.7 ± 2.9."""

WEIGHTS = {
    "tn": 0.78,
    "ai": 0.4,
    "wetland": 0.1,
    "grassland": -0.05,
    "ndvi": 0.08,
    "npp": 0.06,
    "ph": -0.06,
    "residual": 0.4,
}
"""Effects of the standardised causes. TN is the first driver, AI the second; MAP, MAT, EVI and clay + silt act only
through what they are correlated with; the residual is nothing that a covariate knows."""

AI_THRESHOLD = 0.5
"""Below this aridity index, moisture makes no difference to carbon (study, Fig. 5C)."""

_CORNER = 0.04


def label(depth: tuple[float, float]) -> str:
    """Return `0-30` for (0, 30)."""
    return f"{depth[0]:g}-{depth[1]:g}"


def moisture_effect(ai: np.ndarray) -> np.ndarray:
    """Return how far the aridity index is above the threshold, 0 below it, with a rounded corner."""
    return _CORNER * np.logaddexp(0, (ai - AI_THRESHOLD) / _CORNER)


def soil_carbon(draw: Draw, given: Fields) -> Fields:
    """Return `socd_0-10`, `socd_0-30` and `socd_0-50`, each larger than the one above it everywhere.

    Deeper intervals add to the topsoil an amount that is linear in it, times a spatially correlated scatter of mean 1.
    """
    causes = {name: draw.scaled(cause) for name, cause in _causes(draw, given).items()}
    score = draw.scaled(np.sum([weight * causes[name] for name, weight in WEIGHTS.items()], axis=0))
    mean, sd = TOPSOIL
    topsoil = np.clip(mean + sd * score, *TOPSOIL_RANGE)
    below_10, below_30 = (_increment(draw, topsoil, *increment) for increment in (BELOW_10, BELOW_30))
    return {"socd_0-10": topsoil, "socd_0-30": topsoil + below_10, "socd_0-50": topsoil + below_10 + below_30}


def _causes(draw: Draw, given: Fields) -> Fields:
    return {
        # Each further gram of nitrogen adds less carbon.
        "tn": np.log(given["tn"]),
        "ai": moisture_effect(given["ai"]),
        # Classes act with a soft edge of a few kilometres.
        "wetland": expit(given["wetland"] / 0.1),
        "grassland": expit(given["grassland"] / 0.1),
        "ndvi": given["ndvi"],
        "npp": given["npp"],
        "ph": given["ph"],
        "residual": draw({70: 0.6, 20: 0.4}),
    }


def _increment(draw: Draw, topsoil: np.ndarray, intercept: float, slope: float, cv: float) -> np.ndarray:
    """Return an increment of carbon: linear in the topsoil, times a lognormal field of mean 1."""
    sigma = np.sqrt(np.log1p(cv**2))
    return (intercept + slope * topsoil) * np.exp(sigma * draw({90: 0.5, 25: 0.5}) - sigma**2 / 2)
