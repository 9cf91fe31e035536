"""Statistics of a cell over the replicates: mean, SD, intervals, relative uncertainty, and registered ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.ensemble.prediction_intervals import Jackknife
from engine.errors import InputError
from engine.registry import OWN, Registry

Z_95 = 1.96
"""Factor of a 95 % interval, as in Eq. 7."""


@dataclass(frozen=True)
class CellStatistics:
    """Statistics of cells, each of shape (n,), float64.

    Attributes
    ----------
    mean, sd : ndarray
        Over the replicates; SD with n − 1.
    ci_lower, ci_upper : ndarray
        95 % confidence interval of the ensemble's mean (Eq. 7). It shrinks with the number of replicates and does not
        say where a new observation would fall.
    uncertainty : ndarray
        (upper − lower) / mean (Eq. 8), dimensionless; NaN where the mean is 0.
    """

    mean: np.ndarray
    sd: np.ndarray
    ci_lower: np.ndarray
    ci_upper: np.ndarray
    uncertainty: np.ndarray


def over_replicates(values: np.ndarray) -> CellStatistics:
    """Return statistics of cells over replicates, in float64.

    Each cell's numbers depend on its own values only, and are added up replicate by replicate, so that they are the
    same whichever block the cell is in, and the same as those of the compiled code (`engine/forest/statistics.hpp`).

    Parameters
    ----------
    values : ndarray of float64, shape (replicates, cells)
        Two replicates or more.
    """
    n = len(values)
    # From the first replicate on, so that a large mean does not drown a small spread. The square of what is taken off
    # at the end is at most n times what is left: the first replicate is one of those that are spread.
    total, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for replicate in values:
        apart = replicate - values[0]
        total += apart
        squares += apart * apart
    mean = values[0] + total / n
    sd = np.sqrt(np.maximum(squares - total * (total / n), 0) / (n - 1))
    half = Z_95 * sd / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        uncertainty = np.where(mean != 0, 2 * half / mean, np.nan)
    return CellStatistics(mean, sd, mean - half, mean + half, uncertainty)


@dataclass(frozen=True)
class Cells:
    """Some cells of one output, as all replicates predict them.

    Attributes
    ----------
    values : ndarray of float64, shape (replicates, cells)
        Of the output, in its units.
    predicted : ndarray of float64, shape (replicates, cells)
        Of the modelled output, from which the others follow linearly.
    jackknife : Jackknife
        What prediction intervals of the output need.
    level : float
        Nominal coverage of the prediction interval.
    """

    values: np.ndarray
    predicted: np.ndarray
    jackknife: Jackknife
    level: float

    @cached_property
    def summary(self) -> CellStatistics:
        """Mean, SD and what follows from them."""
        return over_replicates(self.values)

    @cached_property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound of the prediction interval, each of shape (cells,)."""
        lower, upper = self.jackknife.interval(self.predicted, (self.level,))
        return lower[0], upper[0]


@dataclass(frozen=True)
class Statistic:
    """A layer of the map, computed cell by cell.

    Attributes
    ----------
    function : callable
        `Cells` → ndarray of shape (cells,). A cell's number may depend on that cell's values only, so that it is the
        same whichever block the cell is in.
    long_name : str
        Description, in which `{what}` stands for what is mapped and `{level}` for the level of the interval.
    units : str or None
        None: those of what is mapped; `1` of a plain number.
    """

    function: Callable[[Cells], np.ndarray]
    long_name: str
    units: str | None = None

    def attrs(self, what: str, units: str, level: str) -> dict[str, str]:
        """Return the CF attributes of the layer in a map of `what`."""
        long_name = self.long_name.replace("{what}", what).replace("{level}", level)
        return {"long_name": long_name, "units": units if self.units is None else self.units}


def statistic_of(name: str, cells: Cells) -> np.ndarray:
    """Return a registered statistic of cells.

    Raises
    ------
    InputError
        If it is not registered, fails, or gives anything else than a number for each cell.
    """
    key, count = "model.statistics", cells.values.shape[1]
    function = CELL_STATISTICS.find(name, key).function
    try:
        found = np.asarray(function(cells))
    except Exception as error:
        raise InputError(f"{key}: {name!r} fails: {type(error).__name__}: {error}") from error
    if found.shape != (count,) or found.dtype.kind not in "biuf":
        raise InputError(
            f"{key}: {name!r} gives {found.dtype} of shape {found.shape}; expected a number for each of {count} cells"
        )
    return found


CELL_STATISTICS: Registry[Statistic] = Registry("gelisol.statistics", "statistic", Statistic)
"""Statistics by name: those of every map, which the compiled code knows, too, and others."""

for _name, _statistic in {
    "mean": Statistic(lambda cells: cells.summary.mean, "{what}, mean of the replicates"),
    "sd": Statistic(lambda cells: cells.summary.sd, "standard deviation over the replicates"),
    "ci_lower": Statistic(
        lambda cells: cells.summary.ci_lower, "lower bound of the 95 % confidence interval of the ensemble mean"
    ),
    "ci_upper": Statistic(
        lambda cells: cells.summary.ci_upper, "upper bound of the 95 % confidence interval of the ensemble mean"
    ),
    "uncertainty": Statistic(
        lambda cells: cells.summary.uncertainty, "width of the 95 % confidence interval of the mean over the mean", "1"
    ),
    "pi_lower": Statistic(
        lambda cells: cells.interval[0], "lower bound of the {level} prediction interval of a new observation"
    ),
    "pi_upper": Statistic(
        lambda cells: cells.interval[1], "upper bound of the {level} prediction interval of a new observation"
    ),
}.items():
    CELL_STATISTICS.register(_name, _statistic, by=OWN)
