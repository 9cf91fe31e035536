"""The joint model of a map's errors, fitted to what an ensemble missed at its own sites.

For every output d and place s,

    truth_d(s) = prediction_d(s) + δ_d(s) + h(s)·γ_d + w_d(s),        observed = truth + rest,

where δ is how one replicate differs from their mean (errors of the model), h the columns of `Basis` (errors that whole
zones, the contrast, or all places with much of a covariate share), w a random field (errors that neighbours share), and
the rest what no place shares with another: the laboratory, and what differs within a cell. The rest averages out over a
cell and all that is larger. Sites that share no cell cannot tell the two parts of it apart, nor from correlation
shorter than the distances between them.

Residuals out of bag, observed less predicted by the replicates that did not see the site, tell the variances of the
parts (`variance_components`). The outputs share the field's range, how the rest grows with the prediction, and the
correlation of their errors; every part of it is correlated between outputs in the same way. All residuals together
condition every output (cokriging): an output that few sites have learns from those that many have.

Errors that the observations of all sites share (all were completed by the same uncertain function) do not show in the
residuals. Where replicates were trained on observations with such errors drawn, the model has what was drawn, so that
the sites do not take it back out.
"""

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from engine.ensemble.out_of_bag import mean_out_of_bag, out_of_bag_means
from engine.errors import InputError
from engine.seeds import Use
from engine.storage.atomic import write_file
from engine.storage.npz import from_npz, npz
from engine.storage.paths import OutPath, read_file
from engine.uncertainty.basis import Basis
from engine.uncertainty.lattice import NODES_PER_RANGE, Lattice, correlation
from engine.uncertainty.variance_components import REST, SPACE, Fit, fit_variances

REACH = 2.5
"""Practical ranges beyond which a site is out of reach: the correlation is below 10⁻⁴ there."""
FEWEST_SITES = 10
"""Residuals of an output below which nothing is fitted."""
MOST_FITTED = 300
"""Sites, drawn at random, that the variances are fitted to."""
MOST_RESIDUALS = 4000
"""Residuals of all outputs that the map is conditioned on: those of sites drawn at random."""
RANGES = 0.7
"""Standard deviation of the prior of the log range."""
_PER_EXTENT = 8
"""The prior's median range is the sites' extent over this."""
_TRIED = np.exp(RANGES * np.array([-1.6, -0.8, 0.8, 1.6]))
"""Ranges that are tried beside the prior's median, as shares of it."""
GROWTH = (0.0, 0.5, 1.0)
"""Powers of the prediction that the rest may grow with."""
_MOST_NODES = 1000
"""Of the lattice, along the longer side of the map."""


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """A fitted model of the errors.

    Attributes
    ----------
    basis : Basis
    x, y : ndarray, shape (sites,)
        Places of the sites on the grid's plane, in its units.
    columns : ndarray, shape (sites, basis.size)
    residual : ndarray, shape (sites, outputs)
        Out of bag; NaN where a site lacks the output.
    predicted : ndarray of float32, shape (replicates, sites)
        Predictions of the first output by every replicate, in the bag or not.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of every output on the first.
    spread : ndarray, shape (sites,)
        Size of the rest at each site, relative to that at a mean prediction.
    variances : ndarray, shape (outputs, len(PARTS))
    between : ndarray, shape (outputs, outputs)
        Correlation of the outputs' errors.
    range_ : float
        Practical range of the field, in the plane's units.
    growth : float
        Power of the prediction that the rest's standard deviation grows with.
    spacing : float
        Of the field's lattice.
    seed : int
    shared : ndarray, shape (replicates, sites, outputs), optional
        What each replicate's observations had in common as an error, less the mean over the replicates; None where all
        replicates were trained on the observations as they are.
    """

    basis: Basis
    x: np.ndarray
    y: np.ndarray
    columns: np.ndarray
    residual: np.ndarray
    predicted: np.ndarray
    coefficients: np.ndarray
    spread: np.ndarray
    variances: np.ndarray
    between: np.ndarray
    range_: float
    growth: float
    spacing: float
    seed: int
    shared: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without what is computed from them: that is many times as large."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.residual.shape[1]

    @cached_property
    def lattice(self) -> Lattice:
        """Where the field lives."""
        return Lattice(self.spacing, self.range_ / self.spacing)

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Site and output of each residual that there is, output by output: the errors of all are one vector."""
        output, site = np.nonzero(np.isfinite(self.residual.T))
        return site, output

    @cached_property
    def residuals(self) -> np.ndarray:
        """The residuals that there are, shape (rows,)."""
        site, output = self.rows
        return self.residual[site, output]

    @cached_property
    def priors(self) -> np.ndarray:
        """Prior variances of the coefficients, shape (outputs, basis.size)."""
        return np.stack([self.basis.variances(*row[:4]) for row in self.variances])

    def _shared(self, variances: np.ndarray, output: np.ndarray | int) -> np.ndarray:
        """Covariance of one part of the error of outputs and of the rows; `variances` are the part's, by output."""
        _, of_row = self.rows
        return self.between[output][..., of_row] * np.sqrt(
            np.asarray(variances)[output][..., None] * np.asarray(variances)[of_row]
        )

    def with_space(self, output: int, x: np.ndarray, y: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
        """Return the covariance of an output's field at places and of the residuals, shape (n, rows).

        Parameters
        ----------
        near : ndarray of int, optional
            Rows that are wanted; default: all.
        """
        wanted = np.arange(len(self.residuals)) if near is None else near
        site, of_row = np.unique(self.rows[0][wanted], return_inverse=True)
        away = np.hypot(x[:, None] - self.x[site], y[:, None] - self.y[site])
        return correlation(away / self.range_)[:, of_row] * self._shared(self.variances[:, SPACE], output)[wanted]

    def within_reach(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the rows of the sites that are near enough for a correlation with some place in the places' box."""
        away = [
            np.maximum(np.maximum(places.min() - sites, sites - places.max()), 0)
            for places, sites in ((x, self.x), (y, self.y))
        ]
        return np.flatnonzero((np.hypot(*away) < REACH * self.range_)[self.rows[0]])

    def with_systematic(self, output: int) -> np.ndarray:
        """Covariance of an output's coefficients and of the residuals, shape (basis.size, rows)."""
        site, _ = self.rows
        shares = [self._shared(of_column, output) for of_column in self.priors.T]
        return np.stack(shares) * self.columns[site].T

    @cached_property
    def factor(self) -> tuple[np.ndarray, bool]:
        """Cholesky factor of the covariance Σ of the residuals."""
        site, output = self.rows
        covariance = np.empty((len(site), len(site)))
        for number in range(self.outputs):
            of_output = np.flatnonzero(output == number)
            here = site[of_output]
            covariance[of_output] = self.columns[here] @ self.with_systematic(number)
            covariance[of_output] += self.with_space(number, self.x[here], self.y[here])
        rest = self._shared(self.variances[:, REST], output) * self.spread[site][:, None] * self.spread[site]
        return cho_factor(covariance + rest * (site[:, None] == site), lower=True)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Σ⁻¹."""
        return np.asarray(cho_solve(self.factor, np.eye(len(self.residuals))))

    @cached_property
    def weights(self) -> np.ndarray:
        """Σ⁻¹ times the residuals: what conditions the mean on the sites."""
        return np.asarray(cho_solve(self.factor, self.residuals))

    @cached_property
    def shifts(self) -> np.ndarray:
        """Conditional mean of the coefficients, shape (outputs, basis.size)."""
        return np.stack([self.with_systematic(output) @ self.weights for output in range(self.outputs)])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what `save` writes."""
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "basis"}
        if self.shared is None:
            del arrays["shared"]
        return npz(arrays | {f"basis_{f.name}": getattr(self.basis, f.name) for f in fields(Basis)})

    def save(self, path: OutPath) -> None:
        """Write to an `.npz` file, which appears whole or not at all."""
        write_file(path, self._content())

    @classmethod
    def load(cls, path: OutPath, digest: str | None = None) -> "ErrorModel":
        """Read what `save` wrote; with a digest, the file must have this SHA-256.

        Raises
        ------
        InputError
            If the file is missing, damaged, or another one.
        """
        try:
            content = read_file(path)
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise InputError(f"{path}: has changed since the run began; run again")
            arrays: dict[str, Any] = {n: v if v.ndim else v.item() for n, v in from_npz(content).items()}
            basis = Basis(**{f.name: arrays.pop(f"basis_{f.name}") for f in fields(Basis)})
            return cls(basis=basis, **arrays)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, BadZipFile) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{path}: holds no model of the errors ({reason}); run the stage `map` again") from error


def fit_error_model(
    *,
    observed: np.ndarray,
    out_of_bag: np.ndarray,
    predicted: np.ndarray,
    coefficients: np.ndarray,
    design: np.ndarray,
    zone: np.ndarray,
    zones: int,
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    extent: float = 0.0,
    shared: np.ndarray | None = None,
) -> ErrorModel | None:
    """Fit the joint model of the errors.

    Parameters
    ----------
    observed : ndarray, shape (sites, outputs)
        NaN where a site lacks an output.
    out_of_bag : ndarray, shape (replicates, sites)
        Predictions of the first output; NaN where the site is in the bag.
    predicted : ndarray, shape (replicates, sites)
        The same, of all replicates.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Intercept and slope of every output on the first.
    design : ndarray, shape (sites, columns)
        Design matrix.
    zone : ndarray of int, shape (sites,)
        1 … zones; 0 for none.
    x, y : ndarray, shape (sites,)
        On the grid's plane.
    seed : int
        Of the draws, and of which sites are taken where there are very many.
    extent : float
        Longer side of the map, in the plane's units: the field's lattice is no finer than a thousandth of it.
    shared : ndarray, shape (replicates, sites, outputs), optional
        What was added to the observations that each replicate was trained on. Residuals are then those of the
        observations with it, averaged over the replicates that did not see the site.

    Returns
    -------
    ErrorModel or None
        None where some output has residuals at fewer than `FEWEST_SITES` sites, or none that differ, or where all sites
        are in one place.
    """
    seen = np.flatnonzero(np.isfinite(out_of_bag).any(axis=0))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(Use.ERROR_MODEL),)))
    if len(seen) > (most := MOST_RESIDUALS // observed.shape[1]):
        seen = np.sort(rng.choice(seen, most, replace=False))
    observed, design, zone, x, y = observed[seen], design[seen], zone[seen], x[seen], y[seen]
    means = out_of_bag_means(out_of_bag[:, seen], coefficients)
    residual = observed - means
    if shared is not None:
        shared = shared[:, seen]
        residual += mean_out_of_bag(shared, out_of_bag[:, seen])
        shared = shared - shared.mean(axis=0)
    known = np.isfinite(residual)
    if any(k.sum() < FEWEST_SITES or np.ptp(r[k]) == 0 for r, k in zip(residual.T, known.T, strict=True)):
        return None
    among_sites = max(float(np.ptp(x)), float(np.ptp(y)))
    if among_sites == 0:
        return None
    mean = means[:, 0]
    basis = Basis.of(mean, design, zones)
    columns = basis.columns(mean, design, zone)
    typical = among_sites / _PER_EXTENT
    relative = np.maximum(mean / mean.mean(), 0.05) if mean.mean() > 0 else np.ones(len(mean))
    range_, growth, fits = _fit_all(residual, columns, basis, x, y, relative, typical, rng)
    return ErrorModel(
        basis=basis, x=x, y=y, columns=columns, residual=residual, predicted=predicted[:, seen].astype("float32"),
        coefficients=coefficients, spread=relative**growth, variances=np.stack([fit.variances for fit in fits]),
        between=_between(residual), range_=range_, growth=growth,
        spacing=max(range_ / NODES_PER_RANGE, max(extent, among_sites) / _MOST_NODES), seed=seed,
        shared=shared,
    )  # fmt: skip


def _fit_all(
    residual: np.ndarray,
    columns: np.ndarray,
    basis: Basis,
    x: np.ndarray,
    y: np.ndarray,
    relative: np.ndarray,
    typical: float,
    rng: np.random.Generator,
) -> tuple[float, float, list[Fit]]:
    """Range and growth that all outputs share, and the fit of each output: the best of those tried.

    Parameters
    ----------
    relative : ndarray, shape (sites,)
        Predictions over their mean.
    typical : float
        Median of the range's prior.
    """
    outputs = []
    for values in residual.T:
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > MOST_FITTED:
            rows = np.sort(rng.choice(rows, MOST_FITTED, replace=False))
        kernels = np.stack([(columns[rows] * share) @ columns[rows].T for share in _shares(basis)])
        outputs.append(
            (values[rows], kernels, np.hypot(x[rows, None] - x[rows], y[rows, None] - y[rows]), relative[rows])
        )

    def fits(range_: float, growth: float) -> tuple[float, float, float, list[Fit]]:
        found = [
            fit_variances(r, np.concatenate([kernels, correlation(away / range_)[None]]), scale**growth)
            for r, kernels, away, scale in outputs
        ]
        prior = (np.log(range_ / typical) / RANGES) ** 2 / 2
        return prior + sum(fit.misfit for fit in found), range_, growth, found

    best = min((fits(typical, growth) for growth in GROWTH), key=lambda fit: fit[0])
    others = (fits(float(range_), best[2]) for range_ in typical * _TRIED)
    return min((best, *others), key=lambda fit: fit[0])[1:]


def _shares(basis: Basis) -> np.ndarray:
    """Prior variance of each column where one of the systematic parts has variance 1, shape (4, basis.size)."""
    return np.stack([basis.variances(*part) for part in np.eye(4)])


def _between(residual: np.ndarray) -> np.ndarray:
    """Correlation of the outputs' residuals over the sites that have both, made positive definite.

    Outputs that fewer than `FEWEST_SITES` sites share count as uncorrelated.
    """
    outputs = residual.shape[1]
    result = np.eye(outputs)
    for a in range(outputs):
        for b in range(a):
            both = np.isfinite(residual[:, a]) & np.isfinite(residual[:, b])
            if both.sum() >= FEWEST_SITES and np.ptp(residual[both, a]) > 0 < np.ptp(residual[both, b]):
                result[a, b] = result[b, a] = np.corrcoef(residual[both, a], residual[both, b])[0, 1]
    values, vectors = np.linalg.eigh(result)
    result = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    scale = np.sqrt(np.diag(result))
    return np.asarray(result / np.outer(scale, scale))
