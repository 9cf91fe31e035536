"""Spatially correlated random fields on a plane, and their values anywhere on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import map_coordinates


@dataclass(frozen=True)
class Plane:
    """A regular grid of nodes on a projected plane, rows from north to south.

    Attributes
    ----------
    west, north : float
        The first node, m.
    spacing : float
        Distance of neighbouring nodes, m.
    shape : (int, int)
        Rows and columns.
    """

    west: float
    north: float
    spacing: float
    shape: tuple[int, int]

    @classmethod
    def around(cls, bounds: tuple[float, float, float, float], margin: float, spacing: float) -> "Plane":
        """Return cover bounds (west, south, east, north; m) and a margin (m) on every side."""
        west, south, east, north = bounds
        rows = int(np.ceil((north - south + 2 * margin) / spacing)) + 1
        columns = int(np.ceil((east - west + 2 * margin) / spacing)) + 1
        return cls(west - margin, north + margin, spacing, (rows, columns))

    @cached_property
    def x(self) -> np.ndarray:
        """Easting of the columns, m."""
        return self.west + self.spacing * np.arange(self.shape[1])

    @cached_property
    def y(self) -> np.ndarray:
        """Northing of the rows, m."""
        return self.north - self.spacing * np.arange(self.shape[0])

    def position(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return fractional row and column of places, shape (2, …)."""
        return np.stack([(self.north - y) / self.spacing, (x - self.west) / self.spacing])

    def contains(self, position: np.ndarray) -> np.ndarray:
        """Return which positions lie between the nodes."""
        rows, columns = self.shape
        return (position[0] >= 0) & (position[0] <= rows - 1) & (position[1] >= 0) & (position[1] <= columns - 1)


def interpolate(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Interpolate bilinearly between the nodes, the nearest edge beyond them; float32 of the shape of `position[0]`."""
    return map_coordinates(values, position, output="float32", order=1, mode="nearest")


def correlated_field(rng: np.random.Generator, plane: Plane, ranges: Mapping[float, float]) -> np.ndarray:
    """Draw a Gaussian random field by spectral synthesis: white noise shaped by the root of a spectrum.

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    plane : Plane
        Where the field is wanted.
    ranges : mapping of float to float
        Practical range in km (where the correlation has fallen to exp(−3), about 5 %) → share of the variance. Each
        term has the covariance C(d) = share · exp(−3 d²/range²).

    Returns
    -------
    ndarray of float32, the plane's shape
        Expected mean 0, expected variance the sum of the shares.
    """
    # The transform is periodic: a quarter more on each axis keeps opposite margins apart.
    padded = tuple(next_fast_len(n + n // 4, real=True) for n in plane.shape)
    noise = rng.standard_normal(padded, dtype="float32")
    rows = np.fft.fftfreq(padded[0], plane.spacing / 1000)[:, None]
    columns = np.fft.rfftfreq(padded[1], plane.spacing / 1000)
    squared = (rows**2 + columns**2).astype("float32")
    density = np.zeros_like(squared)
    for reach, share in ranges.items():
        # Fourier transform of the covariance; white noise of variance 1 has the density spacing².
        peak = share * np.pi * reach**2 / 3 / (plane.spacing / 1000) ** 2
        density += peak * np.exp(-((np.pi * reach) ** 2) / 3 * squared)
    field = irfft2(rfft2(noise) * np.sqrt(density), s=padded)
    return field[: plane.shape[0], : plane.shape[1]].astype("float32")


def standardised(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Shift and scale to mean 0 and standard deviation 1 over the nodes inside."""
    return (values - values[inside].mean()) / values[inside].std()


def stretched(values: np.ndarray, inside: np.ndarray, low: float, high: float) -> np.ndarray:
    """Shift and scale so that the values inside run from `low` to `high`; values outside are cut there."""
    lowest, highest = values[inside].min(), values[inside].max()
    return np.clip(low + (values - lowest) * (high - low) / (highest - lowest), low, high)


@dataclass(frozen=True)
class Draw:
    """Draws one independent random field after another, standardised over the region.

    Attributes
    ----------
    plane : Plane
        Where the fields live.
    inside : ndarray of bool
        Nodes of the region.
    seed : SeedSequence
        Every field spawns its own child.
    """

    plane: Plane
    inside: np.ndarray
    seed: np.random.SeedSequence

    def __call__(self, ranges: Mapping[float, float]) -> np.ndarray:
        """Draw the next field: mean 0, standard deviation 1 inside; ranges as in `correlated_field`."""
        rng = np.random.default_rng(self.seed.spawn(1)[0])
        return standardised(correlated_field(rng, self.plane, ranges), self.inside)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values with mean 0 and standard deviation 1 inside."""
        return standardised(values, self.inside)

    def stretched(self, values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """Return values that run from the lower to the upper limit inside."""
        return stretched(values, self.inside, *limits)
