"""What a run says of cores, cells, polygons, zones and the region: before the joint model of errors, and with it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from honest_regions import Cores, Region, Sites
from scipy.sparse import csr_array
from scipy.stats import norm

from engine.ensemble.bootstrap import Ensemble
from engine.statistics.variogram import Variogram, fit_variogram
from engine.uncertainty.cells import CellMoments, cell_moments
from engine.uncertainty.core_intervals import core_interval
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import fit_error_model

LEVELS = (0.5, 0.8, 0.9, 0.95)
Z = norm.ppf((1 + np.array(LEVELS)) / 2)
_PAIRS = 5000
"""Random pairs of cells that stand for all pairs of a group."""


@dataclass(frozen=True)
class Answer:
    """Intervals for one support, and the truth.

    Attributes
    ----------
    method : str
        `before` or `after`.
    truth, centre : ndarray, shape (n, depths)
        kg C/m².
    lower, upper : ndarray, shape (levels, n, depths)
    """

    method: str
    support: str
    truth: np.ndarray
    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def only(self, rows: np.ndarray, among: str) -> "Answer":
        """Part of the answer: rows as a mask, and what they have in common."""
        return Answer(
            self.method, f"{self.support}, {among}", self.truth[rows], self.centre[rows], self.lower[:, rows],
            self.upper[:, rows],
        )  # fmt: skip


def before(region: Region, sites: Sites, ensemble: Ensemble, predicted: np.ndarray, cores: Cores) -> Iterator[Answer]:
    """Replicates with the correlated part of the residuals; mean ± z SD and Eq. 7 for cells; jackknife+ for cores.

    Parameters
    ----------
    predicted : ndarray, shape (replicates, cells)
    cores : Cores
        New ones, that no interval knows of.
    """
    lines = ensemble.coefficients
    of_cells = np.stack([a + b * predicted for a, b in _lines(lines)], axis=2)
    mean, sd = of_cells.mean(axis=0), of_cells.std(axis=0, ddof=1)
    for name, half in (("cell", sd), ("cell, Eq. 7", sd / np.sqrt(len(predicted)))):
        yield Answer("before", name, region.truth, mean, *_around(mean, half))
    ends = [jackknife.interval(predicted[:, cores.cell], LEVELS) for jackknife in ensemble.jackknives]
    lower, upper = (np.stack([pair[end] for pair in ends], axis=2) for end in range(2))
    yield Answer("before", "core", cores.held, mean[cores.cell], lower, upper)
    rng = np.random.default_rng(len(region.x))
    residual = sites.observed - _out_of_bag(ensemble)
    variograms = [fit_variogram(sites.lon, sites.lat, values, rng) for values in residual.T]
    for name, groups in region.supports.items():
        first = predicted @ groups.T
        values = np.stack([a + b * first for a, b in _lines(lines)], axis=2)
        sd = np.stack([_residual_sd(region, groups, variogram, rng) for variogram in variograms], axis=1)
        middle = values.mean(axis=0)
        tails = (1 - np.array(LEVELS)) / 2
        low, high = np.quantile(values, tails, axis=0), np.quantile(values, 1 - tails, axis=0)
        half = Z[:, None, None] * sd
        lower, upper = middle - np.hypot(middle - low, half), middle + np.hypot(high - middle, half)
        yield Answer("before", name, groups @ region.truth, middle, lower, upper)


def after(
    region: Region, sites: Sites, ensemble: Ensemble, predicted: np.ndarray, cores: Cores, *, draws: int, seed: int
) -> Iterator[Answer]:
    """The joint model of errors, as the map and the table of stocks use it.

    Cells by their conditional mean and SD; all that is larger by the SD of its draws; cores by `core_interval`.
    """
    model = fit_error_model(
        observed=ensemble.observed, out_of_bag=ensemble.out_of_bag, predicted=ensemble.predict_all(sites.covariates),
        coefficients=ensemble.coefficients, design=sites.covariates, zone=sites.zone, zones=int(region.zone.max()),
        x=sites.x, y=sites.y, seed=seed,
    )  # fmt: skip
    assert model is not None, "the sites are too few"
    of_cells = np.stack([a + b * predicted for a, b in _lines(ensemble.coefficients)], axis=1)
    columns = model.basis.columns(predicted.mean(axis=0), region.covariates, region.zone)
    moments = cell_moments(model, region.x, region.y, columns, of_cells.mean(axis=0), of_cells.std(axis=0, ddof=1))
    mean, sd = moments.mean.T, moments.sd.T
    lower, upper = _around(mean, sd)
    yield Answer("after", "cell", region.truth, mean, np.maximum(lower, 0), upper)
    truth = CellMoments(moments.mean[:, cores.cell], moments.sd[:, cores.cell])
    of_core = predicted[:, cores.cell].mean(axis=0)
    ends = [core_interval(model, truth, of_core, level, least=0.0) for level in LEVELS]
    lower, upper = (np.stack([pair[end].T for pair in ends]) for end in range(2))
    yield Answer("after", "core", cores.held, mean[cores.cell], lower, upper)
    drawn = Draws.of(model, draws).at(region.x, region.y, columns, predicted)
    for name, groups in region.supports.items():
        middle = groups @ mean
        spread = np.stack([(groups @ drawn[:, d].T).std(axis=1, ddof=1) for d in range(model.outputs)], axis=1)
        yield Answer("after", name, groups @ region.truth, middle, *_around(middle, spread))


def _lines(coefficients: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Intercept and slope of every replicate, depth by depth, each of shape (replicates, 1)."""
    for of_depth in np.moveaxis(coefficients, 1, 0):
        yield of_depth[:, :1], of_depth[:, 1:]


def _around(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = Z[:, None, None] * sd
    return mean - half, mean + half


def _out_of_bag(ensemble: Ensemble) -> np.ndarray:
    """Mean over the replicates that did not see a site, every depth by its own regression; shape (sites, depths)."""
    free = np.isfinite(ensemble.out_of_bag)
    values = [np.where(free, a + b * ensemble.out_of_bag, 0).sum(axis=0) for a, b in _lines(ensemble.coefficients)]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.stack(values, axis=1) / free.sum(axis=0)[:, None])


def _residual_sd(region: Region, groups: csr_array, variogram: Variogram, rng: np.random.Generator) -> np.ndarray:
    """SD of the means over groups from the structured part of the residuals' variogram, shape (groups,)."""
    found = np.zeros(groups.shape[0])
    if variogram.sill == 0:
        return found
    itself = float(variogram.structured(0.0))
    for number, (start, end) in enumerate(zip(groups.indptr[:-1], groups.indptr[1:], strict=True)):
        cells = groups.indices[start:end]
        a, b = rng.choice(cells, (2, _PAIRS))
        away = np.hypot(region.x[a] - region.x[b], region.y[a] - region.y[b])[a != b] / 1000
        others = variogram.structured(away).mean() if len(away) else 0.0
        found[number] = np.sqrt(itself / len(cells) + others * (1 - 1 / len(cells)))
    return found
