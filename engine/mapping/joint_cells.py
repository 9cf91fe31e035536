"""What the joint model of the errors says of cells that an ensemble has predicted."""

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from engine.mapping.predict_block import OF_OBSERVATION, STATISTICS
from engine.uncertainty.asked import Asked
from engine.uncertainty.cells import CellMoments, cell_moments
from engine.uncertainty.core_intervals import core_interval
from engine.uncertainty.error_model import ErrorModel

OF_CELL = ("cell_mean", "cell_lower", "cell_upper")
"""A cell's own mean under the joint model of the errors, and the interval that holds it."""
_MEAN, _SD = (STATISTICS.index(name) for name in ("mean", "sd"))
_ENDS = [STATISTICS.index(name) for name in OF_OBSERVATION]


def truth_of_cells(
    errors: ErrorModel, statistics: np.ndarray, x: np.ndarray, zone: np.ndarray, where: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, CellMoments]:
    """Condition cells on the sites.

    Parameters
    ----------
    statistics : ndarray of float32, shape (outputs, statistics, cells)
        `STATISTICS` come first.
    x : ndarray of float32, shape (cells, columns)
        Design matrix.
    zone : ndarray of int, shape (cells,)
    where : pair of ndarray, shape (cells,)
        Centres on the grid's plane.

    Returns
    -------
    columns : ndarray, shape (cells, basis.size)
        Of the basis.
    truth : CellMoments
    """
    columns = errors.basis.columns(statistics[0, _MEAN], x, zone)
    return columns, cell_moments(errors, *where, columns, statistics[:, _MEAN], statistics[:, _SD])


def put_observations(
    errors: ErrorModel, truth: CellMoments, statistics: np.ndarray, level: float, least: float
) -> None:
    """Write the interval of a new observation into `statistics`, shape (outputs, statistics, cells)."""
    ends = core_interval(errors, truth, statistics[0, _MEAN], level, least)
    for place, values in zip(_ENDS, ends, strict=True):
        statistics[:, place] = values


def layers_of_cells(truth: CellMoments, level: float, least: float, asked: Asked) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the layers of a cell's own mean by name: `OF_CELL`, then what is asked for.

    Parameters
    ----------
    level : float
        Nominal coverage of the interval.
    least : float
        Smallest value that is possible; −inf: any is.

    Yields
    ------
    str, ndarray of float64, shape (outputs, cells)
    """
    far = truth.sd * ndtri((1 + level) / 2)
    for name, values in zip(OF_CELL, (truth.mean, truth.mean - far, truth.mean + far), strict=True):
        yield name, np.maximum(values, least)
    yield from asked.layers(truth, least)
