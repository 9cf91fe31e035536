"""Error to expect of a prediction, from how many training sites are like it: an error profile.

Schumacher, F., Knoth, C., Ludwig, M. & Meyer, H. (2025): Estimation of local training data point densities to support
the assessment of spatial prediction uncertainty. Geosci. Model Dev. 18:10185–10202, doi 10.5194/gmd-18-10185-2025.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

WINDOW = 5
"""Sites whose errors are taken together, as in the paper."""


@dataclass(frozen=True, eq=False)
class ErrorProfile:
    """Error to expect at a local point density; it never grows with the density.

    Attributes
    ----------
    density : ndarray of float64, shape (corners,)
        Ascending, 1 or more; corners of a line that is flat beyond its ends. Empty: nothing is known.
    error : ndarray of float64, shape (corners,)
        Expected there, in units of the map.
    p_value : float
        How probable it is that absolute deviations fall as much with the density by chance (Spearman's rank
        correlation, one-sided, as if sites were independent); NaN where it cannot be told. The line falls by chance,
        too: where this is not small, there may be no difference.
    """

    density: np.ndarray
    error: np.ndarray
    p_value: float = np.nan

    @classmethod
    def fit(
        cls, density: np.ndarray, deviation: np.ndarray, metric: Literal["rmse", "mae"] = "rmse", window: int = WINDOW
    ) -> "ErrorProfile":
        """Fit to the errors of a cross-validation.

        Sites are put in the order of their density. The error of each window of successive sites belongs to the density
        of the site in its middle; an isotonic regression makes of these the nearest line (least squares) that does not
        grow. Sites of density 0 are outside the area of applicability and do not count.

        Parameters
        ----------
        density : ndarray of int, shape (sites,)
            Local point density of sites that are held out: how many that are not are like them.
        deviation : ndarray, shape (sites,)
            Prediction less observation.
        metric : {"rmse", "mae"}
            Root of the mean squared deviation, or mean absolute deviation.
        window : int
            Sites; all where they are fewer.
        """
        inside = np.flatnonzero(density > 0)
        if not inside.size:
            return UNKNOWN
        order = inside[np.argsort(density[inside], kind="stable")]
        window = min(window, order.size)
        middle = density[order][(window - 1) // 2 :][: order.size - window + 1]
        size = np.abs(deviation[order].astype("float64"))
        windows = np.lib.stride_tricks.sliding_window_view(size, window)
        error = np.sqrt((windows**2).mean(axis=1)) if metric == "rmse" else windows.mean(axis=1)
        fitted = IsotonicRegression(increasing=False).fit(middle.astype("float64"), error)
        line = fitted.X_thresholds_.astype("float64"), fitted.y_thresholds_.astype("float64")
        if order.size < 3 or np.ptp(density[order]) == 0 or np.ptp(size) == 0:
            return cls(*line)
        return cls(*line, float(spearmanr(density[order], size, alternative="less").pvalue))

    def at(self, density: np.ndarray) -> np.ndarray:
        """Return the error to expect at local point densities; float64, NaN at densities below 1 and where unknown."""
        if not self.density.size:
            return np.full(density.shape, np.nan)
        return np.where(density > 0, np.interp(density, self.density, self.error), np.nan)


UNKNOWN = ErrorProfile(np.empty(0), np.empty(0))
"""Of a model without a cross-validation."""
