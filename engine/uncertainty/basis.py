"""Directions in which a whole map may be wrong: its mean, its contrast, along each covariate, zone by zone."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Basis:
    """Columns that the systematic error is linear in.

    Column 0 is constant, column 1 is the prediction of the first output (trees pull it towards the mean), then come
    the columns of the design matrix, and one column per zone. All but the first and the zones have mean 0 and standard
    deviation 1 over the training sites, and values beyond the range of the sites are taken as those at its ends, so
    that no error is extrapolated.

    Attributes
    ----------
    centre, scale, low, high : ndarray, shape (1 + columns,)
        Of the prediction and of each column of the design matrix; a column that is the same at all sites has scale 0.
    zones : int
        Zones 1 … `zones`; a cell of zone 0 is in none.
    """

    centre: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    zones: int

    @classmethod
    def of(cls, prediction: np.ndarray, x: np.ndarray, zones: int) -> "Basis":
        """Build the basis from training sites: out-of-bag predictions (sites,) and design matrix (sites, columns)."""
        values = np.column_stack([prediction, x]).astype("float64")
        low, high = values.min(axis=0), values.max(axis=0)
        return cls(values.mean(axis=0), np.where(low < high, values.std(axis=0), 0.0), low, high, zones)

    @property
    def size(self) -> int:
        """Number of columns."""
        return 1 + len(self.centre) + self.zones

    def columns(self, prediction: np.ndarray, x: np.ndarray, zone: np.ndarray) -> np.ndarray:
        """Return the columns of cells or sites.

        Parameters
        ----------
        prediction : ndarray, shape (n,)
            Of the first output.
        x : ndarray, shape (n, columns)
            Design matrix.
        zone : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n, size)
        """
        result = np.zeros((len(x), self.size))
        result[:, 0] = 1
        values = result[:, 1 : 1 + len(self.centre)]
        values[:, 0], values[:, 1:] = prediction, x
        np.clip(values, self.low, self.high, out=values)
        values -= self.centre
        values *= np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        inside = np.flatnonzero(zone)
        result[inside, len(self.centre) + np.asarray(zone)[inside]] = 1
        return result

    def variances(self, mean: float, contrast: float, covariates: float, zone: float) -> np.ndarray:
        """Return the prior variance of each column's coefficient; that of the covariates is shared among them."""
        columns = len(self.centre) - 1
        return np.concatenate(
            [[mean, contrast], np.full(columns, covariates / max(columns, 1)), np.full(self.zones, zone)]
        )
