"""The chart of the screening shows every covariate, its numbers and what was decided."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from scipy import stats

from engine.sources.entry import source_spec
from pipelines.soil_carbon.figures.canvas import canvas
from pipelines.soil_carbon.figures.charts import POINT
from pipelines.soil_carbon.figures.screening import draw_screening, screening_size

SELECTION = pd.DataFrame({
    "covariate": ["mat", "tn", "vegetation", "rain", "flat"],
    "test": ["spearman", "spearman", "kruskal-wallis", "spearman", "spearman"],
    "rho": [-0.1, 0.6, np.nan, 0.5, np.nan],
    "p_value": [0.3, 1e-9, 0.002, 1e-6, np.nan],
    "vif": [1.2, 1.5, 2.0, np.inf, np.nan],
    "kept": [False, True, True, False, False],
    "reason": "",
    "effect": [0.01, 0.36, 0.16, 0.25, np.nan],
    "n": 102,
})  # fmt: skip
SPECS = {name: source_spec(href="x.tif", label=f"The {name}") for name in SELECTION["covariate"]}


@pytest.fixture
def figure() -> Figure:
    figure = Figure(figsize=screening_size(SELECTION), layout="compressed")
    draw_screening(figure, SELECTION, SPECS, "0-10")
    return figure


def test_bars_from_the_strongest_down(figure: Figure) -> None:
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["The flat", "The mat", "The vegetation", "The rain", "The tn"]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axes.patches}
    assert {y: round(bar.get_width(), 9) for y, bar in bars.items()} == {1: -0.1, 2: 0.4, 3: 0.5, 4: 0.6}
    assert {y for y, bar in bars.items() if same_color(bar.get_facecolor(), POINT)} == {2, 4}
    assert {y for y, bar in bars.items() if bar.get_hatch()} == {2}


def test_numbers_beside_the_bars(figure: Figure) -> None:
    texts = {(round(t.get_position()[1]), t.get_text()): t.get_weight() for t in figure.axes[0].texts}
    numbers = {key: weight for key, weight in texts.items() if key[1] not in ("p", "VIF")}
    assert numbers == {
        (1, "0.300"): "bold", (1, "1.2"): "normal", (2, "0.002"): "normal", (2, "2.0"): "normal",
        (3, "< 0.001"): "normal", (3, "∞"): "bold", (4, "< 0.001"): "normal", (4, "1.5"): "normal",
        (0, "–"): "normal",
    }  # fmt: skip


def test_dotted_lines_are_where_scipy_is_just_significant(figure: Figure) -> None:
    critical = max(line.get_xdata()[0] for line in figure.axes[0].lines)
    t = critical * np.sqrt(100 / (1 - critical**2))
    assert 2 * stats.t.sf(t, 100) == pytest.approx(0.05)


def test_it_reaches_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "screening.png"
    with canvas(path, screening_size(SELECTION), made_up=True) as figure:
        draw_screening(figure, SELECTION, SPECS, "0-10", alpha=0.01, vif_max=5)
        assert figure.axes[0].get_xlabel() == "Spearman’s ρ with the carbon density, 0–10 cm (dotted: p = 0.01)"
    assert path.stat().st_size > 5000
