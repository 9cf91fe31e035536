"""Figure 1 shows permafrost and kinds of sources; Figure 2 the regression of the study and every scheme."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_up_run import ZONES, make_run
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from ruamel.yaml import YAML
from scipy import stats

from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.figures import _Figures
from pipelines.soil_carbon.figures.fit import HeldOut, draw_fit, fit_size, regression_band
from pipelines.soil_carbon.figures.permafrost import BOUNDARY, permafrost_limits, permafrost_of
from pipelines.soil_carbon.figures.sites import draw_sites, sites_size
from pipelines.soil_carbon.figures.zone_colours import zone_colours
from pipelines.soil_carbon.results.overviews import class_picture
from pipelines.soil_carbon.results.read_results import Results, read_results

CLASSES = {"continuous": [1], "discontinuous": [2], "none": [3]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run with permafrost in three bands from the north, and sites of three kinds of sources."""
    out = tmp_path_factory.mktemp("study") / "run"
    make_run(out, shape=(60, 80), truth=False)
    yaml = YAML()
    run = yaml.load(out / "run.yaml")
    run["covariates"]["frozen"] = {"href": "f.tif", "classes": CLASSES, "label": "Permafrost extent"}
    yaml.dump(run, out / "run.yaml")
    cube = xr.open_zarr(out / "cube.zarr", consolidated=False).load()
    band = np.repeat(1 + np.arange(60) // 20, 80).reshape(60, 80).astype("uint8")
    frozen = xr.Dataset({"frozen": (("y", "x"), band, {"grid_mapping": "spatial_ref"})})
    frozen.to_zarr(out / "cube.zarr", mode="a", consolidated=False)
    assert cube.sizes == {"y": 60, "x": 80}
    profiles = pd.read_parquet(out / "profiles.parquet")
    names = np.array(["this study", "Ding et al. 2016", "national soil survey"])
    codes = profiles["site"].astype("category").cat.codes.to_numpy()
    profiles.assign(source=names[codes % 3]).to_parquet(out / "profiles.parquet")
    return read_results(out)


def test_limits_of_permafrost_lie_between_its_classes(results: Results):
    figures = _Figures(results)
    limits = permafrost_limits(results, figures.backdrop)
    assert [limit.label for limit in limits] == ["continuous permafrost", "discontinuous permafrost"]
    assert len({str(limit.style) for limit in limits}) == 2
    _, _, _, top = figures.backdrop.domain.extent
    side = results.geobox.resolution.x
    for limit, rows in zip(limits, (20, 40), strict=True):
        south = min(line[:, 1].min() for line in limit.lines)
        assert south == pytest.approx(top - rows * side, abs=1.5 * side)


def run_file(covariates: dict[str, Any], boundary: str | None = None, figures: dict | None = None) -> RunFile:
    domain = {"boundary": boundary} if boundary else {"bounds": [115, 47, 130, 54]}
    return RunFile.model_validate(
        {
            "name": "a",
            "domain": domain,
            "covariates": covariates,
            "observations": {"table": "p.csv"},
            "depths": [[0, 10]],
            "output": {"dir": "out"},
            "figures": figures or {},
        }
    )


@pytest.mark.parametrize(
    ("covariates", "boundary", "figures", "expected"),
    [
        ({"mat": {"href": "a"}}, None, None, None),
        ({"permafrost": {"href": "a", "classes": CLASSES}}, None, None, "permafrost"),
        ({"p": {"href": "a", "label": "Permafrost probability"}}, None, None, "p"),
        ({"p": {"href": "a", "label": "多年冻土概率"}}, None, None, "p"),
        ({"t": {"href": "a", "label": "Permafrost temperature", "units": "degC"}}, None, None, None),
        ({"mat": {"href": "a"}}, "geo/permafrost.geojson", None, BOUNDARY),
        ({"mat": {"href": "a"}}, "b.geojson", {"permafrost": "boundary"}, BOUNDARY),
        ({"permafrost": {"href": "a"}}, None, {"permafrost": "none"}, None),
        ({"mat": {"href": "a"}}, None, {"permafrost": "mat"}, "mat"),
    ],
)
def test_what_shows_the_permafrost(covariates, boundary, figures, expected):
    assert permafrost_of(run_file(covariates, boundary, figures)) == expected


def test_a_name_that_is_not_there():
    with pytest.raises(ValueError, match=r"figures\.permafrost: 'mta' is not among the covariates; did you mean `mat`"):
        run_file({"mat": {"href": "a"}}, figures={"permafrost": "mta"})


def test_sites_tell_surveys_from_literature(results: Results):
    figures = _Figures(results)
    sites = results.sites.assign(kind=results.sites["zone"])
    places = np.column_stack([np.linspace(-1e5, 1e5, len(sites))] * 2)
    figure = Figure(figsize=sites_size(figures.backdrop, 7.1), layout="compressed")
    codes = class_picture(results.cube["vegetation"])
    colours = zone_colours(ZONES)
    limits = permafrost_limits(results, figures.backdrop)
    draw_sites(figure, figures.backdrop, codes, sites, places, colours, limits)
    (axes,) = figure.axes
    legends = [legend for legend in axes.get_children() if type(legend).__name__ == "Legend"]
    labels = [text.get_text() for legend in legends for text in legend.get_texts()]
    used = sites[sites["not_modelled"] == ""]
    for kind, source in (
        ("own survey", "this study"),
        ("literature", "Ding et al. 2016"),
        ("database", "national soil survey"),
    ):
        assert f"{kind}, n = {(used['source'] == source).sum()}" in labels
    assert {"continuous permafrost", "discontinuous permafrost"} <= set(labels)
    # Three shapes of every colour.
    points = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert len({p.get_paths()[0].vertices.tobytes() for p in points}) >= 3


def test_every_scheme_has_a_panel_with_its_regression(results: Results):
    rng = np.random.default_rng(0)

    def held_out(scheme: str) -> HeldOut:
        predicted = rng.uniform(1, 8, 60)
        table = pd.DataFrame(
            {"predicted": predicted, "observed": 2 * predicted + rng.normal(0, 1, 60), "zone": "forest"}
        )
        return HeldOut(table, {"r2_explained": 0.4, "r2": 0.3, "rmse": 1, "mae": 1}, scheme)

    first, other = held_out("random"), held_out("knndm")
    sites = results.profiles.pivot(index="site", columns="depth", values="socd")
    labels = results.run.depth_labels
    figure = Figure(figsize=fit_size(len(labels), 2), layout="compressed")
    draw_fit(
        figure, first.predictions, first.scores, sites, results.depth_regression, results.coefficients, labels,
        zone_colours(ZONES), "random", [other],
    )  # fmt: skip
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles[:2] == ["A   0–10 cm, random folds", "B   0–10 cm, kNNDM folds"]
    assert titles[2].startswith("C   ") and len(titles) == len(labels) + 1
    for axes, shown in zip(figure.axes, (first, other), strict=False):
        line = next(line for line in axes.lines if line.get_linestyle() == "-")
        fit = stats.linregress(shown.predictions["predicted"], shown.predictions["observed"])
        np.testing.assert_allclose(line.get_ydata(), fit.intercept + fit.slope * np.asarray(line.get_xdata()))


def test_the_band_is_the_confidence_of_the_mean():
    """By simulation: about 95 % of bands hold the true line at a point."""
    rng = np.random.default_rng(3)
    x, held = np.linspace(0, 1, 12), 0
    for _ in range(400):
        found = regression_band(x, 1 + 2 * x + rng.normal(0, 0.5, 12))
        assert found is not None
        at, line, half = found
        held += abs(line[30] - (1 + 2 * at[30])) < half[30]
    assert 0.92 < held / 400 < 0.98
    assert regression_band(x[:2], x[:2]) is None and regression_band(np.ones(5), x[:5]) is None
    assert regression_band(np.array([]), np.array([])) is None


def test_a_zone_has_its_colour_in_all_figures(results: Results):
    assert _Figures(results).zone_colours == zone_colours(results.zones[1])


def test_the_figures_to_look_at(results: Results):
    figures = _Figures(results)
    figures._sites()
    figures._fit()
    for path in figures.files.values():
        assert Path(path).stat().st_size > 20_000
