"""Spatial correlation of values at points: the empirical semivariogram, and a model fitted to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar, nnls

from engine.grid.sphere import arc, to_sphere

Estimator = Literal["matheron", "cressie-hawkins"]
FEWEST_PAIRS = 30
"""Pairs below which a distance class says little (Journel & Huijbregts 1978)."""
FEWEST_CLASSES = 4
"""Distance classes that three parameters need at the least."""
SIGNIFICANCE = 0.05
_REWEIGHTINGS = 20

Shape = Callable[[np.ndarray], np.ndarray]


def _exponential(distance: np.ndarray) -> np.ndarray:
    return np.exp(-3 * distance)


def _spherical(distance: np.ndarray) -> np.ndarray:
    inside = np.minimum(distance, 1)
    return 1 - 1.5 * inside + 0.5 * inside**3


SHAPES: Mapping[str, Shape] = MappingProxyType({"exponential": _exponential, "spherical": _spherical})
"""Correlation over distance as a fraction of the practical range. Both stay valid on a sphere (Gneiting 2013)."""


@dataclass(frozen=True)
class Semivariogram:
    """Half the mean squared difference of pairs, by class of distance.

    Attributes
    ----------
    distance_km : ndarray, shape (classes,)
        Mean distance of the pairs of a class, ascending.
    semivariance : ndarray, shape (classes,)
        In squared units of the values.
    pairs : ndarray of int, shape (classes,)
    """

    distance_km: np.ndarray
    semivariance: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Variogram:
    """A model of spatial correlation: γ(h) = nugget + sill · (1 − ρ(h)) for h > 0.

    Attributes
    ----------
    model : str
        `exponential`, `spherical`, or `nugget` where no spatial structure was found.
    nugget : float
        Variance of measurement error and of what varies within the shortest distances.
    sill : float
        Variance of the structured part (the partial sill).
    range_km : float
        Practical range: where the structured part's correlation has fallen to 0 (spherical) or 5 % (exponential);
        0 without structure.
    p_value : float
        Of the rise of the semivariances, against values shuffled over the points; NaN if too few to tell.
    empirical : Semivariogram
    note : str
        What the user should know about the fit; empty if nothing.
    """

    model: str
    nugget: float
    sill: float
    range_km: float
    p_value: float = np.nan
    empirical: Semivariogram = field(default_factory=lambda: Semivariogram(*np.empty((3, 0))), repr=False)
    note: str = ""

    def __str__(self) -> str:
        """Return the model in words, as captions and notes state it."""
        if self.range_km == 0:
            return (
                f"pure nugget of {self.nugget:.3g}, {self.note}" if self.note else f"pure nugget of {self.nugget:.3g}"
            )
        words = f"{self.model} variogram, nugget {self.nugget:.3g}, sill {self.sill:.3g}, range {_km(self.range_km)}"
        return f"{words}; {self.note}" if self.note else words

    def structured(self, distance_km: np.ndarray | float) -> np.ndarray:
        """Return covariance of the structured part alone, without the nugget, at any distance, 0 included."""
        distance = np.asarray(distance_km, "float64")
        if self.range_km == 0:
            return np.zeros_like(distance)
        return self.sill * SHAPES[self.model](distance / self.range_km)

    def covariance(self, distance_km: np.ndarray | float) -> np.ndarray:
        """Return C(h): nugget + sill at h = 0, the structured part beyond."""
        return self.structured(distance_km) + self.nugget * (np.asarray(distance_km) == 0)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of points in classes of distance."""

    first: np.ndarray
    second: np.ndarray
    klass: np.ndarray
    distance_km: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, rng: np.random.Generator, cutoff_km: float, classes: int, most: int) -> "_Pairs":
        n = len(points)
        if n * (n - 1) // 2 <= most:
            first, second = np.triu_indices(n, 1)
        else:
            first = rng.integers(0, n, most)
            second = (first + rng.integers(1, n, most)) % n
        distance = great_circle(points[first], points[second])
        near = distance <= cutoff_km
        first, second, distance = first[near], second[near], distance[near]
        # Classes widen with distance: nugget and range are read near the origin, where pairs are few.
        edges = cutoff_km * (np.arange(1, classes) / classes) ** 2
        klass = np.searchsorted(edges, distance)
        klass = _merge_small(np.bincount(klass, minlength=classes))[klass]
        counts = np.bincount(klass)
        sums = np.bincount(klass, distance)
        return cls(first, second, klass, sums / np.maximum(counts, 1), counts)

    def semivariance(self, values: np.ndarray, estimator: Estimator) -> np.ndarray:
        difference = values[self.first] - values[self.second]
        if estimator == "matheron":
            return np.bincount(self.klass, difference**2) / self.counts / 2
        roots = np.bincount(self.klass, np.sqrt(np.abs(difference))) / self.counts
        return roots**4 / (0.457 + 0.494 / self.counts) / 2


def _merge_small(counts: np.ndarray) -> np.ndarray:
    """Return a new class for each class, so that none but perhaps the only one has fewer than `FEWEST_PAIRS`."""
    merged, current, gathered = np.zeros(len(counts), int), 0, 0
    for index, count in enumerate(counts):
        if gathered >= FEWEST_PAIRS and counts[index:].sum() >= FEWEST_PAIRS:
            current, gathered = current + 1, 0
        merged[index] = current
        gathered += int(count)
    return merged


def _km(distance: float) -> str:
    """Format a distance with three digits and without a power of ten."""
    return f"{distance:,.0f} km" if distance >= 100 else f"{distance:.3g} km"


def great_circle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance, km, between places as `to_sphere` returns them, shape (…, 3)."""
    return arc(np.linalg.norm(a - b, axis=-1))


def fit_variogram(
    lon: np.ndarray,
    lat: np.ndarray,
    values: np.ndarray,
    rng: np.random.Generator,
    *,
    estimator: Estimator = "matheron",
    cutoff_km: float | None = None,
    classes: int = 15,
    max_pairs: int = 500_000,
    permutations: int = 99,
) -> Variogram:
    """Fit an exponential or a spherical model, whichever comes closer, to the semivariances of values at points.

    Nugget and sill follow from the range by non-negative least squares; the range is searched from the shortest class
    of distance to the cutoff. Classes weigh as their number of pairs over the squared fitted semivariance, iterated
    (Cressie 1985). Unless the semivariances rise with distance along one of the models more clearly than in 95 % of
    random permutations of the values over the points, the fit is a pure nugget.

    Parameters
    ----------
    lon, lat : ndarray, shape (n,)
        Degrees; distances are great circles.
    values : ndarray, shape (n,)
        Rows with a value that is not finite are left out.
    rng : Generator
        Draws the pairs where there are more than `max_pairs`, and the permutations.
    estimator : str
        `matheron`, the classical unbiased mean of squares, or `cressie-hawkins`, which resists outliers (Cressie &
        Hawkins 1980) and assumes that the values are otherwise normal.
    cutoff_km : float, optional
        Pairs farther apart do not count; default: a third of the diagonal of the points' extent.
    classes : int
        Classes of distance, before those with fewer than 30 pairs are merged with the next.

    Returns
    -------
    Variogram
    """
    known = np.isfinite(values)
    points, values = to_sphere(lon[known], lat[known]), np.asarray(values, "float64")[known]
    if len(np.unique(values)) < 2:
        return _pure_nugget(0.0, f"{len(values)} points with a value, none different from another: nothing to fit")
    if cutoff_km is None:
        cutoff_km = float(great_circle(points.min(axis=0), points.max(axis=0))) / 3
    pairs = _Pairs.of(points, rng, cutoff_km, classes, max_pairs)
    if len(pairs.counts) < FEWEST_CLASSES:
        note = f"{pairs.counts.sum()} pairs of points within {_km(cutoff_km)} are too few to fit a variogram"
        return _pure_nugget(float(values.var(ddof=1)), note)
    empirical = Semivariogram(pairs.distance_km, pairs.semivariance(values, estimator), pairs.counts)
    p_value = _rise_p_value(pairs, values, empirical, estimator, rng, permutations, cutoff_km)
    if p_value > SIGNIFICANCE:
        nugget = float(np.average(empirical.semivariance, weights=empirical.pairs))
        note = f"no spatial correlation found within {_km(cutoff_km)} (p = {p_value:.2g} against shuffled values)"
        return _pure_nugget(nugget, note, p_value, empirical)
    fits = {name: _fit_shape(shape, empirical, cutoff_km) for name, shape in SHAPES.items()}
    model = min(fits, key=lambda name: fits[name][0])
    _, nugget, sill, range_km = fits[model]
    if sill == 0:
        return _pure_nugget(nugget, f"no rise of the semivariance within {_km(cutoff_km)}", p_value, empirical)
    note = ""
    if range_km > 0.99 * cutoff_km:
        note = (
            f"the semivariance still rises at {_km(cutoff_km)}, the largest distance used: the range is at least that"
        )
    return Variogram(model, nugget, sill, range_km, p_value, empirical, note)


def _pure_nugget(
    nugget: float, note: str, p_value: float = np.nan, empirical: Semivariogram | None = None
) -> Variogram:
    empty = Semivariogram(*np.empty((3, 0)))
    return Variogram("nugget", nugget, 0.0, 0.0, p_value, empirical or empty, note)


def _ranges(empirical: Semivariogram, cutoff_km: float) -> np.ndarray:
    """Return ranges to try, km, from the shortest that the classes can resolve."""
    shortest = min(max(empirical.distance_km[0], cutoff_km / 1000), cutoff_km / 2)
    return np.geomspace(shortest, cutoff_km, 60)


def _rise_p_value(
    pairs: _Pairs,
    values: np.ndarray,
    empirical: Semivariogram,
    estimator: Estimator,
    rng: np.random.Generator,
    permutations: int,
    cutoff_km: float,
) -> float:
    """Return how often shuffled values follow a model curve as closely; classes weigh as their number of pairs."""
    ranges = _ranges(empirical, cutoff_km)
    curves = np.concatenate([1 - shape(empirical.distance_km / ranges[:, None]) for shape in SHAPES.values()])
    root = np.sqrt(empirical.pairs)

    def standard(rows: np.ndarray) -> np.ndarray:
        centred = (rows - np.average(rows, axis=-1, weights=empirical.pairs)[..., None]) * root
        norm = np.linalg.norm(centred, axis=-1, keepdims=True)
        return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)

    shuffled = [pairs.semivariance(rng.permutation(values), estimator) for _ in range(permutations)]
    closeness = (standard(np.stack([empirical.semivariance, *shuffled])) @ standard(curves).T).max(axis=1)
    return float(np.count_nonzero(closeness >= closeness[0]) / len(closeness))


def _fit_shape(shape: Shape, empirical: Semivariogram, cutoff_km: float) -> tuple[float, float, float, float]:
    """Return misfit, nugget, sill and range of one model."""
    ranges = _ranges(empirical, cutoff_km)
    mean = np.average(empirical.semivariance, weights=empirical.pairs)
    fitted = np.full(len(empirical.pairs), mean)
    for _ in range(_REWEIGHTINGS):
        weights = np.sqrt(empirical.pairs) / np.maximum(fitted, mean / 1000)

        def solve(range_km: float, weights: np.ndarray = weights) -> tuple[float, np.ndarray, np.ndarray]:
            rise = 1 - shape(empirical.distance_km / range_km)
            design = np.stack([np.ones_like(rise), rise], axis=1)
            parameters, misfit = nnls(design * weights[:, None], empirical.semivariance * weights)
            return misfit, parameters, design @ parameters

        at = int(np.argmin([solve(range_km)[0] for range_km in ranges]))
        around = ranges[max(at - 1, 0)], ranges[min(at + 1, len(ranges) - 1)]
        refined = minimize_scalar(lambda range_km: solve(range_km)[0], bounds=around, method="bounded").x
        range_km = min(float(ranges[at]), float(refined), key=lambda range_km: solve(range_km)[0])
        before = fitted
        misfit, (nugget, sill), fitted = solve(range_km)
        if np.allclose(fitted, before, rtol=1e-4):
            break
    return float(misfit), float(nugget), float(sill), range_km
