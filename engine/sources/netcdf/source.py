"""A variable of one or more files as a source: read window by window, reduced over time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr

from engine.errors import Finding, InputError, RunError, Where
from engine.remote.auth import BY_HOST, Access
from engine.remote.files import Place
from engine.remote.retry import RemoteError, persistently, reason
from engine.sources.align import Window
from engine.sources.base import SourceSummary
from engine.sources.calendar import check_steps
from engine.sources.declared import ZARR_FORMAT, Declared, of_attributes
from engine.sources.decode import classify, decode, notes_on_classes
from engine.sources.files import Step, find, none_wanted
from engine.sources.netcdf.axes import Axes, Layout, layout
from engine.sources.netcdf.containers import opened, variable_of
from engine.sources.netcdf.duplicate_steps import contradiction, repeated
from engine.sources.netcdf.times import Times, times_of
from engine.sources.raster_base import GriddedSource
from engine.sources.reduce import order_of, reducer_of
from engine.sources.spec import StoredSpec
from engine.sources.tiles import shown

_MANY = 6
"""Notes on the files that are shown."""


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
    notes: tuple[str, ...] = field(default=(), compare=False)


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
    def open(cls, name: str, spec: StoredSpec, base: Path) -> "NetcdfSource":
        """Open the files that an entry names; see `of_files`."""
        found = {path: (dated, Declared()) for path, dated in find(name, spec, base).items()}
        return cls.of_files(name, spec, found, dated_by="its name")

    @classmethod
    def of_files(
        cls,
        name: str,
        spec: StoredSpec,
        found: Mapping[Place, tuple[Step, Declared]],
        listed: str | None = None,
        access: Access = BY_HOST,
        dated_by: str = "its item",
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
        opened_files: list[_Opened] = []
        problems: list[Finding] = []
        for path, (dated, told) in found.items():
            try:
                file = _look_at(name, spec, path, dated, access, dated_by)
            except InputError as error:
                problems += error.problems
                continue
            opened_files.append(replace(file, declared=told.over(file.declared)))
            if file.layout.geobox != opened_files[0].layout.geobox:
                other = opened_files[0].path.name
                problems.append(Finding(f"{shown(path)}: is on another grid than {other}", f"covariates.{name}"))
        if problems:
            raise InputError(problems)
        kept = sorted((f for f in opened_files if f.wanted), key=lambda f: min(f.times.steps[i] for i in f.wanted))
        if not kept:
            every = [step for file in opened_files for step in file.times.steps]
            raise InputError(none_wanted(name, spec, every, "time steps"))
        if problems := repeated(name, [(file.path, file.times, file.wanted) for file in kept]):
            raise InputError(problems)
        files = tuple(file.as_read() for file in kept)
        check_steps(name, spec, [step for file in files for _, step in file.steps])
        return cls(name, spec, kept[0].layout.geobox, files, listed, access)

    def steps(self) -> Iterable[Step]:
        """Return every time step, in the order of time."""
        return [step for file in self.files for _, step in file.steps]

    def at_steps(self, wanted: frozenset[Step]) -> Self:
        """Return the same source of these time steps only."""
        files = (replace(f, steps=tuple((i, step) for i, step in f.steps if step in wanted)) for f in self.files)
        return replace(self, files=tuple(file for file in files if file.steps))

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        notes = dict.fromkeys(note for file in self.files for note in file.notes)
        undated = sum(step == Step() for step in self.steps())
        if undated > 1:
            notes[f"{undated} files have no dates; each is a time step"] = None
        summary = self.describe(tuple(file.path for file in self.files), sorted(self.steps()), *_few(list(notes)))
        return replace(summary, listed=self.listed)

    def read(self, window: Window) -> np.ndarray:
        """Read decoded values of a window, reduced over time."""
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
                    return classify(stored, self.spec, file.declared)
                reducer.add(decode(stored, self.spec, file.declared), step)
        return reducer.result().astype("float32")

    def _stored(
        self, file: NetcdfFile, entries: list[tuple[Step, int]], window: Window
    ) -> Iterator[tuple[Step, np.ndarray]]:
        """Yield stored values of some time steps of one file."""
        where = Where(f"covariates.{self.name}", shown(file.path))
        with opened(file.path, self.access, self.spec, where) as dataset:
            variable = variable_of(dataset, self.spec, where)
            for step, index in entries:
                if isinstance(file.path, Path):
                    yield step, self._read_step(variable, file.axes, index, window)
                    continue
                try:
                    stored = persistently(lambda i=index: self._read_step(variable, file.axes, i, window), "")  # type: ignore[misc]
                except (RemoteError, FileNotFoundError) as error:
                    raise RunError(where.problem(f"cannot be read: {reason(error)}")) from error
                yield step, stored

    def _read_step(self, variable: xr.DataArray, axes: Axes, index: int, window: Window) -> np.ndarray:
        rows, cols = window
        if axes.levels:
            variable = variable.isel(dict(axes.levels))
        if axes.time:
            variable = variable.isel({axes.time: index})
        if axes.y_ascending:
            rows = slice(self.geobox.shape.y - rows.stop, self.geobox.shape.y - rows.start)
        if axes.x_descending:
            cols = slice(self.geobox.shape.x - cols.stop, self.geobox.shape.x - cols.start)
        block = variable.isel({axes.y: rows, axes.x: cols}).transpose(axes.y, axes.x).values
        return block[:: -1 if axes.y_ascending else 1, :: -1 if axes.x_descending else 1]


@dataclass(frozen=True)
class _Opened:
    """Header of a file."""

    path: Place
    layout: Layout
    declared: Declared
    times: Times
    wanted: tuple[int, ...]
    notes: tuple[str, ...]

    def as_read(self) -> NetcdfFile:
        steps = tuple((i, self.times.steps[i]) for i in self.wanted)
        return NetcdfFile(self.path, self.layout.axes, self.declared, steps, self.notes)


def _look_at(name: str, spec: StoredSpec, path: Place, dated: Step, access: Access, dated_by: str) -> _Opened:
    """Read the coordinates and attributes of a file.

    Raises
    ------
    InputError
        If it cannot be read as the spec asks, or its dates and `dated` contradict each other.
    """
    where = Where(f"covariates.{name}", shown(path))
    with opened(path, access, spec, where) as dataset:
        variable = variable_of(dataset, spec, where, path, access)
        try:
            found = layout(dataset, variable, spec, where, f"covariates.{name}.crs")
            n = variable.sizes[found.time.dim] if found.time else 1
            times = times_of(dataset, found.time, n, spec, dated, where)
        except ValueError as error:  # of coordinates that are not numbers
            raise InputError(where.problem(str(error))) from error
        fills = ZARR_FORMAT not in variable.encoding
        declared = of_attributes(variable.attrs, variable.dtype, spec, where, fills=fills)
    wanted = tuple(i for i, step in enumerate(times.steps) if step.wanted(spec))
    notes = found.notes + times.notes + notes_on_classes(spec, declared)
    by_name = dated_by == "its name"
    odd, none_fits = contradiction(dated if by_name else Step(dated.year), times.steps, dated_by)
    if none_fits and by_name and (spec.period or spec.months or spec.reduce in ("annual_sum", "anomaly")):
        raise InputError(
            where.problem(
                f"{odd}; correct one of them, or write `*` in `href` for the date in the name: then the time axis "
                "counts"
            )
        )
    if odd and (by_name or none_fits):
        notes += (f"{path.name}: {odd}",)
    return _Opened(path, found, declared, times, wanted, notes)


def _few(notes: list[str]) -> list[str]:
    return notes if len(notes) <= _MANY else [*notes[:_MANY], f"and {len(notes) - _MANY} more notes on its files"]
