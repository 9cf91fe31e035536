"""Raster files as GDAL opens them: their headers, their place in a mosaic, and reading a part of one."""

import logging
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import rasterio
import tifffile
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from engine.errors import Finding, InputError, RunError, Where
from engine.grid.grid import source_crs
from engine.remote.auth import Access
from engine.remote.files import Place, Remote, asked_for, gdal, gdal_path, lies_beside, open_remote
from engine.remote.retry import RemoteError, is_unknown_name, persistently, reason, unsigned
from engine.sources.align import Window
from engine.sources.declared import Declared, of_band
from engine.sources.declared_grid import require_told_grid
from engine.sources.files import Step
from engine.sources.spec import StoredSpec
from engine.sources.tiff_truncation import end_of_last_tile

_AT_ONCE = 16
"""Headers that are read at a time over a network."""
Entry = tuple[Place, Step, Declared, Access]
T = TypeVar("T")
_HDF4 = b"\x0e\x03\x13\x01"
"""How an HDF4 file begins."""
_MARGIN = 1.0
"""Pixels around a tile that neighbours may hold as well, as the tiles of many DEMs do, without a word."""
_OWN, _BESIDE = 0, -1
"""Which masks count, besides the numbers of alpha bands: the band's own as GDAL finds it; the file `.msk` beside a
remote one, where GDAL does not look."""
# A raster without a georeference is refused in words of ours.
warnings.filterwarnings("ignore", "Dataset has no geotransform", NotGeoreferencedWarning)
# What a TIFF's directory holds beside the places of its tiles is GDAL's to read, and GDAL's to complain of.
logging.getLogger("tifffile").addFilter(lambda record: " raised " not in record.getMessage())


@dataclass(frozen=True)
class RasterFile:
    """One raster file before it has its place in a mosaic.

    Attributes
    ----------
    declared : Declared
        Encoding, as far as a catalogue told; the file tells the rest when it is read.
    masks : tuple of int or None
        Bands that are 0 where a value is missing, 0 for the mask that GDAL finds; None where the file was not opened.
    notes : tuple of str
        What is odd, but no error.
    """

    place: Place
    step: Step
    geobox: GeoBox
    declared: Declared
    access: Access = field(default_factory=Access)
    masks: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


class Stored(NamedTuple):
    """Stored part of a file, with its encoding and mask."""

    values: np.ndarray
    declared: Declared
    masked: np.ndarray | None


@dataclass(frozen=True)
class Tile:
    """One file of a mosaic and its place, in pixels, in the whole."""

    file: RasterFile
    row: int
    col: int

    @property
    def step(self) -> Step:
        """Date of the file."""
        return self.file.step

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """First column and row, last column and row, of the whole."""
        height, width = self.file.geobox.shape.yx
        return self.col, self.row, self.col + width - 1, self.row + height - 1

    @property
    def inner(self) -> tuple[float, float, float, float]:
        """The extent without a margin, by which neighbours may overlap."""
        left, top, right, bottom = self.extent
        across, down = (min(_MARGIN, side / 2) for side in (right - left, bottom - top))
        return left + across, top + down, right - across, bottom - down

    def overlap(self, window: Window) -> tuple[RasterWindow, Window] | None:
        """Return the part of the tile under a window: where to read in the tile, where to put it in the window."""
        rows, cols = window
        height, width = self.file.geobox.shape.yx
        r0, r1 = max(rows.start, self.row), min(rows.stop, self.row + height)
        c0, c1 = max(cols.start, self.col), min(cols.stop, self.col + width)
        if r0 >= r1 or c0 >= c1:
            return None
        part = RasterWindow(c0 - self.col, r0 - self.row, c1 - c0, r1 - r0)
        return part, (slice(r0 - rows.start, r1 - rows.start), slice(c0 - cols.start, c1 - cols.start))


def read_headers(name: str, spec: StoredSpec, files: Iterable[Entry], *, sidecars: bool = False) -> list[RasterFile]:
    """Open every file and read no pixel.

    Parameters
    ----------
    sidecars : bool
        Whether masks are looked for in files beside remote ones, too.

    Raises
    ------
    InputError
        With every file that cannot be opened or does not fit the spec.
    """

    def header(entry: Entry) -> RasterFile | list[Finding]:
        try:
            return read_header(name, spec, entry, sidecars)
        except InputError as error:
            return error.problems

    entries = list(files)
    if any(isinstance(place, Remote) for place, *_ in entries):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(header, entries))
    else:
        found = [header(entry) for entry in entries]
    if problems := [text for result in found if isinstance(result, list) for text in result]:
        raise InputError(problems)
    return [result for result in found if isinstance(result, RasterFile)]


def read_header(name: str, spec: StoredSpec, entry: Entry, sidecars: bool) -> RasterFile:
    """Read grid, encoding and masks of a file."""
    place, step, declared, access = entry
    where = Where(f"covariates.{name}", shown(place))

    def header() -> RasterFile:
        try:
            with opened(place, spec, access, where) as file:
                _require_whole(file, place, access, where)
                geobox, own, masks = _grid(file, spec, name, where), of_band(file, spec, where), _masks(file, spec.band)
                bands = sum(meaning != ColorInterp.alpha for meaning in file.colorinterp)
                notes = notes_on_bands(bands, file.descriptions[0], spec)
                if sidecars and isinstance(place, Remote) and lies_beside(place, ".msk", access):
                    masks = (*masks, _BESIDE)
                return RasterFile(place, step, geobox, declared.over(own), access, masks, notes)
        except RasterioIOError as error:
            if isinstance(place, Remote) and _may_pass(error):
                raise
            raise InputError(where.problem(_cannot_open(place, error))) from error

    if not isinstance(place, Remote):
        return header()
    try:
        return persistently(lambda: _afresh(place, access, header), "")
    except RemoteError as error:
        raise InputError(where.problem(_cannot_open(place, error))) from error


def _may_pass(error: RasterioIOError) -> bool:
    """Return whether the connection failed or the answer was cut off: GDAL itself retries neither."""
    text = str(error)
    found = "CURL error" in text or "not recognized" in text
    return found and not is_unknown_name(text) and "Failed to connect" not in text


def read(file: RasterFile, part: RasterWindow, spec: StoredSpec, name: str) -> Stored:
    """Read stored values of a part of a file, their encoding and mask.

    Raises
    ------
    InputError
        If a local file is damaged, or a file is not what the catalogue says.
    RunError
        If a file behind an address cannot be read after all tries.
    """
    where = Where(f"covariates.{name}", shown(file.place))
    try:
        if isinstance(place := file.place, Remote):
            return persistently(lambda: _afresh(place, file.access, lambda: _read(file, part, spec, where)), "")
        return _read(file, part, spec, where)
    except (RemoteError, FileNotFoundError) as error:
        assert isinstance(file.place, Remote)
        cut = _cut_off(file.place, file.access)
        raise RunError(where.problem(cut or f"cannot be read: {reason(error)}")) from error
    except RasterioIOError as error:
        raise InputError(
            where.problem(f"cannot be read ({reason(error)}). Is the file whole? Fetch it again.")
        ) from error


def _afresh(place: Remote, access: Access, action: Callable[[], T]) -> T:
    """Read; after a failure make GDAL forget what it has of the file, half answers too, so that the next try asks."""
    try:
        return action()
    except RasterioIOError:
        _make_gdal_forget(place, access)
        raise


def _make_gdal_forget(place: Remote, access: Access) -> None:
    """Have GDAL drop what it keeps of a file for as long as the process lives, whichever dataset asked for it."""
    path = gdal_path(access.signed(place.url))
    options = access.gdal_options(place.url) | {"CPL_VSIL_CURL_NON_CACHED": path}
    with suppress(RasterioIOError), gdal(**options), rasterio.open(path):
        pass


_read_for: dict[str, str] = {}
"""Address → the run that GDAL read it for in this process."""


def _renew(place: Remote, access: Access) -> None:
    """Drop what GDAL cached of a file for another run: the file may have changed since."""
    run = asked_for()
    if _read_for.get(place.url, run) != run:
        _make_gdal_forget(place, access)
    _read_for[place.url] = run


def _read(file: RasterFile, part: RasterWindow, spec: StoredSpec, where: Where) -> Stored:
    with opened(file.place, spec, file.access, where) as dataset:
        if file.masks is None or dataset.shape != file.geobox.shape.yx:
            require_told_grid(dataset, file.geobox, where)
        if spec.band > dataset.count:
            raise InputError(where.problem(f"has {dataset.count} band(s); band {spec.band} does not exist"))
        declared = file.declared if file.masks is not None else file.declared.over(of_band(dataset, spec, where))
        masks = _masks(dataset, spec.band) if file.masks is None else file.masks
        values, masked = dataset.read(spec.band, window=part), None
        for number in masks:
            valid = _mask(dataset, file, number, part, spec.band)
            masked = ~(valid > 0) if masked is None else masked | ~(valid > 0)  # NaN of an alpha band, too
        return Stored(values, declared, masked)


def _mask(dataset: DatasetReader, file: RasterFile, number: int, part: RasterWindow, band: int) -> np.ndarray:
    """Read a part of a mask; 0 where a value is missing."""
    if number == _OWN:
        return dataset.read_masks(band, window=part)
    if number != _BESIDE:
        return dataset.read(number, window=part)
    assert isinstance(file.place, Remote)
    url = file.access.signed(f"{file.place.url}.msk")
    with gdal(**file.access.gdal_options(file.place.url)), rasterio.open(gdal_path(url)) as mask:
        return mask.read(min(band, mask.count), window=part)


def _masks(file: DatasetReader, band: int) -> tuple[int, ...]:
    """Return masks of a band apart from its nodata value, which is compared by itself."""
    alphas = [i for i, meaning in zip(file.indexes, file.colorinterp, strict=True) if meaning == ColorInterp.alpha]
    flags = file.mask_flag_enums[band - 1]
    unread = MaskFlags.nodata in flags and file.nodatavals[band - 1] is None
    own = unread or not (set(flags) & {MaskFlags.all_valid, MaskFlags.alpha} or flags == [MaskFlags.nodata])
    return ((_OWN,) if own else ()) + tuple(i for i in alphas if i != band)


def notes_on_bands(bands: int, first: str | None, spec: StoredSpec) -> tuple[str, ...]:
    """Note that the file has several bands and the entry chooses none; `first` is the name of the first."""
    if bands < 2 or "band" in spec.model_fields_set:
        return ()
    described = f" ({first})" if first else ""
    return (f"{bands} bands; band 1 is read{described}; `band: N` chooses another",)


def shown(place: Place) -> str:
    """Return a file as messages show it."""
    return unsigned(place.url) if isinstance(place, Remote) else str(place)


@contextmanager
def opened(place: Place, spec: StoredSpec, access: Access, where: Where) -> Iterator[DatasetReader]:
    """Open a file, or the variable of one that holds several, for reading.

    Raises
    ------
    RasterioIOError
        For whatever GDAL has to object to, some of which rasterio lets through as GDAL's own errors.
    """
    try:
        if isinstance(place, Remote):
            _renew(place, access)
            with (
                gdal(**access.gdal_options(place.url)),
                _open(gdal_path(access.signed(place.url)), spec, where) as file,
            ):
                yield file
        else:
            with _open(place, spec, where) as file:
                yield file
    except CPLE_BaseError as error:
        raise RasterioIOError(str(error)) from error


@contextmanager
def _open(path: Path | str, spec: StoredSpec, where: Where) -> Iterator[DatasetReader]:
    with rasterio.open(path) as file, _variable(file, spec, where) as variable:
        yield variable


@contextmanager
def _variable(file: DatasetReader, spec: StoredSpec, where: Where) -> Iterator[DatasetReader]:
    """Open the file itself, or the one of its subdatasets (HDF, NetCDF) that `variable` names."""
    if file.count or not file.subdatasets:
        yield file
        return
    held = {name.rpartition(":")[2].rpartition("/")[2].strip('"'): name for name in file.subdatasets}
    if spec.variable not in held:
        found = f"has no variable {spec.variable!r}; it" if spec.variable else "says not which variable: the file"
        raise InputError(where.problem(f"{found} holds {', '.join(held)}; say which with `variable`"))
    with rasterio.open(held[spec.variable]) as variable:
        yield variable


def _grid(file: DatasetReader, spec: StoredSpec, name: str, where: Where) -> GeoBox:
    if spec.band > file.count:
        raise InputError(where.problem(f"has {file.count} band(s); band {spec.band} does not exist"))
    try:
        declared = file.crs.to_wkt() if file.crs else ""
    except CRSError:
        declared = ""
    crs = source_crs(spec.crs, declared, f"covariates.{name}.crs", where)
    a = file.transform
    if a.b or a.d or a.a <= 0 or a.e >= 0:
        raise InputError(where.problem("is rotated, south-up or has no georeference; warp it to a north-up grid first"))
    return GeoBox(file.shape, Affine(*a[:6]), crs)


def _cannot_open(place: Place, error: Exception) -> str:
    if isinstance(place, Path) and place.is_file() and _begins_with(place, _HDF4):
        return (
            "is HDF4, which the installed GDAL cannot read. Convert it with a GDAL that can (conda-forge's packages "
            "gdal and libgdal-hdf4), e.g. gdal_translate 'HDF4_EOS:EOS_GRID:\"FILE.hdf\":GRID:FIELD' FILE.tif "
            "(gdalinfo lists GRID and FIELD), or order the product as GeoTIFF, e.g. from NASA's AppEEARS"
        )
    if isinstance(place, Remote):
        return f"cannot be opened ({reason(error)}). Is it there, a raster, and does its server give parts of files?"
    return f"not a raster that GDAL can open ({error}). Is the file whole?"


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _require_whole(file: DatasetReader, place: Place, access: Access, where: Where) -> None:
    """Refuse a cut-off download, which GDAL opens silently: the end of its data lies beyond the file's size."""
    if file.driver not in ("GTiff", "COG"):
        return
    if isinstance(place, Remote):
        if access.rule is None and (cut := _cut_off(place, access)):
            raise InputError(where.problem(cut))
        return
    try:
        with tifffile.TiffFile(place) as tiff:
            page = tiff.pages[0]
            ends = np.add(page.dataoffsets, page.databytecounts)
    except (tifffile.TiffFileError, OSError, IndexError, struct.error) as error:
        raise InputError(where.problem(f"its directory is damaged ({error}). Fetch the file again.")) from error
    size = place.stat().st_size
    if (end := int(ends.max(initial=0))) > size:
        raise InputError(where.problem(f"is truncated: {size:,} bytes of at least {end:,}. Fetch the file again."))


def _cut_off(place: Remote, access: Access) -> str:
    """Describe that a TIFF behind an address ends before its last tile does; "" if it does not, or if unknown."""
    try:
        size = place.size(access)
        with open_remote(place, access, block=2**14) as file:
            end = end_of_last_tile(file)
    except (OSError, ValueError):
        return ""
    return f"is truncated: {size:,} bytes of at least {end:,}. Tell its provider." if size and end > size else ""
