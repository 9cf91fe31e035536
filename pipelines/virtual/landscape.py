"""The virtual landscape: what is true everywhere in the region, as fields on one plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.features import rasterize
from rasterio.transform import from_origin

from pipelines.virtual import covariates
from pipelines.virtual.carbon import soil_carbon
from pipelines.virtual.covariates import Fields
from pipelines.virtual.fields import Draw, Plane, interpolate
from pipelines.virtual.outline import lake_shore, region_outline

SPACING = 1000.0
"""Distance of the landscape's nodes, m: the study's cell, whatever the size of the files made from it."""

MARGIN = 40_000.0
"""How far the landscape reaches beyond the outline, m."""


@dataclass(frozen=True)
class Landscape:
    """True state of the region, everywhere.

    Attributes
    ----------
    plane : Plane
        Nodes on the plane of `REGION_CRS`.
    fields : dict of str to ndarray of float32
        The covariates of `covariates.RANGES`; `socd_0-10`, `socd_0-30`, `socd_0-50` (kg C/m²); `wetland` and
        `grassland` (see `covariates.classify`); `shore`, negative on lakes; `weather_mat`, `weather_map` and
        `weather_green`, how one year differs from the mean (mean 0, SD 1).
    inside : ndarray of bool
        Nodes within the outline and not on a lake.
    """

    plane: Plane
    fields: Fields
    inside: np.ndarray

    def at(self, names: Sequence[str], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Return values of fields at places on the plane (m), float32 of the shape of `x`."""
        position = self.plane.position(x, y)
        return [interpolate(self.fields[name], position) for name in names]

    def vegetation_at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return vegetation at places on the plane (m), as places in `covariates.CLASSES`."""
        return covariates.classify(*self.at(("wetland", "grassland"), x, y))


def make_landscape(seed: np.random.SeedSequence) -> Landscape:
    """Draw a landscape; the same seed gives the same landscape."""
    outline = region_outline()
    plane = Plane.around(outline.bounds, MARGIN, SPACING)
    corner = from_origin(plane.west - SPACING / 2, plane.north + SPACING / 2, SPACING, SPACING)
    shore = lake_shore(*np.meshgrid(plane.x, plane.y))
    inside = rasterize([(outline, 1)], plane.shape, transform=corner).astype(bool) & (shore > 0)
    draw = Draw(plane, inside, seed)
    fields = covariates.climate(draw)
    fields |= covariates.vegetation(draw, fields)
    fields |= covariates.soil(draw, fields)
    fields |= soil_carbon(draw, fields)
    fields |= {f"weather_{what}": draw({300: 0.6, 80: 0.4}) for what in ("mat", "map", "green")}
    fields["shore"] = shore
    return Landscape(plane, {name: values.astype("float32") for name, values in fields.items()}, inside)
