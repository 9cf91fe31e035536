"""Polygons with a class code, turned into the class that covers most of each cell."""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import geopandas as gpd
import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from pandas.api.types import is_float_dtype
from rasterio.features import rasterize

from engine.errors import Finding, InputError
from engine.grid.grid import Grid, crs_of
from engine.remote.files import Place
from engine.sources.align import source_window
from engine.sources.base import SourceSummary, stamp
from engine.sources.files import find
from engine.sources.kinds import FileSpec
from engine.sources.polygons import Polygons, read_polygons, spacing
from engine.sources.resampling import Choice, Resampling

_Question = tuple[Place, str | None, str | None, str | None]
"""File, layer, attribute and CRS that are asked for."""
SUBCELLS = 5
"""A cell's classes are counted on so many points a side; odd, so that no point lies on a cell's edge."""


_MOST_POINTS = 512
"""Points a side, at most, on which overlaps are counted."""


@dataclass(frozen=True)
class VectorSource:
    """Polygons of one layer; see `Source`."""

    name: str = field(compare=False)
    spec: FileSpec
    path: Place

    @classmethod
    def open(cls, name: str, spec: FileSpec, base: Path) -> "VectorSource":
        """Check that the file holds polygons with the attribute and at least one of the codes.

        Raises
        ------
        InputError
            If it does not, or declares no CRS.
        """
        if spec.attribute is None:
            raise InputError(
                Finding("polygons need `attribute`, the column that holds the class code", f"covariates.{name}")
            )
        paths = list(find(name, spec, base))
        if len(paths) != 1:
            raise InputError(
                Finding(f"{len(paths)} vector files match {spec.href}; merge them into one", f"covariates.{name}")
            )
        source = cls(name, spec, paths[0])
        polygons = source._polygons().frame
        if not (source._classes(polygons) > 0).any():
            codes = ", ".join(map(str, sorted(set(polygons[spec.attribute]), key=str)[:10]))
            raise InputError(
                Finding(f"none of the codes is in {source.path.name}, which has {codes}", f"covariates.{name}.classes")
            )
        return source

    def glimpse(self) -> Self:
        """Return the source itself: polygons have no time."""
        return self

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return codes of all polygons that no class lists, most frequent first; wherever they are."""
        del geobox
        polygons = self._dense()
        codes = polygons[self.spec.attribute][self._classes(polygons) == 0]
        return tuple(code for code, _ in Counter(map(str, codes)).most_common())

    def classes_within(self, grid: Grid) -> set[int]:
        """Return numbers of the classes of which some polygon touches the domain."""
        polygons = _near(self._dense(), grid.geobox)
        return set(self._classes(polygons[polygons.intersects(grid.outline.geom)]).tolist()) - {0}

    def overlap(self, grid: Grid) -> tuple[float, float]:
        """Return the area, km², that polygons of more than one class cover, and that any covers, in the domain.

        Counted on points, at most 512 a side. Polygons of which no class lists the code are one class more.
        """
        height, width = (_MOST_POINTS if n > _MOST_POINTS else n * SUBCELLS for n in grid.shape)
        geobox = grid.geobox.zoom_to((height, width))
        polygons = _near(self._dense(), geobox)
        if len(polygons) == 0:
            return 0.0, 0.0
        numbers = self._classes(polygons)
        place = {"out_shape": geobox.shape.yx, "transform": geobox.affine, "dtype": "uint8"}
        layers = np.zeros(geobox.shape.yx, "uint8")
        for number in np.unique(numbers):
            layers += rasterize(polygons.geometry[numbers == number], **place)
        layers[rasterize([grid.outline.geom], **place) == 0] = 0
        point = abs(geobox.affine.determinant) / 1e6
        return float((layers > 1).sum() * point), float((layers > 0).sum() * point)

    def _polygons(self) -> Polygons:
        return _read(self._question(), f"covariates.{self.name}", stamp(self.path))

    def _dense(self) -> gpd.GeoDataFrame:
        return _dense(self._question(), stamp(self.path))

    def _question(self) -> "_Question":
        return self.path, self.spec.layer, self.spec.attribute, self.spec.crs

    def _classes(self, polygons: gpd.GeoDataFrame) -> np.ndarray:
        """Return the class number of every polygon, 0 if its code is unlisted; codes compare as text: 1 is "1"."""
        numbers = {
            str(code): number for number, codes in enumerate((self.spec.classes or {}).values(), 1) for code in codes
        }
        codes = polygons[self.spec.attribute]
        if is_float_dtype(codes) and (codes.dropna() % 1 == 0).all():
            codes = codes.astype("Int64")
        return codes.astype(str).map(numbers).fillna(0).to_numpy("uint8")

    def summary(self) -> SourceSummary:
        """Describe the source."""
        polygons = self._polygons()
        crs = CRS(polygons.frame.crs.to_wkt())
        west, south, east, north = map(float, polygons.frame.total_bounds)
        return SourceSummary((self.path,), crs, footprint=box(west, south, east, north, crs), notes=polygons.notes)

    def choose_resampling(self, geobox: GeoBox) -> Resampling:
        """Return the resampling of polygons: always the class with the largest share of the cell."""
        return Resampling.MODE

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return the class with the largest share of each cell, counted on 5 × 5 points; 0 where most has none.

        Later polygons of the file lie on top of earlier ones. Of two classes with equal shares the first listed wins.
        """
        polygons = _near(self._dense(), geobox)
        if len(polygons) == 0:
            return np.zeros(geobox.shape.yx, "uint8")
        fine = geobox.zoom_to((geobox.shape.y * SUBCELLS, geobox.shape.x * SUBCELLS))
        burnt = rasterize(
            zip(polygons.geometry, self._classes(polygons).tolist(), strict=True),
            fine.shape.yx,
            transform=fine.affine,
            fill=0,
            dtype="uint8",
        ).reshape(geobox.shape.y, SUBCELLS, geobox.shape.x, SUBCELLS)
        listed = range(1, len(self.spec.class_names) + 1)
        shares = np.stack([(burnt == number).sum(axis=(1, 3)) for number in (*listed, 0)])
        winner = shares.argmax(axis=0) + 1
        winner[winner > len(listed)] = 0
        return winner.astype("uint8")


@lru_cache(maxsize=2)
def _read(question: _Question, key: str, state: str) -> Polygons:
    """Read the polygons, kept for as long as a source is opened and described."""
    del state
    return read_polygons(*question, key)


@lru_cache(maxsize=4)
def _dense(question: _Question, state: str) -> gpd.GeoDataFrame:
    """Return the polygons with points along their edges, read once per worker and state (`state`) of the file."""
    polygons = read_polygons(*question, str(question[0])).frame
    return polygons.set_geometry(polygons.segmentize(spacing(CRS(polygons.crs.to_wkt()))))


def _near(polygons: gpd.GeoDataFrame, geobox: GeoBox) -> gpd.GeoDataFrame:
    """Return the parts of polygons around a part of the grid, in its CRS, which distant ones may not reach."""
    crs = CRS(polygons.crs.to_wkt())
    west, south, east, north = map(float, polygons.total_bounds)
    frame = GeoBox.from_bbox((west, south, east, north), crs=crs, resolution=spacing(crs))
    window = source_window(frame, geobox)
    if window is None:
        return polygons.iloc[:0]
    box = frame[window].boundingbox
    near = polygons.iloc[np.sort(polygons.sindex.query(shapely.box(*box.bbox)))]
    near = near.set_geometry(near.clip_by_rect(*box.bbox).segmentize(spacing(crs)))
    return near[~near.geometry.is_empty].to_crs(crs_of(geobox).to_wkt())
