"""Quantiles of new observations at places of one's own, from what an ensemble says there and at its sites."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.ensemble.statistics import over_replicates
from engine.uncertainty.cells import cell_moments
from engine.uncertainty.core_intervals import core_quantiles
from engine.uncertainty.error_model import fit_error_model


@dataclass(frozen=True)
class Located:
    """Where some places are.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        On the grid's plane, in its units.
    zone : ndarray of int, shape (n,)
        1 … zones; 0 for none.
    zones : int
        How many there are.
    extent : float
        Longer side of the map, in the plane's units.
    """

    x: np.ndarray
    y: np.ndarray
    zone: np.ndarray
    zones: int
    extent: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        numbers = [np.asarray(values, "float64") for values in (self.x, self.y, self.zone, [self.zones, self.extent])]
        return hashlib.sha256(b"".join(values.tobytes() for values in numbers)).hexdigest()

    def only(self, rows: np.ndarray) -> "Located":
        """Return some of the places, by a mask or by their numbers."""
        return Located(self.x[rows], self.y[rows], self.zone[rows], self.zones, self.extent)


@dataclass(frozen=True)
class Predictions:
    """What all replicates predict of the first output at places, in the bag or not.

    Attributes
    ----------
    x : ndarray, shape (n, columns)
        Design matrix.
    first : ndarray, shape (replicates, n)
    at : Located
    """

    x: np.ndarray
    first: np.ndarray
    at: Located


def observation_quantiles(
    sites: Predictions,
    new: Predictions,
    *,
    observed: np.ndarray,
    out_of_bag: np.ndarray,
    coefficients: np.ndarray,
    probabilities: Sequence[float],
    seed: int,
    least: float = -np.inf,
) -> np.ndarray | None:
    """Fit the joint model of the errors to sites and return the quantiles of observations at new places.

    They are those of a map that the ensemble made: `core_quantiles`.

    Parameters
    ----------
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    out_of_bag : ndarray, shape (replicates, sites)
        Predictions of the first output; NaN where the site is in the bag.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of every output on the first.
    probabilities : sequence of float
        Between 0 and 1.
    seed : int
        Of which sites are taken where there are very many.
    least : float
        Lowest value that an observation can have.

    Returns
    -------
    ndarray of float64, shape (probabilities, outputs, new places), or None
        None where the sites are too few for a model: see `fit_error_model`.
    """
    model = fit_error_model(
        observed=observed, out_of_bag=out_of_bag, predicted=sites.first, coefficients=coefficients, design=sites.x,
        zone=sites.at.zone, zones=sites.at.zones, x=sites.at.x, y=sites.at.y, seed=seed, extent=sites.at.extent,
    )  # fmt: skip
    if model is None:
        return None
    lines = coefficients.transpose(1, 2, 0)[..., None]
    each = [over_replicates(intercept + slope * new.first) for intercept, slope in lines]
    # As float32, which is how the map has them.
    mean, sd = (np.stack([getattr(e, name) for e in each]).astype("float32") for name in ("mean", "sd"))
    columns = model.basis.columns(mean[0], new.x, new.at.zone)
    truth = cell_moments(model, new.at.x, new.at.y, columns, mean, sd, scattered=True)
    return core_quantiles(model, truth, mean[0], probabilities, least)
