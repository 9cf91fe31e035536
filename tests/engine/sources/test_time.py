"""Anomalies against a period, seasons, leap years, and what is said of years and months that are missing."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasters import north_up, write_nc, write_tif

from engine.errors import InputError
from engine.sources.calendar import check_steps, notes_on
from engine.sources.entry import source_spec
from engine.sources.files import Step
from engine.sources.opening import open_source
from engine.sources.reduce import order_of, reducer_of
from engine.sources.spec import SourceSpec

NATIVE = north_up(120, 52, 0.5, 4, 3)
LON, LAT = np.arange(120.25, 122, 0.5), np.arange(51.75, 50.4, -0.5)
WHOLE = (slice(0, 3), slice(0, 4))


def months_of(*years: int) -> list[Step]:
    return [Step(year, month, 15) for year in years for month in range(1, 13)]


def reduced(spec: SourceSpec, values: dict[Step, np.ndarray]) -> np.ndarray:
    reducer = reducer_of(spec)
    for step in sorted(values, key=order_of(spec)):
        reducer.add(values[step], step)
    return reducer.result()


ANOMALY = source_spec(href="x", reduce="anomaly", period=(2011, 2012), baseline=(2001, 2003))


@given(st.integers(0, 2**31))
def test_an_anomaly_is_the_mean_difference_of_the_months(seed):
    rng = np.random.default_rng(seed)
    values = {step: rng.normal(step.month, 1, 5) for step in months_of(2001, 2002, 2003, 2011, 2012)}
    for step in values:
        values[step][rng.random(5) < 0.1] = np.nan

    def climate(first: int, last: int) -> np.ndarray:
        stack = [[v for s, v in values.items() if s.month == m and first <= s.year <= last] for m in range(1, 13)]
        with np.testing.suppress_warnings() as quiet:
            quiet.filter(RuntimeWarning)
            return np.array([np.nanmean(month, axis=0) for month in stack])

    expected = np.nanmean(climate(2011, 2012) - climate(2001, 2003), axis=0)
    np.testing.assert_allclose(reduced(ANOMALY, values), expected, rtol=1e-10)


def test_a_month_that_one_period_lacks_is_no_change_of_climate():
    """The seasons are 40 apart, the climate warms by 1; a plain difference of means would be far off."""
    values = {s: np.array([20.0 * np.cos(s.month / 6 * np.pi) + (s.year > 2010)]) for s in months_of(2001, 2011, 2012)}
    values = {s: v for s, v in values.items() if not (s.year == 2011 and s.month in (12, 1, 2))}
    assert reduced(ANOMALY, values) == pytest.approx([1.0])


def test_anomalies_that_cannot_be():
    for steps, message in (
        (months_of(2001), "covariates.v.period: no time step is in 2011–2012"),
        ([Step(2001, 1), Step(2011, 7)], "period and baseline have no month in common"),
    ):
        with pytest.raises(InputError, match=message):
            check_steps("v", ANOMALY, steps)


@pytest.mark.parametrize(
    "entries", [{"reduce": "anomaly"}, {"baseline": (1, 2)}, {"reduce": "anomaly", "baseline": (1, 2)}]
)
def test_an_anomaly_needs_both_periods(entries):
    with pytest.raises(ValueError, match="anomaly"):
        source_spec(href="x", **entries)


def test_an_anomaly_of_a_netcdf_series(tmp_path):
    steps = np.stack(
        [np.full(NATIVE.shape, year + month / 100, "float32") for year in (1, 2, 8) for month in range(12)]
    )
    days = [date(2000 + year, month + 1, 1) - date(2000, 1, 1) for year in (1, 2, 8) for month in range(12)]
    time = (np.array([d.days for d in days], "int32"), {"units": "days since 2000-01-01"})
    write_nc(tmp_path / "a.nc", steps, LON, LAT, time=time)
    spec = source_spec(href="a.nc", reduce="anomaly", period=(2008, 2008), baseline=(2001, 2002))
    source = open_source("v", spec, tmp_path)
    assert np.allclose(source.read(WHOLE), 6.5)
    assert source.summary().period == "2001–2008"


def test_months_since_a_month_are_dates(tmp_path):
    """A unit that CF's calendars do not decode, but providers write."""
    time = (np.arange(24, dtype="int32"), {"units": "months since 2001-01-15"})
    write_nc(tmp_path / "a.nc", np.stack([np.full(NATIVE.shape, i, "float32") for i in range(24)]), LON, LAT, time=time)
    assert np.allclose(open_source("v", source_spec(href="a.nc", period=(2002, 2002)), tmp_path).read(WHOLE), 17.5)
    assert np.allclose(open_source("v", source_spec(href="a.nc", months=(2,)), tmp_path).read(WHOLE), 7)


def test_daily_sums_over_a_leap_year(tmp_path):
    days = [date(2000, 1, 1) + timedelta(i) for i in range(366 + 365)]
    time = (np.arange(len(days), dtype="int32"), {"units": "days since 2000-01-01"})
    write_nc(tmp_path / "a.nc", np.ones((len(days), *NATIVE.shape), "float32"), LON, LAT, time=time)
    source = open_source("v", source_spec(href="a.nc", reduce="annual_sum", period=(2000, 2001)), tmp_path)
    assert np.allclose(source.read(WHOLE), 365.5)
    assert source.glimpse().summary().steps in (365, 366)


def test_two_composites_of_a_month_are_two_steps(tmp_path):
    """16-day composites: averaged, not laid over each other."""
    for day, value in ((1, 10), (17, 20), (33, 60)):
        write_tif(tmp_path / f"n_2001{day:03d}.tif", np.full(NATIVE.shape, value, "int16"), NATIVE)
    source = open_source("v", source_spec(href="n_{year}{doy}.tif"), tmp_path)
    assert source.summary().steps == 3
    assert np.allclose(source.read(WHOLE), 30)


def test_notes_on_what_is_missing():
    spec = source_spec(href="x", period=(2000, 2003))
    steps = [s for s in months_of(2000, 2001, 2003) if not (s.year == 2000 and s.month == 1)]
    assert notes_on(spec, steps) == (
        "period 2000–2003: 2002 missing",
        "months: 2000 lacks 1; `mean` is of those that are there",
    )
    assert notes_on(spec, months_of(2000, 2001, 2002, 2003)) == ()
    assert notes_on(source_spec(href="x"), [Step()]) == ()


@pytest.mark.parametrize(
    ("lat", "corner"), [(np.arange(-90, 90, 0.5), "lower_left"), (np.arange(90, -90, -0.5), "upper_left")]
)
def test_corners_that_pass_for_centres_are_noticed(tmp_path, lat, corner):
    lon = np.arange(-180, 180, 0.5)
    values = np.zeros((360, 720), "int8")
    path = write_nc(tmp_path / "a.nc", values, lon, lat)
    with pytest.raises(InputError, match=f"add `coordinates: {corner}`"):
        open_source("v", source_spec(href=path.name), tmp_path)
    box = open_source("v", source_spec(href=path.name, coordinates=corner), tmp_path).geobox.boundingbox
    assert np.allclose(box.bbox, (-180, -90, 180, 90))
    open_source("v", source_spec(href=path.name, coordinates="center"), tmp_path)


@pytest.mark.parametrize("lat", [np.arange(-90, 90.1, 0.5), np.arange(-89.75, 90, 0.5)])
def test_centres_up_to_the_poles_are_centres(tmp_path, lat):
    path = write_nc(tmp_path / "a.nc", np.zeros((lat.size, 720), "int8"), np.arange(-180, 180, 0.5), lat)
    open_source("v", source_spec(href=path.name), tmp_path)
