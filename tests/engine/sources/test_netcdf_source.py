"""NetCDF: axes of every kind, dates, packing, and sums over years, against plain NumPy."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
from rasters import LAEA, centres, north_up, same, write_nc

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.netcdf import NetcdfSource
from engine.sources.opening import open_source

LON = np.arange(110.25, 130, 0.5)
LAT = np.arange(55.75, 45, -0.5)
NATIVE = north_up(110, 56, 0.5, LON.size, LAT.size)
WHOLE = (slice(0, LAT.size), slice(0, LON.size))
TARGET = north_up(-200_000, 200_000, 10_000, 40, 40, LAEA)


@pytest.fixture
def stored() -> np.ndarray:
    """Rows from north to south."""
    return np.random.default_rng(0).integers(-400, 400, NATIVE.shape).astype("int16")


def opened(path: Path, **entries) -> NetcdfSource:
    source = open_source("v", source_spec(href=entries.pop("href", path.name), **entries), path.parent)
    assert isinstance(source, NetcdfSource)
    return source


def problems(path: Path, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(path, **entries)
    return list(map(str, error.value.problems))


def months_since(year: int, n: int) -> tuple[np.ndarray, dict]:
    """Mid-months as days since the year 1900."""
    first = np.datetime64("1900-01-01")
    steps = (np.datetime64(f"{year}-01", "M") + np.arange(n)).astype("datetime64[D]") + 14
    return (steps - first).astype("int32"), {"units": "days since 1900-01-01", "calendar": "standard"}


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])  # NetCDF 4 and classic
@pytest.mark.parametrize("names", [("lon", "lat"), ("longitude", "latitude"), ("Lon", "Lat")])
def test_a_plain_variable(tmp_path, stored, engine, names):
    source = opened(write_nc(tmp_path / "a.nc", stored, LON, LAT, engine=engine, names=names))
    assert source.geobox == NATIVE
    assert np.array_equal(source.read(WHOLE), stored)
    assert np.array_equal(source.read((slice(3, 9), slice(30, 40))), stored[3:9, 30:40])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_latitudes_may_ascend(tmp_path, stored, dtype):
    path = write_nc(tmp_path / "a.nc", stored[::-1], LON.astype(dtype), LAT[::-1].astype(dtype))
    source = opened(path)
    assert np.array_equal(source.read(WHOLE), stored)
    assert np.array_equal(source.read((slice(3, 9), slice(30, 40))), stored[3:9, 30:40])
    descending = opened(write_nc(tmp_path / "b.nc", stored, LON, LAT))
    assert same(source.on_grid(TARGET, "bilinear"), descending.on_grid(TARGET, "bilinear"))


def test_dimensions_in_another_order(tmp_path, stored):
    path = tmp_path / "a.nc"
    import xarray as xr

    xr.Dataset({"v": (("lon", "lat"), stored.T)}, {"lon": LON, "lat": LAT}).to_netcdf(path)
    assert np.array_equal(opened(path).read(WHOLE), stored)


def test_float32_coordinates_of_a_fine_grid(tmp_path):
    """A third of an arc minute cannot be told in float32 at 130° E; the whole extent can."""
    step = 1 / 120
    lon, lat = 129 + step * (np.arange(240) + 0.5), 52 - step * (np.arange(120) + 0.5)
    values = np.add.outer(lat, lon)
    source = opened(write_nc(tmp_path / "a.nc", values, lon.astype("float32"), lat.astype("float32")))
    assert source.geobox.shape == (120, 240)
    assert np.allclose(source.geobox.boundingbox.bbox, (129, 51, 131, 52), atol=1e-5)
    target = north_up(-20_000, 10_000, 1000, 40, 20, "+proj=laea +lat_0=51.5 +lon_0=130")
    expected = np.sum(centres(target), axis=0)
    assert np.abs(source.on_grid(target, "bilinear") - expected).max() < 0.02 * step


@pytest.mark.parametrize("start", [0.0, 0.25])
@pytest.mark.parametrize("columns", [720, 721])
def test_longitudes_from_0_to_360(tmp_path, start, columns):
    """With or without a last column that repeats the first."""
    lon, lat = start + 0.5 * np.arange(columns), 89.75 - 0.5 * np.arange(120)

    def wave(lon, lat):
        return np.sin(np.radians(lon)) + 0.01 * lat

    values = wave(*np.meshgrid(lon, lat)).astype("float32")
    source = opened(write_nc(tmp_path / "a.nc", values, lon, lat))
    box = source.summary().footprint.boundingbox
    assert (box.left, box.right, box.bottom) == (-180, 180, 30)
    for centre in (123, -150, 180, 0.2):
        target = north_up(-3e5, 3e5, 20_000, 30, 30, f"+proj=laea +lat_0=60 +lon_0={centre}")
        assert np.abs(source.on_grid(target, "bilinear") - wave(*centres(target))).max() < 1e-4


def test_a_regional_file_across_the_antimeridian(tmp_path):
    lon, lat = np.arange(160.5, 200), np.arange(75.5, 55, -1)
    source = opened(write_nc(tmp_path / "a.nc", np.broadcast_to(lon, (lat.size, lon.size)), lon, lat))
    target = north_up(-3e5, 3e5, 20_000, 30, 30, "+proj=laea +lat_0=65 +lon_0=180")
    assert np.abs(source.on_grid(target, "bilinear") - centres(target)[0] % 360).max() < 1e-3
    assert np.isnan(source.on_grid(TARGET, "bilinear")).all()


def test_lower_left_corners(tmp_path, stored):
    for name, lat, values in (("a.nc", LAT, stored), ("b.nc", LAT[::-1], stored[::-1])):
        source = opened(
            write_nc(tmp_path / name, values, LON - 0.25, lat - 0.25), coordinates="lower_left", resampling="nearest"
        )
        assert source.geobox == NATIVE
        assert np.array_equal(source.read(WHOLE), stored)


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_packing(tmp_path, stored, engine):
    stored[0, 0], stored[0, 1], stored[0, 2] = -999, -1, 399
    attrs = {"scale_factor": 0.1, "add_offset": 5.0, "_FillValue": np.int16(-999), "missing_value": np.int16(399)}
    path = write_nc(tmp_path / "a.nc", stored, LON, LAT, attrs=attrs, engine=engine)
    known = (stored != -999) & (stored != 399)
    out = opened(path).read(WHOLE)
    assert np.array_equal(np.isfinite(out), known)
    assert np.allclose(out[known], (stored * 0.1 + 5)[known], rtol=1e-6)
    own = opened(path, scale=2.0, offset=0.0, nodata=-1).read(WHOLE)
    known &= stored != -1
    assert np.array_equal(np.isfinite(own), known)
    assert np.array_equal(own[known], (stored * 2.0)[known])


def test_files_that_pack_each_in_their_own_way(tmp_path):
    """As ERA5 does: one scale and offset a file."""
    values = np.random.default_rng(1).normal(size=(3, *NATIVE.shape))
    for year, scale, offset in ((2001, 1e-4, 0.0), (2002, 2e-4, 1.0), (2003, 1e-3, -1.0)):
        packed = np.round((values[year - 2001] - offset) / scale).astype("int32")
        order = slice(None, None, -1 if year == 2002 else 1)
        write_nc(
            tmp_path / f"a_{year}.nc", packed[order], LON, LAT[order],
            attrs={"scale_factor": scale, "add_offset": offset},
        )  # fmt: skip
    source = opened(tmp_path / "x", href="a_{year}.nc")
    assert source.summary().period == "2001–2003"
    assert np.abs(source.read(WHOLE) - values.mean(axis=0)).max() < 1e-3


def test_undeclared_nodata(tmp_path):
    values = np.where(np.random.default_rng(2).random(NATIVE.shape) < 0.2, -1, 30).astype("float32")
    path = write_nc(tmp_path / "a.nc4", values, LON, LAT)
    assert opened(path, href="a.nc4").read(WHOLE).min() == -1
    out = opened(path, href="a.nc4", nodata=-1)
    assert np.array_equal(np.isnan(out.read(WHOLE)), values == -1)
    on_grid = out.on_grid(TARGET, "bilinear")
    assert np.nanmin(on_grid) == np.nanmax(on_grid) == 30


@pytest.fixture
def monthly(tmp_path) -> np.ndarray:
    """Three years of months in a file a year, integers × 0.1; dims (year, month, y, x)."""
    stored = np.random.default_rng(3).integers(0, 900, (3, 12, *NATIVE.shape)).astype("int16")
    stored[1, 6, :2] = -32768
    for year, values in zip((2000, 2001, 2002), stored, strict=True):
        write_nc(
            tmp_path / f"pre_{year}.nc", values, LON, LAT, time=months_since(year, 12),
            attrs={"_FillValue": np.int16(-32768)},
        )  # fmt: skip
    return np.where(stored == -32768, np.nan, stored * 0.1)


@pytest.mark.parametrize("href", ["pre_*.nc", "pre_{year}.nc"])
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, lambda v: np.nanmean(v, axis=(0, 1))),
        ({"period": (2000, 2001)}, lambda v: np.nanmean(v[:2], axis=(0, 1))),
        ({"months": (6, 7, 8)}, lambda v: np.nanmean(v[:, 5:8], axis=(0, 1))),
        ({"period": (2001, 2001), "months": (1,)}, lambda v: v[1, 0]),
        ({"reduce": "max"}, lambda v: np.nanmax(v, axis=(0, 1))),
        ({"reduce": "annual_sum"}, lambda v: np.nanmean(v.sum(axis=1), axis=0)),
        ({"reduce": "annual_sum", "months": (12, 1)}, lambda v: v[:, [0, 11]].sum(axis=1).mean(axis=0)),
        ({"reduce": "sum", "period": (2002, 2002)}, lambda v: v[2].sum(axis=0)),
    ],
)
def test_months_and_years(tmp_path, monthly, href, entries, expected):
    source = opened(tmp_path / "x", href=href, scale=0.1, **entries)
    assert np.allclose(source.read(WHOLE), expected(monthly), rtol=1e-6)


def test_the_summary_tells_the_period(tmp_path, monthly):
    summary = opened(tmp_path / "x", href="pre_*.nc", period=(2001, 2030)).summary()
    assert (summary.steps, summary.period) == (24, "2001–2002")
    assert [f.name for f in summary.files] == ["pre_2001.nc", "pre_2002.nc"]


def test_one_file_per_month_of_all_years(tmp_path, monthly):
    """The years of a sum come from several files."""
    for month in range(12):
        days, attrs = months_since(2000, 36)
        write_nc(tmp_path / f"m_{month + 1:02d}.nc", monthly[:, month], LON, LAT, time=(days[month::12], attrs))
    source = opened(tmp_path / "x", href="m_*.nc", reduce="annual_sum")
    assert np.allclose(source.read(WHOLE), np.nanmean(monthly.sum(axis=1), axis=0), rtol=1e-6)


def test_one_step_per_file(tmp_path, monthly):
    for year in range(3):
        days, attrs = months_since(2000 + year, 1)
        write_nc(tmp_path / f"y_{year}.nc", monthly[year, :1], LON, LAT, time=(days, attrs))
    expected = np.nanmean(monthly[:, 0], axis=0)
    for reduce in ("mean", "annual_sum"):
        assert np.allclose(opened(tmp_path / "x", href="y_*.nc", reduce=reduce).read(WHOLE), expected, rtol=1e-6)


def test_dates_from_the_file_names(tmp_path, monthly):
    for year in range(3):
        write_nc(tmp_path / f"n_{2000 + year}.nc", monthly[year], LON, LAT)
    source = opened(tmp_path / "x", href="n_{year}.nc", reduce="annual_sum", period=(2001, 2002))
    assert np.allclose(source.read(WHOLE), np.nanmean(monthly[1:].sum(axis=1), axis=0), rtol=1e-6)


def test_incomplete_years(tmp_path, monthly):
    write_nc(tmp_path / "pre_2003.nc", monthly[0, :5], LON, LAT, time=months_since(2003, 5))
    assert problems(tmp_path / "x", href="pre_*.nc", reduce="annual_sum") == [
        "covariates.v: annual_sum needs 12 steps a year; 2003 has 5. Narrow `period`."
    ]
    opened(tmp_path / "x", href="pre_*.nc", reduce="annual_sum", period=(2000, 2002))


def test_a_climatology_without_dates(tmp_path, monthly):
    path = write_nc(tmp_path / "c.nc", monthly[0], LON, LAT, time=(np.arange(1, 13), {}))
    assert np.allclose(opened(path, months=(7,)).read(WHOLE), monthly[0, 6], rtol=1e-6)
    assert np.allclose(opened(path).read(WHOLE), monthly[0].mean(axis=0), rtol=1e-6)
    assert np.allclose(opened(path, reduce="annual_sum").read(WHOLE), monthly[0].sum(axis=0), rtol=1e-6)
    (problem,) = problems(path, period=(2000, 2020))
    assert problem.startswith("covariates.v.period: neither the files nor their names are dated")
    short = write_nc(tmp_path / "s.nc", monthly[0, :5], LON, LAT)
    (problem,) = problems(short)
    assert "time has 5 steps without dates; expected dates, or the 12 months of a climatology" in problem


def test_a_period_that_is_not_there(tmp_path, monthly):
    assert problems(tmp_path / "x", href="pre_*.nc", period=(2010, 2020)) == [
        f"covariates.v: the time steps are of 2000–2002, none is in period [2010, 2020] and months {list(range(1, 13))}"
    ]


def test_classes(tmp_path, stored):
    path = write_nc(tmp_path / "a.nc", np.abs(stored) % 4, LON, LAT)
    out = opened(path, classes={"a": (3,), "b": (1, 2)}).read(WHOLE)
    assert out.dtype == np.uint8
    assert np.array_equal(out, np.array([0, 2, 2, 1])[np.abs(stored) % 4])


def test_which_variable(tmp_path, stored):
    import xarray as xr

    other = {"w": (("lat", "lon"), stored + 1), "crs": ((), 0)}
    path = write_nc(tmp_path / "a.nc", stored, LON, LAT, others={k: xr.Variable(*v) for k, v in other.items()})
    assert np.array_equal(opened(path, variable="w").read(WHOLE), stored + 1)
    assert problems(path) == [f"covariates.v: {path}: holds v, w; say which with `variable`"]
    assert problems(path, variable="t") == [f"covariates.v: {path}: has no variable 't'; it holds v, w, crs"]


def test_projected_coordinates(tmp_path):
    native = north_up(-2e5, 2e5, 10_000, 40, 40, LAEA)
    x, y = native.affine.c + 10_000 * (np.arange(40) + 0.5), native.affine.f - 10_000 * (np.arange(40) + 0.5)
    values = np.add.outer(y, x)
    path = write_nc(tmp_path / "a.nc", values, x, y, names=("x", "y"))
    (problem,) = problems(path)
    assert problem.startswith(f"covariates.v: {path}: x is not a longitude and no grid mapping declares a CRS")
    source = opened(path, crs=LAEA)
    assert source.geobox == native
    assert np.allclose(source.on_grid(native, "bilinear"), values)
    import xarray as xr

    mapping = xr.Variable((), 0, pyproj.CRS(LAEA).to_cf())
    path = write_nc(
        tmp_path / "b.nc", values, x, y, names=("x", "y"), attrs={"grid_mapping": "crs"}, others={"crs": mapping}
    )
    assert np.allclose(opened(path).on_grid(native, "bilinear"), values)


def test_axes_that_are_no_grid(tmp_path, stored):
    uneven = LON.copy()
    uneven[5] += 0.1
    (problem,) = problems(write_nc(tmp_path / "a.nc", stored, uneven, LAT))
    assert "lon is not evenly spaced (steps 0.4 to 0.6); warp it first" in problem
    (problem,) = problems(write_nc(tmp_path / "c.nc", stored, LON, LAT, names=("i", "j")))
    assert "found no coordinate lon / longitude / x" in problem
    deep = np.stack([np.stack([stored] * 2)] * 12)
    import xarray as xr

    xr.Dataset({"v": (("time", "level", "lat", "lon"), deep)}, {"lon": LON, "lat": LAT}).to_netcdf(tmp_path / "d.nc")
    (problem,) = problems(tmp_path / "d.nc")
    assert "has dimensions ('time', 'level', 'lat', 'lon'); expected time, lat, lon" in problem


def test_files_on_different_grids(tmp_path, stored):
    write_nc(tmp_path / "a_1.nc", stored, LON, LAT)
    write_nc(tmp_path / "a_2.nc", stored, LON + 0.5, LAT)
    assert problems(tmp_path / "x", href="a_*.nc") == [
        f"covariates.v: {tmp_path / 'a_2.nc'}: is on another grid than a_1.nc"
    ]


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_a_truncated_file(tmp_path, stored, engine):
    lat = np.linspace(56, 45, 8 * LAT.size)
    path = write_nc(tmp_path / "a.nc", np.repeat(stored, 8, axis=0), LON, lat, engine=engine)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (problem,) = problems(path)
    assert problem.startswith(f"covariates.v: {path}: ")
    assert "Is the file whole?" in problem
    path.write_bytes(b"<html>")
    (problem,) = problems(path)
    assert "not a NetCDF file that can be opened" in problem


def test_damage_within_a_file_names_the_covariate(tmp_path):
    import xarray as xr

    values = np.random.default_rng(4).normal(size=(12, *NATIVE.shape))
    xr.Dataset({"v": (("time", "lat", "lon"), values)}, {"lon": LON, "lat": LAT}).to_netcdf(
        tmp_path / "a.nc", encoding={"v": {"zlib": True, "complevel": 1}}
    )
    source = opened(tmp_path / "a.nc")
    content = bytearray((tmp_path / "a.nc").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(InputError, match=r"covariates.v .*: cannot be read: .*Is the file whole?"):
        source.on_grid(TARGET, "bilinear")


def test_dates_that_cannot_be_read(tmp_path, monthly):
    time = (np.arange(12), {"units": "days since the flood"})
    (problem,) = problems(write_nc(tmp_path / "a.nc", monthly[0], LON, LAT, time=time))
    assert "the dates of time (units 'days since the flood') cannot be read" in problem
