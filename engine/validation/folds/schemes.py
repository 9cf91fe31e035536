"""Random and block folds."""

import math

import numpy as np
from pyproj import Proj

from engine.errors import Finding, InputError
from engine.grid.sphere import EARTH_RADIUS_KM, places, to_sphere

BLOCKS_PER_FOLD = 10
"""Blocks per fold in a wholly sampled domain, where no range of spatial correlation gives the block's size."""

_PLACEMENTS = 20


def random_folds(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffle sites into folds whose sizes differ by one at most.

    Parameters
    ----------
    n, k : int
        Sites and folds.

    Returns
    -------
    ndarray of int, shape (n,)
        The fold of each site, 0 … k-1.

    Raises
    ------
    InputError
        If there are fewer sites than folds.
    """
    require_sites(n, k)
    return rng.permutation(np.arange(n) % k)


def block_folds(lon: np.ndarray, lat: np.ndarray, k: int, rng: np.random.Generator, *, size_km: float) -> np.ndarray:
    """Make folds of spatial blocks (Roberts et al. 2017): whole square blocks are held out.

    Blocks are squares on a Lambert azimuthal equal-area plane centred on the sites, the grid placed at random. They
    go to the folds largest first, each to the fold that has fewest sites so far, ties at random.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Sites, degrees.
    k : int
        Folds.
    size_km : float
        Side of a block. It should reach the range of spatial correlation of the residuals.

    Returns
    -------
    ndarray of int, shape (n,)
        The fold of each site, 0 … k-1.

    Raises
    ------
    InputError
        If there are fewer places than folds, or fewer blocks that hold sites in each of 20 placements of the grid.
    """
    if not (size_km > 0 and math.isfinite(size_km)):
        raise InputError(Finding(f"expected a length in km above 0; found {size_km:g}.", "model.validation.block_km"))
    xyz = to_sphere(lon, lat)
    require_places(xyz, k)
    plane = _local_plane(xyz, lon, lat)
    most = 0
    for _ in range(_PLACEMENTS):
        block = _blocks(plane, size_km, rng)
        most = max(most, int(block.max()) + 1)
        if most >= k:
            return _balanced(np.bincount(block), k, rng)[block]
    fitting = _fitting_size(plane, size_km, k, rng)
    fewer = f", or at most {most} folds (model.validation.folds)" if most > 1 else ""
    raise InputError(
        Finding(
            f"{size_km:g} km is too large: {k} folds need at least {k} blocks that hold "
            f"sites, but the {len(xyz)} sites lie in {most}. Use blocks of {fitting:.3g} km or smaller{fewer}.",
            "model.validation.block_km",
        )
    )


def squares(lon: np.ndarray, lat: np.ndarray, size_km: float) -> np.ndarray:
    """Return the square of the plane that each site lies in, on a grid about the sites' centre.

    Returns
    -------
    ndarray of int, shape (n,)
        0 … occupied squares - 1.
    """
    plane = _local_plane(to_sphere(lon, lat), lon, lat)
    return np.unique(np.floor(plane / size_km + 0.5), axis=0, return_inverse=True)[1].ravel()


def default_block_size_km(area_km2: float, k: int) -> float:
    """Return the side of a block if the range of spatial correlation is unknown: ten blocks per fold fill the domain.

    A rule of thumb, not an estimate: it yields blocks that are large beside the spacing of the sites and small beside
    the domain, but only a variogram tells how far correlation reaches.

    Parameters
    ----------
    area_km2 : float
        Area of the domain.
    k : int
        Folds.

    Returns
    -------
    float
        km, √(area / 10 k).
    """
    if not (area_km2 > 0 and math.isfinite(area_km2)):
        raise InputError(
            Finding(f"expected an area above 0 km² to derive a block size from; found {area_km2:g}.", "domain")
        )
    return math.sqrt(area_km2 / (BLOCKS_PER_FOLD * k))


def require_sites(n: int, k: int) -> None:
    """Refuse fewer than two folds, and fewer sites than folds."""
    if k < 2:
        raise InputError(Finding(f"expected 2 or more; found {k}.", "model.validation.folds"))
    if n < k:
        raise InputError(
            Finding(
                f"{k} folds need at least {k} sites; {n} can be used. "
                "Use fewer folds, or see profiles.parquet for why sites were excluded.",
                "model.validation.folds",
            )
        )


def require_places(xyz: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct places of the sites, see `sphere.places`; refuse fewer of them than folds."""
    require_sites(len(xyz), k)
    distinct, place = places(xyz)
    if len(distinct) == 1:
        raise InputError(
            Finding(
                f"all {len(xyz)} sites share one place, so spatial cross-validation cannot hold any of them "
                "apart. Check the longitude and latitude columns, or use the scheme `random`.",
                "observations",
            )
        )
    if len(distinct) < k:
        raise InputError(
            Finding(
                f"the {len(xyz)} sites lie at only {len(distinct)} distinct places, and spatial "
                f"folds keep sites of one place together: {k} folds need at least {k} places. "
                f"Use at most {len(distinct)} folds, or the scheme `random`.",
                "model.validation.folds",
            )
        )
    return distinct, place


def _local_plane(xyz: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return equal-area coordinates around the sites' centre, km, shape (n, 2)."""
    x, y, z = xyz.mean(axis=0) / EARTH_RADIUS_KM
    centre = Proj(
        proj="laea",
        lon_0=math.degrees(math.atan2(y, x)),
        lat_0=math.degrees(math.atan2(z, math.hypot(x, y))),
        units="km",
    )
    return np.column_stack(centre(np.asarray(lon, float), np.asarray(lat, float), errcheck=True))


def _blocks(plane: np.ndarray, size_km: float, rng: np.random.Generator) -> np.ndarray:
    """Return the block of each site, 0 … occupied blocks - 1, on a grid with a random origin."""
    cells = np.floor(plane / size_km + rng.random(2))
    return np.unique(cells, axis=0, return_inverse=True)[1].ravel()


def _balanced(sizes: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Assign blocks to folds: largest block first, to the lightest fold."""
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load = np.zeros(k, int)
    fold_of = np.empty(len(sizes), int)
    for block in order:
        lightest = rng.choice(np.flatnonzero(load == load.min()))
        fold_of[block] = lightest
        load[lightest] += sizes[block]
    return fold_of


def _fitting_size(plane: np.ndarray, size_km: float, k: int, rng: np.random.Generator) -> float:
    """Return a block size that works, found by halving one that is too large; k places guarantee that it exists."""
    while _blocks(plane, size_km, rng).max() + 1 < k:
        size_km /= 2
    return size_km
