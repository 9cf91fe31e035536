"""Totals of zones from draws of the joint distribution of the map's errors."""

from dataclasses import dataclass

import numpy as np

from engine.mapping.blockwise import Totals
from engine.uncertainty.cells import kriged_field
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import ErrorModel

DRAWS = 500
"""Draws of every total. Their standard deviation is then within some 3 % of that of all possible draws."""


@dataclass(frozen=True)
class JointTotals:
    """Joint distribution of the zones' totals; the region last. Sums of area × value, e.g. 10⁶ kg C.

    Attributes
    ----------
    expected : ndarray, shape (depths, zones + 1)
        Conditional mean.
    square : ndarray, shape (depths, zones + 1)
        Sums of area × squared conditional mean.
    sd : ndarray, shape (depths, zones + 1)
        Standard deviation over the draws.
    residual_sd : ndarray, shape (depths, zones + 1)
        The same with replicates that do not differ: of what they do not explain.
    """

    expected: np.ndarray
    square: np.ndarray
    sd: np.ndarray
    residual_sd: np.ndarray


def joint_totals(model: ErrorModel, totals: Totals) -> JointTotals:
    """Draw the totals of zones."""
    of_map, of_errors = totals.map, totals.errors
    assert of_errors is not None
    sds = []
    for varied in (True, False):
        draws = Draws.of(model, DRAWS, replicates=varied)
        sums = draws.sums(of_map.area, of_map.predicted, of_errors.column, of_errors.node, of_errors.window)
        sds.append(sums.std(axis=0, ddof=1))
    kriged = np.stack(
        [
            np.tensordot(of_errors.node, kriged_field(model, output, of_errors.window), 2)
            for output in range(model.outputs)
        ]
    )
    expected = of_map.mean + model.shifts @ of_errors.column.T + kriged
    return JointTotals(expected, of_errors.square.T, *sds)
