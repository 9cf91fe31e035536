"""What a run asks of the distribution of a cell's own mean: the probability that it exceeds a value, and quantiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy.special import ndtr, ndtri

from engine.uncertainty.cells import CellMoments

PROBABILITY = "probability_over_"
"""How names of layers of probabilities begin."""


@dataclass(frozen=True)
class Asked:
    """Layers of a map that are made on request.

    Attributes
    ----------
    thresholds : tuple of float
        Values, in units of the map, that cells may exceed.
    quantiles : tuple of float
        Probabilities between 0 and 1.
    """

    thresholds: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return (*map(probability_name, self.thresholds), *map(quantile_name, self.quantiles))

    def layers(self, truth: CellMoments, least: float) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the layers of cells by name.

        Parameters
        ----------
        truth : CellMoments
            Mean and standard deviation of a normal distribution.
        least : float
            Smallest value that is possible; what the distribution has below it lies there. −inf: any is.

        Yields
        ------
        str, ndarray of shape (outputs, cells)
        """
        for threshold in self.thresholds:
            yield probability_name(threshold), probability_over(truth, threshold, least)
        for quantile in self.quantiles:
            yield quantile_name(quantile), np.maximum(truth.mean + truth.sd * ndtri(quantile), least)


NONE = Asked()
"""No layers but those of every map."""


def probability_over(truth: CellMoments, threshold: float, least: float) -> np.ndarray:
    """Return the probability that the truth is larger than a threshold, shape (outputs, cells)."""
    if threshold < least:
        return np.ones(truth.mean.shape)
    # A cell without any spread has its mean for certain.
    far = np.where(truth.mean > threshold, np.inf, -np.inf)
    return np.asarray(ndtr(np.divide(truth.mean - threshold, truth.sd, out=far, where=truth.sd > 0)))


def probability_name(threshold: float) -> str:
    """Return the name of a layer of probabilities: `probability_over_2_5` for 2.5, `…_over_minus_1` for −1."""
    number = _plain(Decimal(repr(abs(threshold)))).replace(".", "_")
    return f"{PROBABILITY}{'minus_' if threshold < 0 else ''}{number}"


def quantile_name(quantile: float) -> str:
    """Return the name of a layer of quantiles, by its per cent: `cell_q05` for 0.05, `cell_q97_5` for 0.975."""
    whole, _, part = _plain(100 * Decimal(repr(quantile))).partition(".")
    return f"cell_q{whole.zfill(2)}{'_' + part if part else ''}"


def _plain(number: Decimal) -> str:
    """Write a number without an exponent and without zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
