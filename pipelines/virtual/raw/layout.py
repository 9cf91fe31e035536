"""Layout of raw files: how fine they are, their descriptions, and where their pixels lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from affine import Affine
from pyproj import Transformer

from engine.errors import InputError
from pipelines.virtual.fields import Plane
from pipelines.virtual.outline import REGION_CRS

YEARS = (2018, 2019, 2020)
"""Years of the time series."""

ANOMALIES = (0.6, -1.0, 0.4)
"""Strength of each year's weather pattern; they cancel out, so that the mean of the years is the truth."""

NOTE = "made-up data of a virtual region; describes no real place"
"""Goes into every file's metadata."""

SizeName = Literal["small", "full"]


@dataclass(frozen=True)
class Size:
    """Resolution of the region's grids and rasters.

    Attributes
    ----------
    resolution : float
        Cell of the run's grid and of the soil rasters, m.
    chunk : int
        Cells per block side of the run's grid.
    degrees : float
        Pixel of the climate rasters.
    vegetation_pixels, productivity_pixels : int
        Pixels per side of a sinusoidal tile: vegetation indices, and NPP on a grid twice as fine.
    """

    resolution: float
    chunk: int
    degrees: float
    vegetation_pixels: int
    productivity_pixels: int


SIZES: dict[str, Size] = {
    "small": Size(5000.0, 256, 1 / 24, 240, 480),
    "full": Size(1000.0, 512, 1 / 120, 1200, 2400),
}


def size_of(name: str) -> Size:
    """Return the size of a name; raise `InputError` if it does not exist."""
    if name not in SIZES:
        raise InputError(f"size: {name!r} is not a size of the virtual region; expected {' or '.join(SIZES)}.")
    return SIZES[name]


@dataclass(frozen=True)
class RawFile:
    """One raw file as the catalog needs to know it.

    Attributes
    ----------
    covariate : str
        Name in the run file.
    crs : str
        CRS of `bounds`.
    bounds : (float, float, float, float)
        West, south, east, north.
    years : (int, int)
        First and last year.
    data_type : str
        Of the stored values.
    """

    covariate: str
    path: Path
    crs: str
    bounds: tuple[float, float, float, float]
    years: tuple[int, int]
    data_type: str


def pixel_positions(plane: Plane, transform: Affine, shape: tuple[int, int], crs: str) -> np.ndarray:
    """Return where the centres of a raster's pixels lie among the landscape's nodes; shape (2, rows, columns)."""
    x = transform.c + transform.a * (np.arange(shape[1]) + 0.5)
    y = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
    to_plane = Transformer.from_crs(crs, REGION_CRS, always_xy=True)
    return plane.position(*to_plane.transform(*np.meshgrid(x, y)))
