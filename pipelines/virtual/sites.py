"""The sites of the virtual region: where they are, how they were sampled, and the density that a core there holds."""

import numpy as np
import pandas as pd
from pyproj import Transformer
from scipy.ndimage import distance_transform_edt
from scipy.stats import lognorm

from engine.errors import InputError
from pipelines.virtual.carbon import DEPTHS, label
from pipelines.virtual.covariates import CLASSES
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.outline import REGION_CRS
from pipelines.virtual.sampling import PATTERNS, Sampling, off_transect

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
_AS_IN_THE_STUDY = Sampling()
_REPEATS_WITHIN = 1000.0
"""Side of the squares, at multiples of itself on the plane, that hold repeated cores, m: cells of either size do."""


def make_sites(
    landscape: Landscape, seed: np.random.SeedSequence, sampling: Sampling = _AS_IN_THE_STUDY
) -> pd.DataFrame:
    """Draw the sites and what a core at each of them holds.

    Returns
    -------
    DataFrame
        One row per site: `site`, `lon`, `lat` (degrees, as reported), `x`, `y` (m, true), `vegetation`, `soil_type`,
        `design` (see `DESIGNS`), `tn` (true, g/kg), `socd_0-10`, `socd_0-30`, `socd_0-50` (the cell's truth, kg C/m²),
        `core_0-10`, `core_0-30`, `core_0-50` (what the core holds) and, where places are not exact, `position_error`
        (SD of either coordinate, m). Repeated cores come last; theirs are the name of the first core and a letter.
    """
    where, design, cores, repeats, errors = (np.random.default_rng(child) for child in seed.spawn(5))
    sites = _places(landscape, where, sampling.pattern)
    sites["design"] = _designs(sites, design)
    sites.insert(0, "site", [f"VR{number:03d}" for number in range(1, len(sites) + 1)])
    sites = _with_repeats(sites, sampling.repeated, repeats)
    sites = _reported(sites, sampling.position_error, errors)
    truth = [f"socd_{label(depth)}" for depth in DEPTHS]
    names = ["mat", "ai", "tn", *truth]
    values = landscape.at(names, sites["x"].to_numpy(), sites["y"].to_numpy())
    sites[names] = np.column_stack(values).astype("float64")
    sites["soil_type"] = _soil_types(sites)
    sites[[f"core_{label(depth)}" for depth in DEPTHS]] = core_densities(
        sites[truth].to_numpy(), cores, independent=sampling.independent
    )
    return sites.drop(columns=["mat", "ai"])


def core_densities(truth: np.ndarray, rng: np.random.Generator, *, independent: bool = True) -> np.ndarray:
    """Draw what cores hold where the true densities are these.

    Parameters
    ----------
    truth : ndarray, shape (cores, depths)
        Of intervals that begin at the surface, each deeper than the one before, kg C/m².
    independent : bool
        Whether the noise of each core is drawn on its own, or all of it is an exact sample of its distribution.

    Returns
    -------
    ndarray, shape (cores, depths)
    """
    layers = np.diff(truth, axis=1, prepend=0.0)
    draw = _independent if independent else _exact
    noise = draw(rng, MICROSITE_CV, len(truth))[:, None]
    noise = noise * np.column_stack([draw(rng, LAYER_CV, len(truth)) for _ in layers.T])
    return np.asarray(np.cumsum(layers * noise, axis=1))


def _places(landscape: Landscape, rng: np.random.Generator, name: str) -> pd.DataFrame:
    """Draw sites by a pattern within each vegetation type."""
    plane, pattern = landscape.plane, PATTERNS[name]
    vegetation = landscape.vegetation_at(*np.meshgrid(plane.x, plane.y))
    clear = distance_transform_edt(landscape.inside, plane.spacing / 1000) > _CLEARANCE
    weight = pattern.weight(landscape, rng)
    chosen = np.empty((0, 2))
    for number, zone in enumerate(CLASSES):
        nodes = np.argwhere(clear & (vegetation == number))
        # Weighted order without replacement (Efraimidis & Spirakis 2006), on a scale that tells small weights apart.
        order = np.argsort(-np.log(rng.random(len(nodes))) / weight[tuple(nodes.T)])
        wanted = len(chosen) + COUNTS[zone]
        for row, column in nodes[order]:
            here = np.array([plane.x[column], plane.y[row]]) + rng.uniform(-0.4, 0.4, 2) * plane.spacing
            if len(chosen) == 0 or np.hypot(*(chosen - here).T).min() > 1000 * pattern.spacing:
                chosen = np.vstack([chosen, here])
            if len(chosen) == wanted:
                break
    sites = pd.DataFrame(chosen.round(1), columns=["x", "y"])
    sites["vegetation"] = np.repeat(list(COUNTS), list(COUNTS.values()))
    return sites.iloc[rng.permutation(len(sites))].reset_index(drop=True)


def _with_repeats(sites: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return sites and, for some of them, one or two further cores from the same square."""
    if number > len(sites):
        raise InputError(f"repeated cores: of {number} sites; expected at most {len(sites)}, the number of sites.")
    of = np.sort(rng.choice(len(sites), number, replace=False))
    counts = rng.integers(1, 3, number)
    further = sites.iloc[np.repeat(of, counts)].reset_index(drop=True)
    corner = np.floor(further[["x", "y"]].to_numpy() / _REPEATS_WITHIN) * _REPEATS_WITHIN
    further[["x", "y"]] = (corner + rng.uniform(0.05, 0.95, corner.shape) * _REPEATS_WITHIN).round(1)
    letters = [letter for count in counts for letter in "bc"[:count]]
    further["site"] = [site + letter for site, letter in zip(further["site"], letters, strict=True)]
    return pd.concat([sites, further], ignore_index=True)


def _reported(sites: pd.DataFrame, error: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return sites and, in degrees, their reported places."""
    places = sites[["x", "y"]].to_numpy()
    if error:
        sd = np.where(sites["design"] == "transect", error / 10, error)
        sites = sites.assign(position_error=sd)
        places = places + rng.normal(size=places.shape) * sd[:, None]
    lon, lat = Transformer.from_crs(REGION_CRS, "EPSG:4326", always_xy=True).transform(*places.T)
    sites.insert(1, "lon", lon.round(5))
    sites.insert(2, "lat", lat.round(5))
    return sites


def _designs(sites: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return the sites' designs: those on the transect along the moisture gradient, then others at random."""
    nearest_first = np.argsort(off_transect(sites["x"].to_numpy(), sites["y"].to_numpy()), kind="stable")
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


def _exact(rng: np.random.Generator, cv: float, size: int) -> np.ndarray:
    """Return the quantiles of a lognormal distribution of mean 1, in random order: noise of exactly that size."""
    sigma = np.sqrt(np.log1p(cv**2))
    probability = (rng.permutation(size) + 0.5) / size
    return np.asarray(lognorm.ppf(probability, sigma, scale=np.exp(-(sigma**2) / 2)))


def _independent(rng: np.random.Generator, cv: float, size: int) -> np.ndarray:
    """Return independent draws from the same distribution."""
    sigma = np.sqrt(np.log1p(cv**2))
    return rng.lognormal(-(sigma**2) / 2, sigma, size)
