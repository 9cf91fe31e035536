"""Interface of every covariate source."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from odc.geo import CRS, Geometry
from odc.geo.geobox import GeoBox

from engine.remote.files import Place, Remote
from engine.sources.resampling import Choice
from engine.sources.spec import SourceSpec
from engine.storage.paths import OutPath

MISSING_CLASS = 0
"""Code of a cell whose category is unknown; class names count from 1."""


@dataclass(frozen=True)
class Context:
    """Context of the run that a source may need.

    Attributes
    ----------
    bbox : (float, float, float, float) or None
        West, south, east, north of the domain, degrees, west > east where it crosses the 180° line; None looks
        everywhere.
    items : OutPath or None
        Folder in which the items found in STAC catalogs are kept, so that a run can be repeated without a network.
    refresh : bool
        Look for items anew, whatever is kept.
    others : dict
        The entries that expressions may name.
    """

    bbox: tuple[float, float, float, float] | None = None
    items: OutPath | None = None
    refresh: bool = False
    others: Mapping[str, SourceSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceSummary:
    """Summary of a source without its values.

    Attributes
    ----------
    files : tuple of Path or Remote
        Every file that a full read would touch.
    size : (int, int) or None
        Rows and columns of its native grid; None for polygons.
    resolution : float or None
        Pixel side in CRS units.
    steps : int
        Time steps that are reduced to one.
    period : str
        First and last of them, or "".
    notes : tuple of str
        What is odd, but no error: missing years, unlisted codes, coordinates that look like corners.
    listed : str or None
        Fingerprint of a catalogue's items, whose files are not asked one by one.
    """

    files: tuple[Place, ...]
    crs: CRS
    footprint: Geometry
    size: tuple[int, int] | None = None
    resolution: float | None = None
    steps: int = 1
    period: str = ""
    notes: tuple[str, ...] = ()
    listed: str | None = None

    @cached_property
    def bytes(self) -> int | None:
        """Size of all files together; None where it is not known without asking for each."""
        return None if self.listed else sum(_size(f) for f in self.files)

    @property
    def is_remote(self) -> bool:
        """Whether any of it comes over a network."""
        return any(isinstance(file, Remote) for file in self.files)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, resized or rewritten, or one that belongs to it.

        Files of a catalogue that lie behind addresses are not asked for, those on this machine's disks are.
        """
        asked = [file for file in self.files if not (self.listed and isinstance(file, Remote))]
        if self.listed and not asked:
            return self.listed
        digest = hashlib.sha256((self.listed or "").encode())
        for file in asked:
            digest.update(f"{stamp(file)}\n".encode())
        return digest.hexdigest()[:16]


def _size(file: Place) -> int:
    if isinstance(file, Remote):
        return file.size()
    return sum(f.stat().st_size for f in file.rglob("*") if f.is_file()) if file.is_dir() else file.stat().st_size


def stamp(file: Place) -> str:
    """Return name, size and time of change of a file and its companions, or of all files of a folder."""
    if isinstance(file, Remote):
        return file.stamp()
    if file.is_dir():
        inner = sorted(f for f in file.rglob("*") if f.is_file())
        return "\n".join(_stamp(f, f.relative_to(file).as_posix()) for f in inner)
    return "\n".join(_stamp(f, f.name) for f in (file, *beside(file)))


def _stamp(file: Path, name: str) -> str:
    stat = file.stat()
    return f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"


_WITH_SUFFIX = {
    ".shp": (".shx", ".dbf", ".prj", ".cpg"),
    ".img": (".hdr", ".prj", ".ige"),
    **dict.fromkeys((".bil", ".bip", ".bsq", ".dat", ".flt", ".raw", ".bin"), (".hdr", ".prj")),
    ".asc": (".prj",),
    ".tif": (".tfw", ".tifw", ".wld", ".prj"),
    ".tiff": (".tfw", ".tifw", ".wld", ".prj"),
    ".png": (".pgw", ".wld", ".prj"),
    ".jpg": (".jgw", ".wld", ".prj"),
}
"""Ending of a file → endings, in its place, of those that say where it lies or hold a part of it."""
_ADDED = {".gpkg": ("-wal",), ".sqlite": ("-wal",)}
"""Ending of a file → what is added to the name of those that hold what has been written to it last."""
_IN_VRT = re.compile(r"<SourceFilename[^>]*>([^<]+)<")


def beside(file: Path) -> tuple[Path, ...]:
    """List companion files on this machine's disks, such as a shapefile's `.prj` and the tiles of a `.vrt`."""
    suffix = file.suffix.lower()
    others = [file.with_suffix(ending) for ending in _WITH_SUFFIX.get(suffix, ())]
    others += [file.with_name(file.name + ending) for ending in (*_ADDED.get(suffix, ()), ".aux.xml", ".msk")]
    if suffix == ".vrt":
        others += [file.parent / text for text in _IN_VRT.findall(file.read_text("utf-8", "replace"))]
    return tuple(other for other in others if other.is_file())


class Source(Protocol):
    """One covariate. Sources are small and picklable: workers open the files, block by block."""

    @property
    def name(self) -> str:
        """The covariate's name in the run file."""
        ...

    @property
    def spec(self) -> SourceSpec:
        """The covariate's entry in the run file."""
        ...

    def summary(self) -> SourceSummary:
        """Describe the source without reading its values."""
        ...

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return values of the source on a part of the target grid.

        Parameters
        ----------
        geobox : GeoBox
            The part of the grid, shape (y, x).
        resampling : Resampling, or a tuple of these for the parts
            Chosen once for the whole grid, see `choose_resampling`.

        Returns
        -------
        ndarray, dims (y, x)
            float32 in the covariate's units with NaN where missing, or uint8 class codes from 1 with 0 where missing.
        """
        ...

    def choose_resampling(self, geobox: GeoBox) -> Choice:
        """Choose the resampling that suits the source on this grid, unless its spec names one."""
        ...

    def glimpse(self) -> "Source":
        """Return the same source of few time steps, whole years if years are summed: enough to see what values are."""
        ...

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return codes of a category under a part of the grid that no class lists, most frequent first."""
        ...
