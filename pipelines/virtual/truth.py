"""The truth on the run's grid."""

from pathlib import Path

import numpy as np
from odc.geo import Geometry
from odc.geo.geobox import GeoBox

from engine.grid.grid import Grid
from engine.storage.atomic import staged
from engine.storage.zarr_store import Layer, array, create
from pipelines.virtual.carbon import DEPTHS, label
from pipelines.virtual.covariates import CLASSES, LABELS, RANGES, classify
from pipelines.virtual.fields import interpolate
from pipelines.virtual.landscape import SPACING, Landscape
from pipelines.virtual.outline import REGION_CRS
from pipelines.virtual.raw.layout import NOTE, Size


def region_grid(boundary: Geometry, size: Size) -> Grid:
    """Return the grid that a run of the region's run file lays."""
    return Grid.from_outline(boundary, REGION_CRS, size.resolution, size.chunk)


def write_truth(landscape: Landscape, grid: Grid, path: Path) -> None:
    """Write `truth.zarr`: `socd` (depth, y, x; kg C/m²), the covariates and the vegetation class, means over each cell.

    Cells outside the outline, and cells most of which is lake, are missing.
    """
    layers = {
        "socd": Layer("float32", {"long_name": "true soil organic carbon density", "units": "kg m-2"}, ("depth",))
    }
    layers |= {n: Layer("float32", {"long_name": f"true {LABELS[n][0]}", "units": LABELS[n][1]}) for n in RANGES}
    flags = {"flag_values": [1, 2, 3], "flag_meanings": " ".join(CLASSES)}
    layers["vegetation"] = Layer("uint8", {"long_name": "true vegetation type", **flags})
    labels = [label(depth) for depth in DEPTHS]
    with staged(path) as stage:
        create(
            stage, grid, layers, {"depth": ("depth", labels)}, {"title": "Truth of a virtual region", "comment": NOTE}
        )
        stores = {name: array(stage, name, "r+") for name in layers}
        for block in grid.blocks():
            cells = _Cells(landscape, block.geobox, grid.inside(block))
            for number, depth in enumerate(labels):
                stores["socd"][number, *block.roi] = cells.mean(f"socd_{depth}")
            for name in RANGES:
                stores[name][block.roi] = cells.mean(name)
            stores["vegetation"][block.roi] = cells.vegetation()


class _Cells:
    """The cells of a block, each sampled on points of the landscape's spacing."""

    def __init__(self, landscape: Landscape, geobox: GeoBox, inside: np.ndarray):
        self.factor = max(1, round(abs(geobox.resolution.x) / SPACING))
        points = geobox.zoom_to((geobox.shape.y * self.factor, geobox.shape.x * self.factor))
        y, x = (points.coordinates[dim].values for dim in points.dimensions)
        self.position = landscape.plane.position(*np.meshgrid(x, y))
        self.fields = landscape.fields
        self.soil = interpolate(self.fields["shore"], self.position) >= 0
        self.counts = self._sums(self.soil)
        self.known = inside & (self.counts > self.factor**2 / 2)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        rows, columns = (n // self.factor for n in values.shape)
        return values.reshape(rows, self.factor, columns, self.factor).sum(axis=(1, 3), dtype="float64")

    def mean(self, name: str) -> np.ndarray:
        """Average a field over the land of each cell, NaN where it is missing; float32."""
        sums = self._sums(interpolate(self.fields[name], self.position) * self.soil)
        return np.where(self.known, sums / np.maximum(self.counts, 1), np.nan).astype("float32")

    def vegetation(self) -> np.ndarray:
        """Return the class with the largest share of each cell, from 1; 0 where it is missing."""
        wetland, grassland = (interpolate(self.fields[name], self.position) for name in ("wetland", "grassland"))
        classes = classify(wetland, grassland)
        shares = np.stack([self._sums((classes == number) & self.soil) for number in range(len(CLASSES))])
        return np.where(self.known, shares.argmax(axis=0) + 1, 0).astype("uint8")
