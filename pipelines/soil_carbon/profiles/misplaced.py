"""Sites outside the domain that a common slip explains: a lost minus sign, columns swapped, longitudes up to 360°."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.formatting import counted

Bounds = tuple[float, float, float, float]
Coordinates = tuple["pd.Series[float]", "pd.Series[float]"]

FEWEST_FOR_MINUTES = 12
"""Sites whose decimals are all below 60 by chance once in many millions, if they are degrees."""

SWAPPED = "lon and lat swapped"
SLIPS: tuple[tuple[str, str, Callable[["pd.Series[float]", "pd.Series[float]"], Coordinates]], ...] = (
    ("the sign of lon changed", "lon", lambda lon, lat: (-lon, lat)),
    ("the sign of lat changed", "lat", lambda lon, lat: (lon, -lat)),
    ("the signs of lon and lat changed", "lon, lat", lambda lon, lat: (-lon, -lat)),
    (SWAPPED, "lon, lat", lambda lon, lat: (lat, lon)),
    ("lon and lat swapped and the sign of lon changed", "lon, lat", lambda lon, lat: (-lat, lon)),
    ("360 subtracted from lon", "lon", lambda lon, lat: (lon - 360, lat)),
    ("360 added to lon", "lon", lambda lon, lat: (lon + 360, lat)),
    ("lon and lat divided by 10", "lon, lat", lambda lon, lat: (lon / 10, lat / 10)),
    ("lon and lat divided by 1,000", "lon, lat", lambda lon, lat: (lon / 1e3, lat / 1e3)),
    ("lon and lat divided by 100,000", "lon, lat", lambda lon, lat: (lon / 1e5, lat / 1e5)),
    ("lon and lat divided by 1,000,000", "lon, lat", lambda lon, lat: (lon / 1e6, lat / 1e6)),
    ("lon and lat divided by 10,000,000", "lon, lat", lambda lon, lat: (lon / 1e7, lat / 1e7)),
    ("lon and lat multiplied by 10", "lon, lat", lambda lon, lat: (lon * 10, lat * 10)),
)
"""What is done to the coordinates to undo a slip, the columns it touches, and how; the likelier first."""


@dataclass(frozen=True)
class Slip:
    """A change of coordinates that would bring sites into the domain.

    Parameters
    ----------
    change : str
        `the sign of lon changed`.
    columns : str
        Those that change.
    found : Series of bool
        Sites outside that would be inside.
    sure : bool
        Whether it explains nearly all sites that are outside, and they are not a few.
    """

    change: str
    columns: str
    found: "pd.Series[bool]"
    sure: bool


def inside(lon: "pd.Series[float]", lat: "pd.Series[float]", bounds: Bounds) -> "pd.Series[bool]":
    """Return whether places lie within west, south, east, north."""
    west, south, east, north = bounds
    return lon.between(west, east) & lat.between(south, north)


def find_slip(sites: pd.DataFrame, bounds: Bounds) -> Slip | None:
    """Return the slip that explains most of the sites outside the bounds, if one explains half of them.

    Parameters
    ----------
    sites : DataFrame
        One row per site with `lon`, `lat`.
    bounds : tuple of float
        West, south, east, north, degrees.
    """
    lost = ~inside(sites["lon"], sites["lat"], bounds)
    outside = int(lost.sum())
    best: Slip | None = None
    for change, columns, undo in SLIPS:
        found = lost & inside(*undo(sites["lon"], sites["lat"]), bounds)
        if 2 * found.sum() > outside and (best is None or found.sum() > best.found.sum()):
            enough = outside >= max(5, 0.1 * len(sites)) or outside == len(sites)
            best = Slip(change, columns, found, bool(enough and found.sum() >= 0.8 * outside))
    return best


def minutes_as_decimals(sites: pd.DataFrame) -> bool:
    """Return whether coordinates look like degrees, minutes and seconds behind one point: 121.3015 of 121°30'15".

    Then the first two decimals, and the next two, are below 60 at every site, on both axes.
    """
    if len(sites) < FEWEST_FOR_MINUTES:
        return False
    for axis in ("lon", "lat"):
        degrees = sites[axis].abs()
        minutes = np.floor(degrees % 1 * 100 + 1e-6)
        seconds = np.floor(degrees % 1 * 10_000 + 1e-4) % 100
        few = minutes.nunique() < FEWEST_FOR_MINUTES / 2 or np.floor(degrees).nunique() < 2
        coarse = seconds.nunique() < FEWEST_FOR_MINUTES / 2 and len(sites) < 2 * FEWEST_FOR_MINUTES
        if few or coarse or bool(((minutes >= 60) | (seconds >= 60)).any()):
            return False
    return True


def describe(slip: Slip, sites: pd.DataFrame, where: Callable[[object], str]) -> str:
    """Describe which sites the slip explains, how many, and the remedy."""
    found, outside = sites[slip.found], int(slip.found.sum())
    shown = ", ".join(
        f"{where(row)}: site {site['site']} at lon {site['lon']:g}, lat {site['lat']:g}"
        for row, site in found.head(5).iterrows()
    )
    more = f", and {outside - 5} more" if outside > 5 else ""
    return (
        f"{counted(outside, 'site')} would lie inside with {slip.change} ({shown}{more}). Correct them, or, if they "
        f"are where they should be, write `observations.sure_of: [{slip.columns}]`"
    )
