"""Kinds of source by name, and a source whose values a function gives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo import CRS, geom
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from engine.errors import InputError
from engine.formatting import counted
from engine.grid.grid import crs_of
from engine.registry import Registry
from engine.sources.base import Context, Source, SourceSummary
from engine.sources.resampling import Choice, Resampling
from engine.sources.spec import SourceSpec

Opener = Callable[[str, Any, Path, Context], Source]
"""(name of the covariate, its entry, folder that paths start from, the run around it) → the source, without values."""
SOURCES: Registry[Opener] = Registry("gelisol.sources", "source", Callable)  # type: ignore[arg-type]
"""Openers by the key that tells a kind of source, or by the name that `source` gives."""
_LON_LAT = CRS("EPSG:4326")


@dataclass(frozen=True)
class ComputedSource:
    """Numbers that a function of longitude and latitude gives, at the centres of the cells.

    Attributes
    ----------
    function : callable
        Longitude and latitude, degrees, shape (cells,) → values, NaN where missing. It travels to workers.
    """

    name: str
    spec: SourceSpec
    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @cached_property
    def _summary(self) -> SourceSummary:
        return SourceSummary(
            (), _LON_LAT, geom.box(-180, -90, 180, 90, _LON_LAT), listed=f"computed: {self.spec.place}"
        )

    def summary(self) -> SourceSummary:
        """Describe a source that is everywhere and has no files."""
        return self._summary

    def choose_resampling(self, geobox: GeoBox) -> Resampling:
        """Return `nearest`: there are no pixels to resample."""
        return Resampling.NEAREST

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return values at the centres of the cells, float32."""
        rows, columns = geobox.shape.yx
        x, y = geobox.pix2wld(*np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5))
        to_lon_lat = Transformer.from_crs(crs_of(geobox).proj, "EPSG:4326", always_xy=True)
        lon, lat = to_lon_lat.transform(np.ravel(x), np.ravel(y))
        values = np.asarray(self.function(lon, lat))
        if values.shape != lon.shape or values.dtype.kind not in "biuf":
            raise InputError(
                f"covariates.{self.name}: its function gives {values.dtype} of shape {values.shape}; expected a number "
                f"for each of {counted(lon.size, 'cell')}"
            )
        return values.reshape(rows, columns).astype("float32")

    def glimpse(self) -> "ComputedSource":
        """Return the source itself: it has one time step."""
        return self

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return an empty result: the source is a number."""
        return ()
