"""The truth of single cells: its mean and how sure it is, without draws."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import cho_solve

from engine.uncertainty.error_model import ErrorModel
from engine.uncertainty.lattice import TILE, Window, overlap
from engine.uncertainty.variance_components import SPACE

SLAB = 4096
"""Cells that are taken together."""
_REACH = 1e-6
"""Correlation with the nearest node below which a site is out of reach."""


@dataclass(frozen=True)
class CellMoments:
    """Mean and standard deviation of the truth of cells, float64, shape (outputs, cells)."""

    mean: np.ndarray
    sd: np.ndarray


def cell_moments(
    model: ErrorModel, x: np.ndarray, y: np.ndarray, columns: np.ndarray, mean: np.ndarray, sd: np.ndarray
) -> CellMoments:
    """Condition cells on the sites; a cell's numbers do not depend on which other cells are asked for.

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
        values = _over_window(model, output, window)
        root = _systematic_root(model, output)
        for start in range(0, len(x), SLAB):
            part = slice(start, min(start + SLAB, len(x)))
            h = np.zeros((SLAB, columns.shape[1]))
            h[: part.stop - start] = columns[part]
            # Always of the same shape: products of matrices may round otherwise where they are of another.
            products = h @ np.column_stack([root, model.shifts[output]])
            products, h = products[: part.stop - start], h[: part.stop - start]
            kriged = sum(values[:, node] * share for node, share in zip(nodes[:, part], shares[:, part], strict=True))
            found.mean[output, part] = mean[output, part] + products[:, -1] + kriged[0]
            variance = np.square(products[:, :-1]).sum(axis=1) + kriged[1] - 2 * (h * kriged[2:].T).sum(axis=1)
            spread = np.square(sd[output, part], dtype="float64")
            found.sd[output, part] = np.sqrt(np.maximum(variance, 0) + spread)
    return found


def kriged_field(model: ErrorModel, output: int, window: Window) -> np.ndarray:
    """Conditional mean of the field at a window's nodes, shape (rows, columns)."""
    return _over_window(model, output, window)[0].reshape(window.shape)


def _over_window(model: ErrorModel, output: int, window: Window) -> np.ndarray:
    """`_node_moments` of a window, put together from whole tiles, shape (2 + basis.size, nodes)."""
    result = np.empty((2 + model.basis.size, *window.shape))
    for tile in model.lattice.tiles(window):
        here = Window(tile[0] * TILE, tile[1] * TILE, (TILE, TILE))
        into, of = overlap(window, here)
        result[(slice(None), *into)] = _node_moments(model, output, here)[(slice(None), *of)]
    return result.reshape(len(result), -1)


@lru_cache(maxsize=48)
def _node_moments(model: ErrorModel, output: int, window: Window) -> np.ndarray:
    """What one output's field is at nodes, conditioned on the sites.

    Returns
    -------
    ndarray, shape (2 + basis.size, rows, columns)
        Mean and variance of the field; and what, times the basis, is its covariance with the systematic part.
    """
    covariance = model.with_space(output, *model.lattice.nodes(window))
    values = np.zeros((2 + model.basis.size, len(covariance)))
    values[1] = least = model.variances[output, SPACE]
    # Rows that no node of the window is correlated with add nothing; there are many on a large map.
    near = np.flatnonzero(np.abs(covariance).max(axis=0) > _REACH * least)
    covariance = covariance[:, near]
    solved = covariance @ model.inverse[np.ix_(near, near)]
    values[0] = covariance @ model.weights[near]
    values[1] -= (covariance * solved).sum(axis=1)
    values[2:] = model.with_systematic(output) @ model.inverse[:, near] @ covariance.T
    return values.reshape(-1, *window.shape)


@lru_cache(maxsize=16)
def _systematic_root(model: ErrorModel, output: int) -> np.ndarray:
    """A root R of the coefficients' conditional covariance, R Rᵀ, shape (basis.size, basis.size)."""
    covariance = model.with_systematic(output)
    values, vectors = np.linalg.eigh(np.diag(model.priors[output]) - covariance @ cho_solve(model.factor, covariance.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
