"""The truth of single cells: its mean and how sure it is, without draws."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve

from engine.uncertainty.error_model import ErrorModel
from engine.uncertainty.lattice import Window
from engine.uncertainty.variance_components import PARTS

_SPACE = PARTS.index("space")


@dataclass(frozen=True)
class CellMoments:
    """Mean and standard deviation of the truth of cells, float64, shape (outputs, cells)."""

    mean: np.ndarray
    sd: np.ndarray


def cell_moments(
    model: ErrorModel, x: np.ndarray, y: np.ndarray, columns: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> CellMoments:
    """Condition cells on the sites.

    The field's share is computed at the nodes of its lattice and interpolated between them; the replicates' spread adds
    to it, as independent.

    Parameters
    ----------
    x, y : ndarray, shape (cells,)
        Centres on the grid's plane.
    columns : ndarray, shape (cells, basis.size)
    mean, sd : ndarray, shape (outputs, cells)
        Over the replicates.
    """
    window = model.lattice.around(x, y)
    nodes, shares = model.lattice.weights(x, y, window)
    found = CellMoments(np.empty(mean.shape), np.empty(mean.shape))
    for output in range(model.outputs):
        field = _NodeMoments.of(model, output, window)
        kriged = _at(field.values, nodes, shares)
        found.mean[output] = mean[output] + columns @ model.shifts[output] + kriged[0]
        variance = ((columns @ field.systematic) * columns).sum(axis=1) + kriged[1]
        variance -= 2 * (columns * kriged[2:].T).sum(axis=1)
        found.sd[output] = np.sqrt(np.maximum(variance, 0) + np.square(sd[output], dtype="float64"))
    return found


def _at(values: np.ndarray, nodes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of values at nodes, shape (…, nodes), to cells, shape (…, cells)."""
    return np.asarray(sum(values[..., node] * share for node, share in zip(nodes, shares, strict=True)))


@dataclass(frozen=True)
class _NodeMoments:
    """What one output's error is at the nodes of a window, conditioned on the sites.

    Attributes
    ----------
    values : ndarray, shape (2 + basis.size, nodes)
        Mean and variance of the field; and what, times the basis, is its covariance with the systematic part.
    systematic : ndarray, shape (basis.size, basis.size)
        Covariance of the coefficients.
    """

    values: np.ndarray
    systematic: np.ndarray

    @classmethod
    def of(cls, model: ErrorModel, output: int, window: Window) -> "_NodeMoments":
        prior, columns = model.priors[output], model.columns[model.known[output]]
        carried = cho_solve(model.factors[output], columns * prior)
        systematic = np.diag(prior) - (columns * prior).T @ carried
        covariance = model.with_space(output, *model.lattice.nodes(window))
        reached = np.flatnonzero(covariance.max(axis=1) > 1e-9 * model.variances[output, _SPACE])
        values = np.zeros((2 + len(prior), len(covariance)))
        values[1] = model.variances[output, _SPACE]
        near = covariance[reached]
        values[0, reached] = near @ model.weights[output]
        values[1, reached] -= (near * cho_solve(model.factors[output], near.T).T).sum(axis=1)
        values[2:, reached] = (near @ carried).T
        return cls(values, systematic)
