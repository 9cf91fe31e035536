"""A static STAC catalog over the raw files: one collection per covariate, one item per file."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pystac
from pyproj import Transformer
from shapely.geometry import box, mapping

from pipelines.virtual.covariates import LABELS
from pipelines.virtual.raw.layout import NOTE, RawFile

LICENCE = "CC0-1.0"
"""Nobody owns numbers that are made up."""

_MEDIA = {".tif": pystac.MediaType.GEOTIFF, ".nc": pystac.MediaType.NETCDF, ".gpkg": pystac.MediaType.GEOPACKAGE}


def write_catalog(files: Iterable[RawFile], folder: Path) -> Path:
    """Write `catalog.json` and what it links to, with relative links only.

    Returns
    -------
    Path
        The catalog's file.
    """
    by_covariate: dict[str, list[RawFile]] = defaultdict(list)
    for file in files:
        by_covariate[file.covariate].append(file)
    catalog = pystac.Catalog("virtual-region", f"Raw files of the virtual permafrost region: {NOTE}.")
    catalog.add_children(_collection(name, members) for name, members in by_covariate.items())
    catalog.normalize_hrefs(str(folder))
    catalog.make_all_asset_hrefs_relative()
    catalog.save(pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def _collection(name: str, files: list[RawFile]) -> pystac.Collection:
    items = [_item(file) for file in files]
    boxes = [item.bbox for item in items if item.bbox]
    west, south, east, north = zip(*boxes, strict=True)
    first, last = min(file.years[0] for file in files), max(file.years[1] for file in files)
    collection = pystac.Collection(
        id=name,
        title=LABELS[name][0],
        description=f"{LABELS[name][0].capitalize()}: {NOTE}.",
        extent=pystac.Extent(
            pystac.SpatialExtent([[min(west), min(south), max(east), max(north)]]),
            pystac.TemporalExtent([list(_span(first, last))]),
        ),
        license=LICENCE,
    )
    collection.add_items(items)
    return collection


def _item(file: RawFile) -> pystac.Item:
    bounds = Transformer.from_crs(file.crs, "EPSG:4326", always_xy=True).transform_bounds(*file.bounds)
    west, south, east, north = (round(value, 6) for value in bounds)
    start, end = _span(*file.years)
    item = pystac.Item(
        id=f"{file.covariate}-{file.path.stem}",
        geometry=mapping(box(west, south, east, north)),
        bbox=[west, south, east, north],
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={"description": NOTE},
    )
    fields = {"data_type": file.data_type, "unit": LABELS[file.covariate][1]} if file.path.suffix != ".gpkg" else {}
    item.add_asset(
        "data",
        pystac.Asset(str(file.path), media_type=_MEDIA[file.path.suffix], roles=["data"], extra_fields=fields),
    )
    return item


def _span(first: int, last: int) -> tuple[datetime, datetime]:
    return datetime(first, 1, 1, tzinfo=UTC), datetime(last, 12, 31, 23, 59, 59, tzinfo=UTC)
