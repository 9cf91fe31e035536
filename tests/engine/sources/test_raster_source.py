"""GeoTIFFs: decoding, tiles, dates, and files that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest
from rasters import LAEA, SINUSOIDAL, centres, north_up, same, write_tif

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.raster import Patchwork, RasterSource

NATIVE = north_up(120, 52, 0.05, 60, 40)
TARGET = north_up(-200_000, 200_000, 5000, 40, 30, LAEA)
WHOLE = (slice(0, 40), slice(0, 60))


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(-100, 3000, NATIVE.shape).astype("int16")


def opened(path: Path, **entries) -> RasterSource:
    source = open_source("v", source_spec(href=entries.pop("href", path.name), **entries), path.parent)
    assert isinstance(source, RasterSource)
    return source


def problems(path: Path, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(path, **entries)
    return list(map(str, error.value.problems))


def test_integers_with_scale_fill_codes_and_valid_range(tmp_path, stored):
    stored[0, :4] = [-9999, 2999, 32761, -50]
    path = write_tif(tmp_path / "a.tif", stored, NATIVE, nodata=-9999)
    source = opened(path, scale=0.01, offset=1, nodata=2999, valid_range=(-100, 32760))
    out = source.read(WHOLE)
    expected = (stored * 0.01 + 1).astype("float32")
    assert np.isnan(out[0, :3]).all()
    assert out[0, 3] == expected[0, 3]
    known = (stored >= -100) & (stored != 2999) & (stored <= 32760)
    assert np.array_equal(np.isfinite(out), known)
    assert np.allclose(out[known], expected[known], rtol=1e-7)
    assert out.dtype == np.float32


def test_declared_scale_and_offset(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE, scales=(0.5,), offsets=(10.0,))
    assert np.array_equal(opened(path).read(WHOLE), stored * 0.5 + 10)
    assert np.array_equal(opened(path, scale=2.0, offset=0.0).read(WHOLE), stored * 2.0)


def test_bands(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", np.stack([stored, stored + 1]), NATIVE)
    assert np.array_equal(opened(path).read(WHOLE), stored)
    assert np.array_equal(opened(path, band=2).read(WHOLE), stored + 1)
    assert problems(path, band=3) == [f"covariates.v: {path}: has 2 band(s); band 3 does not exist"]


def test_only_what_is_asked_for(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE)
    assert np.array_equal(opened(path).read((slice(5, 9), slice(50, 60))), stored[5:9, 50:])


def tiles(folder: Path, stored: np.ndarray, pattern: str = "t_{}{}.tif", **profile) -> None:
    """Four tiles of different sizes; the first by name is the last in place."""
    for r, rows in enumerate((slice(0, 15), slice(15, 40))):
        for c, cols in enumerate((slice(0, 33), slice(33, 60))):
            write_tif(folder / pattern.format(1 - r, 1 - c), stored[rows, cols], NATIVE[rows, cols], **profile)


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "average", "nearest"])
def test_tiles_equal_the_single_raster(tmp_path, stored, kernel):
    stored[10:20, 30:40] = -9999
    one = opened(write_tif(tmp_path / "one.tif", stored, NATIVE, nodata=-9999), resampling=kernel)
    tiles(tmp_path, stored, nodata=-9999)
    mosaic = opened(tmp_path / "x", href="t_*.tif", resampling=kernel)
    assert mosaic.geobox == one.geobox
    assert same(mosaic.read(WHOLE), one.read(WHOLE))
    expected = one.on_grid(TARGET, kernel)
    assert np.isfinite(expected).mean() > 0.3
    assert same(mosaic.on_grid(TARGET, kernel), expected)
    assert mosaic.summary().files == tuple(tmp_path / f"t_{r}{c}.tif" for r in (0, 1) for c in (0, 1))
    assert mosaic.summary().steps == 1


def test_a_missing_tile_is_missing(tmp_path, stored):
    tiles(tmp_path, stored)
    (tmp_path / "t_10.tif").unlink()
    out = opened(tmp_path / "x", href="t_*.tif").read(WHOLE)
    assert np.isnan(out[:15, 33:]).all()
    assert np.array_equal(out[15:], stored[15:])


def test_a_tile_that_one_step_lacks_is_told(tmp_path, stored):
    for year in (2001, 2002):
        tiles(tmp_path, stored, f"n.{year}.h{{}}v{{}}.tif")
    whole = opened(tmp_path / "x", href="n.{year}.h*v*.tif", period=(2001, 2002))
    assert whole.summary().notes == ()
    (tmp_path / "n.2002.h1v0.tif").unlink()
    short = opened(tmp_path / "x", href="n.{year}.h*v*.tif", period=(2001, 2002))
    assert short.summary().notes == ("1 of 8 tiles are not there, the first of 2002",)


def test_tiles_of_several_grids_on_request(tmp_path, stored):
    """Latitude bands of a DEM whose pixels grow wider towards the pole."""
    north, south = north_up(123, 53, 0.1, 30, 20), north_up(123, 51, 0.05, 60, 20)
    for name, box in (("n.tif", north), ("s.tif", south)):
        write_tif(tmp_path / name, centres(box)[1].astype("float32"), box)
    source = open_source("v", source_spec(href="?.tif", grids="many"), tmp_path)
    assert isinstance(source, Patchwork) and source.summary().notes == ("2 pixel grids",)
    target = north_up(30_000, 250_000, 5000, 20, 20, LAEA)
    error = source.on_grid(target, ("bilinear", "bilinear")) - centres(target)[1]
    assert np.isfinite(error).mean() > 0.9 and np.nanmax(np.abs(error)) < 0.051


def test_overlapping_tiles_fill_each_others_holes(tmp_path, stored):
    left, right = stored[:, :35].copy(), stored[:, 30:].copy()
    left[:, 33:], right[:, :2] = -9999, -9999
    for name, values, cols in (("t_a.tif", left, slice(0, 35)), ("t_b.tif", right, slice(30, 60))):
        write_tif(tmp_path / name, values, NATIVE[:, cols], nodata=-9999)
    assert np.array_equal(opened(tmp_path / "x", href="t_*.tif").read(WHOLE), stored)
    classes = {"low": tuple(range(-100, 1500)), "high": tuple(range(1500, 3000))}
    out = opened(tmp_path / "x", href="t_*.tif", classes=classes).read(WHOLE)
    assert np.array_equal(out, np.where(stored < 1500, 1, 2))


@pytest.mark.parametrize(
    "other",
    [north_up(123.02, 52, 0.05, 5, 5), north_up(123, 52, 0.06, 5, 5), north_up(123, 52, 0.05, 5, 5, "EPSG:4269")],
    ids=["offset", "pixel size", "CRS"],
)
def test_tiles_of_another_grid_are_refused(tmp_path, stored, other):
    write_tif(tmp_path / "t_0.tif", stored, NATIVE)
    path = write_tif(tmp_path / "t_1.tif", stored[:5, :5], other)
    assert problems(tmp_path / "x", href="t_*.tif") == [
        f"covariates.v: {path} is not on the same grid as t_0.tif; they cannot be mosaicked. "
        "Tiles that are meant to differ (UTM zones, latitude bands) need `grids: many`"
    ]


def test_years_are_averaged_and_the_period_counts(tmp_path, stored):
    hole = np.zeros(NATIVE.shape, bool)
    hole[3:6, 3:6] = True
    for year, add in ((1999, 9000), (2000, 0), (2001, 10), (2002, 50)):
        values = (stored + add).astype("int16")
        if year == 2001:
            values[hole] = -9999
        tiles(tmp_path, values, f"ndvi.{year}.h{{}}v{{}}.tif", nodata=-9999)
    source = opened(tmp_path / "x", href="ndvi.{year}.h*v*.tif", period=(2000, 2002), scale=0.1)
    expected = np.where(hole, stored + 25, stored + 20) * 0.1
    assert np.allclose(source.read(WHOLE), expected, rtol=1e-6)
    summary = source.summary()
    assert (summary.steps, summary.period, len(summary.files)) == (3, "2000–2002", 12)
    highest = opened(tmp_path / "x", href="ndvi.{year}.h*v*.tif", reduce="max")
    assert np.array_equal(highest.read(WHOLE), stored + 9000)
    total = opened(tmp_path / "x", href="ndvi.{year}.h*v*.tif", period=(2000, 2001), reduce="sum").read(WHOLE)
    assert np.isnan(total[hole]).all()
    assert np.array_equal(total[~hole], (2 * stored + 10.0)[~hole])


def test_annual_sums_need_whole_years(tmp_path, stored):
    for year, months in ((2000, 12), (2001, 12), (2002, 11)):
        for month in range(1, months + 1):
            write_tif(tmp_path / f"p_{year}_{month:02d}.tif", np.full_like(stored, month * (year - 1999)), NATIVE)
    href = "p_{year}_{month}.tif"
    source = opened(tmp_path / "x", href=href, reduce="annual_sum", period=(2000, 2001))
    assert (source.read(WHOLE) == 78 * 1.5).all()
    assert (opened(tmp_path / "x", href=href, months=(7,), period=(2000, 2001)).read(WHOLE) == 7 * 1.5).all()
    assert problems(tmp_path / "x", href=href, reduce="annual_sum") == [
        "covariates.v: annual_sum needs 12 steps a year; 2002 has 11. Narrow `period`."
    ]


def test_a_period_needs_dates(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE)
    (problem,) = problems(path, period=(2000, 2020))
    assert problem.startswith("covariates.v.period: neither the files nor their names are dated")


def test_classes(tmp_path):
    codes = np.random.default_rng(1).integers(0, 6, NATIVE.shape).astype("uint8")
    path = write_tif(tmp_path / "a.tif", codes, NATIVE)
    source = opened(path, classes={"forest": (5, 1), "wetland": (3,)})
    out = source.read(WHOLE)
    assert out.dtype == np.uint8
    assert np.array_equal(out, np.select([np.isin(codes, (1, 5)), codes == 3], [1, 2], 0))
    on_grid = source.on_grid(TARGET, "nearest")
    assert on_grid.dtype == np.uint8
    assert set(np.unique(on_grid)) == {0, 1, 2}


def test_resampling_suits_the_pixels(tmp_path):
    fine = write_tif(tmp_path / "fine.tif", np.ones((400, 400), "uint8"), north_up(-2e5, 2e5, 1000, 400, 400, LAEA))
    coarse = write_tif(tmp_path / "coarse.tif", np.ones((40, 40), "uint8"), north_up(-2e5, 2e5, 10_000, 40, 40, LAEA))
    classes = {"a": (1,)}
    chosen = [
        opened(path, classes=kind, resampling=resampling).choose_resampling(TARGET)
        for path, kind, resampling in (
            (fine, None, None), (coarse, None, None), (fine, classes, None), (coarse, classes, None),
            (fine, None, "cubic"),
        )
    ]  # fmt: skip
    assert chosen == ["average", "bilinear", "mode", "nearest", "cubic"]


def test_crs_of_a_file_without_one(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE, crs=None)
    assert problems(path) == [
        f"covariates.v: {path}: declares no CRS; if you know it, add e.g. `crs: EPSG:4326` to the entry"
    ]
    assert opened(path, crs="EPSG:4326").geobox == NATIVE
    (problem,) = problems(path, crs="EPSG:99999")
    assert problem.startswith("covariates.v.crs: 'EPSG:99999' is not a CRS that PROJ knows")


def test_the_entry_overrides_the_crs_of_the_file(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, north_up(8.0e6, 6.0e6, 900, 60, 40, SINUSOIDAL), crs="EPSG:3857")
    assert opened(path, crs=SINUSOIDAL).geobox.crs == north_up(0, 0, 1, 1, 1, SINUSOIDAL).crs


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 32, "blockysize": 32}, {"compress": "deflate"}])
def test_a_truncated_file_is_found_at_opening(tmp_path, stored, layout):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE, **layout)
    opened(path)
    whole = path.read_bytes()
    for share in (0.95, 0.5, 0.1):
        path.write_bytes(whole[: int(len(whole) * share)])
        (problem,) = problems(path)
        assert problem.startswith(f"covariates.v: {path}: ")
        assert "truncated" in problem or "not a raster that GDAL can open" in problem or "damaged" in problem
    path.write_bytes(whole[:-1])
    assert f"is truncated: {len(whole) - 1:,} bytes of at least {len(whole):,}" in problems(path)[0]


def test_what_is_no_raster(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("<html>404 Not Found</html>")
    (problem,) = problems(path)
    assert problem.startswith(f"covariates.v: {path}: not a raster that GDAL can open")


def test_rotated_and_unplaced_rasters(tmp_path, stored):
    from affine import Affine
    from odc.geo.geobox import GeoBox

    south_up = GeoBox(NATIVE.shape, Affine(0.05, 0, 120, 0, 0.05, 50), "EPSG:4326")
    path = write_tif(tmp_path / "a.tif", stored, south_up)
    assert problems(path) == [
        f"covariates.v: {path}: is rotated, south-up or has no georeference; warp it to a north-up grid first"
    ]


def test_damage_within_a_file_names_the_file(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE, compress="deflate")
    source = opened(path)
    content = bytearray(path.read_bytes())
    content[2000:4000] = b"\xff" * 2000
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: cannot be read .*Is the file whole"):
        source.on_grid(TARGET, "bilinear")


def test_all_problems_of_all_tiles_at_once(tmp_path, stored):
    for name in "ab":
        write_tif(tmp_path / f"t_{name}.tif", stored, NATIVE, crs=None)
    assert len(problems(tmp_path / "x", href="t_*.tif")) == 2


def test_longitudes_from_0_to_360(tmp_path):
    globe = north_up(-0.5, 90, 1, 360, 60)
    values = np.broadcast_to(np.arange(360, dtype="float32"), globe.shape)
    source = opened(write_tif(tmp_path / "a.tif", values, globe))
    box = source.summary().footprint.boundingbox
    assert (box.left, box.right, box.top) == (-180, 180, 90)
    target = north_up(-1e5, 1e5, 10_000, 20, 20, "+proj=laea +lat_0=65 +lon_0=-150")
    out = source.on_grid(target, "bilinear")
    assert np.abs(out - 210).max() < 2.5
    assert out[10, 10] == pytest.approx(210.1, abs=0.1)


def test_steps_that_do_not_divide_the_circle(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((10, 100), "float32"), north_up(150, 70, 0.7, 100, 10))
    (problem,) = problems(path)
    assert problem.startswith("covariates.v: its longitudes run past ±180° in steps of 0.7°")


def test_what_a_source_is_made_of(tmp_path, stored):
    path = write_tif(tmp_path / "a.tif", stored, NATIVE)
    summary = opened(path).summary()
    assert (summary.size, summary.resolution, summary.steps, summary.period) == ((40, 60), 0.05, 1, "")
    assert summary.bytes == path.stat().st_size
    before = summary.fingerprint
    assert opened(path).summary().fingerprint == before
    write_tif(path, stored + 1, NATIVE, compress="deflate")
    assert opened(path).summary().fingerprint != before


def test_a_vector_attribute_makes_it_a_vector_source(tmp_path):
    (tmp_path / "a.zip").touch()
    with pytest.raises(InputError, match="cannot be read as polygons"):
        open_source("v", source_spec(href="a.zip", attribute="c", classes={"a": (1,)}), tmp_path)
