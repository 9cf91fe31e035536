"""Figures of the tables: every mark stands for a number of the artefacts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import make_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from pipelines.soil_carbon.figures.calibration import calibration_size, draw_calibration, draw_groups, groups_size
from pipelines.soil_carbon.figures.canvas import colour_of, letter, panels
from pipelines.soil_carbon.figures.density import ZoneBars, _bars
from pipelines.soil_carbon.figures.drivers import Drivers, draw_drivers, draw_other_dependences, drivers_size
from pipelines.soil_carbon.figures.fit import draw_fit, fit_size
from pipelines.soil_carbon.figures.regions import draw_regions
from pipelines.soil_carbon.figures.scores import draw_scores, scores_size
from pipelines.soil_carbon.figures.sites import recorded_zones
from pipelines.soil_carbon.figures.uncertainty import draw_coverage, scheme_colours
from pipelines.soil_carbon.results.published_stocks import compare_regions
from pipelines.soil_carbon.results.read_results import Results, read_results
from pipelines.soil_carbon.results.zone_tests import letters

ZONES = ("forest", "grassland", "wetland")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    directory: Path = tmp_path_factory.mktemp("figures") / "run"
    make_run(directory, truth=False)
    return read_results(directory)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_panels_and_colours_go_on():
    assert [letter(i) for i in (0, 1, 25)] == ["A", "B", "Z"]
    assert colour_of(["a", "b", "c"], ("red", "blue")) == {"a": "red", "b": "blue", "c": "red"}
    figure = Figure()
    assert len(panels(figure, 4)) == 4
    assert sum(axes.get_visible() for axes in figure.axes) == 4


def test_predictions_are_drawn_by_zone_with_the_scores_of_the_table(results):
    held_out = pd.DataFrame(
        {"observed": [2.0, 4, 6], "predicted": [3.0, 4, 5], "zone": ["forest", "wetland", "forest"]}
    )
    scores = {"r2_explained": 0.47, "r2": -0.031, "rmse": 1.52, "mae": 1.2}
    sites = results.profiles.pivot(index="site", columns="depth", values="socd")
    figure = Figure(figsize=fit_size(2), layout="compressed")
    draw_fit(
        figure, held_out, scores, sites, results.depth_regression, results.coefficients, ("0-10", "0-30"),
        colour_of(ZONES),
    )  # fmt: skip
    first, second = figure.axes
    points = {c.get_label(): c.get_offsets().tolist() for c in first.collections if c.get_label() in ZONES}
    assert points["forest"] == [[3, 2], [5, 6]]
    assert points["wetland"] == [[4, 4]]
    assert texts(first) == ["n = 3\nR² (Eq. 4) = 0.47\n1 − SSE/SST = −0.03\nRMSE = 1.52\nMAE = 1.20"]
    assert texts(second) == ["y = 2.40 x + 0.05\nr² = 0.83, p < 0.001\nn = 120"]
    line = next(line for line in second.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(line.get_ydata(), 0.05 + 2.4 * line.get_xdata())


def test_bars_of_zones_show_spread_range_and_letters(results):
    shown = {depth: letters(results.zone_differences, depth, "thinned") for depth in ("0-10", "0-30")}
    bars = ZoneBars(results.stocks, shown, colour_of(ZONES), "Tg C", 1000)
    figure = Figure()
    _bars(figure.subfigures(), ["0-10", "0-30"], bars, 2, 2)
    density, _, stock, _ = figure.subfigs[0].axes
    rows = bars.rows("0-10")
    np.testing.assert_allclose([bar.get_width() for bar in density.patches], rows["socd_mean"])
    np.testing.assert_allclose([bar.get_width() for bar in stock.patches], 1000 * rows["stock_pg"])
    for bar, zone in zip(density.patches, ZONES, strict=True):
        assert same_color(bar.get_facecolor(), bars.colours[zone])
    ends = [segment[:, 0] for segment in stock.collections[0].get_segments()]
    np.testing.assert_allclose(ends, 1000 * rows[["stock_lower_pg", "stock_upper_pg"]])
    assert texts(density) == ["a", "b", "n.t."]
    assert not texts(stock)
    assert density.get_title() == "C"


def test_importances_are_coloured_by_group_with_their_sums(results):
    drivers = Drivers(results.importance, results.partial_dependence, results.training, results.run.covariates, "0-10")
    figure = Figure(figsize=drivers_size(drivers), layout="compressed")
    draw_drivers(figure, drivers)
    gain, permutation, curve, points = (axes for part in figure.subfigs for axes in part.axes)
    assert [bar.get_width() for bar in gain.patches] == [29.5, 70.5]
    assert [bar.get_width() for bar in permutation.patches] == [0.05, 0.3]
    assert same_color(gain.patches[1].get_facecolor(), drivers.colours["soil"])
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == [
        "soil 70.5 %",
        "vegetation 29.5 %",
    ]
    FigureCanvasAgg(figure).draw()
    bars = [axes.get_window_extent() for axes in (gain, permutation)]
    assert not any(figure.subfigs[0].legends[0].get_window_extent().overlaps(box) for box in bars)
    table = results.partial_dependence[results.partial_dependence["covariate"] == "tn"]
    line, rug = curve.lines
    np.testing.assert_allclose(line.get_ydata(), table["mean"])
    np.testing.assert_allclose(rug.get_xdata(), results.training["tn"])
    assert curve.get_xlabel() == "Total nitrogen, g/kg"
    counts = results.training["zone"].value_counts()
    assert [tick.get_text() for tick in points.get_xticklabels()] == [f"{zone}\n{counts[zone]}" for zone in ZONES]


def test_without_gain_only_permutation_is_shown(results):
    without = results.importance.assign(gain_percent=np.nan, gain_sd=np.nan)
    drivers = Drivers(without, results.partial_dependence, results.training, results.run.covariates, "0-10")
    figure = Figure(figsize=drivers_size(drivers))
    draw_drivers(figure, drivers)
    (permutation,) = figure.subfigs[0].axes
    assert permutation.get_xlabel() == "rise of the RMSE when permuted, kg C/m²"
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == ["soil", "vegetation"]


def test_other_covariates_have_a_figure_of_their_own(results):
    importance = pd.concat([results.importance, results.importance.iloc[[0]].assign(covariate="mat", label="MAT")])
    curve = results.partial_dependence.query("covariate == 'tn'").assign(covariate="mat")
    drivers = Drivers(importance, curve, results.training.assign(mat=1.0), results.run.covariates, "0-10")
    figure = Figure()
    draw_other_dependences(figure, drivers)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "MAT, °C"


def test_every_repeat_is_a_point_and_the_mean_stands_out(results):
    colours = scheme_colours(["random", "knndm"])
    figure = Figure(figsize=scores_size(2, 2))
    draw_scores(figure, results.validation, ["rf", "xgboost"], colours, "rf")
    rmse = figure.axes[2]
    rows = results.validation.query("family == 'rf' and scheme == 'random'")["rmse"]
    repeats, mean = (points.get_offsets()[:, 0] for points in rmse.collections[:2])
    np.testing.assert_allclose(repeats, rows)
    np.testing.assert_allclose(mean, [rows.mean()])
    weights = {tick.label1.get_text(): tick.label1.get_fontweight() for tick in figure.axes[0].yaxis.get_major_ticks()}
    assert weights == {"XGBoost": "normal", "RF": "bold"}
    assert [axes.get_xlabel() for axes in figure.axes][:2] == ["explained-variance ratio (Eq. 4)", "1 − SSE/SST"]


def test_coverage_has_a_band_of_chance(results):
    figure = Figure()
    draw_coverage(figure, results.coverage, 1, scheme_colours(["random", "knndm"]))
    first = figure.axes[0]
    line = next(line for line in first.lines if line.get_label() == "random")
    np.testing.assert_allclose(line.get_xdata(), [50, 80, 90, 95])
    np.testing.assert_allclose(line.get_ydata(), [48, 78, 88, 93])
    band = first.collections[0].get_paths()[0].vertices
    # 100 observations: one half comes out within ±1.96 · 5 %.
    lower, upper = (band[side & (band[:, 0] < 99)] for side in (band[:, 1] < band[:, 0], band[:, 1] > band[:, 0]))
    for bound, expected in ((lower, 50 - 1.96 * 5), (upper, 50 + 1.96 * 5)):
        x, y = bound[np.argsort(bound[:, 0])].T
        assert np.interp(50, x, y) == pytest.approx(expected, abs=0.1)


def of_one_scheme(results: Results, table: pd.DataFrame | None) -> pd.DataFrame:
    assert table is not None
    return table[table["scheme"] == "knndm"]


def test_calibration_shows_what_is_inside_below_and_above_and_the_pit(results):
    table, pit = of_one_scheme(results, results.calibration), of_one_scheme(results, results.pit)
    figure = Figure(figsize=calibration_size(2))
    draw_calibration(figure, table, pit)
    inside, misses, histogram = figure.axes[:3]
    rows = table.query("by == 'all' and depth == '0-10' and method == 'mapped'")
    line = next(line for line in inside.lines if line.get_label() == "the map")
    np.testing.assert_allclose(line.get_xdata(), [50, 60, 70, 80, 90, 95, 99])
    np.testing.assert_allclose(line.get_ydata(), 100 * rows["inside"])
    for side in ("below", "above"):
        line = next(line for line in misses.lines if line.get_label() == side)
        np.testing.assert_allclose(line.get_ydata(), 100 * rows[side])
    heights = [bar.get_height() for bar in histogram.patches if bar.get_width() < 0.5]
    own = pit.query("depth == '0-10' and method == 'mapped'")
    counts = np.histogram(own["pit"], np.linspace(0, 1, 11))[0]
    np.testing.assert_allclose(heights, 100 * counts / len(own))
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["nominal level, %"] * 2 + ["PIT"]


def test_groups_that_are_too_small_are_open(results):
    table = of_one_scheme(results, results.calibration).copy()
    table.loc[table["group"] == "wetland", "judged"] = False
    figure = Figure(figsize=groups_size(table, 2))
    draw_groups(figure, table)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()][:4] == ["all sites", "forest", "grassland", "wetland"]
    filled = next(points for points in axes.collections if points.get_label() == "95 % interval")
    own = table.query("depth == '0-10' and method == 'mapped' and nominal == 0.95")
    np.testing.assert_allclose(filled.get_offsets()[:, 0], 100 * own.loc[own["judged"], "inside"])
    assert len(filled.get_offsets()) == 13 and len(own) == 14


def test_regions_stand_below_the_run(results):
    regions = compare_regions(results.totals, "Mine")
    figure = Figure()
    draw_regions(figure, regions)
    density, stock = figure.axes
    assert stock.get_xscale() == "log"
    ticks = density.yaxis.get_major_ticks()
    assert [tick.label1.get_text() for tick in ticks][-2:] == ["Circumpolar (Mishra et al. 2021)", "this run"]
    assert [tick.label1.get_fontweight() for tick in ticks][-2:] == ["normal", "bold"]
    points = [line.get_xdata()[0] for line in density.lines if line.get_marker() in ("o", "D")]
    np.testing.assert_allclose(points, regions["socd"][::-1])
    assert "13.0" in texts(density) and "17.3" in texts(density)


def test_records_name_zones_or_they_do_not():
    sites = pd.DataFrame({"vegetation": ["Forest ", None, "wetland", ""]})
    assert recorded_zones(sites, ZONES).tolist() == ["forest", "", "wetland", ""]
    assert recorded_zones(pd.DataFrame({"vegetation": ["forest", "tundra"]}), ZONES) is None
    assert recorded_zones(pd.DataFrame({"vegetation": [None]}), ZONES) is None


def test_sites_have_the_zone_of_their_cell(results):
    sites, training = results.sites, results.training
    assert len(sites) == 147
    zones = sites.set_index("site")["zone"]
    assert (zones[training["site"]].to_numpy() == training["zone"].to_numpy()).all()
