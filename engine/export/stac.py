"""A static STAC catalogue of a run's results, which can be moved together with the folder that it describes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pystac
import pystac.utils
import rasterio
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pystac.extensions.projection import ProjectionExtension

from engine.export.cog import DESCRIPTION
from engine.export.extent import Extent
from engine.export.footprint import bounding_box, crs_of, footprint
from engine.storage.atomic import staged
from engine.storage.paths import OutPath, storage_of

STATISTICS = {
    "minimum": "STATISTICS_MINIMUM",
    "maximum": "STATISTICS_MAXIMUM",
    "mean": "STATISTICS_MEAN",
    "stddev": "STATISTICS_STDDEV",
    "valid_percent": "STATISTICS_VALID_PERCENT",
}
"""STAC's names of a band's statistics and GDAL's."""
_BLOCK = 2**16
"""Bytes of a file on an object store that are read at a time: its directory is at its beginning."""


@dataclass(frozen=True)
class Layers:
    """Rasters on one grid that make one STAC item.

    Attributes
    ----------
    id : str
        Of the item; unique in the collection, and the name of its folder.
    title : str
        For people.
    files : mapping of str to OutPath
        Asset key → GeoTIFF. What the item says of each (CRS, shape, units, …) is read from the file.
    properties : mapping
        Further properties of the item.
    styles : mapping of str to OutPath
        Asset key → style of that GeoTIFF for QGIS, where there is one.
    """

    id: str
    title: str
    files: Mapping[str, OutPath]
    properties: Mapping[str, Any] = field(default_factory=dict)
    styles: Mapping[str, OutPath] = field(default_factory=dict)


def write_collection(
    directory: OutPath,
    *,
    collection_id: str,
    title: str,
    description: str,
    items: Sequence[Layers],
    assets: Mapping[str, pystac.Asset],
    period: tuple[datetime, datetime] | None = None,
    created: datetime | None = None,
    license: str = "other",
    keywords: Sequence[str] = (),
    providers: Sequence[pystac.Provider] = (),
    links: Sequence[pystac.Link] = (),
    extent: Extent | None = None,
) -> OutPath:
    """Write `stac/collection.json` and one item per set of layers, all with relative links.

    Parameters
    ----------
    directory : OutPath
        Folder of the results; `stac/` in it is replaced as a whole.
    collection_id, title, description : str
        Of the collection.
    items : sequence of Layers
        At least one; the files lie in `directory`.
    assets : mapping of str to pystac.Asset
        Files of the whole collection, e.g. tables; an `href` that is relative starts from `directory`.
    period : (datetime, datetime), optional
        First and last moment that the maps speak of; default: the moment of their making.
    created : datetime, optional
        When the maps were made; default: now.
    license : str
        SPDX identifier, or `other`.
    keywords, providers, links
        As in the STAC specification; links beyond those of the catalogue itself, e.g. to licences.
    extent : Extent, optional
        Where the maps have values; default: the whole grid of the files, which in degrees reaches far beyond a domain
        that fills it only in part.

    Returns
    -------
    OutPath
        The collection's file.

    Raises
    ------
    FileNotFoundError
        If an asset is not there.
    ValueError
        If the files of one item lie on different grids.
    """
    directory = directory.resolve()
    made = created or datetime.now(UTC)
    start, end = period or (made, made)
    described = [_item(layers, start, end, made, extent) for layers in items]
    collection = pystac.Collection(
        id=collection_id,
        title=title,
        description=description,
        extent=pystac.Extent(_spatial(described), pystac.TemporalExtent([[start, end]])),
        license=license,
        keywords=list(keywords),
        providers=list(providers),
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        extra_fields={"created": pystac.utils.datetime_to_str(made)},
    )
    collection.add_links(list(links))
    collection.add_items(described)
    for key, asset in assets.items():
        path = directory / asset.href
        if not path.exists():
            raise FileNotFoundError(f"{path}: asset {key!r} of the collection is not there")
        collection.add_asset(key, asset.clone())
        collection.assets[key].href = str(path)
    collection.normalize_hrefs(str(directory / "stac"))
    collection.make_all_asset_hrefs_relative()
    collection.make_asset_hrefs_relative()
    # The stage lies as deep as the final folder, so that the relative links hold there.
    with staged(directory / "stac", "collection.json") as stage:
        collection.save(dest_href=str(stage))
    return directory / "stac" / "collection.json"


def _item(layers: Layers, start: datetime, end: datetime, created: datetime, extent: Extent | None) -> pystac.Item:
    geoboxes = {key: _geobox(path) for key, path in layers.files.items()}
    geobox = next(iter(geoboxes.values()))
    if other := [key for key, box in geoboxes.items() if box != geobox]:
        raise ValueError(f"item {layers.id!r}: {', '.join(other)} lie on another grid than {next(iter(geoboxes))}")
    outline = extent.outline if extent else footprint(geobox)
    item = pystac.Item(
        id=layers.id,
        geometry=shapely.geometry.mapping(outline),
        bbox=list(extent.bbox) if extent else bounding_box(outline),
        datetime=start if start == end else None,
        start_datetime=None if start == end else start,
        end_datetime=None if start == end else end,
        properties=dict(layers.properties),
    )
    item.common_metadata.title = layers.title
    item.common_metadata.created = created
    _project(item, geobox)
    for key, path in layers.files.items():
        item.add_asset(key, _cog_asset(path))
        if style := layers.styles.get(key):
            item.add_asset(f"{key}_style", _style_asset(style))
    return item


def _project(item: pystac.Item, geobox: GeoBox) -> None:
    """Add the projection extension v2: the EPSG code of the grid's CRS, or its WKT2 if it has no code."""
    crs = crs_of(geobox)
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{crs.epsg}" if crs.epsg else None,
        wkt2=None if crs.epsg else crs.proj.to_wkt("WKT2_2019"),
        bbox=list(geobox.extent.boundingbox.bbox),
        shape=list(geobox.shape.yx),
        transform=list(geobox.affine)[:6],
    )


@contextmanager
def _opened(path: OutPath) -> Iterator[rasterio.DatasetReader]:
    """Open a raster; on an object store, only the parts in use are read."""
    with storage_of(path).seekable(path, _BLOCK) as file, rasterio.open(file) as raster:
        yield raster


def _geobox(path: OutPath) -> GeoBox:
    with _opened(path) as file:
        return GeoBox(file.shape, file.transform, CRS(file.crs.to_wkt()))


def _cog_asset(path: OutPath) -> pystac.Asset:
    """Describe a GeoTIFF as an asset, with STAC 1.1's `bands` from the metadata of its first band."""
    with _opened(path) as file:
        description, unit, dtype, nodata = file.descriptions[0], file.units[0], file.dtypes[0], file.nodata
        stored, title = file.tags(1), file.tags().get(DESCRIPTION) or description
    band: dict[str, Any] = {"name": description, "data_type": dtype}
    if title != description:
        band["description"] = title
    if unit:
        band["unit"] = unit
    if nodata is not None:
        band["nodata"] = "nan" if np.isnan(nodata) else nodata
    if statistics := {name: float(stored[tag]) for name, tag in STATISTICS.items() if tag in stored}:
        band["statistics"] = statistics
    return pystac.Asset(
        href=str(path.resolve()),
        title=title,
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields={"bands": [band]},
    )


def _style_asset(path: OutPath) -> pystac.Asset:
    return pystac.Asset(href=str(path.resolve()), title="Style for QGIS", media_type="text/xml", roles=["metadata"])


def _spatial(items: Iterable[pystac.Item]) -> pystac.SpatialExtent:
    """Return the items' boxes, preceded by the box around all of them, as STAC requires, unless all share one."""
    boxes = list({tuple(item.bbox or ()): None for item in items})
    if len(boxes) > 1:
        corners = np.array(boxes)
        boxes.insert(0, (*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist()))
    return pystac.SpatialExtent([list(box) for box in boxes])
