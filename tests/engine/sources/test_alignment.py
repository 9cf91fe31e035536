"""Analytic fields warped to equal-area grids: how far off each resampling may be, and that a shift would show."""

import numpy as np
import pytest
from rasters import ALBERS, LAEA, centres, north_up

from engine.sources.align import warp

GRIDS = {
    "LAEA": north_up(-300_000, 300_000, 6000, 100, 100, LAEA),
    "Albers": north_up(1_100_000, 5_900_000, 6000, 100, 100, ALBERS),
}
STEP = 0.02
"""Degrees; some three pixels by four lie under a cell."""
WAVE = 2.0
"""Degrees of a wave."""


def plane(lon, lat):
    return 3.0 * (lon - 120) - 5.0 * (lat - 50)


def sine(lon, lat):
    return np.sin(2 * np.pi * lon / WAVE) * np.cos(2 * np.pi * lat / WAVE)


def source_over(target, step=STEP):
    lon, lat = centres(target)
    west, north = np.floor(lon.min()) - 1, np.ceil(lat.max()) + 1
    return north_up(west, north, step, round((lon.max() + 1 - west) / step), round((north - lat.min() + 1) / step))


def warped(values, source, target, kernel):
    return warp(lambda window: values[window].astype("float32"), source, target, kernel, np.nan)


def of_cells(field, target, points=12):
    """Mean of a field over each cell, by 12 × 12 points."""
    fine = target.zoom_to(tuple(n * points for n in target.shape.yx))
    values = field(*centres(fine))
    return values.reshape(target.shape.y, points, target.shape.x, points).mean(axis=(1, 3))


# Largest errors in units of the field. Half a pixel of a plane that falls by 5 in a degree is 0.05 off, in both
# directions together 0.08; a sine of 2° rises by at most π in a degree and bends by π² in a square degree.
BOUNDS = [
    ("plane", "nearest", 0.085), ("plane", "bilinear", 2e-4), ("plane", "cubic", 2e-4), ("plane", "average", 0.035),
    ("sine", "nearest", 0.045), ("sine", "bilinear", 1e-3), ("sine", "cubic", 1e-4), ("sine", "average", 0.015),
]  # fmt: skip


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "kernel", "bound"), BOUNDS)
def test_the_error_of_each_resampling_is_bounded(grid, name, kernel, bound):
    field, target = {"plane": plane, "sine": sine}[name], GRIDS[grid]
    source = source_over(target)
    truth = of_cells(field, target) if kernel == "average" else field(*centres(target))
    error = warped(field(*centres(source)), source, target, kernel) - truth
    assert np.isfinite(error).all()
    assert np.abs(error).max() < bound
    assert abs(error.mean()) < bound / 20


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "kernel", "bound"), BOUNDS)
@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, 0.5), (-0.5, 0.5)])
def test_half_a_cell_of_shift_would_show(grid, name, kernel, bound, shift):
    """The bounds above are tight enough: the same source, half a target cell off, breaks them."""
    field, target = {"plane": plane, "sine": sine}[name], GRIDS[grid]
    source = source_over(target)
    truth = of_cells(field, target) if kernel == "average" else field(*centres(target))
    east, north = (s * 6000 / 111_000 for s in shift)
    lon, lat = centres(source)
    error = warped(field(lon + east / np.cos(np.radians(lat)), lat + north), source, target, kernel) - truth
    assert np.abs(error).max() > bound or abs(error.mean()) > bound / 20


@pytest.mark.parametrize("grid", GRIDS)
def test_an_average_conserves_the_mean_of_the_region(grid):
    """On an equal-area grid the mean of the cells is the mean of the ground: of noise, smooth fields and steps."""
    target = GRIDS[grid]
    source = source_over(target)
    lon, lat = centres(source)
    fine = target.zoom_to(tuple(n * 12 for n in target.shape.yx))
    cols, rows = (np.floor(v).astype(int) for v in ~source.affine @ centres(fine))
    for values in (sine(lon, lat), np.random.default_rng(0).random(lon.shape), (lon > 123.3).astype(float)):
        out = warped(values, source, target, "average")
        assert out.mean() == pytest.approx(values[rows, cols].mean(), abs=2e-3 * values.std() + 1e-9)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic", "average"])
def test_a_fill_value_never_bleeds(kernel):
    """Half of the source is missing: what is known keeps within the values beside it, the rest is missing."""
    target = GRIDS["LAEA"]
    source = source_over(target)
    lon, lat = centres(source)
    values = np.where(lon < 123, plane(lon, lat), np.nan)
    out, (x, _) = warped(values, source, target, kernel), centres(target)
    assert np.isnan(out[x > 123.1]).all() and np.isfinite(out[x < 122.9]).all()
    known = np.isfinite(out)
    assert np.abs(out - plane(*centres(target)))[known].max() < 0.3
