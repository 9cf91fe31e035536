"""Sites whose places are not exact: where each replicate takes them to be."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from pyproj import Geod

from engine.cube.build import DOMAIN, is_known
from engine.cube.features import Features
from engine.cube.sampling import sample
from engine.ensemble.perturbed import Moved
from engine.seeds import Use, streams
from pipelines.soil_carbon.model.training_table import TrainingTable
from pipelines.soil_carbon.prepared import Prepared
from pipelines.soil_carbon.profiles.sites import POSITION_ERROR

_EARTH = Geod(ellps="WGS84")
Sampled = Callable[[np.ndarray, np.ndarray], pd.DataFrame]
"""Longitude and latitude → the domain and the covariates of the cells that hold the places."""


def drawn_places(
    lon: np.ndarray, lat: np.ndarray, sd: np.ndarray, replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw places about the reported ones: normal, with the same SD east and north.

    Parameters
    ----------
    lon, lat : ndarray, shape (sites,)
        Degrees.
    sd : ndarray, shape (sites,)
        Metres.

    Returns
    -------
    lon, lat : ndarray, shape (replicates, sites)
        Degrees. The first replicates do not depend on how many there are.
    """
    places = []
    for stream in streams(seed, Use.POSITIONS, replicates):
        east, north = np.random.default_rng(stream).standard_normal((2, len(lon))) * sd
        places.append(_EARTH.fwd(lon, lat, np.degrees(np.arctan2(east, north)), np.hypot(east, north))[:2])
    drawn = np.array(places)
    return drawn[:, 0], drawn[:, 1]


def moved_sites(
    sites: pd.DataFrame,
    kept: pd.DataFrame,
    measured: Mapping[str, np.ndarray],
    sampled: Sampled,
    features: Features,
    replicates: int,
    seed: int,
) -> Moved | None:
    """Return the covariates of sites with a position error at the places where each replicate takes them to be.

    Parameters
    ----------
    sites : DataFrame
        Training sites: `lon, lat, position_error`, in the order of the training table.
    kept : DataFrame
        Their covariates at the reported places: they stay where a drawn place lies outside the domain or lacks some.
    measured : mapping
        Covariate → at which sites it was measured, shape (sites,): it stays.
    sampled : callable
        See `Sampled`.

    Returns
    -------
    Moved or None
        None where no site has a position error.
    """
    if POSITION_ERROR not in sites:
        return None
    rows = np.flatnonzero(sites[POSITION_ERROR].to_numpy("float64") > 0)
    if not len(rows):
        return None
    off = sites.iloc[rows]
    degrees_east, degrees_north, sd = (off[c].to_numpy("float64") for c in ("lon", "lat", POSITION_ERROR))
    lon, lat = drawn_places(degrees_east, degrees_north, sd, replicates, seed)
    there = sampled(lon.ravel(), lat.ravel())
    inside = there[DOMAIN].to_numpy() != 0
    for name in kept:
        inside &= is_known(there[name].to_numpy())
    values = {}
    for name in kept:
        own = np.tile(kept[name].to_numpy()[rows], replicates)
        stays = ~inside | np.tile(measured.get(str(name), np.zeros(len(sites), bool))[rows], replicates)
        values[str(name)] = np.where(stays, own, there[name].to_numpy())
    x = features.matrix(values)
    return Moved(rows, x.reshape(replicates, len(rows), x.shape[1]))


def with_positions(training: TrainingTable, prepared: Prepared) -> TrainingTable:
    """Return the training table with the covariates at drawn places, where places are not exact and it is asked for."""
    config = prepared.config
    if not (config.observations.errors.draw and config.observations.errors.positions):
        return training
    names = list(training.features.covariates)
    sites = prepared.profiles.wide().set_index("site").loc[training.table["site"]].reset_index()
    at_site = config.observations.at_site.items()
    moved = moved_sites(
        sites,
        training.table[names],
        {covariate: sites[column].notna().to_numpy() for covariate, column in at_site if covariate in names},
        lambda lon, lat: sample(prepared.directory / "cube.zarr", lon, lat, [DOMAIN, *names]),
        training.features,
        config.model.replicates,
        config.model.seed,
    )
    return replace(training, moved=moved)
