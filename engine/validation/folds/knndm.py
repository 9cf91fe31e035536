"""k-fold nearest-neighbour-distance matching (kNNDM): folds that make cross-validation as hard as the map.

Linnenbrink, J., Milà, C., Ludwig, M., Meyer, H. (2024): kNNDM CV: k-fold nearest-neighbour distance matching
cross-validation for map accuracy estimation. Geoscientific Model Development 17, 5897–5912,
doi 10.5194/gmd-17-5897-2024.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, ward
from scipy.cluster.vq import kmeans2
from scipy.stats import ks_2samp, wasserstein_distance

from engine.errors import Finding, InputError
from engine.grid.sphere import nearest, nearest_other, nearest_outside, to_sphere
from engine.validation.folds.schemes import random_folds, require_places

MAX_LEAVES = 5000
"""Places that a tree is built over, about 200 MB of distances; more places are first gathered into this many groups."""

SIGNIFICANCE = 0.05
"""Of the Kolmogorov–Smirnov test that tells clustered sites."""


@dataclass(frozen=True)
class KnndmFolds:
    """Folds, and how well they imitate the map.

    Attributes
    ----------
    folds : ndarray of int, shape (n,)
        The fold of each site, 0 … k-1.
    w : float
        Wasserstein distance between `gj_star` and `gij`, km: by how much, on average, the distance to the nearest
        training site in cross-validation differs from that when mapping.
    w_random : float
        The same of a random assignment to k folds.
    clusters : int or None
        Clusters that were merged into the folds; None if the folds are random: because the sites are no more
        clustered than the prediction area (`p_value` of 0.05 or more), or because no clustering came closer.
    p_value : float
        Of the one-sided Kolmogorov–Smirnov test that sites are nearer to one another (`gj`) than the prediction area
        is to them (`gij`).
    gij : ndarray, shape (m,)
        Distance from each point of the prediction area to the nearest site, km.
    gj : ndarray, shape (n,)
        Distance from each site to the nearest other site, km.
    gj_star : ndarray, shape (n,)
        Distance from each site to the nearest site of another fold, km.
    """

    folds: np.ndarray
    w: float
    w_random: float
    clusters: int | None
    p_value: float
    gij: np.ndarray
    gj: np.ndarray
    gj_star: np.ndarray


def knndm_folds(
    lon: np.ndarray,
    lat: np.ndarray,
    domain_lon: np.ndarray,
    domain_lat: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    maxp: float = 0.5,
    candidates: int = 100,
    domain_sample: int = 2000,
) -> KnndmFolds:
    """Make folds whose distances from test to training sites match those from the prediction area to all sites.

    Sites that are not clustered get random folds. Others are clustered by Ward's method into q clusters, for
    `candidates` numbers q evenly spaced on a log scale from k to the number of places; each clustering is merged into
    k folds, and the one with the smallest Wasserstein distance is taken, random folds among the candidates.
    Sites at one place are never parted, except by random folds.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Sites, degrees.
    domain_lon, domain_lat : ndarray, shape (m,)
        Points spread over the prediction area, equally dense by area (such as random cells of an equal-area grid).
    k : int
        Folds.
    maxp : float
        Largest share of the sites that a fold may hold.
    candidates : int
        Clusterings to try, at most.
    domain_sample : int
        Points of the prediction area to draw for this call, at most.

    Raises
    ------
    InputError
        If there are fewer places than folds, the domain has no points, or `maxp` leaves no room for k folds.
    """
    sites = to_sphere(lon, lat)
    distinct, place = require_places(sites, k)
    _require_room(len(sites), k, maxp)
    domain = to_sphere(domain_lon, domain_lat)
    if len(domain) == 0:
        raise InputError(Finding("there are no points of the prediction area to match the folds to.", "domain"))
    if len(domain) > domain_sample:
        domain = domain[rng.choice(len(domain), domain_sample, replace=False)]
    gij, gj = nearest(domain, sites), nearest_other(sites)
    folds = random_folds(len(sites), k, rng)
    gj_star = nearest_outside(sites, folds)
    w = w_random = float(wasserstein_distance(gj_star, gij))
    clusters = None
    # Alternative "greater": the distribution function of gj lies above, that is, sites are nearer to one another.
    p_value = float(ks_2samp(gj, gij, alternative="greater", method="asymp").pvalue)
    if p_value < SIGNIFICANCE:
        along = _first_component(sites)
        for labels in _clusterings(distinct, k, candidates, rng):
            candidate = _merge(labels[place], along, k, rng)
            if candidate is None or np.bincount(candidate).max() > maxp * len(sites):
                continue
            distance = nearest_outside(sites, candidate)
            match = float(wasserstein_distance(distance, gij))
            if match < w:
                folds, gj_star, w, clusters = candidate, distance, match, int(labels.max()) + 1
    return KnndmFolds(folds, w, w_random, clusters, p_value, gij, gj, gj_star)


def _require_room(n: int, k: int, maxp: float) -> None:
    fullest = math.ceil(n / k)
    if not fullest <= maxp * n <= n:
        raise InputError(
            f"maxp: expected a share of the sites from {fullest / n:.3g} ({fullest} of {n}, the "
            f"fullest of {k} equal folds) to 1; found {maxp:g}."
        )


def _clusterings(distinct: np.ndarray, k: int, candidates: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Yield clusterings of the places with more and more clusters.

    Ward's method needs Euclidean distances, which chords are. Beyond `MAX_LEAVES` places k-means makes that many
    groups first, since the tree's memory grows with the square of its leaves.

    Returns
    -------
    list of ndarray of int, shape (p,)
        The cluster of each place, 0 … q-1.
    """
    leaves, leaf = distinct, np.arange(len(distinct))
    if len(distinct) > MAX_LEAVES:
        with warnings.catch_warnings():
            # A group that loses its places to its neighbours does no harm: the tree gets a leaf less.
            warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
            centres, leaf = kmeans2(distinct, MAX_LEAVES, iter=10, minit="points", rng=rng)
        used, leaf = np.unique(leaf, return_inverse=True)
        leaves = centres[used]
    tree = ward(leaves)
    numbers = np.unique(np.geomspace(k, len(leaves), candidates).round().astype(int))
    return [np.unique(fcluster(tree, q, "maxclust"), return_inverse=True)[1][leaf] for q in numbers]


def _first_component(xyz: np.ndarray) -> np.ndarray:
    """Return each site's place on the first principal component, its sign fixed; shape (n,)."""
    centred = xyz - xyz.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return centred @ (axis * np.sign(axis[np.argmax(np.abs(axis))]))


def _merge(labels: np.ndarray, along: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray | None:
    """Merge clusters into k folds, or return None if a fold would stay empty.

    A cluster of n/k sites or more is a fold of its own. The others are dealt to the remaining folds in rounds along the
    first principal component, each round in a new random order: small clusters of one fold lie apart from one another.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        The cluster of each site.
    along : ndarray, shape (n,)
        Its place on the first principal component.
    """
    sizes = np.bincount(labels)
    order = np.argsort(np.bincount(labels, weights=along) / sizes, kind="stable")
    large = sizes[order] * k >= len(labels)
    small, free = order[~large], np.arange(large.sum(), k)
    if len(small) < len(free):
        return None
    fold_of = np.empty(len(sizes), int)
    fold_of[order[large]] = np.arange(large.sum())
    if len(small):
        rounds = math.ceil(len(small) / len(free))
        fold_of[small] = np.concatenate([rng.permutation(free) for _ in range(rounds)])[: len(small)]
    return fold_of[labels]
