"""Raster files as one source: the tiles of a mosaic, a dated set of them, or mosaics on several pixel grids."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from affine import Affine
from odc.geo import CRS, Geometry
from odc.geo.geobox import GeoBox
from odc.geo.geom import unary_union

from engine.errors import Finding, InputError
from engine.remote.auth import BY_HOST
from engine.sources.align import Window
from engine.sources.base import MISSING_CLASS, Source, SourceSummary
from engine.sources.calendar import check_steps, notes_on
from engine.sources.declared import Declared
from engine.sources.decode import classify, decode, notes_on_classes
from engine.sources.files import Step, find
from engine.sources.raster_base import GriddedSource
from engine.sources.reduce import order_of, reducer_of
from engine.sources.resampling import Choice, of_parts
from engine.sources.spec import StoredSpec
from engine.sources.tiles import RasterFile, Tile, read, read_headers, shown

DEGREES = CRS("EPSG:4326")
_ALIGNMENT = 0.01
"""Share of a pixel that tiles of one mosaic may be off a common grid: rounding in their headers."""
_SHOWN = 3
"""Pairs of files that messages name."""


@dataclass(frozen=True)
class RasterSource(GriddedSource):
    """Tiles in the order of reading; those of one step are mosaicked, the last known value on top; steps are reduced.

    Attributes
    ----------
    listed : str or None
        Fingerprint of the catalogue's items that the tiles are from.
    """

    tiles: tuple[Tile, ...]
    listed: str | None = None

    def steps(self) -> Iterable[Step]:
        """Return every time step."""
        return {tile.step for tile in self.tiles}

    def at_steps(self, wanted: frozenset[Step]) -> Self:
        """Return the same source of these time steps only."""
        return replace(self, tiles=tuple(tile for tile in self.tiles if tile.step in wanted))

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        steps = sorted(self.steps())
        places = tuple(tile.file.place for tile in self.tiles)
        notes = (*self.notes, *self._gaps(steps), *self._twice(), *self._overlaps())
        return replace(self.describe(places, steps, *notes), listed=self.listed)

    @property
    def notes(self) -> tuple[str, ...]:
        """Doubtful signs about the files, each once."""
        files = [tile.file for tile in self.tiles]
        classes = (note for declared in {f.declared for f in files} for note in notes_on_classes(self.spec, declared))
        return tuple(dict.fromkeys([*(note for file in files for note in file.notes), *sorted(classes)]))

    def _twice(self) -> list[str]:
        """Describe items of one date and place, as of two orbits: a mosaic, but perhaps two versions of the same."""
        groups = _same_place(self)
        if not groups:
            return []
        names = " and ".join(file.place.name for file in groups[0][:2])
        return [f"{len(groups)} dates have several files on the same pixels ({names}); the last is on top"]

    def _overlaps(self) -> list[str]:
        """Describe files of one date that share some of their pixels, so that one hides the other's."""
        pairs, shown = 0, ""
        for _, group in groupby(self.tiles, key=lambda tile: tile.step):
            tiles = list(group)
            inner = [shapely.box(*tile.inner) for tile in tiles]
            first, second = shapely.STRtree(inner).query(inner, predicate="intersects")
            for a, b in zip(first[first < second], second[first < second], strict=True):
                if tiles[a].extent != tiles[b].extent:
                    pairs += 1
                    shown = shown or f"{tiles[a].file.place.name} and {tiles[b].file.place.name}"
        return [f"{pairs} pairs of files of one date overlap ({shown}); the last is on top"] if pairs else []

    def _gaps(self, steps: list[Step]) -> list[str]:
        """Describe steps that lack a tile which others have, as after an unfinished download."""
        places = {(tile.row, tile.col) for tile in self.tiles}
        have: dict[Step, set[tuple[int, int]]] = {step: set() for step in steps}
        for tile in self.tiles:
            have[tile.step].add((tile.row, tile.col))
        short = [step for step in steps if have[step] != places]
        if not short or len(places) == 1:
            return []
        missing = len(places) * len(steps) - sum(map(len, have.values()))
        named = "-".join(f"{part:02d}" for part in (short[0].year, short[0].month, short[0].day) if part)
        return [f"{missing} of {len(places) * len(steps)} tiles are not there, the first of {named or 'one step'}"]

    def read(self, window: Window) -> np.ndarray:
        """Read decoded values of a window, mosaicked and reduced over time."""
        shape = tuple(s.stop - s.start for s in window)
        if self.spec.is_categorical:
            classes = np.full(shape, MISSING_CLASS, "uint8")
            for tile in self.tiles:
                if overlap := tile.overlap(window):
                    stored = read(tile.file, overlap[0], self.spec, self.name)
                    known = classify(stored.values, self.spec, stored.declared, stored.masked)
                    classes[overlap[1]] = np.where(known == MISSING_CLASS, classes[overlap[1]], known)
            return classes
        reducer = reducer_of(self.spec)
        for step, tiles in groupby(self.tiles, key=lambda tile: tile.step):
            values = np.full(shape, np.nan)
            for tile in tiles:
                if overlap := tile.overlap(window):
                    stored = read(tile.file, overlap[0], self.spec, self.name)
                    known = decode(stored.values, self.spec, stored.declared, stored.masked)
                    values[overlap[1]] = np.where(np.isfinite(known), known, values[overlap[1]])
            reducer.add(values, step)
        return reducer.result().astype("float32")


@dataclass(frozen=True)
class Patchwork:
    """Mosaics on several pixel grids (UTM zones, latitude bands), each warped; the first that has a value counts."""

    name: str = field(compare=False)
    spec: StoredSpec
    parts: tuple[RasterSource, ...]

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        parts = [part.summary() for part in self.parts]
        steps = sorted({step for part in self.parts for step in part.steps()})
        footprints = [_in_degrees(part.footprint) for part in parts]
        return replace(
            parts[0],
            files=tuple(file for part in parts for file in part.files),
            crs=DEGREES,
            footprint=unary_union(footprints) or footprints[0],
            size=None,
            steps=len(steps),
            period=f"{steps[0].year}–{steps[-1].year}" if steps[0].year else "",
            notes=(f"{len(parts)} pixel grids", *notes_on(self.spec, steps), *self._notes()),
        )

    def _notes(self) -> tuple[str, ...]:
        """Collect doubtful signs about the files, each once."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.notes))

    def choose_resampling(self, geobox: GeoBox) -> Choice:
        """Choose the resampling of each part, for its own pixels."""
        return tuple(part.choose_resampling(geobox) for part in self.parts)

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return values on a part of the target grid, see `Source.on_grid`."""
        values: np.ndarray | None = None
        for part, method in zip(self.parts, of_parts(resampling, len(self.parts)), strict=True):
            more = part.on_grid(geobox, method)
            if values is None:
                values = more
            else:
                unknown = values == MISSING_CLASS if self.spec.is_categorical else np.isnan(values)
                values[unknown] = more[unknown]
        assert values is not None
        return values

    def glimpse(self) -> "Patchwork":
        """Return the same source of one year."""
        return replace(self, parts=tuple(part.glimpse() for part in self.parts))

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return codes under a part of the grid that no class lists."""
        return tuple(dict.fromkeys(code for part in self.parts for code in part.unlisted(geobox)))


def open_rasters(name: str, spec: StoredSpec, base: Path) -> Source:
    """Read the headers of every file; `base` is where relative paths start.

    Raises
    ------
    InputError
        If a file is missing or no raster, has no CRS or not the band, or the tiles do not fit together.
    """
    found = [(place, step, Declared(), BY_HOST) for place, step in find(name, spec, base).items()]
    return assemble(name, spec, read_headers(name, spec, found, sidecars=True), many=spec.grids == "many")


def assemble(name: str, spec: StoredSpec, files: list[RasterFile], *, many: bool, listed: str | None = None) -> Source:
    """Assemble a source of raster files whose headers are known.

    Parameters
    ----------
    many : bool
        Whether the files may lie on several pixel grids.
    listed : str, optional
        Fingerprint of the catalogue's items that the files are from.

    Raises
    ------
    InputError
        If the files do not fit together, or their dates not what is asked for.
    """
    order = order_of(spec)
    files = sorted(files, key=lambda file: (order(file.step), str(file.place)))
    check_steps(name, spec, sorted({file.step for file in files}))
    groups: list[list[RasterFile]] = []
    strangers = []
    for file in files:
        home = next((group for group in groups if _fits(file.geobox, group[0].geobox)), None)
        if home is not None:
            home.append(file)
            continue
        groups.append([file])
        strangers.append(file)
    if len(groups) > 1 and not many:
        raise InputError(
            Finding(
                f"{shown(file.place)} is not on the same grid as {files[0].place.name}; they cannot be "
                "mosaicked. Tiles that are meant to differ (UTM zones, latitude bands) need `grids: many`",
                f"covariates.{name}",
            )
            for file in strangers[1:]
        )
    if len(groups) > 1:
        for group in groups:
            check_steps(name, spec, sorted({file.step for file in group}))
    parts = tuple(_mosaic(name, spec, group, listed) for group in groups)
    if listed is None and (problems := [text for part in parts for text in _hidden(name, part)]):
        raise InputError(problems)
    return parts[0] if len(parts) == 1 else Patchwork(name, spec, parts)


def _fits(box: GeoBox, first: GeoBox) -> bool:
    if box.crs != first.crs or not np.allclose(box.resolution.xy, first.resolution.xy, rtol=1e-6):
        return False
    col, row = ~first.affine @ (box.affine.c, box.affine.f)
    return max(abs(col - round(col)), abs(row - round(row))) < _ALIGNMENT


def _mosaic(name: str, spec: StoredSpec, files: list[RasterFile], listed: str | None) -> RasterSource:
    """Return the grid that holds every file, and the place of each in it."""
    first = files[0].geobox
    corners = [tuple(round(v) for v in ~first.affine @ (f.geobox.affine.c, f.geobox.affine.f)) for f in files]
    left, top = (min(corner[i] for corner in corners) for i in (0, 1))
    right = max(col + f.geobox.shape.x for (col, _), f in zip(corners, files, strict=True))
    bottom = max(row + f.geobox.shape.y for (_, row), f in zip(corners, files, strict=True))
    whole = GeoBox((bottom - top, right - left), first.affine @ Affine.translation(left, top), first.crs)
    tiles = tuple(Tile(file, row - top, col - left) for file, (col, row) in zip(files, corners, strict=True))
    return RasterSource(name, spec, whole, tiles, listed)


def _same_place(source: RasterSource) -> list[list[RasterFile]]:
    """Group files of one step that lie on the same pixels, so that the last hides the others."""
    files: dict[tuple[Step, int, int, tuple[int, int]], list[RasterFile]] = {}
    for tile in source.tiles:
        files.setdefault((tile.step, tile.row, tile.col, tile.file.geobox.shape.yx), []).append(tile.file)
    return [group for group in files.values() if len({file.place for file in group}) > 1]


def _hidden(name: str, source: RasterSource) -> list[Finding]:
    """Describe the problem where a file would hide another of the same date and pixels: another month or version."""
    problems = []
    for files in _same_place(source)[:_SHOWN]:
        step = files[0].step
        date = "-".join(f"{part:02d}" for part in (step.year, step.month, step.day) if part)
        dated = f"both dated {date}" if date else "both without a date"
        problems.append(
            Finding(
                f"{shown(files[0].place)} and {files[1].place.name} lie on the same pixels and are "
                f"{dated}; one would hide the other. Mark the rest of the date in `href` ({{year}}, {{month}}, "
                "{day}, {doy}), or leave one of them out",
                f"covariates.{name}",
            )
        )
    return problems


def _in_degrees(footprint: Geometry) -> Geometry:
    return footprint.to_crs(DEGREES, resolution=footprint.boundingbox.span_x / 20)
