"""Figures: what is drawn is what the maps say, in any projection and at any size; and the comparison with the truth."""

import itertools
from pathlib import Path

import matplotlib
import numpy as np
import odc.geo.xr
import pytest
import rasterio.transform
import xarray as xr
from made_up_run import EQUAL_AREA, make_run, write_store
from matplotlib.figure import Figure
from matplotlib.image import imread
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from engine.storage.zarr_store import open_dataset
from pipelines.soil_carbon.figures import draw_figures
from pipelines.soil_carbon.figures.backdrop import MISSING, Backdrop, draw_classes
from pipelines.soil_carbon.figures.canvas import canvas
from pipelines.soil_carbon.figures.graticule import draw_graticule, draw_scale_bar, east_west, north_south
from pipelines.soil_carbon.figures.maps import HATCHED, Scale, draw_map
from pipelines.soil_carbon.results.overviews import Picture, class_picture, limits, picture
from pipelines.soil_carbon.results.read_results import read_results
from pipelines.soil_carbon.results.truth import compare_with_truth

POLAR = "EPSG:6931"


def layer_of(values: np.ndarray, path: Path, chunk: int) -> xr.DataArray:
    geobox = GeoBox(values.shape, rasterio.transform.from_origin(0, 0, 1000, 1000), CRS(EQUAL_AREA))
    variable = xr.Dataset({"v": (("y", "x"), values)}, coords=odc.geo.xr.xr_coords(geobox))
    variable["v"].attrs["grid_mapping"] = "spatial_ref"
    variable.to_zarr(path, consolidated=False, encoding={"v": {"chunks": (chunk, chunk)}})
    return open_dataset(path)["v"]


@pytest.mark.parametrize(("shape", "chunk", "side"), [((23, 31), 8, 10), ((40, 12), 16, 7), ((9, 9), 4, 20)])
def test_pictures_average_the_known_cells(tmp_path, shape, chunk, side):
    rng = np.random.default_rng(0)
    values = rng.normal(5, 1, shape).astype("float32")
    values[rng.random(shape) < 0.3] = np.nan
    values[:6, :6] = np.nan
    drawn = picture(layer_of(values, tmp_path / "v.zarr", chunk), side)

    factor = -(-max(shape) // side)
    assert max(drawn.values.shape) <= side
    height, width = drawn.values.shape
    for i, j in itertools.product(range(height), range(width)):
        cells = values[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        expected = np.nanmean(cells) if np.isfinite(cells).any() else np.nan
        assert drawn.values[i, j] == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert drawn.extent == (0, width * factor * 1000, -height * factor * 1000, 0)


def test_pictures_hold_one_strip_at_a_time(tmp_path, monkeypatch):
    layer = layer_of(np.ones((64, 64), "float32"), tmp_path / "v.zarr", 8)
    read = []
    load = xr.DataArray.values.fget
    monkeypatch.setattr(xr.DataArray, "values", property(lambda a: read.append(a.shape) or load(a)))
    picture(layer, 20)
    assert [shape for shape in read if len(shape) == 2] == [
        (8, 64)
    ] * 8  # squares of 4 cells: one row of chunks holds two


def test_pictures_of_what_is_made_of_the_values(tmp_path):
    layer = layer_of(np.array([[1, 5], [np.nan, 9]], "float32"), tmp_path / "v.zarr", 2)
    beyond = picture(layer, 1, of=lambda v: np.where(np.isnan(v), np.nan, v > 4))
    assert beyond.values == pytest.approx(2 / 3)


@pytest.mark.parametrize(("shape", "side"), [((23, 31), 10), ((9, 9), 20), ((40, 12), 7)])
def test_pictures_of_classes_show_cells_not_averages(tmp_path, shape, side):
    codes = np.random.default_rng(1).integers(0, 4, shape).astype("uint8")
    drawn = class_picture(layer_of(codes, tmp_path / "v.zarr", 8), side)
    factor = -(-max(shape) // side)
    assert drawn.values.shape == tuple(-(-n // factor) for n in shape)
    for (i, j), value in np.ndenumerate(drawn.values):
        # The middle of the square, or of what the edge of the grid leaves of it.
        row, col = (min(k * factor + (factor - 1) // 2, n - 1) for k, n in zip((i, j), shape, strict=True))
        assert value == pytest.approx(codes[row, col] or np.nan, nan_ok=True)


def test_limits_leave_out_outliers_and_never_collapse():
    values = np.r_[np.linspace(0, 1, 1000), 1e6, np.nan]
    assert limits(values) == pytest.approx((0.02, 0.98), abs=0.002)
    low, high = limits(np.full(5, 7.0))
    assert low < 7 < high
    assert limits(np.array([np.nan])) == (0, 1)


def test_a_map_that_hardly_varies_shows_no_pattern():
    """Prediction intervals of nearly one width: rounding must not look like a map."""
    low, high = limits(np.float32(17.048) + np.float32(1e-6) * np.arange(100))
    assert (low, high) == pytest.approx((17.048 * 0.95, 17.048 * 1.05), rel=1e-4)
    assert limits(np.linspace(-1, 1, 101)) == pytest.approx((-0.96, 0.96))


def labels_of(axes) -> dict[str, list[tuple[float, float]]]:
    places: dict[str, list[tuple[float, float]]] = {}
    for text in axes.texts:
        places.setdefault(text.get_text(), []).append(text.xy if hasattr(text, "xy") else text.get_position())
    return places


def test_graticule_round_the_pole():
    axes = Figure().subplots()
    frame = (-4e6, 4e6, -4e6, 4e6)
    axes.set(xlim=frame[:2], ylim=frame[2:])
    assert draw_graticule(axes, CRS(POLAR), frame) == {"left", "bottom", "right", "top"}
    places = labels_of(axes)
    # On this grid 0° runs down from the pole, 90°E to the right, 180° up.
    for name, place in {"0°": (0, -4e6), "180°": (0, 4e6), "90°E": (4e6, 0), "90°W": (-4e6, 0)}.items():
        assert places[name] == [pytest.approx(place, abs=2e3)]
    assert {"80°N", "70°N", "60°N", "50°N"} <= set(places)
    for line in axes.lines:
        assert np.isfinite(line.get_xydata()).all()


def test_graticule_beside_the_pole_and_across_the_antimeridian():
    axes = Figure().subplots()
    frame = (-1.5e6, 1.5e6, 1.5e6, 4e6)
    assert draw_graticule(axes, CRS(POLAR), frame) == {"left", "bottom"}
    places = labels_of(axes)
    assert places["180°"] == [pytest.approx((0, 1.5e6), abs=2e3)]
    assert {"160°E", "160°W"} <= set(places)
    assert all(place[0] == -1.5e6 for name in places if name.endswith("N") for place in places[name])


def test_graticule_labels_do_not_touch():
    axes = Figure().subplots()
    frame = (-2e6, 2e6, 4e3, 4e6)  # all meridians leave close to the pole
    draw_graticule(axes, CRS(POLAR), frame)
    below = sorted(x for places in labels_of(axes).values() for x, y in places if y == 4e3)
    assert below
    assert np.all(np.diff(below) > 0.05 * 4e6)


@pytest.mark.parametrize(("crs", "latitude"), [(POLAR, 50), (EQUAL_AREA, 50)])
def test_scale_bar_is_true_on_the_ground(crs, latitude):
    from pyproj import Geod, Transformer

    transformer = Transformer.from_crs("EPSG:4326", CRS(crs).proj, always_xy=True)
    x, y = transformer.transform(123, latitude)
    axes = Figure().subplots()
    draw_scale_bar(axes, CRS(crs), (x, x + 1e6, y, y + 1e6))
    bar = axes.lines[0].get_xydata()
    (lon0, lon1), (lat0, lat1) = transformer.transform(*bar.T, direction="INVERSE")
    length = Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)[2]
    assert axes.texts[0].get_text() == "200 km"
    assert length == pytest.approx(200e3, rel=0.003)


def test_names_of_degrees():
    assert [east_west(v) for v in (0, 120, -60, 180, -180, 200, 0.5)] == [
        "0°",
        "120°E",
        "60°W",
        "180°",
        "180°",
        "160°W",
        "0.5°E",
    ]
    assert [north_south(v) for v in (0, 52.5, -10)] == ["0°", "52.5°N", "10°S"]


EXTENT = (0.0, 1e5, 0.0, 1e5)


@pytest.fixture
def backdrop() -> Backdrop:
    """A domain of 10 × 10 pixels but for the first column."""
    inside = np.ones((10, 10))
    inside[:, 0] = 0
    return Backdrop(CRS(EQUAL_AREA), Picture(inside, EXTENT), EXTENT)


def test_map_shows_values_missing_cells_and_domain(backdrop):
    values = np.full((10, 10), 5.0)
    values[3, 4] = np.nan
    values[:, 0] = np.nan
    values[0, 2:4] = 1, 9
    figure = Figure(figsize=(4, 5), dpi=100)
    axes = draw_map(figure.subfigures(), backdrop, Picture(values, EXTENT), Scale(4, 6, "viridis", "x"), "title")
    (image,) = axes.images
    pixels = np.asarray(image.get_array())
    assert tuple(pixels[3, 4]) == MISSING
    assert (pixels[:, 0, 3] == 0).all()  # outside the domain nothing is drawn
    colours = matplotlib.colormaps["viridis"]
    np.testing.assert_allclose(pixels[0, 1], colours(0.5))
    np.testing.assert_allclose(pixels[0, 2:4], [colours(0.0), colours(1.0)])  # beyond the scale: its ends
    assert tuple(image.get_extent()) == EXTENT


def test_hatched_pixels_are_grey_whatever_their_value(backdrop):
    hatched = np.zeros((10, 10), bool)
    hatched[2:4, 5:7] = True
    figure = Figure(figsize=(4, 5), dpi=100)
    field = Picture(np.full((10, 10), 5.0), EXTENT)
    axes = draw_map(figure.subfigures(), backdrop, field, Scale(4, 6, "viridis", "x"), "title", hatched, mark=5.5)
    pixels = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(np.all(pixels == HATCHED, axis=-1), hatched)
    histogram, bar = axes.child_axes
    assert all(5.5 in [line.get_xdata()[0] for line in inset.lines] for inset in (histogram, bar))


def test_classes_are_drawn_in_tints_of_their_colours(backdrop):
    codes = np.full((10, 10), np.nan)
    codes[1, 2], codes[1, 3], codes[5, 0] = 1, 2, 1
    axes = Figure().subplots()
    draw_classes(axes, backdrop, Picture(codes, EXTENT), ["#ff0000", "#0000ff"], 4)
    pixels = np.asarray(axes.images[0].get_array())
    red, blue = pixels[1, 2], pixels[1, 3]
    assert red[0] == 1 and 0 < red[1] == red[2] < 1
    assert blue[2] == 1 and 0 < blue[0] == blue[1] < 1
    assert pixels[5, 0, 3] == 0  # outside the domain, whatever the class
    assert np.ptp(pixels[5, 5, :3]) == 0 and pixels[5, 5, 3] == 1  # inside, without a class


def test_the_outline_goes_round_the_domain(backdrop):
    (outline,) = backdrop.outline
    assert outline.shape[1] == 2
    np.testing.assert_allclose(outline[0], outline[-1])
    # The domain is all columns but the first.
    assert outline[:, 0].min() == pytest.approx(1e4, abs=2e3)
    assert outline[:, 0].max() == pytest.approx(1e5, abs=2e3)


def test_small_maps_have_fewer_lines():
    counts = []
    for width in (1.8, 5.0):
        axes = Figure().subplots()
        draw_graticule(axes, CRS(EQUAL_AREA), (-4e5, 4e5, -4e5, 4e5), width)
        counts.append(len(axes.lines))
    assert 2 <= counts[0] < counts[1]


def test_made_up_figures_carry_a_label(tmp_path):
    for made_up in (True, False):
        with canvas(tmp_path / "figures" / f"{made_up}_0-7.5.png", (2, 2), made_up) as figure:
            figure.subplots().plot([0, 1])
    pixels = {name: imread(tmp_path / "figures" / f"{name}_0-7.5.png") for name in (True, False)}
    reds = {name: (image[..., 0] - image[..., 1] > 0.4).sum() for name, image in pixels.items()}
    assert reds[True] > 20
    assert reds[False] == 0
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".pdf"}


def test_figures_are_for_print_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        with canvas(tmp_path / f"{name}.png", (3, 2), False) as figure:
            figure.subplots().plot([0, 1])
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    height, width = imread(tmp_path / "a.png").shape[:2]
    assert (width, height) == pytest.approx((900, 600), abs=40)  # 300 dpi, without the margins
    assert b"/FontFile2" in (tmp_path / "a.pdf").read_bytes()  # TrueType, embedded


def test_a_figure_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), canvas(tmp_path / "a.png", (2, 2), False):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("crs", "centre", "resolution"),
    [(POLAR, (0.0, 0.0), 100_000), (EQUAL_AREA, (0.0, 0.0), 20_000)],
)
def test_every_figure_of_a_run_is_drawn(tmp_path, crs, centre, resolution):
    make_run(tmp_path / "run", crs=crs, centre=centre, resolution=resolution, shape=(40, 50), truth=False, n_sites=1600)
    (tmp_path / "run" / "figures").mkdir()
    for left in ("socd_0-99_mean.png", "truth_maps.pdf"):
        (tmp_path / "run" / "figures" / left).write_bytes(b"of an earlier run")
    files = draw_figures(read_results(tmp_path / "run"), [])
    both = {path.with_suffix(suffix) for path in files.values() for suffix in (".png", ".pdf")}
    assert set((tmp_path / "run" / "figures").iterdir()) == both
    assert set(files) == {
        "figure1_sites",
        "figure2_fit",
        "figure3_density",
        "figure4_uncertainty",
        "figure5_drivers",
        "figure6_regions",
        "screening",
        "scores",
        "coverage",
        "calibration",
        "calibration_groups",
        "applicability",
    }
    for path in files.values():
        pixels = imread(path)
        assert min(pixels.shape[:2]) > 200
        assert pixels[..., :3].std() > 0.05


def test_truth_by_hand(tmp_path):
    make_run(tmp_path / "run", shape=(20, 20), depths=((0, 10),), labels=("0-10",))
    results = read_results(tmp_path / "run")
    geobox = results.geobox
    true = np.full((1, 20, 20), np.nan, "float32")
    mean = true.copy()
    true[0, 0, :4] = [2.6, 4.2, 6, 8]
    mean[0, 0, :3] = [3, 4, 5]  # the fourth cell is not mapped
    maps = {"mean": mean, "ci_lower": mean - 0.5, "ci_upper": mean + 0.5, "pi_lower": mean - 0.9, "pi_upper": mean + 2}
    dims = ("depth", "y", "x")
    depth = {"depth": np.array(["0-10"], dtype="U8")}
    write_store(tmp_path / "maps.zarr", geobox, {k: (dims, v) for k, v in maps.items()}, depth)
    write_store(tmp_path / "true.zarr", geobox, {"socd": (dims, true)}, depth)
    swapped = {"maps": open_dataset(tmp_path / "maps.zarr"), "truth": open_dataset(tmp_path / "true.zarr")}
    (agreement,) = compare_with_truth(type(results)(**{**vars(results), **swapped}), chunk=7)
    assert agreement.cells == 3
    # Deviations from the means are −1, 0, 1 and −5/3, −1/15, 26/15.
    assert agreement.correlation == pytest.approx(3.4 / np.sqrt(2 * (625 + 1 + 676) / 225))
    assert agreement.bias == pytest.approx(-0.8 / 3)
    assert agreement.rmse == pytest.approx(np.sqrt((0.16 + 0.04 + 1) / 3))
    assert agreement.covered == pytest.approx(2 / 3)
    assert agreement.predicted == pytest.approx(1)
    assert agreement.true_mean == pytest.approx(12.8 / 3)
    assert agreement.true_stock_pg == pytest.approx(12.8 * 100 * 1e-6)  # kg/m² summed, cells of 10 km × 10 km


@pytest.mark.parametrize("chunk", [7, 512])
def test_truth_does_not_depend_on_blocks(tmp_path, chunk):
    make_run(tmp_path / "run", shape=(30, 40))
    results = read_results(tmp_path / "run")
    agreement = compare_with_truth(results, chunk)[1]
    mean, true = results.layer("mean", "0-30").values, results.true_layer("0-30").values
    known = np.isfinite(mean) & np.isfinite(true)
    p, t = mean[known].astype("float64"), true[known].astype("float64")
    assert agreement.correlation == pytest.approx(np.corrcoef(p, t)[0, 1])
    assert agreement.rmse == pytest.approx(np.sqrt(np.mean((p - t) ** 2)))
    assert agreement.true_stock_pg == pytest.approx(t.sum() * 100 * 1e-6)
