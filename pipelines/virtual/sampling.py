"""Sampling of the virtual region: how sites are chosen, and how well their places are known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from engine.errors import InputError
from pipelines.virtual.fields import correlated_field, standardised
from pipelines.virtual.landscape import Landscape

TRANSECT_SLOPE = 0.7
"""Northing over easting of the line along which moisture rises, through the middle of the region."""

_TRANSECT_WIDTH = 6.0
_ROADSIDE = 2.0
"""Distance over which the chance of a site falls to a third, km: from the transect's line, from a road."""


@dataclass(frozen=True)
class Pattern:
    """Pattern of places at which sites may lie.

    Attributes
    ----------
    weight : callable
        Landscape and generator → relative chance of a site at each node, of the plane's shape.
    spacing : float
        Least distance of two sites, km.
    """

    weight: Callable[[Landscape, np.random.Generator], np.ndarray]
    spacing: float


def _anywhere(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Return chances that favour country which is easy to reach."""
    return np.exp(correlated_field(rng, landscape.plane, {120: 0.3, 40: 0.2}))


def _along_roads(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Return chances that crowd sites along roads, and there about a few places."""
    towns = standardised(correlated_field(rng, landscape.plane, {50: 1.0}), landscape.inside)
    return np.exp(1.5 * towns - road_distance(landscape, rng) / _ROADSIDE)


def _carbon_rich(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Return chances that triple with every standard deviation of carbon, whatever a covariate may explain of it."""
    return 3 ** standardised(landscape.fields["socd_0-10"], landscape.inside).astype("float64")


def _on_the_transect(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    x, y = np.meshgrid(landscape.plane.x, landscape.plane.y)
    return np.exp(-off_transect(x, y) / 1000 / _TRANSECT_WIDTH)


PATTERNS: dict[str, Pattern] = {
    "random": Pattern(_anywhere, spacing=6.0),
    "clustered": Pattern(_along_roads, spacing=1.5),
    "preferential": Pattern(_carbon_rich, spacing=6.0),
    "transect": Pattern(_on_the_transect, spacing=3.0),
}
"""Each takes the study's number of sites from every vegetation type."""


@dataclass(frozen=True)
class Sampling:
    """Design of a sampling: how sites are chosen and reported; by default as in the study.

    Attributes
    ----------
    pattern : str
        One of `PATTERNS`.
    repeated : int
        Sites of which one or two further cores from the same square kilometre are reported, as sites of their own.
    position_error : float
        SD of either coordinate of a reported place, m, of all sites but the transect's, which have a tenth of it.
    independent : bool
        Whether every core's noise is drawn on its own. By default it is an exact sample of its distribution, so that
        its mean over all sites is 1: one region is then typical, but many regions vary less than they would.
    """

    pattern: str = "random"
    repeated: int = 0
    position_error: float = 0.0
    independent: bool = False

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise InputError(f"sites: unknown pattern {self.pattern!r}; expected one of {', '.join(PATTERNS)}.")
        if self.repeated < 0:
            raise InputError(f"repeated cores: {self.repeated} is negative; expected 0 or more sites.")
        if not 0 <= self.position_error <= 5000:
            raise InputError(
                f"position error: {self.position_error:g} m; expected 0 to 5,000 m, so that reported places are inside "
                "the region."
            )


def road_distance(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Return the distance of every node from the nearest made-up road, km: zero lines of a smooth random field."""
    field = standardised(correlated_field(rng, landscape.plane, {350: 0.9, 100: 0.1}), landscape.inside)
    above = field > 0
    road = np.zeros(above.shape, bool)
    road[:-1] |= above[:-1] != above[1:]
    road[:, :-1] |= above[:, :-1] != above[:, 1:]
    return np.asarray(distance_transform_edt(~road, landscape.plane.spacing / 1000))


def off_transect(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance of places from the line of the transect, m."""
    return np.asarray(np.abs(y - TRANSECT_SLOPE * x) / np.hypot(1, TRANSECT_SLOPE))
