"""A made-up region whose errors are those of a known model, and its Gaussian process written out in full."""

from dataclasses import dataclass, replace

import numpy as np

from engine.uncertainty.basis import Basis
from engine.uncertainty.error_model import ErrorModel

SPACING, RANGE = 100.0, 1000.0
VARIANCES = np.array([[0.3, 0.1, 0.2, 0.2, 1.0, 0.5], [1.0, 0.4, 0.6, 0.9, 3.0, 2.0]])
BETWEEN = np.array([[1.0, 0.6], [0.6, 1.0]])


def matern(distance):
    """Matérn correlation, ν = 3/2, at distances in practical ranges: 0.05 at 1."""
    a = 4.743865 * distance
    return (1 + a) * np.exp(-a)


@dataclass(frozen=True)
class Region:
    """Cells in rows of 20, and a model of the errors there; `at_cell` are the sites' cells."""

    model: ErrorModel
    x: np.ndarray
    y: np.ndarray
    columns: np.ndarray
    predicted: np.ndarray
    at_cell: np.ndarray

    @property
    def mean(self):
        """Of every output over the replicates."""
        return self._of_replicates().mean(axis=0)

    @property
    def sd(self):
        return self._of_replicates().std(axis=0)

    def _of_replicates(self):
        c = self.model.coefficients
        return c[:, :, :1] + c[:, :, 1:] * self.predicted[:, None]

    def with_residual(self, residual):
        return replace(self, model=replace(self.model, residual=residual))

    def prior(self, output, x, y, columns):
        """Covariance of an output's error at places, before the sites are looked at."""
        mean, contrast, covariates, zone, space, _ = self.model.variances[output]
        n = len(self.model.basis.centre) - 1
        of_column = [mean, contrast] + [covariates / n] * n + [zone] * self.model.basis.zones
        away = np.hypot(x[:, None] - x, y[:, None] - y) / self.model.range_
        return columns @ np.diag(of_column) @ columns.T + space * matern(away)

    def dense(self, output, x, y, columns):
        """Mean and covariance of an output's error at places, given the residuals of the sites."""
        m = self.model
        rows = np.isfinite(m.residual[:, output])
        joint = self.prior(
            output, np.append(m.x[rows], x), np.append(m.y[rows], y), np.concatenate([m.columns[rows], columns])
        )
        n = rows.sum()
        of_sites = joint[:n, :n] + np.diag(m.variances[output, 5] * m.spread[rows] ** 2)
        gain = np.linalg.solve(of_sites, joint[:n, n:]).T
        return gain @ m.residual[rows, output], joint[n:, n:] - gain @ joint[:n, n:]


def region(seed=0, sites=60, outputs=2, replicates=3, differ=0.0, off=0.0, side=20, first=(55, -9)):
    """Make a region, across borders of tiles unless its `first` node, row and column, is another.

    Cells lie `off` spacings beside the nodes, in x and y.

    The residuals are of the model itself; the second output lacks every other site. Replicates are equal, or `differ`.
    """
    rng = np.random.default_rng([seed, 77])
    column, row = np.meshgrid(first[1] + np.arange(side), first[0] + np.arange(side))
    x, y = (column.ravel() + off) * SPACING, (row.ravel() + off) * SPACING
    covariates = np.column_stack([np.sin(x / 700), y / 900, rng.normal(size=len(x))])
    predicted = 10 + 2 * np.cos(x / 500) + covariates[:, 2] + differ * rng.normal(size=(replicates, len(x)))
    if not differ:
        predicted[:] = predicted[0]
    zone = 1 + (x > x.mean()) + (y > y.mean()) * (x > x.mean()) - (y < np.quantile(y, 0.1))
    at_cell = np.sort(rng.choice(len(x), sites, replace=False))
    of_output = np.array([[0.0, 1.0], [0.5, 0.8]])[:outputs]
    coefficients = of_output + differ * rng.normal(0, 0.1, (replicates, outputs, 2))
    coefficients[:, 0] = 0, 1
    mean = predicted.mean(axis=0)
    basis = Basis.of(mean[at_cell], covariates[at_cell], 3)
    columns = basis.columns(mean, covariates, zone)
    spread = 0.5 + rng.uniform(size=sites)
    model = ErrorModel(
        basis=basis, x=x[at_cell], y=y[at_cell], columns=columns[at_cell], residual=np.zeros((sites, outputs)),
        predicted=predicted[:, at_cell], coefficients=coefficients, spread=spread, variances=VARIANCES[:outputs],
        between=BETWEEN[:outputs, :outputs], range_=RANGE, growth=0.5, spacing=SPACING, seed=seed,
    )  # fmt: skip
    made = Region(model, x, y, columns, predicted, at_cell)
    return simulate(made, rng)[0]


def simulate(made, rng):
    """The region with sites of a truth drawn from its model, and that truth's errors, shape (outputs, cells)."""
    outputs = made.model.outputs
    mixing = np.linalg.cholesky(made.model.between)
    white = mixing @ rng.normal(size=(outputs, len(made.x)))
    errors = np.empty(white.shape)
    for output in range(outputs):
        covariance = made.prior(output, made.x, made.y, made.columns)
        errors[output] = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(made.x))) @ white[output]
    rest = mixing @ rng.normal(size=(outputs, len(made.at_cell)))
    rest *= np.sqrt(made.model.variances[:, 5:]) * made.model.spread
    residual = (errors[:, made.at_cell] + rest).T
    residual[::2, 1:] = np.nan
    return made.with_residual(residual), errors
