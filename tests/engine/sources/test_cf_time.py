"""Time of NetCDF by CF: calendars, units, stamps and bounds, against cftime; dates twice, absent or odd."""

from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr
from rasters import north_up, write_tif

from engine.errors import InputError, Where
from engine.sources.entry import source_spec
from engine.sources.files import Step
from engine.sources.netcdf import NetcdfSource
from engine.sources.netcdf.coordinates import coordinate_of
from engine.sources.netcdf.times import Times, times_of
from engine.sources.opening import open_source

LON, LAT = np.arange(120.25, 122, 0.5), np.arange(51.75, 50.4, -0.5)
NATIVE = north_up(120, 52, 0.5, 4, 3)
WHOLE = (slice(0, 3), slice(0, 4))
CALENDARS = ("standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day")


def times(values, attrs: dict, **others) -> Times:
    """The time steps of an axis, with its bounds among `others`."""
    values = np.asarray(values)
    dataset = xr.Dataset({name: (("time", "nv"), np.asarray(v), {}) for name, v in others.items()})
    dataset["time"] = ("time", values, attrs)
    time = coordinate_of("time", "time", dataset["time"].variable, "f")
    return times_of(dataset, time, values.size, source_spec(href="x"), Step(), Where("f"))


def series(path: Path, values, attrs: dict, data=None, dim: str = "time", **others) -> Path:
    """A file whose step i holds `data[i]`."""
    values = np.asarray(values)
    data = np.arange(values.size) if data is None else np.asarray(data)
    cube = np.broadcast_to(data.astype("f4")[:, None, None], (values.size, 3, 4))
    dataset = xr.Dataset({"v": ((dim, "lat", "lon"), cube)}, {"lon": LON, "lat": LAT, dim: (dim, values, attrs)})
    dataset = dataset.assign({name: ((dim, "nv"), np.asarray(v)) for name, v in others.items()})
    encoding = {name: {"_FillValue": None} for name in dataset.variables}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def opened(folder: Path, href, **entries) -> NetcdfSource:
    source = open_source("v", source_spec(href=href, variable="v", **entries), folder)
    assert isinstance(source, NetcdfSource)
    return source


def value(folder: Path, href, **entries) -> float:
    return float(opened(folder, href, **entries).read(WHOLE)[0, 0])


def problems(folder: Path, href, **entries) -> list[str]:
    with pytest.raises(InputError) as error:
        opened(folder, href, **entries)
    return list(map(str, error.value.problems))


def edges(frequency: str, calendar: str, year: int) -> list:
    """First moments of intervals over three years, and the end of the last."""

    def date(y: int, m: int = 1, d: int = 1):
        return cftime.datetime(y, m, d, calendar=calendar)

    if frequency == "yearly":
        return [date(year + y) for y in range(4)]
    if frequency == "monthly":
        return [date(year + m // 12, m % 12 + 1) for m in range(37)]
    first, last = date(year), date(year + 3)
    n = (last - first).days
    return cftime.num2date(np.arange(n + 1), f"days since {year}-01-01", calendar=calendar).tolist()


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("units", ["days since 1850-01-01", "hours since 2001-03-05 12:00", "days since 0001-01-01",
                                   "seconds since 1990-01-01T00:00:00"])  # fmt: skip
@pytest.mark.parametrize("frequency", ["daily", "monthly", "yearly"])
def test_bounds_date_a_step_whatever_its_stamp_marks(calendar, units, frequency):
    """Start, middle and end of an interval are one step: that in which its middle lies, as cftime says."""
    moments = edges(frequency, calendar, 2000)
    numbers = np.asarray(cftime.date2num(moments, units, calendar), "f8")
    low, high = numbers[:-1], numbers[1:]
    starts = moments[:-1]
    for stamp in (low, (low + high) / 2, high):
        attrs = {"units": units, "calendar": calendar, "bounds": "b"}
        found = times(stamp, attrs, b=np.stack([low, high], 1))
        assert [s.year for s in found.steps] == [m.year for m in starts]
        assert [s.month for s in found.steps] == [0 if frequency == "yearly" else m.month for m in starts]
        if frequency == "daily":
            assert [s.day for s in found.steps] == [m.day for m in starts]
        assert len(set(found.keys)) == len(starts)
        plain = times(stamp, {"units": units, "calendar": calendar})
        decoded = cftime.num2date(stamp, units, calendar, only_use_cftime_datetimes=True)
        assert [(s.year, s.month, s.day) for s in plain.steps] == [(d.year, d.month, d.day) for d in decoded]


@pytest.mark.parametrize(("calendar", "number", "date"), [
    ("standard", 577_737, (1582, 10, 15)), ("standard", 577_736, (1582, 10, 4)),
    ("proleptic_gregorian", 577_735, (1582, 10, 15)), ("julian", 577_737, (1582, 10, 5)), ("360_day", 59, (1, 2, 30)),
])  # fmt: skip
def test_known_days_of_calendars(calendar, number, date):
    (step,) = times([number], {"units": "days since 0001-01-01", "calendar": calendar}).steps
    assert (step.year, step.month, step.day) == date


@pytest.mark.parametrize(("values", "attrs", "steps"), [
    ([0, 11, 12], {"units": "months since 2001-01-15"}, [(2001, 1), (2001, 12), (2002, 1)]),
    ([0.5, 1.5, -0.5], {"units": "months since 2001-01-01"}, [(2001, 1), (2001, 2), (2000, 12)]),
    ([1, 2], {"units": "months since 2001-01-01", "bounds": "b"}, [(2001, 1), (2001, 2)]),
    ([0, 1], {"units": "years since 2000-01-01"}, [(2000, 1), (2001, 1)]),
    ([1.5, 2.5], {"units": "common_years since 2000-01-01", "calendar": "noleap"}, [(2001, 7), (2002, 7)]),
    ([20000115, 20000229], {"units": "day as %Y%m%d.%f"}, [(2000, 1), (2000, 2)]),
    ([20000115.5, 20000229.25], {"units": "day as %Y%m%d.%f"}, [(2000, 1), (2000, 2)]),
    ([200001, 200012], {"units": "month as %Y%m.%f"}, [(2000, 1), (2000, 12)]),
    ([20000115, 20000229], {}, [(2000, 1), (2000, 2)]),
    ([200001, 200012], {"units": "yyyymm"}, [(2000, 1), (2000, 12)]),
    (["2000-01-31", "2000-02"], {}, [(2000, 1), (2000, 2)]),
    (np.array(["2000-01-31T06:00", "2000-02-01"], "S16"), {}, [(2000, 1), (2000, 2)]),
    (["Jan", "Feb"], {}, [(0, 1), (0, 2)]),
    ([6, 7, 8], {"units": "month"}, [(0, 6), (0, 7), (0, 8)]),
    ([*range(7, 13), *range(1, 7)], {}, [(0, m) for m in (*range(7, 13), *range(1, 7))]),
    (np.arange(12), {}, [(0, m) for m in range(1, 13)]),
    (np.arange(12) + 0.5, {"units": "months"}, [(0, m) for m in range(1, 13)]),
    ([15, 45, 75, 105, 135, 162, 197, 228, 258, 289, 319, 350], {"units": "day"}, [(0, m) for m in range(1, 13)]),
    ([1, 32, 60], {"units": "day of year"}, [(0, 1), (0, 2), (0, 3)]),
    ([1990, 1991], {"units": "year"}, [(1990, 0), (1991, 0)]),
    ([2000.042, 2000.958], {"long_name": "decimal year"}, [(2000, 1), (2000, 12)]),
    ([1, 2], {"units": "weeks since 2000-01-01"}, [(2000, 1), (2000, 1)]),
    ([0], {"units": "days since 0000-01-15"}, [(0, 1)]),
])  # fmt: skip
def test_other_ways_to_write_dates(values, attrs, steps):
    bounds = {"b": np.array([[0, 1], [1, 2]])} if "bounds" in attrs else {}
    assert [(s.year, s.month) for s in times(np.asarray(values), attrs, **bounds).steps] == steps


@pytest.mark.parametrize(("values", "attrs", "message"), [
    ([0, np.nan], {"units": "days since 2000-01-01"}, "time has no date at place 2 of 2"),
    (np.array(["2000-01-01", "NaT"], "M8[ns]"), {}, "time has 'NaT' at place 2 of 2"),
    ([0, 1], {"units": "days since 2000-13-01"}, "the dates of time (units 'days since 2000-13-01') cannot be read"),
    ([0, 1], {"units": "days since 2000-01-01", "calendar": "mayan"}, "calendar 'mayan' is unknown, expected one of"),
    ([0, 1], {"units": "fortnights since 2000-01-01"}, "cannot be read"),
    ([0, 1], {"units": "days since 2000"}, "'2000' is not a date"),
    ([0, 1], {"units": "days since 20000101"}, "'20000101' is not a date"),
    (["spring", "fall"], {}, "time has 'spring' at place 1 of 2; expected a date such as 2000-01-15"),
    ([1, 2, 3, 4, 5], {}, "time has 5 steps without dates (1, 2, 3, 4, …; units missing)"),
    (np.arange(12) * 10 + 200, {"units": "K"}, "time has 12 steps without dates"),
    ([20001501, 20000115], {"units": "day as %Y%m%d"}, "20001501 is not a date"),
])  # fmt: skip
def test_dates_that_are_refused(values, attrs, message):
    with pytest.raises(InputError) as error:
        times(np.asarray(values), attrs)
    assert message in str(error.value.problems[0]) and "decode_times" not in str(error.value.problems[0])


def test_bounds_that_do_not_fit_and_bounds_that_are_gone():
    attrs = {"units": "days since 2000-01-01", "bounds": "b"}
    with pytest.raises(InputError, match="do not fit it: 0 to 1 at place 2, whose stamp is 40"):
        times([0.5, 40], attrs, b=[[0, 1], [0, 1]])
    with pytest.raises(InputError, match="b has no date at place 2 of 2"):
        times([0.5, 40], attrs, b=[[0, 1], [np.nan, 1]])
    assert times([31, 60], attrs).notes == (
        "time: its bounds (b) are not in the file; steps are dated by their stamps",
    )
    instants = times([31, 60], attrs, b=[[31, 31], [60, 60]])
    assert [s.month for s in instants.steps] == [2, 3]


def test_a_climatology_has_months_and_no_year(tmp_path):
    """Of 1961 to 1990, dated in some year; January is that of all years."""
    starts = (np.datetime64("1961-01") + np.arange(12)).astype("M8[D]") - np.datetime64("1960-01-01")
    ends = (np.datetime64("1990-02") + np.arange(12)).astype("M8[D]") - np.datetime64("1960-01-01")
    first, last = starts.astype("f8"), ends.astype("f8")
    attrs = {"units": "days since 1960-01-01", "climatology": "cb"}
    for stamp in (first, last, (first + last) / 2):
        path = series(tmp_path / "c.nc", stamp, attrs, np.arange(1, 13), cb=np.stack([first, last], 1))
        assert value(tmp_path, path.name, months=(7, 8)) == 7.5
        assert value(tmp_path, path.name, reduce="annual_sum") == 78
        source = opened(tmp_path, path.name)
        assert source.summary().notes == ("time: a climatology of 1961–1990",)
        assert [s.year for s in source.steps()] == [0] * 12
    winter = times([0, 1], {"units": "days since 1960-01-01", "climatology": "cb"}, cb=[[335, 11016], [0, 11323]])
    assert [s.month for s in winter.steps] == [1, 0]


def month_values(first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """First days of months as days since 2000, and 1 to 12 with 100 for each year."""
    months = np.arange(first, first + n)
    days = (np.datetime64("2000-01") + months).astype("M8[D]") - np.datetime64("2000-01-01")
    return days.astype("f8"), months % 12 + 1 + 100 * (months // 12)


DAYS = {"units": "days since 2000-01-01"}


def test_a_month_that_two_files_hold_is_refused(tmp_path):
    """Whole years, part of a year, and another stamp or another version of the month."""
    for name, (first, n), shift in (("a_1", (0, 24), 0), ("a_2", (12, 24), 0), ("b_1", (0, 12), 0), ("b_2", (9, 15), 0),
                                    ("c_v1", (0, 12), 0), ("c_v2", (0, 12), 14)):  # fmt: skip
        days, values = month_values(first, n)
        series(tmp_path / f"{name}.nc", days + shift, DAYS, values)
    a1, a2 = tmp_path / "a_1.nc", tmp_path / "a_2.nc"
    assert problems(tmp_path, "a_*.nc", reduce="annual_sum", period=(2001, 2001)) == [
        f"covariates.v: {a1} and {a2} both hold 2001-01-01 to 2001-12-01 (12 steps); expected each date in one file. "
        "Narrow `period` or `href`, or leave one of them out"
    ]
    assert value(tmp_path, "a_*.nc", reduce="annual_sum", period=(2002, 2002)) == 78 + 200 * 12
    assert "2000-10-01 to 2000-12-01 (3 steps)" in problems(tmp_path, "b_*.nc")[0]
    assert "c_v1.nc and" in problems(tmp_path, "c_*.nc")[0]


def test_a_day_of_a_month_that_another_file_has_whole(tmp_path):
    days, values = month_values(0, 6)
    series(tmp_path / "m.nc", days, DAYS, values)
    series(tmp_path / "d.nc", np.arange(31.0, 45), DAYS)
    assert "both hold 2000-02-" in problems(tmp_path, ["d.nc", "m.nc"])[0]


def test_hours_are_not_the_same_step_and_a_moment_twice_is(tmp_path):
    hours = np.arange(0, 48, 6.0)
    units = {"units": "hours since 2000-01-01"}
    series(tmp_path / "h_1.nc", hours[::2], units)
    series(tmp_path / "h_2.nc", hours[1::2], units)
    assert opened(tmp_path, "h_*.nc").summary().steps == 8
    series(tmp_path / "t.nc", [0.0, 6.0, 12.0, 6.0], units)
    (problem,) = problems(tmp_path, "t.nc")
    assert "places 2 and 4 on its time axis are both of 2000-01-01 06:00; expected each date once" in problem


def test_single_files_of_one_date(tmp_path):
    for name, day in (("s_1", 0.0), ("s_2", 31.0), ("s_2b", 31.0)):
        series(tmp_path / f"{name}.nc", [day], DAYS, [day])
    assert "s_2.nc and" in problems(tmp_path, "s_*.nc")[0]
    assert value(tmp_path, "s_?.nc") == 15.5
    series(tmp_path / "u_1.nc", np.arange(1, 13), {})
    series(tmp_path / "u_2.nc", np.arange(1, 13), {})
    assert "both hold month 1 to month 12 (12 steps)" in problems(tmp_path, "u_*.nc")[0]


def test_steps_may_be_unsorted(tmp_path):
    days, values = month_values(0, 24)
    order = np.random.default_rng(0).permutation(24)
    series(tmp_path / "a.nc", days[order], DAYS, values[order])
    assert value(tmp_path, "a.nc", reduce="annual_sum", period=(2001, 2001)) == 1278
    assert value(tmp_path, "a.nc", months=(3,), period=(2000, 2000)) == 3


def test_one_month_of_every_year_in_a_file_is_no_overlap(tmp_path):
    for month in range(12):
        days, values = month_values(0, 36)
        series(tmp_path / f"m_{month:02d}.nc", days[month::12], DAYS, values[month::12])
    assert value(tmp_path, "m_*.nc", reduce="annual_sum", period=(2001, 2001)) == 1278


@pytest.mark.parametrize("stamp", ["start", "middle", "end"])
@pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
def test_a_period_of_a_series_with_bounds(tmp_path, stamp, calendar):
    moments = edges("monthly", calendar, 2000)
    numbers = np.asarray(cftime.date2num(moments, "days since 1850-01-01", calendar), "f8")
    bounds = np.stack([numbers[:-1], numbers[1:]], 1)
    stamps = {"start": bounds[:, 0], "middle": bounds.mean(axis=1), "end": bounds[:, 1]}[stamp]
    attrs = {"units": "days since 1850-01-01", "calendar": calendar, "bounds": "time_bnds"}
    series(tmp_path / "a.nc", stamps, attrs, month_values(0, 36)[1], time_bnds=bounds)
    assert value(tmp_path, "a.nc", period=(2001, 2001)) == 106.5
    assert value(tmp_path, "a.nc", period=(2001, 2001), months=(6, 7, 8)) == 107
    assert value(tmp_path, "a.nc", period=(2001, 2001), reduce="annual_sum") == 1278


def test_the_date_in_a_name_and_that_in_the_file(tmp_path):
    """The file's own counts; a name that contradicts it is refused where dates matter, told where they do not."""
    days, values = month_values(0, 12)
    series(tmp_path / "t_2001.nc", days, DAYS, values)
    (problem,) = problems(tmp_path, "t_{year}.nc", period=(2001, 2001))
    assert "its name says 2001, its time axis 2000-01-01 to 2000-12-01 (12 steps); correct one of them" in problem
    assert any("its name says 2001" in note for note in opened(tmp_path, "t_{year}.nc").summary().notes)
    assert value(tmp_path, "t_*.nc", period=(2000, 2000)) == 6.5
    days, values = month_values(1, 12)
    series(tmp_path / "e_2000.nc", days, DAYS, values)
    assert opened(tmp_path, "e_{year}.nc", period=(2000, 2000)).summary().notes[-1] == (
        "e_2000.nc: its name says 2000, its time axis 2001-01-01"
    )


def test_rasters_of_one_date_on_the_same_pixels(tmp_path):
    for name in ("r_2000_01", "r_2000_02", "r_2001_01"):
        write_tif(tmp_path / f"{name}.tif", np.full(NATIVE.shape, int(name[-1]), "int16"), NATIVE)
    with pytest.raises(InputError) as error:
        open_source("v", source_spec(href="r_{year}_*.tif"), tmp_path)
    (problem,) = map(str, error.value.problems)
    assert "r_2000_01.tif and r_2000_02.tif lie on the same pixels and are both dated 2000; one would hide" in problem
    with pytest.raises(InputError, match="both without a date"):
        open_source("v", source_spec(href="r_*.tif"), tmp_path)
    source = open_source("v", source_spec(href="r_{year}_{month}.tif"), tmp_path)
    assert np.allclose(source.read(WHOLE), 4 / 3)


def test_files_without_dates_are_counted(tmp_path):
    for name in ("n_1", "n_2"):
        xr.Dataset({"v": (("lat", "lon"), np.ones((3, 4), "f4"))}, {"lon": LON, "lat": LAT}).to_netcdf(
            tmp_path / f"{name}.nc"
        )
    assert opened(tmp_path, "n_*.nc").summary().notes == ("2 files have no dates; each is a time step",)
