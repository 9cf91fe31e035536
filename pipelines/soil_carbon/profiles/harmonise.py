"""Harmonisation: the part of each layer's carbon in a target depth whose boundaries cut through layers."""

from typing import Literal

import numpy as np
import pandas as pd

from pipelines.soil_carbon.profiles.layers import TOLERANCE, thickness_within
from pipelines.soil_carbon.profiles.splines import Floats, Spline, equal_area_spline

Harmonise = Literal["spline", "layers", "exact"]

LARGEST_GAP = 0.1
"""Fraction of a target depth that gaps between layers may take for the spline to bridge them."""


def layer_parts(layers: pd.DataFrame, top: float, bottom: float, harmonise: Harmonise = "spline") -> pd.DataFrame:
    """Return the part of each layer's carbon between `top` and `bottom`.

    A layer that lies inside has all of its carbon there, whatever the spline: only a layer that crosses a boundary is
    divided, in the ratio of the spline's integrals over its two parts, so that the parts add up to the layer. It is
    divided in proportion to thickness where the spline says nothing (the profile has one layer) or nonsense (it falls
    below zero within the layer), and everywhere if `harmonise` is not `"spline"`.

    The spline also bridges gaps between layers, linearly, where it stays above zero and they make up no more than a
    tenth of the depth. It never reaches above the first layer or below the last.

    Parameters
    ----------
    layers : DataFrame
        Layers of all sites, sorted by `site` and `top`, with depths in cm and `concentration`, kg C/m³, NaN where not
        known.
    top, bottom : float
        cm.
    harmonise : {"spline", "layers", "exact"}
        Whether layers are divided by splines; `"exact"` is like `"layers"` here, its sites are left out later.

    Returns
    -------
    DataFrame
        With the index of `layers`: `thickness` (of the part, cm, 0 outside), `socd` (carbon of the part, kg C/m²),
        `crosses` (a boundary lies within the layer), `proportional` (it was divided by thickness), `gap_bridged` and
        `socd_bridged` (cm and kg C/m² of the gap under the layer, 0 where none is bridged).
    """
    thickness = thickness_within(layers, top, bottom).to_numpy()
    tops, bottoms, concentration = (layers[c].to_numpy(np.float64) for c in ("top", "bottom", "concentration"))
    crosses = (thickness > 0) & ((tops < top - TOLERANCE) | (bottoms > bottom + TOLERANCE))
    share = np.where(crosses, thickness / (bottoms - tops), thickness > 0)
    proportional = crosses.copy()
    bridged = np.zeros((2, len(layers)))
    known = ~np.isnan(concentration)
    if harmonise == "spline" and known.any():
        sites = layers["site"].to_numpy()[known]
        spline = equal_area_spline(tops[known], bottoms[known], concentration[known], profile=sites)
        by_spline = _shares(spline, top, bottom)
        divided = crosses[known] & ~np.isnan(by_spline)
        share[known] = np.where(divided, by_spline, share[known])
        proportional[known] &= ~divided
        bridged[:, known] = _bridges(spline, top, bottom)
    return pd.DataFrame(
        {
            "thickness": thickness,
            "socd": concentration * (bottoms - tops) / 100 * share,
            "crosses": crosses,
            "proportional": proportional,
            "gap_bridged": bridged[0],
            "socd_bridged": bridged[1],
        },
        index=layers.index,
    )


def _shares(spline: Spline, top: float, bottom: float) -> Floats:
    """Return the share of each layer's integral between `top` and `bottom`; NaN if the spline is undefined there."""
    several = np.bincount(spline.profile)[spline.profile] > 1
    # The whole layer, not the part inside: otherwise a deeper target could hold less of it than a shallower one.
    usable = several & (spline.lowest >= 0) & (spline.fitted > 0)
    whole = spline.layer_integrals(spline.top, spline.bottom)
    return np.divide(spline.layer_integrals(top, bottom), whole, out=np.full(whole.shape, np.nan), where=usable)


def _bridges(spline: Spline, top: float, bottom: float) -> Floats:
    """Return thickness (cm) and carbon (kg/m²) of the bridged part of the gap under each layer, shape (2, layers)."""
    gap = np.clip(spline.bottom + spline.gap, top, bottom) - np.clip(spline.bottom, top, bottom)
    narrow = np.bincount(spline.profile, gap)[spline.profile] <= LARGEST_GAP * (bottom - top) + TOLERANCE
    positive = (spline.end >= 0) & (np.append(spline.level[1:], 0.0) >= 0)
    carbon = spline.gap_integrals(top, bottom) / 100
    return np.where(narrow & positive, np.stack([gap, carbon]), 0.0)
