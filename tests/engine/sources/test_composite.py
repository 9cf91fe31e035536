"""Sources made of others: formulas, and means over soil depth."""

import numpy as np
import pytest
from rasters import LAEA, north_up, rois, same, write_nc, write_tif

from engine.errors import InputError
from engine.sources.base import Context
from engine.sources.composite import ExpressionSource, LayeredSource
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.resampling import Resampling

NATIVE = north_up(120, 52, 0.05, 60, 40)
COARSE = north_up(119, 53, 0.25, 20, 16)
TARGET = north_up(-150_000, 150_000, 8000, 30, 30, LAEA)
RNG = np.random.default_rng(0)
CLAY, SILT = (RNG.uniform(10, 40, box.shape).astype("float32") for box in (NATIVE, COARSE))


@pytest.fixture
def folder(tmp_path):
    write_tif(tmp_path / "clay.tif", CLAY, NATIVE, nodata=-1)
    write_tif(tmp_path / "silt.tif", SILT, COARSE)
    return tmp_path


def test_a_formula_of_sources_of_its_own(folder):
    spec = source_spec(expression="clay + silt", of={"clay": {"href": "clay.tif"}, "silt": {"href": "silt.tif"}})
    source = open_source("both", spec, folder)
    assert isinstance(source, ExpressionSource)
    method = source.choose_resampling(TARGET)
    assert method == (Resampling.AVERAGE, Resampling.BILINEAR)  # each part as suits its pixels
    parts = [open_source(n, source_spec(href=f"{n}.tif"), folder) for n in ("clay", "silt")]
    expected = np.add(*(p.on_grid(TARGET, p.choose_resampling(TARGET)).astype("float64") for p in parts))
    whole = source.on_grid(TARGET, method)
    assert same(whole, expected.astype("float32"))
    assert np.isfinite(whole).mean() > 0.3
    for roi in rois(TARGET, 13):
        assert same(source.on_grid(TARGET[roi], method), whole[roi])
    assert {file.name for file in source.summary().files} == {"clay.tif", "silt.tif"}


def test_a_formula_of_other_covariates(folder):
    others = {"clay": source_spec(href="clay.tif"), "half": source_spec(expression="clay / 2")}
    source = open_source("v", source_spec(expression="half * 2 - clay"), folder, Context(others=others))
    values = source.on_grid(TARGET, source.choose_resampling(TARGET))
    assert np.nanmax(np.abs(values)) < 1e-5


def test_formulas_that_cannot_be(folder):
    others = {
        "forest": source_spec(href="f.tif", classes={"a": (1,)}),
        "loop": source_spec(expression="v + clay"),
        "clay": source_spec(href="clay.tif"),
    }
    with pytest.raises(InputError) as error:
        open_source("v", source_spec(expression="forest + loop + none + v"), folder, Context(others=others))
    assert list(map(str, error.value.problems)) == [
        "covariates.v.expression: 'forest' is a category, not a number",
        "covariates.v.expression: 'loop' leads back to 'v' itself",
        "covariates.v.expression: 'none' is neither in `of` nor among the covariates",
        "covariates.v.expression: 'v' leads back to 'v' itself",
    ]


def layers(folder) -> dict[str, np.ndarray]:
    values = {}
    for depth, mean in (("0-5", 60.0), ("5-15", 30.0), ("15-30", 10.0)):
        values[depth] = (mean + RNG.random(NATIVE.shape)).astype("float32")
        values[depth][3, 4] = -1
        write_tif(folder / f"tn_{depth}.tif", values[depth], NATIVE, nodata=-1)
    return values


@pytest.mark.parametrize(
    ("depth", "weights"), [(None, (5, 10, 15)), ((0, 30), (5, 10, 15)), ((0, 10), (5, 5)), ((7, 20), (8, 5))]
)
def test_layers_count_by_their_thickness(folder, depth, weights):
    values = layers(folder)
    entry = {d: f"tn_{d}.tif" for d in ("15-30", "0-5", "5-15")}
    source = open_source("tn", source_spec(layers=entry, depth=depth), folder)
    assert isinstance(source, LayeredSource) and source.weights == weights
    used = list(values)[: len(weights)] if depth != (7, 20) else ["5-15", "15-30"]
    assert list(source.parts) == used
    stack = np.stack([np.where(values[d] == -1, np.nan, values[d]) for d in used])
    expected = np.average(stack, axis=0, weights=weights)
    out = source.on_grid(NATIVE, "nearest")
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert np.isnan(out[3, 4]) and np.isfinite(out).sum() == out.size - 1


def test_layers_as_bands_and_as_places_on_an_axis(tmp_path):
    stack = RNG.uniform(0, 10, (2, *NATIVE.shape)).astype("float32")
    write_tif(tmp_path / "a.tif", stack, NATIVE)
    lon, lat = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
    import xarray as xr

    axes = {"depth": [2.5, 10.0], "lat": lat, "lon": lon}
    xr.Dataset({"v": (("depth", "lat", "lon"), stack)}, axes).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for name in ("a.tif", "a.nc"):
        spec = source_spec(href=name, layers={"0-5": 1, "5-15": 2})
        out = open_source("v", spec, tmp_path).on_grid(NATIVE, "nearest")
        np.testing.assert_allclose(out, (5 * stack[0] + 10 * stack[1]) / 15, rtol=1e-6)
    with pytest.raises(InputError, match="choose one of the 2 places on depth with `band`"):
        open_source("v", source_spec(href="a.nc"), tmp_path)
    with pytest.raises(InputError, match="depth has 2 places; place 3 "):
        open_source("v", source_spec(href="a.nc", band=3), tmp_path)


def test_a_gap_between_layers(folder):
    layers(folder)
    spec = source_spec(layers={"0-5": "tn_0-5.tif", "15-30": "tn_15-30.tif"})
    with pytest.raises(InputError, match="cover 20 of the 30 cm between 0 and 30"):
        open_source("tn", spec, folder)


def test_every_missing_layer_is_named(folder):
    with pytest.raises(InputError) as error:
        open_source("tn", source_spec(layers={"0-5": "x.tif", "5-15": "y.tif"}), folder)
    assert len(error.value.problems) == 2
    assert str(error.value.problems[0]).startswith("covariates.tn.0-5.href: no such file")


def test_time_series_in_a_formula(folder):
    lon, lat = np.arange(120.025, 123, 0.05), np.arange(51.975, 50, -0.05)
    steps = np.stack([np.full(NATIVE.shape, v, "float32") for v in range(12)])
    days = (np.datetime64("2001-01", "M") + np.arange(12)).astype("datetime64[D]") - np.datetime64("2000-01-01")
    time = (days.astype("int32"), {"units": "days since 2000-01-01"})
    write_nc(folder / "t.nc", steps, lon, lat, time=time)
    summer, winter = ({"href": "t.nc", "months": season} for season in ("JJA", "djf"))
    spec = source_spec(expression="summer - winter", of={"summer": summer, "winter": winter})
    out = open_source("range", spec, folder).on_grid(NATIVE, "nearest")
    assert np.allclose(out, 6 - 4)
