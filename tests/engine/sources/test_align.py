"""Warping: blocks equal the whole, values stand where they belong, missing pixels stay out of it."""

import math

import numpy as np
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasters import ALBERS, LAEA, SINUSOIDAL, centres, north_up, rois, same

from engine.sources import align, vrt
from engine.sources.align import pixels_per_cell, source_window, warp

KERNELS = ("nearest", "bilinear", "cubic", "average", "mode")
GRID = north_up(-400_000, 400_000, 8000, 100, 100, LAEA)
POLAR = north_up(-3_010_000, 3_010_000, 40_000, 150, 150, "EPSG:6931")  # the pole is inside a cell
CASES = {
    "degrees to LAEA": (north_up(115, 56, 0.05, 320, 240), GRID),
    "finer degrees to LAEA": (north_up(115, 56, 0.02, 800, 600), GRID),
    "sinusoidal to Albers": (
        north_up(7.0e6, 6.2e6, 9266.0, 230, 150, SINUSOIDAL),
        north_up(800_000, 6.2e6, 8000, 110, 110, ALBERS),
    ),
    "same CRS, aligned": (north_up(-400_000, 400_000, 8000, 90, 90, LAEA), GRID),
    "same CRS, offset": (north_up(-397_000, 401_000, 5000, 150, 150, LAEA), GRID),
    "degrees to a cylinder": (north_up(90, 70, 0.25, 200, 80), north_up(9.0e6, 6.8e6, 25_000, 180, 50, "EPSG:6933")),
    "globe to the pole": (north_up(-180, 90, 0.5, 720, 360), POLAR),
    "globe from 0° to the pole": (north_up(-0.25, 90.25, 0.5, 720, 181), POLAR),
    "rotated by 45°": (north_up(34, 69, 0.05, 440, 260), north_up(2.0e6, -2.0e6, 10_000, 60, 60, "EPSG:6931")),
}


def pixels_of(source: GeoBox, kernel: str, seed: int = 0) -> tuple[np.ndarray, float]:
    """Noise with holes."""
    rng = np.random.default_rng(seed)
    holes = rng.random(source.shape) < 0.1
    if kernel == "mode":
        return np.where(holes, 0, rng.integers(1, 6, source.shape)).astype("uint8"), 0
    return np.where(holes, np.nan, rng.random(source.shape)).astype("float32"), np.nan


def warped(pixels: np.ndarray, source: GeoBox, target: GeoBox, kernel: str, missing: float = np.nan) -> np.ndarray:
    return warp(lambda window: pixels[window].copy(), source, target, kernel, missing)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_blocks_equal_the_whole_to_the_bit(case, kernel):
    source, target = CASES[case]
    pixels, missing = pixels_of(source, kernel)
    whole = warped(pixels, source, target, kernel, missing)
    known = whole != missing if kernel == "mode" else np.isfinite(whole)
    assert known.mean() > 0.5
    for chunk in (34, 64):
        blocks = np.empty_like(whole)
        for roi in rois(target, chunk):
            blocks[roi] = warped(pixels, source, target[roi], kernel, missing)
        assert same(blocks, whole), f"{chunk}"


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("case", CASES)
def test_a_mesh_of_points_finds_all_pixels_that_are_needed(monkeypatch, case, kernel):
    """The window that GDAL takes from some points, and as much around it, gives what all points give."""
    source, target = CASES[case]
    pixels, _ = pixels_of(source, kernel)
    parts = [target, *(target[roi] for roi in rois(target, 41))]
    strides = [align._stride(source, part) for part in parts]
    assert sum(8 + 2 * stride <= vrt._MOST_EXTRA for stride in strides) > len(parts) / 2
    from_mesh = [warped(pixels, source, part, kernel) for part in parts]
    monkeypatch.setattr(align, "_stride", lambda *_: math.inf)
    align._nearest_pixels.cache_clear()
    assert all(same(warped(pixels, source, part, kernel), out) for part, out in zip(parts, from_mesh, strict=True))


@settings(max_examples=30, deadline=None)
@given(
    step=st.sampled_from([0.031, 0.1, 0.25]),
    kernel=st.sampled_from(KERNELS),
    rows=st.tuples(st.integers(0, 99), st.integers(1, 40)),
    cols=st.tuples(st.integers(0, 99), st.integers(1, 40)),
    centre=st.sampled_from([(123, 50), (179.5, 66), (0, 88.5)]),
)
@example(step=0.031, kernel="nearest", rows=(0, 29), cols=(11, 40), centre=(0, 88.5))
@example(step=0.031, kernel="nearest", rows=(0, 1), cols=(0, 1), centre=(123, 50))  # a single cell
@example(step=0.1, kernel="bilinear", rows=(99, 1), cols=(99, 1), centre=(179.5, 66))
def test_any_part_equals_the_whole(step, kernel, rows, cols, centre):
    source = north_up(-180, 90, step, round(360 / step), round(50 / step))
    target = north_up(-400_000, 400_000, 8000, 100, 100, f"+proj=laea +lat_0={centre[1]} +lon_0={centre[0]}")
    rng = np.random.default_rng(1)
    tile = rng.random((101, 103)).astype("float32")
    missing = np.nan
    if kernel == "mode":
        tile, missing = (tile * 5).astype("uint8"), 0

    def read(window):
        """A pattern that repeats, without a whole globe in memory."""
        return tile[np.ix_(*(np.arange(s.start, s.stop) % n for s, n in zip(window, tile.shape, strict=True)))]

    part = tuple(slice(start, min(start + n, 100)) for start, n in (rows, cols))
    assert same(warp(read, source, target[part], kernel, missing), warp(read, source, target, kernel, missing)[part])


PLANES = {
    "degrees to LAEA": 0.05,
    "sinusoidal to Albers": None,
    "same CRS, offset": None,
    "rotated by 45°": 0.05,
}


@pytest.mark.parametrize("case", PLANES)
@pytest.mark.parametrize(
    ("kernel", "share"),
    # Largest error as a share of a pixel: nearest is half a pixel off in either direction at most, interpolation of a
    # plane is exact but for float32; a shift of half a pixel would be 0.5 in the mean.
    [("nearest", 0.71), ("bilinear", 1e-3), ("cubic", 1e-3), ("average", 0.6)],
)
def test_a_plane_stays_in_its_place(case, kernel, share):
    source, target = CASES[case]
    pixel = source.resolution.x
    for axis in (0, 1):
        plane = centres(source, source.crs.proj)[axis]
        origin = plane.mean()
        out = warped(((plane - origin) / pixel).astype("float32"), source, target, kernel)
        error = out - (centres(target, source.crs.proj)[axis] - origin) / pixel
        # At the rim of the source, where a cell is only partly covered, there is nothing to interpolate.
        cols, rows = ~source.affine @ centres(target, source.crs.proj)
        within = (cols > 2) & (cols < source.shape.x - 2) & (rows > 2) & (rows < source.shape.y - 2)
        assert within.mean() > 0.4
        assert np.abs(error[within]).max() < share
        assert abs(error[within].mean()) < (0.15 if case == "same CRS, offset" else 0.02)


@pytest.mark.parametrize("start", [-180, -180.25, 0, -0.25], ids=lambda v: f"from {v}")
@pytest.mark.parametrize(
    ("kernel", "tolerance"), [("nearest", 0.014), ("bilinear", 5e-5), ("cubic", 1e-6), ("average", 0.007)]
)
def test_a_wave_around_the_globe_has_no_seam(start, kernel, tolerance):
    """Wherever the longitudes start; across the antimeridian as anywhere else."""
    source = north_up(start, 90, 0.5, 720, 200)

    def wave(lon, lat):
        return np.sin(np.radians(lon)) * np.cos(np.radians(lat)) + np.sin(np.radians(2 * lat))

    pixels = wave(*centres(source)).astype("float32")
    for target in (POLAR, north_up(1.7e7, 6.5e6, 25_000, 20, 40, "EPSG:6933")):
        lon, lat = centres(target)
        on_earth = np.isfinite(lon) & (lat < 89.7)  # beyond the last centres there is nothing to interpolate
        error = warped(pixels, source, target, kernel) - wave(lon, lat)
        assert np.abs(error[on_earth]).max() < tolerance


def test_a_pole_between_the_samples_of_a_block():
    """The window under a wide block reaches the last row, though no sample of the block comes near it."""
    source = north_up(-180, 90, 0.1, 3600, 300)
    target = north_up(-2_900_000, 3_100_000, 40_000, 150, 150, "EPSG:6931")
    _, lat = centres(target)
    out = warped(centres(source)[1].astype("float32"), source, target, "nearest")
    near = lat > 80
    assert near.sum() > 1000
    assert np.abs(out - lat)[near].max() < 0.051


def test_a_region_across_the_antimeridian():
    """Longitudes 150 to 220 are -140 to the transformer."""
    source = north_up(150, 75, 0.5, 140, 40)
    target = north_up(-400_000, 400_000, 20_000, 40, 40, "+proj=laea +lat_0=65 +lon_0=180")
    lon, _ = centres(target)
    out = warped(centres(source)[0].astype("float32") % 360, source, target, "bilinear")
    assert np.abs(out - lon % 360).max() < 1e-3
    away = warped(np.ones(source.shape, "float32"), source, north_up(-4e5, 4e5, 2e4, 40, 40, LAEA), "bilinear")
    assert np.isnan(away).all()


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:2180", "EPSG:4513", "EPSG:3408"])
def test_axis_order_and_sphere_of_a_source(crs):
    """Some projected CRSs list northing first; rasters never do."""
    x, y = (v.mean() for v in centres(north_up(20 if crs != "EPSG:4513" else 118, 52, 0.1, 2, 2), crs))
    source = north_up(round(x, -4) - 100_000, round(y, -4) + 100_000, 5000, 40, 40, crs)
    lon, lat = centres(source)
    centre = f"+proj=laea +lat_0={lat.mean()} +lon_0={lon.mean()}"
    target = north_up(-50_000, 50_000, 5000, 20, 20, centre)
    for plane, truth in zip((lon, lat), centres(target), strict=True):
        # A pixel is some 0.05°; degrees are all but linear over it.
        assert np.abs(warped(plane.astype("float32"), source, target, "bilinear") - truth).max() < 2e-4


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:4513"])
def test_axis_order_of_a_grid(crs):
    centre = 10 if crs == "EPSG:3035" else 118
    x, y = (v.mean() for v in centres(north_up(centre, 52, 0.1, 2, 2), crs))
    target = north_up(round(x, -3), round(y, -3), 5000, 20, 20, crs)
    source = north_up(centre - 5, 56, 0.05, 200, 160)
    for plane, truth in zip(centres(source), centres(target), strict=True):
        assert np.abs(warped(plane.astype("float32"), source, target, "bilinear") - truth).max() < 1e-4


def brute_force(pixels: np.ndarray, source: GeoBox, target: GeoBox, points: int = 40) -> np.ndarray:
    """Pixels under 40 × 40 points of each cell, dims (y, x, points)."""
    height, width = target.shape.yx
    fine = target.zoom_to((height * points, width * points))
    cols, rows = ~source.affine @ centres(fine, source.crs.proj)
    under = pixels[np.floor(rows).astype(int), np.floor(cols).astype(int)]
    return under.reshape(height, points, width, points).swapaxes(1, 2).reshape(height, width, -1)


@pytest.mark.parametrize("case", ["finer degrees to LAEA", "rotated by 45°"])
def test_an_average_is_of_the_whole_cell(case):
    """Whatever the angle between the grids; GDAL's own average at 45° sees a tenth of the pixels."""
    source, target = CASES[case]
    target = target[20:50, 20:50]
    pixels = np.random.default_rng(2).random(source.shape).astype("float32")
    expected = brute_force(pixels, source, target).mean(axis=2)
    out = warped(pixels, source, target, "average")
    assert np.sqrt(np.mean((out - expected) ** 2)) < 0.1 * pixels.std()
    assert np.corrcoef(out.ravel(), expected.ravel())[0, 1] > 0.9
    assert out.mean() == pytest.approx(expected.mean(), abs=0.002)


@pytest.mark.parametrize("kernel", ["average", "mode"])
def test_points_are_held_in_strips_of_any_height(monkeypatch, kernel):
    source, target = CASES["finer degrees to LAEA"]
    pixels, missing = pixels_of(source, kernel)
    whole = warped(pixels, source, target, kernel, missing)
    for most in (1, 20_000):
        monkeypatch.setattr("engine.sources.align.MOST_POINTS", most)
        assert same(warped(pixels, source, target[:41], kernel, missing), whole[:41])


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_an_average_of_whole_pixels_is_exact(ratio):
    source = north_up(-400_000, 400_000, 8000 / ratio, 20 * ratio, 20 * ratio, LAEA)
    pixels = np.random.default_rng(3).integers(0, 1000, source.shape).astype("float32")
    out = warped(pixels, source, GRID[:20, :20], "average")
    expected = pixels.reshape(20, ratio, 20, ratio).mean(axis=(1, 3), dtype="float64")
    assert same(out, expected.astype("float32"))
    assert out.mean(dtype="float64") == pytest.approx(pixels.mean(dtype="float64"), rel=1e-7)


@pytest.mark.parametrize("case", ["finer degrees to LAEA", "rotated by 45°"])
def test_a_mode_is_the_class_of_most_of_the_cell(case):
    source, target = CASES[case]
    target = target[20:50, 20:50]
    # Patches of classes some pixels wide: clear majorities in most cells.
    patches = np.random.default_rng(4).integers(1, 5, np.array(source.shape) // 4 + 1).astype("uint8")
    pixels = patches.repeat(4, axis=0).repeat(4, axis=1)[: source.shape.y, : source.shape.x]
    under = brute_force(pixels, source, target)
    shares = np.stack([(under == code).mean(axis=2) for code in range(1, 5)])
    clear = np.sort(shares, axis=0)[-1] - np.sort(shares, axis=0)[-2] > 0.2
    assert clear.mean() > 0.5
    out = warped(pixels, source, target, "mode", 0)
    assert np.array_equal(out[clear], shares.argmax(axis=0)[clear] + 1)


@pytest.mark.parametrize("kernel", ["nearest", "mode"])
@pytest.mark.parametrize("case", CASES)
def test_no_class_is_made_up(case, kernel):
    source, target = CASES[case]
    codes = np.array([3, 7, 250], "uint8")
    out = warped(codes[np.random.default_rng(5).integers(0, 3, source.shape)], source, target, kernel, 0)
    assert set(np.unique(out)) <= {0, 3, 7, 250}


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("case", CASES)
def test_holes_do_not_bleed(case, kernel):
    """A constant stays exactly that constant next to holes, whatever was stored in them."""
    source, target = CASES[case]
    value = np.float32(0.1)
    pixels = np.where(np.random.default_rng(6).random(source.shape) < 0.3, np.nan, value).astype("float32")
    out = warped(pixels, source, target, kernel)
    known = out[np.isfinite(out)]
    assert known.size > 0.3 * out.size
    # A mean of equal values is that value; GDAL's weights may miss 1 by an ulp.
    assert np.abs(known - value).max() <= (0 if kernel in ("nearest", "average") else np.spacing(value))


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "average"])
def test_a_hole_is_filled_from_its_neighbours_only(kernel):
    """Values next to a hole stay within those of the pixels around."""
    source, target = CASES["degrees to LAEA"]
    pixels = np.where(np.random.default_rng(7).random(source.shape) < 0.3, np.nan, centres(source)[0])
    out = warped(pixels.astype("float32"), source, target, kernel)
    error = np.abs(out - centres(target)[0])
    assert np.nanmax(error) < 0.05 * (1.5 if kernel != "cubic" else 2.5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cells_beyond_the_source_are_missing(kernel):
    source = north_up(120, 52, 0.05, 60, 60)  # 120–123° E, 49–52° N
    missing = 0 if kernel == "mode" else np.nan
    pixels = np.ones(source.shape, "uint8" if kernel == "mode" else "float32")
    out = warped(pixels, source, GRID, kernel, missing)
    known = out == 1
    assert (known | (out == 0 if kernel == "mode" else np.isnan(out))).all()
    cols, rows = ~source.affine @ centres(GRID)
    margin = 2  # pixels; a cell is 1.6 of them wide
    deep = (cols > margin) & (cols < 60 - margin) & (rows > margin) & (rows < 60 - margin)
    far = (cols < -margin) | (cols > 60 + margin) | (rows < -margin) | (rows > 60 + margin)
    assert known[deep].all()
    assert not known[far].any()
    nowhere = warped(pixels, source, north_up(2e6, 2e6, 8000, 10, 10, LAEA), kernel, missing)
    assert nowhere.shape == (10, 10)
    assert (nowhere == 0 if kernel == "mode" else np.isnan(nowhere)).all()
    assert nowhere.dtype == out.dtype


def test_nothing_but_holes_and_nowhere_on_earth():
    source, target = CASES["finer degrees to LAEA"]
    for kernel in KERNELS:
        missing, dtype = (0, "uint8") if kernel == "mode" else (np.nan, "float32")
        holes = warped(np.full(source.shape, missing, dtype), source, target, kernel, missing)
        assert same(holes, np.full(target.shape, missing, dtype))
        beyond = warped(np.ones(source.shape, dtype), source, north_up(2e7, 2e7, 8000, 9, 8, LAEA), kernel, missing)
        assert same(beyond, np.full((8, 9), missing, dtype))


def test_only_the_window_under_the_block_is_read():
    source = north_up(-180, 90, 0.01, 36_000, 18_000)
    windows = []

    def read(window):
        windows.append(window)
        return np.ones([s.stop - s.start for s in window], "float32")

    assert (warp(read, source, GRID[:10, :10], "bilinear", np.nan) == 1).all()
    (rows, cols) = source_window(source, GRID[:10, :10])
    assert windows == [(rows, cols)] or sum(np.prod([s.stop - s.start for s in w]) for w in windows) < 60_000
    assert rows.stop - rows.start < 150


def test_pixels_per_cell():
    assert pixels_per_cell(GRID, GRID) == pytest.approx(1)
    assert pixels_per_cell(north_up(-4e5, 4e5, 2000, 400, 400, LAEA), GRID) == pytest.approx(16)
    degrees = north_up(115, 56, 0.01, 1600, 1200)
    expected = (8 / 111.2 / 0.01) ** 2 / np.cos(np.radians(50))
    assert pixels_per_cell(degrees, GRID) == pytest.approx(expected, rel=0.02)


def test_gdal_alone_would_not_do():
    """The reason for warping as it is done here: GDAL's approximate coordinates differ from block to block."""
    from rasterio.warp import reproject

    source, target = CASES["degrees to LAEA"]
    pixels, _ = pixels_of(source, "nearest")

    def naive(part: GeoBox) -> np.ndarray:
        out = np.empty(part.shape, "float32")
        reproject(
            pixels, out, src_transform=source.affine, src_crs="EPSG:4326", dst_transform=part.affine,
            dst_crs=LAEA, src_nodata=np.nan, dst_nodata=np.nan, resampling=rasterio.enums.Resampling.nearest,
        )  # fmt: skip
        return out

    whole, blocks = naive(target), np.empty(target.shape, "float32")
    for roi in rois(target, 17):
        blocks[roi] = naive(target[roi])
    assert not same(blocks, whole)
