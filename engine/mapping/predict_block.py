"""One pass over cells: all replicates, their statistics, prediction intervals and zone sums.

The compiled code holds the replicates of a few hundred cells at a time. Without it, the same is done by NumPy for a
slab of cells at a time: the same arithmetic in the same order, and so the same numbers, to the bit.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from engine.ensemble.statistics import Z_95, Cells, CellStatistics, statistic_of
from engine.ensemble.trained import Ensemble
from engine.forest import native
from engine.mapping.zonal_sums import FixedPoint, Precision, ZoneGroups, ZoneSums, beyond

OF_MEAN = tuple(CellStatistics.__annotations__)
"""Statistics over the replicates."""
OF_OBSERVATION = ("pi_lower", "pi_upper")
"""Prediction interval of a new observation."""
STATISTICS = (*OF_MEAN, *OF_OBSERVATION)
"""Statistics of every map."""
SLAB = 16384
"""Cells whose predictions by all replicates are held at a time where they do not come from the compiled code."""


class OnePass:
    """Pass over an ensemble's replicates that computes statistics and sums, cell by cell.

    Parameters
    ----------
    level : float
        Nominal coverage of the prediction interval.
    precision : Precision
        Fixed-point formats of the zone sums.
    further : sequence of str
        Registered statistics to take beside `STATISTICS`.
    compiled : bool, optional
        Whether to use the compiled code; by default where this installation has it.
    instruction_set : str, optional
        One of `engine.forest.INSTRUCTION_SETS`; by default the best.
    observations : bool
        Whether the sites' votes on a new observation are counted. Without them, its intervals are open: they are left
        to the caller, and the pass is faster.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        level: float,
        precision: Precision,
        further: Sequence[str] = (),
        *,
        compiled: bool | None = None,
        instruction_set: str = "",
        observations: bool = True,
    ):
        self.ensemble, self.level, self.precision = ensemble, level, precision
        self.further = tuple(further)
        self._compiled = native.is_built() if compiled is None else compiled
        self._instruction_set = instruction_set
        self._observations = observations

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without compiled parts, which are built again on arrival."""
        return {name: value for name, value in vars(self).items() if name != "_summary"}

    def run(self, x: np.ndarray, area: np.ndarray, zone: np.ndarray, zones: int) -> tuple[np.ndarray, ZoneSums]:
        """Take cells, in one go.

        Parameters
        ----------
        x : ndarray of float32, shape (cells, columns)
            Without missing values.
        area : ndarray of float64, shape (cells,)
            km².
        zone : ndarray of int64, shape (cells,)
            0 … zones − 1; in ascending order.

        Returns
        -------
        statistics : ndarray of float32, shape (outputs, len(STATISTICS) + len(further), cells)
        sums : ZoneSums

        Raises
        ------
        RunError
            If a prediction is far outside what the training data allow.
        InputError
            If a registered statistic is not known here, fails, or gives no number for each cell.
        """
        statistics, sums = self._of_every_map(x, area, zone, zones)
        return (np.concatenate([statistics, self._further(x)], axis=1) if self.further else statistics), sums

    def _further(self, x: np.ndarray) -> np.ndarray:
        """Compute the registered statistics from all replicates' predictions, a slab of cells at a time."""
        found = np.empty((self.ensemble.coefficients.shape[1], len(self.further), len(x)), "float32")
        for start in range(0, len(x), SLAB):
            part = slice(start, min(start + SLAB, len(x)))
            predicted = self.ensemble.predict_all(x[part]).astype("float64")
            for output, of_output in enumerate(found):
                cells = self._cells(predicted, output)
                for place, name in enumerate(self.further):
                    of_output[place, part] = statistic_of(name, cells)
        return found

    def _cells(self, predicted: np.ndarray, output: int) -> Cells:
        intercept, slope = (self.ensemble.coefficients[:, output, n, None] for n in (0, 1))
        return Cells(intercept + slope * predicted, predicted, self.ensemble.jackknives[output], self.level)

    def _of_every_map(
        self, x: np.ndarray, area: np.ndarray, zone: np.ndarray, zones: int
    ) -> tuple[np.ndarray, ZoneSums]:
        """Compute `STATISTICS` and the sums, with compiled code where possible."""
        replicates, outputs, _ = self.ensemble.coefficients.shape
        statistics = np.empty((outputs, len(STATISTICS), len(x)), "float32")
        sums = ZoneSums.zero(zones, replicates, outputs)
        forest = self.ensemble.forest if self._compiled else None
        if forest is not None:
            self._check(
                forest.summarise(
                    x, self._summary, area, zone, statistics, vars(sums), instruction_set=self._instruction_set
                )
            )
            return statistics, sums
        for start in range(0, len(x), SLAB):
            part = slice(start, min(start + SLAB, len(x)))
            predicted = self.ensemble.predict_all(x[part])
            if self._compiled:
                of_part = np.empty((outputs, len(STATISTICS), part.stop - start), "float32")
                self._check(
                    native.module().summarise(
                        predicted, self._summary, area[part], zone[part], of_part, vars(sums), self._instruction_set
                    )
                )
                statistics[:, :, part] = of_part
            else:
                self._take(predicted.astype("float64"), area[part], zone[part], statistics[:, :, part], sums)
        return statistics, sums

    def _take(
        self, predicted: np.ndarray, area: np.ndarray, zone: np.ndarray, statistics: np.ndarray, sums: ZoneSums
    ) -> None:
        """Compute statistics and sums of a slab's predictions, shape (replicates, cells), by NumPy."""
        precision = self.precision
        groups = ZoneGroups.of_sorted(zone, len(sums.cells))
        for replicate, values in enumerate(predicted):
            sums.predicted[replicate] += groups.sum(precision.predicted.encode(values * area))
        sums.area += groups.sum(precision.area.encode(area))
        sums.cells += groups.sum(np.ones(len(area), "int64"))
        for output, of_output in enumerate(statistics):
            cells = self._cells(predicted, output)
            mean = cells.summary.mean
            sums.mean[output] += groups.sum(precision.mean.encode(mean * area))
            sums.square[output] += groups.sum(precision.square.encode(mean * mean * area))
            for place, name in enumerate(STATISTICS if self._observations else OF_MEAN):
                of_output[place] = statistic_of(name, cells)
            if not self._observations:
                of_output[len(OF_MEAN) :] = [[cells.jackknife.least], [np.inf]]

    @cached_property
    def _summary(self) -> Any:
        """Description of the ensemble for the compiled code."""
        replicates, outputs, _ = self.ensemble.coefficients.shape
        formats = [getattr(self.precision, name) for name in ("area", "predicted", "mean", "square")]
        return native.module().Summary(
            {
                "replicates": replicates,
                "outputs": outputs,
                "intercept": self.ensemble.coefficients[..., 0].T,
                "slope": self.ensemble.coefficients[..., 1].T,
                "z": Z_95,
                "votes": [self._votes(output) for output in range(outputs)],
                "formats": [number for form in formats for number in _bound_and_scale(form)],
            }
        )

    def _votes(self, output: int) -> dict[str, Any]:
        jackknife = self.ensemble.jackknives[output]
        sites, (_, upper) = len(jackknife.residual), jackknife.ranks(self.level)
        return {
            "residual": jackknife.residual,
            "share": jackknife.share,
            "codes": jackknife.codes,
            "kth": max(sites - upper, 0) if self._observations else 0,
            "least": jackknife.least,
        }

    @staticmethod
    def _check(refused: Sequence[float] | None) -> None:
        if refused is not None:
            raise beyond(*refused)


def _bound_and_scale(form: FixedPoint) -> tuple[float, float]:
    return form.bound, 2.0**form.bits
