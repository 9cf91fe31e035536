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


@dataclass(frozen=True)
class CellMoments:
    """Mean and standard deviation of the truth of cells, float64, shape (outputs, cells)."""

    mean: np.ndarray
    sd: np.ndarray


def cell_moments(
    model: ErrorModel,
    x: np.ndarray,
    y: np.ndarray,
    columns: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    *,
    scattered: bool = False,
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
    scattered : bool
        Whether cells are few and far apart: then only the nodes that they need are computed, not whole tiles. Numbers
        differ by what sites out of a tile's reach would add, whose correlation is below 10⁻⁴.
    """
    window = model.lattice.around(x, y)
    nodes, shares = model.lattice.weights(x, y, window)
    if scattered:
        needed, places = np.unique(nodes, return_inverse=True)
        nodes, of_nodes = places.reshape(shares.shape), [values[needed] for values in model.lattice.nodes(window)]
    found = CellMoments(np.empty(mean.shape), np.empty(mean.shape))
    for output in range(model.outputs):
        over = _moments_at(model, output, *of_nodes) if scattered else _over_window(model, output, window)
        values = np.ascontiguousarray(over.T)  # a node's numbers lie together
        onto = np.column_stack([_systematic_root(model, output), model.shifts[output]])
        for start in range(0, len(x), SLAB):
            part = slice(start, min(start + SLAB, len(x)))
            h = np.zeros((SLAB, columns.shape[1]))
            h[: part.stop - start] = columns[part]
            # Always of the same shape: products of matrices may round otherwise where they are of another.
            products = (h @ onto)[: part.stop - start]
            kriged = np.zeros((part.stop - start, values.shape[1]))
            for node, share in zip(nodes[:, part], shares[:, part], strict=True):
                kriged += values[node] * share[:, None]
            found.mean[output, part] = mean[output, part] + products[:, -1] + kriged[:, 0]
            variance = np.einsum("cj,cj->c", products[:, :-1], products[:, :-1]) + kriged[:, 1]
            variance -= 2 * np.einsum("cj,cj->c", columns[part], kriged[:, 2:])
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
    return _moments_at(model, output, *model.lattice.nodes(window)).reshape(-1, *window.shape)


def _moments_at(model: ErrorModel, output: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute what `_node_moments` returns, at nodes at these places; shape (2 + basis.size, nodes)."""
    near = model.within_reach(x, y)
    covariance = model.with_space(output, x, y, near)
    values = np.zeros((2 + model.basis.size, len(covariance)))
    values[1] = model.variances[output, SPACE]
    solved = covariance @ model.inverse[np.ix_(near, near)]
    values[0] = covariance @ model.weights[near]
    values[1] -= (covariance * solved).sum(axis=1)
    values[2:] = model.with_systematic(output) @ model.inverse[:, near] @ covariance.T
    return values


@lru_cache(maxsize=16)
def _systematic_root(model: ErrorModel, output: int) -> np.ndarray:
    """A root R of the coefficients' conditional covariance, R Rᵀ, shape (basis.size, basis.size)."""
    covariance = model.with_systematic(output)
    values, vectors = np.linalg.eigh(np.diag(model.priors[output]) - covariance @ cho_solve(model.factor, covariance.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
