"""The maps of a virtual region against its truth, over every mapped cell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.grid.grid import Grid
from pipelines.soil_carbon.results.read_results import Results

PG_PER_KG_M2_KM2 = 1e-6
"""Eq. 3 of the study: kg C/m² × km² → Pg C."""

MOMENTS = ("1", "truth", "mean", "truth²", "mean²", "truth·mean", "covered", "predicted")
"""What is summed over the cells, weighted by their area."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of one depth's map with the truth; cells weigh by their area.

    Attributes
    ----------
    depth : str
    cells : int
        Mapped cells.
    correlation : float
        Pearson's.
    bias, rmse : float
        Of the mapped mean against the truth, kg C/m².
    covered : float
        Share of the area where the truth lies in the interval of Eq. 7.
    predicted : float
        Share of the area where the truth lies in the prediction interval.
    true_mean : float
        kg C/m², over the mapped cells.
    true_stock_pg : float
        Pg C, over the mapped cells.
    """

    depth: str
    cells: int
    correlation: float
    bias: float
    rmse: float
    covered: float
    predicted: float
    true_mean: float
    true_stock_pg: float


def compare_with_truth(results: Results, chunk: int = 512) -> list[Agreement]:
    """Hold the mean maps against the truth, block by block.

    Parameters
    ----------
    results : Results
        Of a run with a truth.
    chunk : int
        Cells per block side: bounds the memory.

    Returns
    -------
    list of Agreement
        One per depth.
    """
    grid = Grid(results.geobox, chunk, results.geobox.extent)
    return [_compare(results, depth, grid) for depth in results.run.depth_labels]


def _compare(results: Results, depth: str, grid: Grid) -> Agreement:
    statistics = ("mean", "ci_lower", "ci_upper", "pi_lower", "pi_upper")
    layers = [results.true_layer(depth), *(results.layer(name, depth) for name in statistics)]
    cells, sums = 0, np.zeros(len(MOMENTS))
    for block in grid.blocks():
        values = np.stack([layer[block.roi].values for layer in layers]).astype(np.float64)
        known = np.isfinite(values).all(axis=0)
        area = grid.cell_areas(block)[known]
        truth, mean, *bounds = values[:, known]
        inside = [(truth >= lower) & (truth <= upper) for lower, upper in zip(bounds[::2], bounds[1::2], strict=True)]
        moments = (np.ones_like(mean), truth, mean, truth**2, mean**2, truth * mean, *inside)
        cells += int(known.sum())
        sums += [area @ moment for moment in moments]
    if not cells:
        return Agreement(depth, 0, *[np.nan] * 7)
    per_area = pd.Series(sums / sums[0], index=MOMENTS)
    truth, mean = per_area["truth"], per_area["mean"]
    variances = (per_area["truth²"] - truth**2) * (per_area["mean²"] - mean**2)
    return Agreement(
        depth=depth,
        cells=cells,
        correlation=(per_area["truth·mean"] - truth * mean) / np.sqrt(variances) if variances > 0 else np.nan,
        bias=mean - truth,
        rmse=np.sqrt(max(per_area["truth²"] - 2 * per_area["truth·mean"] + per_area["mean²"], 0.0)),
        covered=per_area["covered"],
        predicted=per_area["predicted"],
        true_mean=truth,
        true_stock_pg=truth * sums[0] * PG_PER_KG_M2_KM2,
    )
