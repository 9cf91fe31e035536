"""Soil organic carbon density of a profile between two depths, from its layers (Eq. 1)."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from pipelines.soil_carbon.profiles.harmonise import Harmonise, layer_parts
from pipelines.soil_carbon.profiles.layers import TOLERANCE, interval

Values = TypeVar("Values", float, np.ndarray, "pd.Series[float]")
FLAGS = ("bulk_density_filled", "coarse_fragments_filled", "soc_from_som")


def carbon_density(soc: Values, bulk_density: Values, coarse_fragments: Values, thickness: Values) -> Values:
    """Compute organic carbon per area of a layer, Eq. 1 of the study for one layer.

    Parameters
    ----------
    soc : array_like
        Organic carbon of the fine earth, g/kg.
    bulk_density : array_like
        g/cm³.
    coarse_fragments : array_like
        Fragments > 2 mm, volume %.
    thickness : array_like
        cm.

    Returns
    -------
    array_like
        kg C/m²; 0.01 turns g/kg · g/cm³ · cm into it.
    """
    return soc * bulk_density * thickness * (1 - coarse_fragments / 100) * 0.01


def profile_densities(
    layers: pd.DataFrame, top: float, bottom: float, unfilled: str = "", harmonise: Harmonise = "spline"
) -> pd.DataFrame:
    """Compute the carbon density of every site between `top` and `bottom`.

    Layers must cover the interval. Whole layers inside count by Eq. 1; those that cross a boundary are divided, and
    small gaps bridged, as `pipelines.soil_carbon.profiles.harmonise.layer_parts` says.

    Parameters
    ----------
    layers : DataFrame
        Sound layers after filling, sorted by `site` and `top`: depths in cm, `soc` (g/kg), `bulk_density` (g/cm³),
        `coarse_fragments` (volume %) and the flags of the fills.
    top, bottom : float
        cm.
    unfilled : str
        Why bulk densities are missing, for the reason of exclusion.
    harmonise : {"spline", "layers", "exact"}
        Layers that cross a boundary are divided by splines or in proportion to their thickness, or exclude their site.

    Returns
    -------
    DataFrame
        One row per site: `site`, `socd` (kg C/m², NaN if excluded), the number of layers used with each flag (0 if
        excluded), `layers_split`, `rule` (`exact`: no layer crosses a boundary; `spline`: layers divided or gaps
        bridged by the spline; `split`: layers divided in proportion; empty if excluded), `gap_bridged` (cm),
        `excluded` (why; empty if used) and `kind` (of the exclusion, for counting).
    """
    metre = pd.Series(100.0, layers.index)  # kg/m² of a layer 1 m thick are kg/m³
    concentration = carbon_density(layers["soc"], layers["bulk_density"], layers["coarse_fragments"], metre)
    parts = layer_parts(layers.assign(concentration=concentration), top, bottom, harmonise)
    sums = _site_sums(layers, parts)
    complete = (sums["thickness"] - (bottom - top)).abs() <= TOLERANCE * sums["parts"]
    used = (sums["incomplete"] == 0) & complete & ((harmonise != "exact") | (sums["layers_split"] == 0))
    result = sums[[*FLAGS, "layers_split"]].where(used, 0).astype(np.int64)
    result.insert(0, "socd", sums["socd"].where(used))
    result["rule"] = np.select(
        [~used, sums["proportional"] > 0, (sums["layers_split"] > 0) | (sums["gap_bridged"] > 0)],
        ["", "split", "spline"],
        "exact",
    )
    result["gap_bridged"] = sums["gap_bridged"].where(used, 0.0)
    left_out = layers["site"].isin(used.index[~used])
    unused = layers.assign(**parts[["thickness", "crosses", "gap_bridged"]])[left_out]
    reasons = {
        site: list(_reasons(list(profile), top, bottom, unfilled, harmonise))
        for site, profile in groupby(unused.itertuples(), key=attrgetter("site"))
    }
    result["excluded"] = ["; ".join(text for _, text in reasons.get(site, ())) for site in result.index]
    result["kind"] = [reasons[site][0][0] if site in reasons else "" for site in result.index]
    return result.reset_index()


def _site_sums(layers: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """Sum thickness, carbon and counts of the parts of each site; bridged gaps belong to the layer above them."""
    parts = parts.assign(
        site=layers["site"],
        parts=1,
        thickness=parts["thickness"] + parts["gap_bridged"],
        incomplete=parts["socd"].isna(),
        socd=parts["socd"].fillna(0.0) + parts["socd_bridged"],
        layers_split=parts["crosses"],
        **{flag: layers[flag] for flag in FLAGS},
    )
    counted = ["parts", "thickness", "socd", "incomplete", "proportional", "gap_bridged", "layers_split", *FLAGS]
    sums = parts[parts["thickness"] > 0].groupby("site")[counted].sum()
    return sums.reindex(pd.Index(layers["site"].unique(), name="site"), fill_value=0)


def _reasons(
    profile: list[Any], top: float, bottom: float, unfilled: str, harmonise: Harmonise
) -> Iterator[tuple[str, str]]:
    """Yield why the layers of one site give no density: the kind of reason, and the reason with its numbers."""
    start, end = profile[0].top, max(layer.bottom for layer in profile)
    if start > top + TOLERANCE:
        yield "start too deep", f"profile starts at {start:g} cm"
    reached = max(top, start)
    for layer in profile:
        if layer.top > reached + TOLERANCE and reached < bottom - TOLERANCE:
            yield "have a gap", f"gap {interval(reached, min(layer.top, bottom))}"
        reached = max(reached, layer.bottom + layer.gap_bridged)
    if end < bottom - TOLERANCE:
        yield "end too shallow", f"profile ends at {end:g} cm"
    for layer in profile:
        where = f"layer {interval(layer.top, layer.bottom)}"
        if layer.thickness > 0 and np.isnan(layer.soc):
            yield "lack SOC", f"no SOC in {where}"
        elif layer.thickness > 0 and np.isnan(layer.bulk_density):
            yield "lack bulk density", f"no bulk density in {where} and {unfilled}"
        if layer.crosses and harmonise == "exact":
            boundary = top if layer.top < top - TOLERANCE else bottom
            yield "have a layer across a boundary", f"{where} crosses {boundary:g} cm"
