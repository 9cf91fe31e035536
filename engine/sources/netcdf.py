"""NetCDF files: a variable on latitude and longitude (or projected x and y), often a time series."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from engine.errors import InputError
from engine.grid import crs_of, parse_crs
from engine.sources.align import Window
from engine.sources.base import SourceSummary
from engine.sources.decode import Declared, Reducer, classify, decode
from engine.sources.files import Step, check_steps, find
from engine.sources.gridded import GriddedSource
from engine.sources.spec import SourceSpec

_X_NAMES = ("lon", "longitude", "x")
_Y_NAMES = ("lat", "latitude", "y")
_UNEVEN = 0.01
"""Share of a pixel by which the spacing of coordinates may vary: rounding in float32."""


@dataclass(frozen=True)
class Axes:
    """Names of a variable's dimensions, and whether its rows run from south to north."""

    x: str
    y: str
    time: str | None
    y_ascending: bool


@dataclass(frozen=True)
class NetcdfFile:
    """One file, how it stores the variable, and the time steps of it that count.

    Attributes
    ----------
    steps : tuple of (int, Step)
        Place on the time axis, and date.
    """

    path: Path
    axes: Axes
    declared: Declared
    steps: tuple[tuple[int, Step], ...]


@dataclass(frozen=True)
class NetcdfSource(GriddedSource):
    """A variable in one or more files in the order of time."""

    files: tuple[NetcdfFile, ...]

    @classmethod
    def open(cls, name: str, spec: SourceSpec, base: Path) -> "NetcdfSource":
        """Read the coordinates and attributes of every file.

        Raises
        ------
        InputError
            If a file is missing or damaged, lacks the variable, its axes are not regular, or no step is in the period.
        """
        files: list[NetcdfFile] = []
        problems: list[str] = []
        geoboxes: list[GeoBox] = []
        for path, dated in find(name, spec, base).items():
            where = f"covariates.{name}: {path}"
            try:
                with _open(path, where) as dataset:
                    variable = _variable(dataset, spec, where)
                    geobox, axes, declared = _layout(dataset, variable, spec, where, f"covariates.{name}.crs")
                    steps = _steps(dataset, variable, axes.time, spec, dated, where)
            except InputError as error:
                problems += error.problems
                continue
            geoboxes.append(geobox)
            files.append(NetcdfFile(path, axes, declared, tuple((i, s) for i, s in steps if s.wanted(spec))))
            if geobox != geoboxes[0]:
                problems.append(f"{where}: is on another grid than {files[0].path.name}")
        if problems:
            raise InputError(problems)
        files = sorted((f for f in files if f.steps), key=lambda f: f.steps[0][1])
        if not files:
            raise InputError(
                f"covariates.{name}: no time step is in period {list(spec.period or ())} "
                f"and months {list(spec.months or range(1, 13))}"
            )
        check_steps(name, spec, [step for file in files for _, step in file.steps])
        return cls(name, spec, geoboxes[0], tuple(files))

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        steps = [step for file in self.files for _, step in file.steps]
        return SourceSummary(
            files=tuple(file.path for file in self.files),
            crs=crs_of(self.geobox),
            footprint=self.footprint,
            size=self.geobox.shape.yx,
            resolution=abs(self.geobox.resolution.x),
            steps=len(steps),
            period=f"{steps[0].year}–{steps[-1].year}" if steps[0].year else "",
        )

    def read(self, window: Window) -> np.ndarray:
        """Decoded values of a window, reduced over time."""
        reducer = Reducer(self.spec.reduce)
        in_time = sorted((step, file, index) for file, entry in enumerate(self.files) for index, step in entry.steps)
        for number, steps in groupby(in_time, key=lambda entry: entry[1]):
            file = self.files[number]
            with _open(file.path, f"covariates.{self.name}: {file.path}") as dataset:
                variable = _variable(dataset, self.spec, str(file.path))
                for step, _, index in steps:
                    stored = self._read_step(variable, file.axes, index, window)
                    if self.spec.is_categorical:
                        return classify(stored, self.spec)
                    reducer.add(decode(stored, self.spec, file.declared), step.year)
        return reducer.result().astype("float32")

    def _read_step(self, variable: xr.DataArray, axes: Axes, index: int, window: Window) -> np.ndarray:
        rows, cols = window
        if axes.time:
            variable = variable.isel({axes.time: index})
        if axes.y_ascending:
            rows = slice(self.geobox.shape.y - rows.stop, self.geobox.shape.y - rows.start)
        block = variable.isel({axes.y: rows, axes.x: cols}).transpose(axes.y, axes.x).values
        return block[::-1] if axes.y_ascending else block


def _open(path: Path, where: str) -> xr.Dataset:
    """Open lazily, stored values as they are. NetCDF 4 by h5netcdf, classic files by SciPy."""
    try:
        return xr.open_dataset(path, decode_times=False, mask_and_scale=False, decode_coords=False, cache=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{where}: not a NetCDF file that can be opened ({error}). Is the file whole?") from error


def _variable(dataset: xr.Dataset, spec: SourceSpec, where: str) -> xr.DataArray:
    gridded = [str(v) for v in dataset.data_vars if dataset[v].ndim >= 2]
    name = spec.variable or (gridded[0] if len(gridded) == 1 else None)
    if name is None:
        raise InputError(f"{where}: holds {', '.join(gridded)}; say which with `variable`")
    if name not in dataset.data_vars:
        raise InputError(f"{where}: has no variable {name!r}; it holds {', '.join(map(str, dataset.data_vars))}")
    return dataset[name]


def _layout(
    dataset: xr.Dataset, variable: xr.DataArray, spec: SourceSpec, where: str, crs_key: str
) -> tuple[GeoBox, Axes, Declared]:
    x, y = (_axis(variable, names, where) for names in (_X_NAMES, _Y_NAMES))
    others = [str(d) for d in variable.dims if d not in (x, y)]
    long = [d for d in others if d.lower() not in ("time", "month", "t") and variable.sizes[d] > 1]
    if len(others) > 1 or long:
        raise InputError(f"{where}: variable {variable.name!r} has dimensions {variable.dims}; expected time, {y}, {x}")
    (x0, dx, nx), (y0, dy, ny) = (_regular(variable[d].values, d, where) for d in (x, y))
    if spec.coordinates == "lower_left":
        x0, y0 = x0 + abs(dx) / 2, y0 + abs(dy) / 2
    if dx < 0:
        raise InputError(f"{where}: {x} runs from east to west; expected west to east")
    crs = parse_crs(spec.crs, crs_key) if spec.crs else _declared_crs(dataset, variable, x, where)
    top = max(y0, y0 + (ny - 1) * dy) + abs(dy) / 2
    affine = Affine.translation(x0 - dx / 2, top) * Affine.scale(dx, -abs(dy))
    axes = Axes(x, y, others[0] if others else None, y_ascending=dy > 0)
    a = variable.attrs
    fills = [a[k] for k in ("_FillValue", "missing_value") if k in a]
    declared = Declared(
        nodata=tuple(float(f) for f in np.ravel(fills)) if fills else (),
        scale=float(a.get("scale_factor", 1.0)),
        offset=float(a.get("add_offset", 0.0)),
    )
    return GeoBox((ny, nx), affine, crs), axes, declared


def _declared_crs(dataset: xr.Dataset, variable: xr.DataArray, x: str, where: str) -> CRS:
    """WGS 84 of longitudes; of projected coordinates what the grid mapping (CF conventions) says."""
    if x.lower() in ("lon", "longitude"):
        return CRS("EPSG:4326")
    mapping = variable.attrs.get("grid_mapping", "")
    try:
        return CRS(pyproj.CRS.from_cf(dataset[mapping].attrs).to_wkt())
    except (KeyError, pyproj.exceptions.CRSError) as error:
        raise InputError(
            f"{where}: {x} is not a longitude and no grid mapping declares a CRS; if you know it, add e.g. "
            "`crs: EPSG:3413` to the entry"
        ) from error


def _axis(variable: xr.DataArray, names: tuple[str, ...], where: str) -> str:
    for dim in map(str, variable.dims):
        if dim.lower() in names and dim in variable.coords and variable.sizes[dim] > 1:
            return dim
    raise InputError(f"{where}: found no coordinate {' / '.join(names)} among {tuple(map(str, variable.coords))}")


def _regular(values: np.ndarray, dim: str, where: str) -> tuple[float, float, int]:
    """Start, step and number of evenly spaced coordinates; float32 files store them rounded."""
    values = values.astype("float64")
    steps = np.diff(values)
    mean = (values[-1] - values[0]) / (len(values) - 1)
    if (
        not np.isfinite(values).all()
        or mean == 0
        or np.abs(steps / mean - 1).max() > _UNEVEN * max(1, len(values) / 1000)
    ):
        raise InputError(
            f"{where}: {dim} is not evenly spaced (steps {steps.min():g} to {steps.max():g}); warp it first"
        )
    return float(values[0]), float(mean), len(values)


def _steps(
    dataset: xr.Dataset, variable: xr.DataArray, time: str | None, spec: SourceSpec, dated: Step, where: str
) -> list[tuple[int, Step]]:
    """Place and date of every time step; `dated` is what the file's name says."""
    if time is None:
        return [(0, dated)]
    n = variable.sizes[time]
    if n == 1 and not (spec.period or spec.months or spec.reduce == "annual_sum"):
        return [(0, dated)]
    if time in dataset.coords and "since" in str(dataset[time].attrs.get("units", "")):
        try:
            moments = xr.decode_cf(dataset[[time]], decode_coords=False)[time]
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: the dates of {time} cannot be read ({error})") from error
        years, months = moments.dt.year.values, moments.dt.month.values
        return [(i, Step(int(years[i]), int(months[i]))) for i in range(n)]
    if n == 1:
        return [(0, dated)]
    if n == 12:
        return [(i, Step(dated.year, i + 1)) for i in range(n)]
    raise InputError(f"{where}: {time} has {n} steps without dates; expected dates, or the 12 months of a climatology")
