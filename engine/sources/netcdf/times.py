"""When the values of a variable were: place and date of its time steps."""

import re

import numpy as np
import xarray as xr

from engine.errors import InputError
from engine.sources.files import Step
from engine.sources.spec import SourceSpec

TIME_NAMES = ("time", "month", "t", "year", "valid_time")


def steps_of(
    dataset: xr.Dataset, variable: xr.DataArray, time: str | None, spec: SourceSpec, dated: Step, where: str
) -> list[tuple[int, Step]]:
    """Place and date of every time step; `dated` is what the file's name says."""
    if time is None:
        return [(0, dated)]
    n = variable.sizes[time]
    if n == 1 and not (spec.period or spec.months or spec.reduce == "annual_sum"):
        return [(0, dated)]
    units = str(dataset[time].attrs.get("units", "")) if time in dataset.coords else ""
    if match := re.match(r"months since (\d{1,4})-(\d{1,2})", units):
        months = int(match[1]) * 12 + int(match[2]) - 1 + np.floor(dataset[time].values).astype(int)
        return [(i, Step(int(month) // 12, int(month) % 12 + 1)) for i, month in enumerate(months)]
    if "since" in units:
        try:
            moments = xr.decode_cf(dataset[[time]], decode_coords=False)[time]
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: the dates of {time} cannot be read ({error})") from error
        dates = [moments.dt.year.values, moments.dt.month.values, moments.dt.day.values]
        return [(i, Step(*(int(part[i]) for part in dates))) for i in range(n)]
    if n == 1:
        return [(0, dated)]
    if time.lower() == "year" and time in dataset.coords:
        return [(i, Step(int(year))) for i, year in enumerate(dataset[time].values)]
    if n == 12:
        return [(i, Step(dated.year, i + 1)) for i in range(n)]
    raise InputError(f"{where}: {time} has {n} steps without dates; expected dates, or the 12 months of a climatology")
