"""Variance components of the error: variances that make the sites' residuals likely, none taken as exact.

The residuals of one output are Gaussian with the covariance

    Σ = Σ_c v_c K_c + v_n diag(g²),

where K_c are those of the mean, the contrast, the covariates, the zones and of space, and g is how large the rest is at
a site. Each standard deviation has a half-normal prior (scales below, in standard deviations of the residuals), so that
a part of which few sites tell little is neither put at zero nor let run away. The mode is found on the log scale.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

PARTS = ("mean", "contrast", "covariates", "zone", "space", "rest")
SPACE, REST = PARTS.index("space"), PARTS.index("rest")
PRIOR = np.array([0.3, 0.3, 0.3, 0.3, 0.5, np.inf])
"""Scale of the half-normal prior of each part's standard deviation; the rest has none."""
_START = np.array([0.15, 0.15, 0.15, 0.15, 0.3, 0.85])
_BOUNDS = (-6.0, 3.0)


@dataclass(frozen=True)
class Fit:
    """Variances of `PARTS`, in squared units of the residuals, and the penalised negative log likelihood."""

    variances: np.ndarray
    misfit: float


def fit_variances(residual: np.ndarray, kernels: np.ndarray, spread: np.ndarray) -> Fit:
    """Find the most plausible variances.

    Parameters
    ----------
    residual : ndarray, shape (n,)
    kernels : ndarray, shape (5, n, n)
        Of the parts but the rest.
    spread : ndarray, shape (n,)
        g, relative size of the rest.
    """
    unit = max(float(residual.std()), 1e-9 * max(float(np.abs(residual).max(initial=0.0)), 1e-9))
    r = residual / unit
    every = np.concatenate([kernels, np.diag(spread**2)[None]])

    def misfit(log_sd: np.ndarray) -> tuple[float, np.ndarray]:
        variances = np.exp(2 * log_sd)
        covariance = np.tensordot(variances, every, 1)
        try:
            factor = cho_factor(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(log_sd)
        inverse = cho_solve(factor, np.eye(len(r)), check_finite=False)
        alpha = inverse @ r
        value = np.log(np.diag(factor[0])).sum() + r @ alpha / 2
        gradient = variances * (np.tensordot(every, inverse - np.outer(alpha, alpha), 2))
        prior = variances / PRIOR**2
        bounded = np.isfinite(PRIOR)
        value += (prior / 2 - log_sd)[bounded].sum()
        gradient += np.where(bounded, prior - 1, 0)
        return float(value), gradient

    start = np.log(_START)
    found = minimize(
        misfit, start, jac=True, method="L-BFGS-B", bounds=[(s + _BOUNDS[0], s + _BOUNDS[1]) for s in start]
    )
    return Fit(np.exp(2 * found.x) * unit**2, float(found.fun) + len(r) * float(np.log(unit)))
