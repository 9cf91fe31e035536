"""Whether the sites stand for the region, by hand."""

import numpy as np
import pytest

from engine.mapping.blockwise import MapTotals
from pipelines.soil_carbon.results.representativeness import representativeness_table


def totals(areas: list[float], means: list[float], sds: list[float]) -> MapTotals:
    area, mean, sd = (np.array(values) for values in (areas, means, sds))
    nothing = np.zeros((1, len(area)))
    return MapTotals(
        cells=area.astype(int), area=area, predicted=nothing, replicate=nothing[None], mean=(area * mean)[None],
        square=(area * (mean**2 + sd**2))[None],
    )  # fmt: skip


def test_by_hand():
    """Two sites in each of two zones of other sizes: the region's shift is that of the sites within their zones."""
    table = representativeness_table(
        np.array([5.0, 7.0, 12.0, 14.0, np.nan, 99.0]), np.array(["a", "a", "b", "b", "b", ""]),
        totals([100, 300, 400], [4.0, 13.0, 10.75], [2.0, 4.0, 5.3]), ("a", "b"),
    ).set_index("zone")  # fmt: skip
    assert table["sites"].to_dict() == {"a": 2, "b": 2, "total": 5}
    assert table.loc["a", ["at_sites", "of_map", "map_sd", "shift"]].tolist() == pytest.approx([6, 4, 2, 1])
    assert table.loc["b", ["at_sites", "of_map", "map_sd", "shift"]].tolist() == pytest.approx([13, 13, 4, 0])
    assert table.loc["total", "shift"] == pytest.approx(0.5)  # although rich zone b has more sites than area in `a`


def test_without_zones_it_is_the_shift_itself():
    table = representativeness_table(np.array([3.0, 5.0]), np.array(["", ""]), totals([10], [3.0], [2.0]), ())
    assert table["zone"].tolist() == ["total"] and table["shift"].tolist() == pytest.approx([0.5])


def test_nothing_is_known_of_zones_without_sites_or_variation():
    table = representativeness_table(
        np.array([3.0]), np.array(["a"]), totals([10, 10, 0, 20], [3.0, 4.0, 0.0, 3.5], [0, 1, 0, 1]), ("a", "b", "c")
    )
    assert table["shift"].isna().all()
