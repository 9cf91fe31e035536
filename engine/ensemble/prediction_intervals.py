"""Prediction intervals for a new observation: jackknife+-after-bootstrap (Kim, Xu & Barber 2020).

The replicates that a site took no part in are models that never saw it. Their mean, set against what was measured
there, says how far the ensemble is off at a new place; the same mean at a cell is one vote on where a new observation
would fall. No model is fitted beyond those of the bootstrap.

Votes and residuals are float32, like the maps. A vote is how far it is from the first replicate, which is added in
float64 at the end: what is rounded is small, and an interval's end is that of exact numbers to within float32.
"""

import math
from dataclasses import dataclass

import numpy as np

SLAB = 4096
"""Cells that are evaluated together."""
_CHUNK = 4
"""Replicates whose sums over every subset are taken once for all sites."""


@dataclass(frozen=True)
class Jackknife:
    """Votes and residuals of the sites for one output, in descending order of the residual.

    Attributes
    ----------
    residual : ndarray of float32, shape (sites,)
        |observed − vote| at the site itself.
    codes : ndarray of uint8, shape (sites, chunks)
        Which of four consecutive replicates the site took no part in, one bit each: these vote.
    share : ndarray of float32, shape (sites,)
        1 / number of replicates that vote.
    lines : ndarray, shape (replicates, 2)
        Intercept and slope of this output on the modelled one.
    least : float
        Lowest value that an observation can have. Intervals end there: what lies beyond holds no observation, so that
        their coverage stays the same.
    """

    residual: np.ndarray
    codes: np.ndarray
    share: np.ndarray
    lines: np.ndarray
    least: float = -np.inf

    @classmethod
    def of(
        cls, observed: np.ndarray, out_of_bag: np.ndarray, coefficients: np.ndarray, least: float = -np.inf
    ) -> "Jackknife":
        """Build the intervals from an ensemble's out-of-bag predictions.

        Parameters
        ----------
        observed : ndarray, shape (sites,)
            Of this output; NaN where it was not measured.
        out_of_bag : ndarray, shape (replicates, sites)
            Predictions of the modelled output; NaN where the site is in the bag.
        coefficients : ndarray, shape (replicates, 2)
            Intercept and slope of this output on the modelled one. They were fitted on the same bootstrap samples, so
            the residuals hold the scatter of that regression, too.
        least : float
            Lowest value that an observation can have.
        """
        out = np.isfinite(out_of_bag).T
        usable = np.isfinite(observed) & out.any(axis=1)
        out, count = out[usable], out[usable].sum(axis=1)
        values = coefficients[:, 0] + coefficients[:, 1] * np.nan_to_num(out_of_bag).T[usable]
        residual = np.abs(observed[usable] - np.where(out, values, 0).sum(axis=1) / count)
        order = np.argsort(-residual, kind="stable")
        padded = np.pad(out[order], ((0, 0), (0, -out.shape[1] % _CHUNK))).reshape(len(order), -1, _CHUNK)
        codes = (padded << np.arange(_CHUNK)).sum(axis=2).astype("uint8")
        share = (1 / count[order]).astype("float32")
        return cls(residual[order].astype("float32"), codes, share, np.asarray(coefficients, "float64"), least)

    def ranks(self, level: float) -> tuple[int, int]:
        """Return the positions, from 0, of the interval's ends among sorted votes ∓ residuals; −1 and n if unbounded.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"a level of confidence lies between 0 and 1, not at {level}")
        n = len(self.residual)
        upper = math.ceil(round(level * (n + 1), 9)) - 1
        return n - 1 - upper, upper

    def interval(self, predictions: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the prediction intervals of cells.

        Parameters
        ----------
        predictions : ndarray, shape (replicates, cells)
            Of the modelled output.
        levels : tuple of float
            Nominal coverages, e.g. 0.95.

        Returns
        -------
        lower, upper : ndarray of float64, shape (levels, cells)
            Where the sites are too few for the level, the upper end is infinite and the lower one `least`.
        """
        cells = predictions.shape[1]
        lower = np.empty((len(levels), cells))
        upper = np.empty((len(levels), cells))
        for start in range(0, cells, SLAB):
            part = slice(start, min(start + SLAB, cells))
            first, votes = self._votes(predictions[:, part])
            self._ends(first, votes, levels, lower[:, part], upper[:, part])
        return np.maximum(lower, self.least), np.maximum(upper, self.least)

    def _votes(self, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average over the replicates that each site took no part in, added up in a fixed order.

        Returns
        -------
        first : ndarray of float64, shape (cells,)
            The first replicate.
        votes : ndarray of float32, shape (sites, cells)
            How far the means are from it.
        """
        intercept, slope = self.lines[:, :1], self.lines[:, 1:]
        values = intercept + slope * predictions
        apart = (values - values[0]).astype("float32")
        votes = np.zeros((len(self.residual), values.shape[1]), "float32")
        for chunk, codes in enumerate(self.codes.T):
            sums = np.zeros((2**_CHUNK, values.shape[1]), "float32")
            for bit, replicate in enumerate(apart[_CHUNK * chunk : _CHUNK * (chunk + 1)]):
                sums[2**bit : 2 ** (bit + 1)] = sums[: 2**bit] + replicate
            votes += sums[codes]
        return values[0], votes * self.share[:, None]

    def _ends(
        self, first: np.ndarray, votes: np.ndarray, levels: tuple[float, ...], lower: np.ndarray, upper: np.ndarray
    ) -> None:
        n = len(self.residual)
        ranks = [self.ranks(level) for level in levels]
        low, high = votes - self.residual[:, None], votes + self.residual[:, None]
        low.partition([r for r, _ in ranks if r >= 0] or [0], axis=0)
        high.partition([r for _, r in ranks if r < n] or [n - 1], axis=0)
        for i, (below, above) in enumerate(ranks):
            lower[i] = first + low[below] if below >= 0 else -np.inf
            upper[i] = first + high[above] if above < n else np.inf
