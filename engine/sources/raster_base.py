"""Base of raster files and NetCDF series: a native grid that is read window by window and warped."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from odc.geo import Geometry
from odc.geo.geobox import GeoBox
from odc.geo.geom import box

from engine.errors import Finding, InputError
from engine.grid.grid import crs_of
from engine.remote.files import Place
from engine.sources.align import Window, pixels_per_cell, source_window, warp
from engine.sources.base import MISSING_CLASS, SourceSummary
from engine.sources.calendar import notes_on
from engine.sources.files import Step
from engine.sources.resampling import Choice, Resampling
from engine.sources.spec import StoredSpec

FINER = 1.5
"""A source with more pixels than this under a cell is averaged over the cell; others are interpolated."""


_WHOLE = 0.05
"""Share of a pixel by which the pixels around the globe may miss a whole number: rounding in float32."""


@dataclass(frozen=True)
class GriddedSource(ABC):
    """A source on a regular native grid.

    Attributes
    ----------
    name, spec
        The covariate's entry in the run file.
    geobox : GeoBox
        The whole native grid, north up.
    """

    name: str = field(compare=False)  # sources that read the same are equal
    spec: StoredSpec
    geobox: GeoBox

    def __post_init__(self) -> None:
        circle = 360 / self.geobox.resolution.x
        if self._past_180 and abs(circle - round(circle)) > _WHOLE:
            raise InputError(
                Finding(
                    f"its longitudes run past ±180° in steps of {self.geobox.resolution.x:g}°, "
                    "which do not divide the circle; warp it to longitudes within ±180°",
                    f"covariates.{self.name}",
                )
            )

    @property
    def _past_180(self) -> bool:
        bounds = self.geobox.boundingbox
        return crs_of(self.geobox).geographic and (bounds.left < -180 or bounds.right > 180)

    @property
    def footprint(self) -> Geometry:
        """The extent of the native grid; all longitudes where it runs past ±180°."""
        if not self._past_180:
            return self.geobox.extent
        return box(-180.0, self.geobox.boundingbox.bottom, 180.0, self.geobox.boundingbox.top, crs_of(self.geobox))

    def describe(self, files: tuple[Place, ...], steps: Sequence[Step], *notes: str) -> SourceSummary:
        """Summarise what both kinds share; `steps` in the order of time."""
        return SourceSummary(
            files=files,
            crs=crs_of(self.geobox),
            footprint=self.footprint,
            size=self.geobox.shape.yx,
            resolution=abs(self.geobox.resolution.x),
            steps=len(steps),
            period=f"{steps[0].year}–{steps[-1].year}" if steps[0].year else "",
            notes=(*notes_on(self.spec, steps), *notes),
        )

    @abstractmethod
    def read(self, window: Window) -> np.ndarray:
        """Read decoded values of a window: float32 with NaN, or uint8 class codes with 0, where missing."""

    @abstractmethod
    def at_steps(self, wanted: frozenset[Step]) -> Self:
        """Return the same source of these time steps only."""

    @abstractmethod
    def steps(self) -> Iterable[Step]:
        """Return every time step, in any order."""

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return values on a part of the target grid, see `Source.on_grid`."""
        missing = MISSING_CLASS if self.spec.is_categorical else np.nan
        try:
            assert not isinstance(resampling, tuple)
            return warp(self.read, self.geobox, geobox, resampling, missing)
        except OSError as error:
            raise InputError(
                f"covariates.{self.name} ({self.spec.place}): cannot be read: {error}. Is the file whole?"
            ) from error

    def choose_resampling(self, geobox: GeoBox) -> Resampling:
        """Average or mode of a finer source, interpolation or the nearest class of a coarser one."""
        if self.spec.resampling:
            return self.spec.resampling
        finer = pixels_per_cell(self.geobox, geobox) > FINER
        if self.spec.is_categorical:
            return Resampling.MODE if finer else Resampling.NEAREST
        return Resampling.AVERAGE if finer else Resampling.BILINEAR

    def glimpse(self) -> Self:
        """Return the same source of one year: the middle one; an anomaly needs only that."""
        steps = sorted(set(self.steps()))
        if self.spec.reduce == "anomaly" or len(steps) == 1:
            return self
        year = steps[len(steps) // 2].year
        return self.at_steps(frozenset(step for step in steps if step.year == year))

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return codes under a part of the grid that no class lists, most frequent first."""
        if self.spec.classes is None or (window := source_window(self.geobox, geobox)) is None:
            return ()
        listed = {str(code) for codes in self.spec.classes.values() for code in codes}
        plain = replace(self, spec=self.spec.model_copy(update={"classes": None, "scale": 1.0, "offset": 0.0}))
        values = plain.read(window)
        found = Counter(f"{v:g}" for v in values[np.isfinite(values)].ravel().tolist())
        return tuple(code for code, _ in found.most_common() if code not in listed)
