"""Densities that no soil has are counted and told, with their depth."""

import numpy as np

from engine.mapping.map_sample import CellSample
from pipelines.soil_carbon.results.map_checks import CAUSE, impossible_densities

DEPTHS, LABELS = [(0, 20), (0, 5), (0, 100), (30, 60)], ["0-20", "0-5", "0-100", "30-60"]


def cells(*values: list[float], mapped: int = 4) -> CellSample:
    n = len(values[0])
    return CellSample(
        np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n, "uint8"), np.array(values, dtype="float32"), mapped
    )


def test_a_map_that_soils_can_have_gets_no_warning():
    # 30–60 cm may hold less or more than 0–20 cm, of which it is no part.
    assert not impossible_densities(cells([5, 0], [1, 0], [9, 0], [7, 0], mapped=2), DEPTHS, LABELS)


def test_densities_below_zero_and_layers_that_hold_less_than_their_parts():
    found = impossible_densities(cells([5, 6, -1, 2], [1, 1, 0, 2], [9, 5, -3, 2], [0, 5, 0, 2]), DEPTHS, LABELS)
    notes = list(map(str, found))
    assert notes == [
        "warning: 0-20 cm: the mean density is below zero in 1 of 4 mapped cells.",
        "warning: 0-100 cm: the mean density is below zero in 1 of 4 mapped cells.",
        "warning: 0-20 cm holds less than its part 0-5 cm in 1 of 4 mapped cells.",
        "warning: 0-100 cm holds less than its part 0-20 cm in 2 of 4 mapped cells.",
        "warning: 0-100 cm holds less than its part 0-5 cm in 1 of 4 mapped cells.",
        "warning: 0-100 cm holds less than its part 30-60 cm in 1 of 4 mapped cells.",
        str(CAUSE),
    ]


def test_a_sample_is_called_one():
    notes = impossible_densities(cells([-1, 2], mapped=50), DEPTHS[:1], LABELS[:1])
    assert "in 1 of 2 cells drawn at random" in notes[0].message
