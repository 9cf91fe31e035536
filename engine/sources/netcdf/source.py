"""A variable of one or more files as a source: read window by window, reduced over time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from engine.errors import InputError, RunError
from engine.remote.files import Place
from engine.remote.patience import RemoteError, persistently, reason
from engine.remote.signing import BY_HOST, Access
from engine.sources.align import Window
from engine.sources.base import SourceSummary
from engine.sources.calendar import check_steps
from engine.sources.decode import Declared, classify, decode
from engine.sources.files import Step, find, none_wanted
from engine.sources.gridded import GriddedSource
from engine.sources.netcdf.axes import Axes, layout
from engine.sources.netcdf.containers import opened, variable_of
from engine.sources.netcdf.times import steps_of
from engine.sources.reduce import order_of, reducer_of
from engine.sources.spec import SourceSpec
from engine.sources.tiles import shown


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
                with opened(path, access, where) as dataset:
                    variable = variable_of(dataset, spec, where)
                    geobox, axes = layout(dataset, variable, spec, where, f"covariates.{name}.crs")
                    declared = _declared(variable)
                    steps = steps_of(dataset, variable, axes.time, spec, dated, where)
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
        with opened(file.path, self.access, where) as dataset:
            variable = variable_of(dataset, self.spec, where)
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


def _declared(variable: xr.DataArray) -> Declared:
    """What the attributes of a variable say of its encoding."""
    a = variable.attrs
    fills = [a[k] for k in ("_FillValue", "missing_value") if k in a]
    return Declared(
        nodata=tuple(float(code) for fill in fills for code in np.ravel(fill)),
        scale=float(a.get("scale_factor", 1.0)),
        offset=float(a.get("add_offset", 0.0)),
    )
