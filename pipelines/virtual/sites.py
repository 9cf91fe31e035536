"""The sites of the virtual region: where they are, how they were sampled, and the density that a core there holds."""

import numpy as np
import pandas as pd
from pyproj import Transformer
from scipy.ndimage import distance_transform_edt
from scipy.stats import lognorm

from pipelines.virtual.carbon import DEPTHS, label
from pipelines.virtual.covariates import CLASSES
from pipelines.virtual.fields import correlated_field
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS

COUNTS = {"forest": 78, "grassland": 25, "wetland": 44}
"""Sites of each vegetation type, as in the study."""

DESIGNS = {"transect": 30, "standard": 38, "horizon": 30, "upper": 21, "topsoil": 28}
"""Sites of each sampling design: to 50 cm by the study's layers (transect, literature), by horizon, to 30, to 10 cm."""

MICROSITE_CV = 0.275
"""How much cores within one cell differ, as a share of the cell's density: hummocks, roots, stones, the laboratory.
Set so that a random 10-fold cross-validation comes out near the study's."""

LAYER_CV = 0.08
"""How much each depth interval of a core differs beyond that."""

SOIL_TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "forest": ("mat", ("brown coniferous forest soil", "grey forest soil", "dark brown forest soil")),
    "grassland": ("ai", ("chestnut soil", "chernozem")),
    "wetland": ("tn", ("meadow soil", "bog soil", "peat soil")),
}
"""Soil types of each vegetation type, in the order of the covariate that sorts them into equal shares."""

_CLEARANCE = 5.0
"""Sites keep this far from the outline and the lakes, km, so that coarse cells still know their covariates."""
_SPACING = 6.0
"""Least distance of two sites, km."""


def make_sites(landscape: Landscape, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Draw the sites and what a core at each of them holds.

    Returns
    -------
    DataFrame
        One row per site: `site`, `lon`, `lat` (degrees), `x`, `y` (m), `vegetation`, `soil_type`, `design` (see
        `DESIGNS`), `tn` (true, g/kg), `socd_0-10`, `socd_0-30`, `socd_0-50` (the cell's truth, kg C/m²) and
        `core_0-10`, `core_0-30`, `core_0-50` (what the core holds).
    """
    where, design, cores = (np.random.default_rng(child) for child in seed.spawn(3))
    sites = _places(landscape, where)
    sites["design"] = _designs(sites, design)
    truth = [f"socd_{label(depth)}" for depth in DEPTHS]
    names = ["mat", "ai", "tn", *truth]
    values = landscape.at(names, sites["x"].to_numpy(), sites["y"].to_numpy())
    sites[names] = np.column_stack(values).astype("float64")
    sites["soil_type"] = _soil_types(sites)
    layers = np.diff(sites[truth].to_numpy(), axis=1, prepend=0.0)
    noise = _factors(cores, MICROSITE_CV, len(sites))[:, None]
    noise = noise * np.column_stack([_factors(cores, LAYER_CV, len(sites)) for _ in DEPTHS])
    sites[[f"core_{label(depth)}" for depth in DEPTHS]] = np.cumsum(layers * noise, axis=1)
    sites.insert(0, "site", [f"VR{number:03d}" for number in range(1, len(sites) + 1)])
    return sites.drop(columns=["mat", "ai"])


def _places(landscape: Landscape, rng: np.random.Generator) -> pd.DataFrame:
    """Sites drawn at random within each vegetation type, more of them where the country is easy to reach."""
    plane = landscape.plane
    vegetation = landscape.vegetation_at(*np.meshgrid(plane.x, plane.y))
    clear = distance_transform_edt(landscape.inside, plane.spacing / 1000) > _CLEARANCE
    ease = np.exp(correlated_field(rng, plane, {120: 0.3, 40: 0.2}))
    chosen = np.empty((0, 2))
    for number, name in enumerate(CLASSES):
        nodes = np.argwhere(clear & (vegetation == number))
        # Weighted order without replacement (Efraimidis & Spirakis 2006).
        order = np.argsort(-(rng.random(len(nodes)) ** (1 / ease[tuple(nodes.T)])))
        wanted = len(chosen) + COUNTS[name]
        for row, column in nodes[order]:
            here = np.array([plane.x[column], plane.y[row]]) + rng.uniform(-0.4, 0.4, 2) * plane.spacing
            if len(chosen) == 0 or np.hypot(*(chosen - here).T).min() > 1000 * _SPACING:
                chosen = np.vstack([chosen, here])
            if len(chosen) == wanted:
                break
    chosen = chosen.round(1)
    lon, lat = Transformer.from_crs(REGION_CRS, "EPSG:4326", always_xy=True).transform(*chosen.T)
    names = np.repeat(list(COUNTS), list(COUNTS.values()))
    sites = pd.DataFrame({"lon": lon.round(5), "lat": lat.round(5), "x": chosen[:, 0], "y": chosen[:, 1]})
    sites["vegetation"] = names
    return sites.iloc[rng.permutation(len(sites))].reset_index(drop=True)


def _designs(sites: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """The transect follows the moisture from south-west to north-east; the other designs lie anywhere."""
    off_line = np.abs(sites["y"].to_numpy() - 0.7 * sites["x"].to_numpy())
    nearest_first = np.argsort(off_line, kind="stable")
    others = [name for name in DESIGNS if name != "transect"]
    rest = rng.permutation(np.repeat(others, [DESIGNS[name] for name in others]))
    designs = np.empty(len(sites), dtype=object)
    designs[nearest_first] = np.concatenate([np.repeat("transect", DESIGNS["transect"]), rest])
    return designs


def _soil_types(sites: pd.DataFrame) -> pd.Series:
    types = pd.Series("", index=sites.index, dtype=object)
    for vegetation, (covariate, names) in SOIL_TYPES.items():
        values = sites.loc[sites["vegetation"] == vegetation, covariate]
        types[values.index] = np.asarray(pd.qcut(values, len(names), labels=list(names)).astype(str))
    return types


def _factors(rng: np.random.Generator, cv: float, size: int) -> np.ndarray:
    """The quantiles of a lognormal distribution of mean 1, in random order: noise of exactly that size."""
    sigma = np.sqrt(np.log1p(cv**2))
    probability = (rng.permutation(size) + 0.5) / size
    return lognorm.ppf(probability, sigma, scale=np.exp(-(sigma**2) / 2))
