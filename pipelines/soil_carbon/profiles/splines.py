"""Equal-area quadratic splines: smooth depth functions from the means of layers (Bishop et al. 1999)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_banded

from pipelines.soil_carbon.profiles.layers import TOLERANCE

Floats = NDArray[np.float64]

SMOOTHING = 0.1
"""λ, cm: the customary choice for soil profiles (Malone et al. 2009, doi 10.1016/j.geoderma.2009.10.007)."""


@dataclass(frozen=True)
class Spline:
    """Depth functions of profiles: quadratic within a layer, linear between layers, with a continuous slope.

    Parameters
    ----------
    profile : ndarray of int, shape (layers,)
        Which profile a layer belongs to, counted from 0.
    top, bottom : ndarray of float, shape (layers,)
        cm.
    fitted : ndarray of float, shape (layers,)
        The spline's mean over each layer.
    slope_top, slope_bottom : ndarray of float, shape (layers,)
        The spline's derivative at the top and the bottom of each layer, per cm.
    """

    profile: NDArray[np.intp]
    top: Floats
    bottom: Floats
    fitted: Floats
    slope_top: Floats
    slope_bottom: Floats

    @property
    def level(self) -> Floats:
        """The spline at the top of each layer."""
        return self.fitted - (self.bottom - self.top) * (self.slope_top / 3 + self.slope_bottom / 6)

    @property
    def end(self) -> Floats:
        """The spline at the bottom of each layer."""
        return self.fitted + (self.bottom - self.top) * (self.slope_top / 6 + self.slope_bottom / 3)

    @property
    def curvature(self) -> Floats:
        """The quadratic coefficient in each layer: x cm below its top, `level + slope_top · x + curvature · x²`."""
        return (self.slope_bottom - self.slope_top) / (2 * (self.bottom - self.top))

    @property
    def lowest(self) -> Floats:
        """The spline's smallest value in each layer."""
        curvature = self.curvature
        turns = (self.slope_top < 0) & (self.slope_bottom > 0)
        drop = np.divide(np.square(self.slope_top), 4 * curvature, out=np.zeros_like(self.top), where=turns)
        return np.where(turns, self.level - drop, np.minimum(self.level, self.end))

    @property
    def gap(self) -> Floats:
        """Thickness of the gap under each layer, cm; 0 under the last one of a profile."""
        return np.append(np.where(np.diff(self.profile) == 0, _gaps(self.top, self.bottom), 0.0), 0.0)

    def layer_integrals(self, top: ArrayLike, bottom: ArrayLike) -> Floats:
        """Integrate over the part of each layer that lies between `top` and `bottom` (cm), shape (layers,)."""
        start = np.clip(top, self.top, self.bottom) - self.top
        stop = np.clip(bottom, self.top, self.bottom) - self.top
        return self._antiderivative(np.maximum(stop, start)) - self._antiderivative(start)

    def gap_integrals(self, top: ArrayLike, bottom: ArrayLike) -> Floats:
        """Integrate over the part of the gap under each layer between `top` and `bottom` (cm), shape (layers,)."""
        start = np.clip(np.subtract(top, self.bottom), 0, self.gap)
        stop = np.maximum(np.clip(np.subtract(bottom, self.bottom), 0, self.gap), start)
        return (stop - start) * (self.end + self.slope_bottom * (start + stop) / 2)

    def mean(self, top: float, bottom: float) -> Floats:
        """Average each profile's spline from `top` to `bottom` (cm), shape (profiles,); NaN if it does not reach."""
        integrals = self.layer_integrals(top, bottom) + self.gap_integrals(top, bottom)
        means = np.bincount(self.profile, integrals) / (bottom - top)
        start, end = np.full(means.shape, np.inf), np.zeros(means.shape)
        np.minimum.at(start, self.profile, self.top)
        np.maximum.at(end, self.profile, self.bottom)
        return np.where((start <= top + TOLERANCE) & (end >= bottom - TOLERANCE), means, np.nan)

    def _antiderivative(self, x: Floats) -> Floats:
        """Integrate from the top of each layer down to `x` cm below it."""
        return x * (self.level + x * (self.slope_top / 2 + x * self.curvature / 3))


def equal_area_spline(
    top: ArrayLike, bottom: ArrayLike, values: ArrayLike, lam: float = SMOOTHING, profile: Any = None
) -> Spline:
    """Fit equal-area quadratic smoothing splines to the layers of one or many profiles.

    The depth function f that minimises `Σ(y_i − f̄_i)²/n + λ ∫f'(x)² dx` over a profile's n layers, where f̄_i is its
    mean over layer i [1]_. With λ = 0 every layer's mean is the measured one; with λ > 0 the means give way to
    smoothness.

    Between two layers of thickness h and a gap g below the first, quadratic pieces with a continuous slope b need
    `h_i b_{i−1} + (2h_i + 2h_{i+1} + 6g_i) b_i + h_{i+1} b_{i+1} = 6(f̄_{i+1} − f̄_i)`, that is R b = 6 Q f̄, and
    ∫f'² = bᵀR b/6. The minimum has f̄ = y − nλQᵀb, so that b follows from one tridiagonal system,
    `(R + 6nλ QQᵀ) b = 6 Q y`. All profiles are solved in it at once.

    Parameters
    ----------
    top, bottom : array_like of float, shape (layers,)
        cm, profile after profile, each downward.
    values : array_like of float, shape (layers,)
        The layers' means, finite.
    lam : float
        λ, cm; not negative.
    profile : array_like, shape (layers,), optional
        Names the profile of each layer. All layers are of one profile if left out.

    Returns
    -------
    Spline

    Raises
    ------
    ValueError
        No layer, unequal lengths, values that are not finite, or layers of a profile that overlap or are out of order.

    References
    ----------
    .. [1] Bishop, T.F.A., McBratney, A.B., Laslett, G.M. (1999). Modelling soil attribute depth functions with
       equal-area quadratic smoothing splines. Geoderma 91, 27–45. doi 10.1016/S0016-7061(99)00003-8
    """
    tops, bottoms, means = (np.asarray(a, dtype=np.float64) for a in (top, bottom, values))
    names = np.zeros(tops.shape) if profile is None else np.asarray(profile)
    _check(tops, bottoms, means, names)
    joined = names[1:] == names[:-1]
    number = np.append(0, np.cumsum(~joined))
    thickness, gap = bottoms - tops, np.where(joined, _gaps(tops, bottoms), 0.0)
    if (thickness <= 0).any() or (gap < -TOLERANCE).any() or np.unique(names).size <= number[-1]:
        raise ValueError("expected the layers of each profile together, from the top down, without overlaps")
    pull = np.bincount(number)[number][:-1] * lam
    # Profiles do not touch: between two of them the slope is 0, as it is above the first layer and below the last.
    diagonal = np.where(joined, 2 * (thickness[:-1] + thickness[1:]) + 6 * gap + 12 * pull, 1.0)
    beside = np.where(joined[:-1] & joined[1:], thickness[1:-1] - 6 * pull[1:], 0.0)
    bands = np.stack([np.append(0, beside)[: gap.size], diagonal, np.append(beside, 0)[: gap.size]])
    rises = np.where(joined, 6 * np.diff(means), 0.0)
    slopes = solve_banded((1, 1), bands, rises) if gap.size else rises
    above, below = np.append(0.0, slopes), np.append(slopes, 0.0)
    fitted = means + np.bincount(number)[number] * lam * (below - above)
    return Spline(number, tops, bottoms, fitted, above, below)


def _gaps(top: Floats, bottom: Floats) -> Floats:
    """Return the distance from each layer's bottom to the next one's top; 0 for overlaps within the tolerance."""
    gap = top[1:] - bottom[:-1]
    return np.where(np.abs(gap) <= TOLERANCE, 0.0, gap)


def _check(top: Floats, bottom: Floats, values: Floats, profile: NDArray[Any]) -> None:
    if top.ndim != 1 or not top.size or not top.shape == bottom.shape == values.shape == profile.shape:
        raise ValueError(
            f"expected one top, bottom, value and profile per layer; got shapes {top.shape}, {bottom.shape}, "
            f"{values.shape}, {profile.shape}"
        )
    if not (np.isfinite(values).all() and np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise ValueError("expected finite depths and values; leave out the layers that were not measured")
