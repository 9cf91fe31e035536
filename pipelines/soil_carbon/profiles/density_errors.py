"""Errors that all bulk densities share which one function has filled."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import curve_fit

from engine.errors import Finding, InputError
from pipelines.soil_carbon.profiles.gap_filling import BulkDensityFunction, exponential
from pipelines.soil_carbon.profiles.pedotransfer import FUNCTIONS, Pedotransfer

DENSEST = 2.65
"""g/cm³, of quartz: no drawn bulk density is higher."""


@dataclass(frozen=True)
class DensityErrors:
    """Errors of filled bulk densities.

    Parameters
    ----------
    function : BulkDensityFunction, Pedotransfer or None
        What filled them; None where none is filled.
    relative : float or None
        Relative SD of all of them together; None: the sampling covariance of fitted coefficients, or the spread of the
        published functions.
    soc, bulk_density : ndarray, shape (layers,)
        g/kg and g/cm³, after filling.
    filled : ndarray of bool, shape (layers,)
        Whether the layer's bulk density is.
    site : ndarray of int, shape (layers,)
    """

    function: BulkDensityFunction | Pedotransfer | None
    relative: float | None
    soc: np.ndarray
    bulk_density: np.ndarray
    filled: np.ndarray
    site: np.ndarray

    @property
    def of_coefficients(self) -> bool:
        """Whether it is the coefficients that are drawn."""
        return isinstance(self.function, BulkDensityFunction) and self.relative is None

    @cached_property
    def sd(self) -> np.ndarray:
        """Relative SD of each layer's bulk density, shape (layers,); 0 of those that are measured."""
        if self.function is None:
            return np.zeros(len(self.soc))
        if self.relative is not None:
            values = np.full(len(self.soc), self.relative)
        elif isinstance(self.function, Pedotransfer):
            values = spread_of_functions(self.soc)
        else:
            slopes = np.stack([np.full(len(self.soc), 1 / self.function.a), self.soc])
            values = np.sqrt(np.square(self._root.T @ slopes).sum(axis=0))
        return np.where(self.filled, values, 0.0)

    def factors(self, soc: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return drawn bulk densities over the filled ones, shape (layers,); 1 of those that are measured.

        Parameters
        ----------
        soc : ndarray, shape (layers,)
            Drawn, g/kg.
        z : ndarray, shape (2,)
            Standard normal.
        """
        result = np.ones(len(self.soc))
        if self.filled.any():
            drawn = np.clip(self._drawn(soc, z), 0.0, DENSEST)
            result[self.filled] = drawn[self.filled] / self.bulk_density[self.filled]
        return result

    def _drawn(self, soc: np.ndarray, z: np.ndarray) -> np.ndarray:
        # The mean of the factor is 1.
        common = np.exp(self.sd * z[0] - self.sd**2 / 2)
        if isinstance(self.function, Pedotransfer):
            return self.function(np.minimum(soc, self.function.highest)) * common
        a, b = self._refitted(soc)
        if not self.of_coefficients:
            return np.asarray(exponential(soc, a, b) * common)
        a, b = np.array([a, b]) + self._root @ z
        return np.asarray(exponential(soc, a, b))

    @cached_property
    def _records(self) -> np.ndarray:
        """Layers that the function was fitted to."""
        return np.flatnonzero(~self.filled & np.isfinite(self.bulk_density) & np.isfinite(self.soc))

    @cached_property
    def _root(self) -> np.ndarray:
        """Root of the covariance of a and b, shape (2, 2)."""
        assert isinstance(self.function, BulkDensityFunction)
        rows = self._records
        covariance = coefficients_covariance(self.function, self.soc[rows], self.bulk_density[rows], self.site[rows])
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    def _refitted(self, soc: np.ndarray) -> tuple[float, float]:
        """Return a and b for drawn SOC: it changes the layers that they are fitted to, where those have SOM only."""
        function, rows = self.function, self._records
        assert isinstance(function, BulkDensityFunction)
        if np.array_equal(soc[rows], self.soc[rows]):
            return function.a, function.b
        try:
            (a, b), _ = curve_fit(exponential, soc[rows], self.bulk_density[rows], p0=(function.a, function.b))
        except RuntimeError as error:
            raise InputError(
                Finding(
                    f"bulk density cannot be fitted to drawn SOC ({error}); give a relative SD, e.g. `bulk_density: "
                    "0.1`, name a published function, or draw no errors: `errors: false`.",
                    "observations.errors.bulk_density",
                )
            ) from None
        return float(a), float(b)


def coefficients_covariance(
    function: BulkDensityFunction, soc: np.ndarray, bulk_density: np.ndarray, site: np.ndarray
) -> np.ndarray:
    """Return the sampling covariance of a and b, shape (2, 2), with the layers of a site taken together.

    Parameters
    ----------
    soc, bulk_density : ndarray, shape (layers,)
        Of the records of the fit.
    site : ndarray of int, shape (layers,)

    Notes
    -----
    The sandwich (JᵀJ)⁻¹ Σ (J_gᵀe_g)(J_gᵀe_g)ᵀ (JᵀJ)⁻¹ over sites g, times G / (G − 1) [1]_: layers of one site are off
    in the same direction, and their scatter changes with carbon.

    References
    ----------
    .. [1] Liang, K.-Y., Zeger, S.L. (1986). Longitudinal data analysis using generalized linear models. Biometrika 73,
       13–22. doi 10.1093/biomet/73.1.13
    """
    without = np.exp(function.b * soc)
    jacobian = np.stack([without, function.a * soc * without], axis=1)
    scores = jacobian * (bulk_density - function.a * without)[:, None]
    number = np.unique(site, return_inverse=True)[1]
    of_sites = np.stack([np.bincount(number, column) for column in scores.T])
    bread = np.linalg.inv(jacobian.T @ jacobian)
    n = of_sites.shape[1]
    return np.asarray(bread @ (of_sites @ of_sites.T) @ bread * (n / max(n - 1, 1)))


def spread_of_functions(soc: np.ndarray) -> np.ndarray:
    """Return the SD of the logarithms of the published functions that are made for this carbon, g/kg.

    It is 0.09 at 20 g/kg and 0.20 at 100. In ISRIC-WISE's horizons north of 45° N the carbon that the functions for
    mineral soils give is off by 0.11 to 0.13 (SD between 21 countries), about as much.
    """
    known = np.stack([soc <= function.highest for function in FUNCTIONS.values()])
    values = np.log(np.stack([function(np.minimum(soc, function.highest)) for function in FUNCTIONS.values()]))
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    squares = np.where(known, np.square(values - mean), 0.0).sum(axis=0)
    return np.asarray(np.sqrt(squares / np.maximum(count - 1, 1)))
