"""The layer table of the virtual region: what laboratories report of each core, with the gaps of papers."""

from itertools import cycle, pairwise

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator
from scipy.special import lambertw

from pipelines.runfile.reader import PROFILE_COLUMNS

SOC_PER_SOM = 0.58
"""Eq. 2."""

BULK_DENSITY = (1.4, -0.004)
"""BD = a · exp(b · SOC), g/cm³ and g/kg; single layers scatter about it."""

COARSE_FRAGMENTS = {
    "brown coniferous forest soil": 18.0,
    "grey forest soil": 8.0,
    "dark brown forest soil": 12.0,
    "chestnut soil": 5.0,
    "chernozem": 2.5,
    "meadow soil": 2.0,
    "bog soil": 1.0,
    "peat soil": 0.5,
}
"""Mean volume of fragments > 2 mm, %."""

SOURCES = {
    "transect": "made-up transect",
    "standard": "made-up literature",
    "upper": "made-up literature",
    "topsoil": "made-up literature",
    "horizon": "made-up soil survey",
}
"""Where the sites of each design would have been published."""

GAPS: dict[str, dict[str, float]] = {
    "som": {"made-up literature": 0.12, "made-up soil survey": 0.7},
    "bulk_density": {"made-up literature": 0.35, "made-up soil survey": 0.6},
    "coarse_fragments": {"made-up literature": 0.45, "made-up soil survey": 0.25},
    "tn": {"made-up literature": 0.65, "made-up soil survey": 0.4},
}
"""Share of a source's sites that report SOM instead of SOC, or leave out the column. The transects are complete."""

TN_CV = 0.1
"""Error of a measured TN, as a share of the truth."""

_LAYERS = {
    "transect": (0, 10, 20, 30, 50),
    "standard": (0, 10, 20, 30, 50),
    "topsoil": (0, 10),
}
_UPPER = ((0, 10, 30),) * 13 + ((0, 10, 20, 30),) * 8
_HORIZONS = (2,) * 10 + (3,) * 10 + (4,) * 10
"""Layers per site. With the other designs they sum to the study's 440 records."""


def make_layers(sites: pd.DataFrame, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Cut every core into layers and give each the SOC, bulk density and coarse fragments of Eq. 1.

    Parameters
    ----------
    sites : DataFrame
        As from `sites.make_sites`.

    Returns
    -------
    DataFrame
        The columns of `PROFILE_COLUMNS`, complete but for `som`; `tn` of the uppermost layer only; `position_error`
        (m) where the sites have one. The layers of a site give back its core's density by Eq. 1, to the rounding of a
        laboratory report.
    """
    cuts, stuff = (np.random.default_rng(child) for child in seed.spawn(2))
    boundaries = _boundaries(sites["design"], cuts)
    cumulative = _cumulative(sites)
    layers = pd.DataFrame(
        [
            (number, top, bottom, float(cumulative(bottom)[number] - cumulative(top)[number]))
            for number, cut in enumerate(boundaries)
            for top, bottom in pairwise(cut)
        ],
        columns=["number", "top", "bottom", "socd"],
    )
    further = [name for name in sites if name == "position_error"]
    of_site = sites[["site", "lon", "lat", "vegetation", "soil_type", "design", "tn", *further]].iloc[layers["number"]]
    layers = pd.concat([layers, of_site.reset_index(drop=True)], axis=1)
    layers["source"] = layers["design"].map(SOURCES)
    measured_tn = sites["tn"].to_numpy() * _scatter(stuff, TN_CV, len(sites))
    layers["tn"] = np.where(layers["top"] == 0, measured_tn[layers["number"]], np.nan).round(2)
    stones = layers["soil_type"].map(COARSE_FRAGMENTS) * _scatter(stuff, 0.4, len(sites))[layers["number"]]
    layers["coarse_fragments"] = np.minimum(stones * (1 + layers["top"] / 100), 60).round(1)
    layers["bulk_density"], layers["soc"] = _bulk_density_and_soc(
        layers, _scatter(stuff, 0.07, len(sites))[layers["number"]] * _scatter(stuff, 0.07, len(layers))
    )
    layers["som"] = np.nan
    return layers[[name for name in PROFILE_COLUMNS if name in layers]]


def punch_gaps(layers: pd.DataFrame, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Leave out what the sources of the sites would not have reported (`GAPS`), site by site."""
    gaps = {name: np.random.default_rng(child) for name, child in zip(GAPS, seed.spawn(len(GAPS)), strict=True)}
    reported = layers.copy()
    sites = layers.drop_duplicates("site").set_index("site")["source"]
    for column, shares in GAPS.items():
        hit = gaps[column].random(len(sites)) < sites.map(shares).fillna(0.0).to_numpy()
        rows = reported["site"].isin(sites.index[hit])
        if column == "som":
            reported.loc[rows, "som"] = (reported.loc[rows, "soc"] / SOC_PER_SOM).round(2)
            reported.loc[rows, "soc"] = np.nan
        else:
            reported.loc[rows, column] = np.nan
    return reported


def _boundaries(designs: pd.Series, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return depths (cm) at which each core is cut."""
    # Repeated cores go round once more.
    upper = cycle(rng.permutation(np.arange(len(_UPPER))))
    horizons = cycle(rng.permutation(_HORIZONS))
    cuts: list[tuple[int, ...]] = []
    for design in designs:
        if design == "upper":
            cuts.append(_UPPER[next(upper)])
        elif design == "horizon":
            thickness = np.append(rng.integers(6, 19), rng.integers(12, 28, next(horizons) - 1))
            cuts.append((0, *(int(bottom) for bottom in np.cumsum(thickness))))
        else:
            cuts.append(_LAYERS[design])
    return cuts


def _cumulative(sites: pd.DataFrame) -> PchipInterpolator:
    """Return carbon above a depth (cm) of every core, kg/m²: monotone through the core's densities."""
    to_10, to_30, to_50 = (sites[f"core_0-{bottom}"].to_numpy() for bottom in (10, 30, 50))
    to_100 = to_50 + 1.6 * (to_50 - to_30)
    return PchipInterpolator([0, 10, 30, 50, 100], [np.zeros(len(sites)), to_10, to_30, to_50, to_100])


def _bulk_density_and_soc(layers: pd.DataFrame, scatter: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """Solve Eq. 1 for the SOC that, with the bulk density that goes with it, holds a layer's carbon.

    SOC · a exp(b SOC) = carbon per fine-earth volume has the root W(b · carbon / a) / b, W being Lambert's function.
    """
    a, b = BULK_DENSITY
    fine_earth = (layers["bottom"] - layers["top"]) * (1 - layers["coarse_fragments"] / 100) * 0.01
    carbon = layers["socd"] / fine_earth
    # Beyond −1/e no SOC is rich enough: such a layer is denser than the function says.
    argument = np.maximum(b * carbon.to_numpy() / (a * scatter), -0.36)
    bulk_density = (carbon * b / lambertw(argument).real).round(3)
    return bulk_density, (carbon / bulk_density).round(2)


def _scatter(rng: np.random.Generator, cv: float, size: int) -> np.ndarray:
    return rng.lognormal(-(cv**2) / 2, cv, size)
