"""Area of applicability: where a model may predict, by the dissimilarity from the training sites and their density.

Meyer, H. & Pebesma, E. (2021): Predicting into unknown space? Estimating the area of applicability of spatial
prediction models. Methods in Ecology and Evolution 12:1620–1633, doi 10.1111/2041-210X.13650.
Schumacher, F., Knoth, C., Ludwig, M. & Meyer, H. (2025): Estimation of local training data point densities to support
the assessment of spatial prediction uncertainty. Geosci. Model Dev. 18:10185–10202, doi 10.5194/gmd-18-10185-2025.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from engine.cube.features import Features
from engine.errors import InputError
from engine.forest import native
from engine.storage.atomic import write_file
from engine.storage.npz import from_npz, npz
from engine.storage.paths import OutPath, read_file
from engine.validation.error_profile import UNKNOWN, ErrorProfile

NEIGHBOURS = 64
"""Neighbours of a site in which one of another fold is looked for before its fold is searched as a whole."""

BLOCK = 4_000_000
"""Distances held at once, 32 MB."""


@dataclass(frozen=True, eq=False)
class Applicability:
    """Area of applicability: the training data that dissimilarity is measured from, and its threshold.

    Numbers are divided by their standard deviation over the sites and multiplied by their importance. Two classes of a
    category are as far apart as one standard deviation of a number of the same importance, however many classes there
    are. The dissimilarity of a cell is the Euclidean distance to the nearest training site over the mean distance of
    all pairs of sites.

    Attributes
    ----------
    names : tuple of str
        Columns of the design matrix.
    scale : ndarray of float64, shape (columns,)
        What a column is multiplied by; 0 leaves it out.
    constant : tuple of str
        Covariates that do not vary over the sites: the model cannot have learnt from them, and they are left out.
    points : ndarray of float64, shape (sites, columns)
        Training sites, scaled.
    mean_distance : float
        Mean distance of all pairs of sites, scaled.
    training : ndarray of float32, shape (repeats, sites)
        Dissimilarity of each site from the nearest one in another fold.
    threshold : float
        Largest dissimilarity in the area of applicability: the largest training dissimilarity that is no outlier (see
        `upper_whisker`), averaged over the repeats.
    density : ndarray of int32, shape (sites,)
        Local point density of each site under the first repeat: only sites of its other folds count.
    profile : ErrorProfile
        Error to expect at a local point density.
    """

    names: tuple[str, ...]
    scale: np.ndarray
    constant: tuple[str, ...]
    points: np.ndarray
    mean_distance: float
    training: np.ndarray
    threshold: float
    density: np.ndarray
    profile: ErrorProfile = UNKNOWN

    @classmethod
    def fit(
        cls, x: np.ndarray, columns: Features, importance: np.ndarray, folds: Sequence[np.ndarray]
    ) -> "Applicability":
        """Learn from the training sites.

        Parameters
        ----------
        x : ndarray of float32, shape (sites, columns)
            Design matrix, without missing values.
        columns : Features
            Its columns.
        importance : ndarray, shape (columns,)
            Of each column in the model, in any unit. A covariate weighs as much as its columns together; less than 0,
            as permutation may give, counts as 0.
        folds : sequence of ndarray of int, shape (sites,)
            Per repeat of the cross-validation, the fold that each site is held out in.

        Raises
        ------
        InputError
            If there is nothing to tell sites apart by, or a repeat has one fold only.
        """
        x, importance = np.asarray(x, "float64"), np.asarray(importance, "float64")
        _check(x, columns, importance, folds)
        scale, constant = _scale(x, columns, importance)
        points = x * scale
        mean = _mean_distance(points)
        training = (_nearest_in_other_folds(points[:, scale > 0], folds) / mean).astype("float32")
        # As a float32, like the dissimilarities, so that rounding never decides on a cell at the threshold.
        threshold = float(np.float32(np.mean([upper_whisker(repeat) for repeat in training])))
        density = _density_in_other_folds(points[:, scale > 0], folds[0], mean, threshold)
        return cls(tuple(columns.names), scale, constant, points, mean, training, threshold, density)

    def dissimilarity(self, x: np.ndarray) -> np.ndarray:
        """Compute the dissimilarity of cells from the training sites.

        Each row's number depends on that row only, whichever rows come with it.

        Parameters
        ----------
        x : ndarray of float32, shape (cells, columns)
            Design matrix; a row with a value that is not finite is missing. A category of unknown class looks like none
            of them: mask it by `Features.complete`.

        Returns
        -------
        ndarray of float32, shape (cells,)
            0 at a training site, 1 as far from the nearest one as sites are from one another on average; NaN where
            missing.
        """
        known, used = self._known(x), self.scale > 0
        result = np.full(len(x), np.nan, "float32")
        squared = _nearest(x if known.all() else x[known], np.flatnonzero(used), self.scale[used], self.points[:, used])
        result[known] = np.sqrt(squared) / self.mean_distance
        return result

    def local_point_density(self, x: np.ndarray) -> np.ndarray:
        """Count the training sites whose dissimilarity from a cell is below the threshold.

        Each row's number depends on that row only, and is 0 exactly where `dissimilarity` is not below the threshold.

        Parameters
        ----------
        x : ndarray of float32, shape (cells, columns)
            As for `dissimilarity`.

        Returns
        -------
        ndarray of int32, shape (cells,)
            −1 where missing.
        """
        known, used = self._known(x), self.scale > 0
        result = np.full(len(x), -1, "int32")
        within = x if known.all() else x[known]
        result[known] = _within(within, np.flatnonzero(used), self.scale[used], self.points[:, used], self._bound)
        return result

    @cached_property
    def _bound(self) -> float:
        """The least squared distance whose dissimilarity, rounded as it is, is not below the threshold."""
        low, high = (int(np.float64(end).view("int64")) for end in (0.0, np.inf))  # as integers, in the same order
        while low < high:
            middle = (low + high) // 2
            distance = np.sqrt(np.int64(middle).view("float64"))
            with np.errstate(over="ignore"):  # to infinity
                below = np.float32(distance / self.mean_distance) < np.float32(self.threshold)
            low, high = (middle + 1, high) if below else (low, middle)
        return float(np.int64(low).view("float64"))

    def _known(self, x: np.ndarray) -> np.ndarray:
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise ValueError(f"expected cells × {len(self.names)} columns ({', '.join(self.names)}), got {x.shape}")
        return np.asarray(np.isfinite(x).all(axis=1))

    def applicable(self, dissimilarity: np.ndarray) -> np.ndarray:
        """Return whether cells are in the area of applicability; bool, False where the dissimilarity is missing."""
        return np.asarray(dissimilarity <= self.threshold)

    def save(self, path: OutPath) -> None:
        """Write to an `.npz` file, which appears whole or not at all."""
        content = {
            "names": np.array(self.names),
            "scale": self.scale,
            "constant": np.array(self.constant, dtype=str),
            "points": self.points,
            "mean_distance": self.mean_distance,
            "training": self.training,
            "threshold": self.threshold,
            "density": self.density,
            "profile_density": self.profile.density,
            "profile_error": self.profile.error,
            "profile_p_value": self.profile.p_value,
        }
        write_file(path, npz(content))

    @classmethod
    def load(cls, path: OutPath, digest: str | None = None) -> "Applicability":
        """Read what `save` wrote.

        Parameters
        ----------
        digest : str, optional
            SHA-256 that the file must have.

        Raises
        ------
        InputError
            If the file is missing, damaged, or not the one with this hash.
        """
        try:
            content = read_file(path)
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise InputError(f"{path}: has changed since the run began; run again")
            arrays = from_npz(content)
            return cls(
                names=tuple(arrays["names"].tolist()),
                scale=arrays["scale"],
                constant=tuple(arrays["constant"].tolist()),
                points=arrays["points"],
                mean_distance=float(arrays["mean_distance"]),
                training=arrays["training"],
                threshold=float(arrays["threshold"]),
                density=arrays["density"],
                profile=ErrorProfile(
                    arrays["profile_density"], arrays["profile_error"], float(arrays["profile_p_value"])
                ),
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: holds no area of applicability ({error}); run the stage `train`") from error


def _nearest(
    x: np.ndarray, columns: np.ndarray, scale: np.ndarray, points: np.ndarray, *, compiled: bool | None = None
) -> np.ndarray:
    """Return the squared distance of cells from the nearest point, in some columns of `x`, each times its scale.

    Float32 by compiled code where this installation has it, else by NumPy; the same to the bit.
    """
    if native.is_built() and x.dtype == np.float32 if compiled is None else compiled:
        return native.module().nearest(x, columns, scale, points, "")
    scaled = (x[:, columns].astype("float64") * scale).T
    nearest = np.full(len(x), np.inf)
    for point in points:
        distance = np.zeros(len(x))
        for values, place in zip(scaled, point, strict=True):
            distance += (values - place) * (values - place)
        np.minimum(nearest, distance, out=nearest)
    return nearest


def _within(
    x: np.ndarray,
    columns: np.ndarray,
    scale: np.ndarray,
    points: np.ndarray,
    bound: float,
    *,
    compiled: bool | None = None,
) -> np.ndarray:
    """Count the points whose squared distance from cells is below a bound; otherwise as `_nearest`."""
    if native.is_built() and x.dtype == np.float32 if compiled is None else compiled:
        return native.module().within(x, columns, scale, points, bound, "")
    scaled = (x[:, columns].astype("float64") * scale).T
    count = np.zeros(len(x), "int32")
    for point in points:
        distance = np.zeros(len(x))
        for values, place in zip(scaled, point, strict=True):
            distance += (values - place) * (values - place)
        count += distance < bound
    return count


def upper_whisker(values: np.ndarray) -> float:
    """Return the upper whisker: the largest value up to the upper quartile plus 1.5 interquartile ranges.

    The paper's threshold. CAST from 0.7.1 takes the limit itself instead, where it is below the largest value.

    Parameters
    ----------
    values : ndarray, shape (n,)
    """
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(values[values <= upper + 1.5 * (upper - lower)].max())


def _check(x: np.ndarray, columns: Features, importance: np.ndarray, folds: Sequence[np.ndarray]) -> None:
    sites, width = len(x), len(columns.columns)
    if x.shape != (sites, width) or importance.shape != (width,) or any(np.shape(f) != (sites,) for f in folds):
        raise ValueError(
            f"{width} columns need x of shape (sites, {width}), importance ({width},), folds (sites,); "
            f"got {x.shape}, {importance.shape}, {[np.shape(f) for f in folds]}"
        )
    if not (np.isfinite(x).all() and np.isfinite(importance).all()):
        raise ValueError("x and importance must be finite")
    if not folds:
        raise ValueError("give the folds of at least one repeat")
    single = [repeat for repeat, fold in enumerate(folds) if np.ptp(fold) == 0]
    if single:
        raise InputError(
            f"area of applicability: all {sites} sites are in one fold in repeat {single[0]} ({len(single)} such "
            "repeats); the threshold needs sites that are held out. Use more folds or smaller blocks."
        )


def _scale(x: np.ndarray, columns: Features, importance: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the factor of each column, and the covariates that are the same at every site."""
    varies = np.ptp(x, axis=0) > 0
    scale, constant = np.zeros(len(importance)), []
    for covariate in columns.covariates:
        own = np.array([column.covariate == covariate for column in columns.columns])
        is_number = columns.columns[own.argmax()].class_code is None
        if not varies[own].any():
            constant.append(covariate)
            continue
        # One-hot classes are √2 apart, a class that no site has as far from the others as these from one another.
        unit = x[:, own].std(axis=0, ddof=1) if is_number else np.sqrt(2)
        scale[own] = max(importance[own].sum(), 0.0) / unit
    if not scale.any():
        left_out = f" ({', '.join(constant)}: the same at all {len(x)} sites)" if constant else ""
        raise InputError(
            f"area of applicability: no covariate with any importance varies over the sites{left_out}; the model "
            "predicts one number everywhere. Give it covariates that differ between sites."
        )
    return scale, tuple(constant)


def _mean_distance(points: np.ndarray) -> float:
    """Average the distance of all pairs of points, some rows of the distance matrix at a time."""
    n = len(points)
    rows = max(1, BLOCK // n)
    total = sum(cdist(points[start : start + rows], points).sum() for start in range(0, n, rows))
    return float(total / (n * (n - 1)))


def _nearest_in_other_folds(points: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the distance of each point to the nearest one in another fold, shape (repeats, points)."""
    distances, neighbours = cKDTree(points).query(points, k=min(len(points), NEIGHBOURS))
    nearest = np.empty((len(folds), len(points)))
    for result, fold in zip(nearest, folds, strict=True):
        elsewhere = fold[neighbours] != fold[:, None]
        result[:] = distances[np.arange(len(points)), elsewhere.argmax(axis=1)]
        surrounded = ~elsewhere.any(axis=1)
        for number in np.unique(fold[surrounded]):
            rows = surrounded & (fold == number)
            result[rows] = cKDTree(points[fold != number]).query(points[rows])[0]
    return nearest


def _density_in_other_folds(points: np.ndarray, fold: np.ndarray, mean: float, threshold: float) -> np.ndarray:
    """Count, for each point, those of other folds whose dissimilarity is below the threshold; some rows at a time."""
    n = len(points)
    rows = max(1, BLOCK // n)
    density = np.empty(n, "int32")
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        near = (cdist(points[part], points) / mean).astype("float32") < np.float32(threshold)
        density[part] = (near & (fold[part, None] != fold)).sum(axis=1)
    return density
