"""Raster files that GDAL reads: one file, the tiles of a mosaic, or a dated set of either."""

import struct
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import rasterio
import tifffile
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow

from engine.errors import InputError
from engine.grid import crs_of, parse_crs
from engine.sources.align import Window
from engine.sources.base import MISSING_CLASS, SourceSummary
from engine.sources.decode import Declared, Reducer, classify, decode
from engine.sources.files import Step, check_steps, find
from engine.sources.gridded import GriddedSource
from engine.sources.spec import SourceSpec

_ALIGNMENT = 0.01
"""Share of a pixel that tiles of one mosaic may be off a common grid: rounding in their headers."""


@dataclass(frozen=True)
class Tile:
    """One file of a mosaic and its place, in pixels, in the whole."""

    path: Path
    step: Step
    row: int
    col: int
    height: int
    width: int
    declared: Declared

    def overlap(self, window: Window) -> tuple[RasterWindow, Window] | None:
        """The part of the tile under a window: where to read in the tile, where to put it in the window."""
        rows, cols = window
        r0, r1 = max(rows.start, self.row), min(rows.stop, self.row + self.height)
        c0, c1 = max(cols.start, self.col), min(cols.stop, self.col + self.width)
        if r0 >= r1 or c0 >= c1:
            return None
        part = RasterWindow(c0 - self.col, r0 - self.row, c1 - c0, r1 - r0)
        return part, (slice(r0 - rows.start, r1 - rows.start), slice(c0 - cols.start, c1 - cols.start))


@dataclass(frozen=True)
class RasterSource(GriddedSource):
    """Tiles in the order of time; tiles of one step are mosaicked, the last known value on top; steps are reduced."""

    tiles: tuple[Tile, ...]

    @classmethod
    def open(cls, name: str, spec: SourceSpec, base: Path) -> "RasterSource":
        """Read the headers of every file; `base` is where relative paths start.

        Raises
        ------
        InputError
            If a file is missing or no raster, has no CRS or not the band, or the tiles do not fit together.
        """
        headers, problems = [], []
        for path, step in find(name, spec, base).items():
            try:
                headers.append((path, step, *_header(name, spec, path)))
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)
        check_steps(name, spec, sorted({step for _, step, *_ in headers}))
        geobox, corners = _mosaic(name, [(path, box) for path, _, box, _ in headers])
        tiles = tuple(
            Tile(path, step, row, col, *box.shape.yx, declared)
            for (path, step, box, declared), (row, col) in zip(headers, corners, strict=True)
        )
        return cls(name, spec, geobox, tiles)

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        steps = sorted({tile.step for tile in self.tiles})
        return SourceSummary(
            files=tuple(tile.path for tile in self.tiles),
            crs=crs_of(self.geobox),
            footprint=self.footprint,
            size=self.geobox.shape.yx,
            resolution=abs(self.geobox.resolution.x),
            steps=len(steps),
            period=f"{steps[0].year}–{steps[-1].year}" if steps[0].year else "",
        )

    def read(self, window: Window) -> np.ndarray:
        """Decoded values of a window, mosaicked and reduced."""
        shape = tuple(s.stop - s.start for s in window)
        if self.spec.is_categorical:
            classes = np.full(shape, MISSING_CLASS, "uint8")
            for tile in self.tiles:
                if overlap := tile.overlap(window):
                    known = classify(_read(tile, overlap[0], self.spec.band), self.spec)
                    classes[overlap[1]] = np.where(known == MISSING_CLASS, classes[overlap[1]], known)
            return classes
        reducer = Reducer(self.spec.reduce)
        for step, tiles in groupby(self.tiles, key=lambda tile: tile.step):
            values = np.full(shape, np.nan)
            for tile in tiles:
                if overlap := tile.overlap(window):
                    known = decode(_read(tile, overlap[0], self.spec.band), self.spec, tile.declared)
                    values[overlap[1]] = np.where(np.isfinite(known), known, values[overlap[1]])
            reducer.add(values, step.year)
        return reducer.result().astype("float32")


def _read(tile: Tile, part: RasterWindow, band: int) -> np.ndarray:
    try:
        with rasterio.open(tile.path) as file:
            return file.read(band, window=part)
    except RasterioIOError as error:
        raise InputError(f"{tile.path}: cannot be read ({error}). Is the file whole? Fetch it again.") from error


def _require_whole(path: Path, where: str) -> None:
    """A cut-off download opens without complaint: compare where its last tile should end with the file's size."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            ends = np.add(page.dataoffsets, page.databytecounts)
    except (tifffile.TiffFileError, OSError, IndexError, struct.error) as error:
        raise InputError(f"{where}: its directory is damaged ({error}). Fetch the file again.") from error
    size = path.stat().st_size
    if (end := int(ends.max(initial=0))) > size:
        raise InputError(f"{where}: is truncated: {size:,} bytes of at least {end:,}. Fetch the file again.")


def _header(name: str, spec: SourceSpec, path: Path) -> tuple[GeoBox, Declared]:
    where = f"covariates.{name}: {path}"
    try:
        file = rasterio.open(path)
    except RasterioIOError as error:
        raise InputError(f"{where}: not a raster that GDAL can open ({error}). Is the file whole?") from error
    with file:
        if file.driver == "GTiff":
            _require_whole(path, where)
        if spec.band > file.count:
            raise InputError(f"{where}: has {file.count} band(s), not a band {spec.band}")
        if spec.crs is None and file.crs is None:
            raise InputError(f"{where}: declares no CRS; if you know it, add e.g. `crs: EPSG:4326` to the entry")
        crs = parse_crs(spec.crs, f"covariates.{name}.crs") if spec.crs else CRS(file.crs.to_wkt())
        a = file.transform
        if a.b or a.d or a.a <= 0 or a.e >= 0:
            raise InputError(f"{where}: is rotated, south-up or has no georeference; warp it to a north-up grid first")
        nodata = file.nodatavals[spec.band - 1]
        declared = Declared(
            nodata=() if nodata is None else (float(nodata),),
            scale=file.scales[spec.band - 1],
            offset=file.offsets[spec.band - 1],
        )
        return GeoBox(file.shape, Affine(*a[:6]), crs), declared


def _mosaic(name: str, boxes: list[tuple[Path, GeoBox]]) -> tuple[GeoBox, list[tuple[int, int]]]:
    """The grid that holds every tile, and the row and column of each tile's corner in it."""
    first_path, first = boxes[0]
    corners, problems = [], []
    for path, box in boxes:
        col, row = ~first.affine * (box.affine.c, box.affine.f)
        same_size = np.allclose(box.resolution.xy, first.resolution.xy, rtol=1e-6)
        on_grid = max(abs(col - round(col)), abs(row - round(row))) < _ALIGNMENT
        if box.crs != first.crs or not same_size or not on_grid:
            problems.append(
                f"covariates.{name}: {path} is not on the same grid as {first_path.name}; they cannot be mosaicked"
            )
        corners.append((round(row), round(col)))
    if problems:
        raise InputError(problems)
    top, left = min(r for r, _ in corners), min(c for _, c in corners)
    bottom = max(r + box.shape.y for (r, _), (_, box) in zip(corners, boxes, strict=True))
    right = max(c + box.shape.x for (_, c), (_, box) in zip(corners, boxes, strict=True))
    whole = GeoBox((bottom - top, right - left), first.affine * Affine.translation(left, top), first.crs)
    return whole, [(row - top, col - left) for row, col in corners]
