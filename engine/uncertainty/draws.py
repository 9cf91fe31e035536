"""Draws from the joint distribution: maps that are equally likely to be the truth, each conditioned on the sites.

A draw of the errors is made without the sites first, at the sites as well; what it says there, set against what the
residuals say, is carried to all places by kriging (Matheron's rule). What a draw needs is small: for every output its
coefficients of the basis, one weight per site, and the number of its replicate. The field comes from the lattice's
noise when it is wanted, so that nothing of the size of the map is kept.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.sparse import csr_array

from engine.seeds import Use
from engine.uncertainty.error_model import ErrorModel
from engine.uncertainty.lattice import Footprint, Window, integrals
from engine.uncertainty.variance_components import REST, SPACE

SLAB = 4096
"""Cells that are drawn together."""
MEAN = -1
"""Stands for the mean of the replicates."""


@dataclass(frozen=True)
class Draws:
    """Draws 0 … n − 1 of a model's errors.

    Attributes
    ----------
    model : ErrorModel
    replicate : ndarray of int, shape (n,)
        Which replicate each draw's predictions come from; `MEAN` for the mean of all.
    coefficients : ndarray, shape (n, outputs, basis.size)
        Of the basis, conditioned on the sites.
    weights : ndarray, shape (n, rows)
        Of the covariance with each residual.
    """

    model: ErrorModel
    replicate: np.ndarray
    coefficients: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, model: ErrorModel, n: int, *, replicates: bool = True) -> "Draws":
        """Make `n` draws; the first of them do not depend on how many are made.

        Parameters
        ----------
        replicates : bool
            Whether draws start from single replicates; else all of them start from the replicates' mean.
        """
        replicate = np.arange(n) % len(model.coefficients) if replicates else np.full(n, MEAN)
        mixing = np.linalg.cholesky(model.between)
        prior, rest = (
            np.random.default_rng(np.random.SeedSequence(model.seed, spawn_key=(int(Use.ERROR_DRAWS), part)))
            for part in range(2)
        )
        # Shape (n, outputs, …): the outputs' errors are correlated, whatever part of them it is.
        coefficients = np.einsum("de,nej->ndj", mixing, prior.standard_normal((n, model.outputs, model.basis.size)))
        coefficients *= np.sqrt(model.priors)
        noise = np.einsum("de,nei->ndi", mixing, rest.standard_normal((n, model.outputs, len(model.x))))
        field = np.einsum("de,nei->ndi", mixing, _field_at_sites(model, n))
        # What a draw says at the sites, without them: shape (n, rows).
        site, output = model.rows
        at_sites = np.sqrt(model.variances[output, SPACE]) * field[:, output, site]
        at_sites += np.sqrt(model.variances[output, REST]) * model.spread[site] * noise[:, output, site]
        at_sites += _deviation(model)[replicate][:, output, site]
        at_sites += np.einsum("ndj,sj->nds", coefficients, model.columns)[:, output, site]
        # A replicate learnt from observations with an error in common: those condition what starts from it.
        residuals = model.residuals
        if model.shared is not None:
            residuals = residuals + _with_mean(model.shared)[replicate][:, site, output]
        weights = cho_solve(model.factor, (residuals - at_sites).T).T
        for number in range(model.outputs):
            coefficients[:, number] += weights @ model.with_systematic(number).T
        return cls(model, replicate, coefficients, weights)

    def at(self, x: np.ndarray, y: np.ndarray, columns: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Draw the truth at cells.

        Parameters
        ----------
        x, y : ndarray, shape (cells,)
            Centres on the grid's plane.
        columns : ndarray, shape (cells, basis.size)
            Of the basis.
        predicted : ndarray, shape (replicates, cells)
            Of the first output.

        Returns
        -------
        ndarray of float32, shape (n, outputs, cells)
        """
        model = self.model
        window = model.lattice.around(x, y)
        at_nodes = self.field(window).reshape(len(self.replicate), model.outputs, -1)
        fields = [np.ascontiguousarray(values.T) for values in at_nodes.swapaxes(0, 1)]  # a node's draws lie together
        lines, coefficients = model.coefficients.astype("float32"), self.coefficients.astype("float32")
        result = np.empty((len(self.replicate), model.outputs, len(x)), "float32")

        def draw(start: int) -> None:
            cells = slice(start, start + SLAB)
            of_cells, onto = predicted[:, cells].astype("float32"), columns[cells].T.astype("float32")
            between = _bilinear(model, x[cells], y[cells], window)
            for output in range(model.outputs):
                values = _with_mean(lines[:, output, :1] + lines[:, output, 1:] * of_cells)[self.replicate]
                values += coefficients[:, output] @ onto
                values += (between @ fields[output]).T
                result[:, output, cells] = values

        with ThreadPoolExecutor() as pool:  # most of it runs outside of Python
            list(pool.map(draw, range(0, len(x), SLAB)))
        return result

    def field(self, window: Window) -> np.ndarray:
        """Draw the conditioned field at a window's nodes, float32, shape (n, outputs, rows, columns)."""
        model = self.model
        white = model.lattice.field(window, model.seed, len(self.replicate), model.outputs)
        mixing = np.linalg.cholesky(model.between).astype("float32")
        result = np.einsum("de,neij->ndij", mixing, white)
        x, y = model.lattice.nodes(window)
        weights = self.weights.astype("float32")
        for output in range(model.outputs):
            result[:, output] *= np.float32(np.sqrt(model.variances[output, SPACE]))
            kriged = weights @ model.with_space(output, x, y).T.astype("float32")
            result[:, output] += kriged.reshape(len(result), *window.shape)
        return result

    def sums(
        self, area: np.ndarray, predicted: np.ndarray, columns: np.ndarray, footprint: np.ndarray, window: Window
    ) -> np.ndarray:
        """Draw the sums of area × truth over groups of cells, however large.

        Parameters
        ----------
        area : ndarray, shape (groups,)
        predicted : ndarray, shape (replicates, groups)
            Sums of area × prediction of the first output.
        columns : ndarray, shape (groups, basis.size)
            Sums of area × columns of the basis.
        footprint : ndarray, shape (groups, rows, columns)
            Sums of area × bilinear weight of each node of a window.

        Returns
        -------
        ndarray, shape (n, outputs, groups)
            What `at` gives, summed over the cells.
        """
        model = self.model
        intercept, slope = model.coefficients[..., :1], model.coefficients[..., 1:]
        result = _with_mean(intercept * area + slope * predicted[:, None, :])[self.replicate]
        result += self.coefficients @ columns.T
        free = integrals(model.lattice, _of_groups(footprint, window), model.seed, len(self.replicate), model.outputs)
        free = np.einsum("de,neg->ndg", np.linalg.cholesky(model.between), free)
        x, y = model.lattice.nodes(window)
        touched = np.flatnonzero(footprint.any(axis=0).ravel())
        flat = footprint.reshape(len(footprint), -1)[:, touched]
        for output in range(model.outputs):
            result[:, output] += np.sqrt(model.variances[output, SPACE]) * free[:, output]
            of_row = np.zeros((len(flat), self.weights.shape[1]))
            for start in range(0, len(touched), 4096):
                part = touched[start : start + 4096]
                of_row += flat[:, start : start + 4096] @ model.with_space(output, x[part], y[part])
            result[:, output] += self.weights @ of_row.T
        return result


def _bilinear(model: ErrorModel, x: np.ndarray, y: np.ndarray, window: Window) -> csr_array:
    """Return the weights of a window's nodes in places, float32, shape (n, nodes)."""
    nodes, shares = model.lattice.weights(x, y, window)
    ends = np.arange(0, 4 * len(x) + 1, 4)
    return csr_array((shares.T.ravel().astype("float32"), nodes.T.ravel(), ends), shape=(len(x), window.size))


def _deviation(model: ErrorModel) -> np.ndarray:
    """Return each replicate's deviation from their mean at the sites, shape (replicates, outputs, sites)."""
    of_output = model.coefficients[:, :, :1] + model.coefficients[:, :, 1:] * model.predicted[:, None, :]
    return _with_mean(np.asarray(of_output - of_output.mean(axis=0)))


def _with_mean(of_replicates: np.ndarray) -> np.ndarray:
    """Append the replicates' mean, in the place `MEAN`, along the first axis."""
    return np.concatenate([of_replicates, of_replicates.mean(axis=0, keepdims=True)])


def _field_at_sites(model: ErrorModel, n: int) -> np.ndarray:
    """Draw the unconditioned field at the sites, standard normal, shape (n, outputs, sites)."""
    lattice = model.lattice
    window = lattice.around(model.x, model.y)
    nodes, shares = lattice.weights(model.x, model.y, window)
    row, column = np.divmod(nodes[0], window.shape[1])
    footprints = [
        Footprint(Window(window.row + r, window.column + c, (2, 2)), share.reshape(2, 2))
        for r, c, share in zip(row, column, shares.T, strict=True)
    ]
    return integrals(lattice, footprints, model.seed, n, model.outputs)


def _of_groups(footprint: np.ndarray, window: Window) -> list[Footprint]:
    """Return the groups' footprints, each on the nodes that it touches."""
    found = []
    for values in footprint:
        rows, columns = (np.flatnonzero(values.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            found.append(Footprint(Window(window.row, window.column, (1, 1)), np.zeros((1, 1))))
            continue
        here = Window(
            window.row + int(rows[0]), window.column + int(columns[0]),
            (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1),
        )  # fmt: skip
        found.append(Footprint(here, values[window.place(here)]))
    return found
