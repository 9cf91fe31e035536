"""What every covariate source offers, whatever it is made of."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from odc.geo import CRS, Geometry
from odc.geo.geobox import GeoBox

from engine.sources.spec import SourceSpec

MISSING_CLASS = 0
"""Code of a cell whose category is unknown; class names count from 1."""


@dataclass(frozen=True)
class SourceSummary:
    """What is known of a source without reading its values.

    Attributes
    ----------
    files : tuple of Path
        Every file that a full read would touch.
    size : (int, int) or None
        Rows and columns of its native grid; None for polygons.
    resolution : float or None
        Pixel side in CRS units.
    steps : int
        Time steps that are reduced to one.
    period : str
        First and last of them, or "".
    """

    files: tuple[Path, ...]
    crs: CRS
    footprint: Geometry
    size: tuple[int, int] | None = None
    resolution: float | None = None
    steps: int = 1
    period: str = ""

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(f.stat().st_size for f in self.files)

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed, resized or rewritten."""
        digest = hashlib.sha256()
        for file in self.files:
            stat = file.stat()
            digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


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

    def on_grid(self, geobox: GeoBox, resampling: str) -> np.ndarray:
        """Values of the source on a part of the target grid.

        Parameters
        ----------
        geobox : GeoBox
            The part of the grid, shape (y, x).
        resampling : str
            Chosen once for the whole grid, see `choose_resampling`.

        Returns
        -------
        ndarray, dims (y, x)
            float32 in the covariate's units with NaN where missing, or uint8 class codes from 1 with 0 where missing.
        """
        ...

    def choose_resampling(self, geobox: GeoBox) -> str:
        """The resampling that suits the source on this grid, unless its spec names one."""
        ...
