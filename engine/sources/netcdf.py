"""NetCDF files and Zarr stores: a variable on latitude and longitude (or projected x and y), often a time series."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from engine.errors import InputError, RunError
from engine.grid import parse_crs
from engine.remote.files import ZARR_SUFFIX, Place, Remote, fsspec_options, open_remote
from engine.remote.patience import RemoteError, persistently, reason, unsigned
from engine.remote.signing import BY_HOST, Access
from engine.sources.align import Window
from engine.sources.base import SourceSummary
from engine.sources.calendar import check_steps
from engine.sources.decode import Declared, classify, decode
from engine.sources.files import Step, find, none_wanted
from engine.sources.gridded import GriddedSource
from engine.sources.reduce import order_of, reducer_of
from engine.sources.spec import SourceSpec
from engine.sources.tiles import shown

NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ZARR_SUFFIX)
_X_NAMES = ("lon", "longitude", "x")
_Y_NAMES = ("lat", "latitude", "y")
_TIME_NAMES = ("time", "month", "t", "year", "valid_time")
_CONSOLIDATE = (
    "A Zarr store behind http(s):// needs consolidated metadata, since web servers list no folders: make them with "
    "`zarr.consolidate_metadata`, or fetch the store"
)
_UNEVEN = 0.01
"""Share of a pixel by which the spacing of coordinates may vary: rounding in float32."""


@dataclass(frozen=True)
class Axes:
    """Names of a variable's dimensions, and whether its rows run from south to north.

    Attributes
    ----------
    level : (str, int) or None
        A further dimension, such as depth, and the place on it.
    """

    x: str
    y: str
    time: str | None
    y_ascending: bool
    level: tuple[str, int] | None = None


@dataclass(frozen=True)
class NetcdfFile:
    """One file, how it stores the variable, and the time steps of it that count.

    Attributes
    ----------
    steps : tuple of (int, Step)
        Place on the time axis, and date.
    """

    path: Place
    axes: Axes
    declared: Declared
    steps: tuple[tuple[int, Step], ...]


@dataclass(frozen=True)
class NetcdfSource(GriddedSource):
    """A variable in one or more files in the order of time.

    Attributes
    ----------
    listed : str or None
        Fingerprint of the catalogue's items that the files are from.
    access : Access
        How the files are unlocked.
    """

    files: tuple[NetcdfFile, ...]
    listed: str | None = None
    access: Access = BY_HOST

    @classmethod
    def open(cls, name: str, spec: SourceSpec, base: Path) -> "NetcdfSource":
        """The files that an entry names; see `of_files`."""
        found = {path: (dated, Declared()) for path, dated in find(name, spec, base).items()}
        return cls.of_files(name, spec, found)

    @classmethod
    def of_files(
        cls,
        name: str,
        spec: SourceSpec,
        found: Mapping[Place, tuple[Step, Declared]],
        listed: str | None = None,
        access: Access = BY_HOST,
    ) -> "NetcdfSource":
        """Read the coordinates and attributes of every file.

        Parameters
        ----------
        found : mapping
            File → its date, as far as it does not tell itself, and what a catalogue says of its encoding.
        listed : str, optional
            Fingerprint of the catalogue's items that the files are from.
        access : Access
            How the files are unlocked.

        Raises
        ------
        InputError
            If a file is missing or damaged, lacks the variable, its axes are not regular, or no step is in the period.
        """
        files: list[NetcdfFile] = []
        problems: list[str] = []
        geoboxes: list[GeoBox] = []
        every: list[Step] = []
        for path, (dated, told) in found.items():
            where = f"covariates.{name}: {shown(path)}"
            try:
                with _open(path, access, where) as dataset:
                    variable = _variable(dataset, spec, where)
                    geobox, axes, declared = _layout(dataset, variable, spec, where, f"covariates.{name}.crs")
                    steps = _steps(dataset, variable, axes.time, spec, dated, where)
            except InputError as error:
                problems += error.problems
                continue
            geoboxes.append(geobox)
            every += [step for _, step in steps]
            wanted = tuple((i, step) for i, step in steps if step.wanted(spec))
            files.append(NetcdfFile(path, axes, told.over(declared), wanted))
            if geobox != geoboxes[0]:
                problems.append(f"{where}: is on another grid than {files[0].path.name}")
        if problems:
            raise InputError(problems)
        kept = sorted((f for f in files if f.steps), key=lambda f: f.steps[0][1])
        if not kept:
            raise InputError(none_wanted(name, spec, every, "time steps"))
        check_steps(name, spec, [step for file in kept for _, step in file.steps])
        return cls(name, spec, geoboxes[0], tuple(kept), listed, access)

    def steps(self) -> Iterable[Step]:
        """Every time step, in the order of time."""
        return [step for file in self.files for _, step in file.steps]

    def at_steps(self, wanted: frozenset[Step]) -> Self:
        """The same source of these time steps only."""
        files = (replace(f, steps=tuple((i, step) for i, step in f.steps if step in wanted)) for f in self.files)
        return replace(self, files=tuple(file for file in files if file.steps))

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        return replace(self.describe(tuple(file.path for file in self.files), list(self.steps())), listed=self.listed)

    def read(self, window: Window) -> np.ndarray:
        """Decoded values of a window, reduced over time."""
        reducer, order = reducer_of(self.spec), order_of(self.spec)
        in_time = sorted(
            ((step, file, index) for file, entry in enumerate(self.files) for index, step in entry.steps),
            key=lambda entry: (order(entry[0]), entry[1:]),
        )
        for number, steps in groupby(in_time, key=lambda entry: entry[1]):
            file = self.files[number]
            entries = [(step, index) for step, _, index in steps]
            for step, stored in self._stored(file, entries, window):
                if self.spec.is_categorical:
                    return classify(stored, self.spec)
                reducer.add(decode(stored, self.spec, file.declared), step)
        return reducer.result().astype("float32")

    def _stored(
        self, file: NetcdfFile, entries: list[tuple[Step, int]], window: Window
    ) -> Iterator[tuple[Step, np.ndarray]]:
        """Stored values of some time steps of one file."""
        where = f"covariates.{self.name}: {shown(file.path)}"
        with _open(file.path, self.access, where) as dataset:
            variable = _variable(dataset, self.spec, where)
            for step, index in entries:
                if isinstance(file.path, Path):
                    yield step, self._read_step(variable, file.axes, index, window)
                    continue
                try:
                    stored = persistently(lambda i=index: self._read_step(variable, file.axes, i, window), "")  # type: ignore[misc]
                except (RemoteError, FileNotFoundError) as error:
                    raise RunError(f"{where}: cannot be read: {reason(error)}") from error
                yield step, stored

    def _read_step(self, variable: xr.DataArray, axes: Axes, index: int, window: Window) -> np.ndarray:
        rows, cols = window
        if axes.level:
            variable = variable.isel({axes.level[0]: axes.level[1]})
        if axes.time:
            variable = variable.isel({axes.time: index})
        if axes.y_ascending:
            rows = slice(self.geobox.shape.y - rows.stop, self.geobox.shape.y - rows.start)
        block = variable.isel({axes.y: rows, axes.x: cols}).transpose(axes.y, axes.x).values
        return block[::-1] if axes.y_ascending else block


_PLAIN: dict[str, Any] = {
    "decode_times": False,
    "mask_and_scale": False,
    "decode_coords": False,
}
"""Stored values as they are, none kept."""


@contextmanager
def _open(path: Place, access: Access, where: str) -> Iterator[xr.Dataset]:
    """Open lazily. NetCDF 4 by h5netcdf, classic files by SciPy, stores by Zarr."""
    try:
        dataset, file = _dataset(path, access)
    except FileNotFoundError as error:
        raise InputError(f"{where}: is no store or file that can be opened ({reason(error)})") from error
    except RemoteError as error:
        raise InputError(f"{where}: cannot be reached: {reason(error)}") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        what = "Zarr store" if path.suffix == ZARR_SUFFIX else "NetCDF file"
        raise InputError(f"{where}: not a {what} that can be opened ({error}). Is the file whole?") from error
    try:
        yield dataset
    finally:
        dataset.close()
        if file is not None:
            file.close()


def _dataset(path: Place, access: Access) -> tuple[xr.Dataset, Any]:
    """The dataset, and the open file behind it where xarray does not close it itself."""
    if path.suffix == ZARR_SUFFIX:
        if isinstance(path, Path):
            return xr.open_zarr(path, chunks=None, **_PLAIN), None
        options = {"storage_options": fsspec_options(path.url, access), **_PLAIN}
        return persistently(lambda: xr.open_zarr(path.url, chunks=None, **options), unsigned(path.url)), None
    if isinstance(path, Remote):
        file = persistently(lambda: open_remote(path, access), unsigned(path.url))
        try:
            return persistently(lambda: xr.open_dataset(file, cache=False, **_PLAIN), unsigned(path.url)), file
        except BaseException:
            file.close()
            raise
    return xr.open_dataset(path, cache=False, **_PLAIN), None


def _variable(dataset: xr.Dataset, spec: SourceSpec, where: str) -> xr.DataArray:
    if not dataset.variables:
        raise InputError(f"{where}: no array is found in it. {_CONSOLIDATE}")
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
    time, level = _others(variable, (x, y), spec, where)
    (x0, dx, nx), (y0, dy, ny) = (_regular(variable[d].values, d, where) for d in (x, y))
    if dx < 0:
        raise InputError(f"{where}: {x} runs from east to west; expected west to east")
    if spec.coordinates != "center":
        x0, y0 = x0 + abs(dx) / 2, y0 + abs(dy) / 2 * (1 if spec.coordinates == "lower_left" else -1)
    elif "coordinates" not in spec.model_fields_set and y.lower() in ("lat", "latitude"):
        _require_centres(min(y0, y0 + (ny - 1) * dy), max(y0, y0 + (ny - 1) * dy), abs(dy), where)
    crs = parse_crs(spec.crs, crs_key) if spec.crs else _declared_crs(dataset, variable, x, where)
    top = max(y0, y0 + (ny - 1) * dy) + abs(dy) / 2
    affine = Affine.translation(x0 - dx / 2, top) @ Affine.scale(dx, -abs(dy))
    axes = Axes(x, y, time, y_ascending=dy > 0, level=level)
    a = variable.attrs
    fills = [a[k] for k in ("_FillValue", "missing_value") if k in a]
    declared = Declared(
        nodata=tuple(float(code) for fill in fills for code in np.ravel(fill)),
        scale=float(a.get("scale_factor", 1.0)),
        offset=float(a.get("add_offset", 0.0)),
    )
    return GeoBox((ny, nx), affine, crs), axes, declared


def _others(
    variable: xr.DataArray, plane: tuple[str, str], spec: SourceSpec, where: str
) -> tuple[str | None, tuple[str, int] | None]:
    """The dimension of time, and a further one (depth, height) with the place on it that `band` names."""
    others = [str(d) for d in variable.dims if d not in plane]
    time = next((d for d in others if d.lower() in _TIME_NAMES), None)
    levels = [d for d in others if d != time]
    if time is None and len(levels) == 1 and variable.sizes[levels[0]] == 1:
        return levels[0], None
    if not levels:
        return time, None
    size = variable.sizes[levels[0]]
    if len(levels) > 1 or (size > 1 and "band" not in spec.model_fields_set):
        hint = f"; choose one of the {size} places on {levels[0]} with `band`, from 1" if len(levels) == 1 else ""
        expected = ", ".join(("time", plane[1], plane[0]))
        raise InputError(
            f"{where}: variable {variable.name!r} has dimensions {variable.dims}; expected {expected}{hint}"
        )
    if spec.band > size:
        raise InputError(f"{where}: {levels[0]} has {size} places, not a place {spec.band} (`band`)")
    return time, (levels[0], spec.band - 1)


def _require_centres(south: float, north: float, step: float, where: str) -> None:
    """Latitudes of cell centres do not reach past one pole and stop short of the other by half a cell: corners do."""
    past = (np.array([-south, north]) + step / 2 - 90) / step
    for beyond, short, corner in ((0, 1, "lower_left"), (1, 0, "upper_left")):
        if np.allclose(past[[beyond, short]], (0.5, -0.5), atol=0.05):
            raise InputError(
                f"{where}: latitudes from {south:g} to {north:g} in steps of {step:g} cannot be centres of cells, "
                f"which would reach past the pole; they look like corners: add `coordinates: {corner}` "
                "(or `coordinates: center` if they are not)"
            )


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
