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

    def of_columns(self, output):
        """Prior variance of each column's coefficient."""
        mean, contrast, covariates, zone, *_ = self.model.variances[output]
        n = len(self.model.basis.centre) - 1
        return np.array([mean, contrast] + [covariates / n] * n + [zone] * self.model.basis.zones)

    def prior(self, output, x, y, columns):
        """Covariance of an output's error at places, before the sites are looked at."""
        return self.across(output, output, (x, y, columns), (x, y, columns))

    def across(self, a, b, here, there):
        """Covariance of output `a` at some places and output `b` at others: x, y and columns of both."""
        m = self.model
        shared = np.sqrt(self.of_columns(a) * self.of_columns(b))
        away = np.hypot(here[0][:, None] - there[0], here[1][:, None] - there[1]) / m.range_
        space = np.sqrt(m.variances[a, 4] * m.variances[b, 4])
        return m.between[a, b] * (here[2] @ np.diag(shared) @ there[2].T + space * matern(away))

    def of_residuals(self):
        """Residuals of all outputs as one vector, their covariance, and output and place of each."""
        m = self.model
        rows = [(output, np.isfinite(m.residual[:, output])) for output in range(m.outputs)]
        places = [(output, (m.x[k], m.y[k], m.columns[k])) for output, k in rows]
        covariance = np.block([[self.across(a, b, here, there) for b, there in places] for a, here in places])
        of_row = np.concatenate([np.full(k.sum(), output) for output, k in rows])
        site = np.concatenate([np.flatnonzero(k) for _, k in rows])
        sd = np.sqrt(m.variances[of_row, 5]) * m.spread[site]
        covariance += m.between[np.ix_(of_row, of_row)] * np.outer(sd, sd) * (site[:, None] == site)
        return np.concatenate([m.residual[k, output] for output, k in rows]), covariance, places

    def dense(self, output, x, y, columns):
        """Mean and covariance of an output's error at places, given the residuals of the sites."""
        residual, covariance, places = self.of_residuals()
        across = np.concatenate([self.across(output, o, (x, y, columns), there) for o, there in places], axis=1)
        gain = np.linalg.solve(covariance, across.T).T
        return gain @ residual, self.prior(output, x, y, columns) - gain @ across.T


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
    away = np.hypot(made.x[:, None] - made.x, made.y[:, None] - made.y) / made.model.range_
    root = np.linalg.cholesky(matern(away) + 1e-9 * np.eye(len(made.x)))
    field = mixing @ rng.normal(size=(outputs, len(made.x))) @ root.T
    coefficients = mixing @ rng.normal(size=(outputs, made.columns.shape[1]))
    errors = np.stack(
        [
            made.columns @ (np.sqrt(made.of_columns(o)) * coefficients[o])
            + np.sqrt(made.model.variances[o, 4]) * field[o]
            for o in range(outputs)
        ]
    )
    rest = mixing @ rng.normal(size=(outputs, len(made.at_cell)))
    rest *= np.sqrt(made.model.variances[:, 5:]) * made.model.spread
    residual = (errors[:, made.at_cell] + rest).T
    residual[::2, 1:] = np.nan
    return made.with_residual(residual), errors
