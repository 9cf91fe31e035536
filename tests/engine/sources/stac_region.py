"""Items and assets of a small made-up collection: two UTM zones, six tiles, four years of months, one plane."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from rasters import centres, north_up, write_tif

SCALE, OFFSET, NODATA = 0.01, -100.0, -32768
YEARS = (2001, 2004)
PIXEL, SIDE = 2000.0, 40
CORNERS = {"EPSG:32650": [(500_000.0 + 80_000 * i, 5_700_000.0) for i in range(3)],
           "EPSG:32651": [(260_000.0 + 80_000 * i, 5_700_000.0) for i in range(3)]}  # fmt: skip
TARGET = north_up(-200_000, 60_000, 4000, 100, 30, "+proj=laea +lat_0=51 +lon_0=120 +datum=WGS84")
"""Within what the tiles cover."""


def truth(lon: np.ndarray, lat: np.ndarray, when: float = 0.0) -> np.ndarray:
    """A plane that rises by 1 from month to month."""
    return 10 * (lon - 120) + 20 * (lat - 51) + when


def mean_of(years: range, months: range = range(1, 13)) -> float:
    return float(np.mean([12 * (year - YEARS[0]) + month for year in years for month in months]))


def boxes() -> list[GeoBox]:
    return [north_up(x, y, PIXEL, SIDE, SIDE, crs) for crs, corners in CORNERS.items() for x, y in corners]


def make(folder: Path, url: str) -> tuple[dict, list[dict]]:
    """Write the assets, one file a tile and month; describe them as if `url` served the folder."""
    items = []
    for tile, box in enumerate(boxes()):
        plane = truth(*centres(box))
        for year in range(YEARS[0], YEARS[1] + 1):
            for month in range(1, 13):
                value = plane + 12 * (year - YEARS[0]) + month
                stored = np.round((value - OFFSET) / SCALE).astype("int16")
                stored[0, 0] = NODATA
                name = f"t{tile}_{year}{month:02d}"
                profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
                write_tif(folder / f"{name}.tif", stored, box, **profile)
                items.append(_item(name, box, year, month, f"{url}/{name}.tif", grid=tile % 2 == 0))
    return _collection().to_dict(include_self_link=False), items


def _item(name: str, box: GeoBox, year: int, month: int, href: str, grid: bool) -> dict:
    """One item; only some tell their pixel grid."""
    outline = box.extent.to_crs("EPSG:4326")
    properties = {"cloud": month, "platform": f"p{year}"}
    if grid:
        code = int(str(box.crs).rpartition(":")[2])
        properties |= {"proj:epsg": code, "proj:shape": list(box.shape.yx), "proj:transform": list(box.affine[:6])}
    item = pystac.Item(
        name, outline.json, list(outline.boundingbox.bbox), datetime(year, month, 1, tzinfo=UTC), properties,
        collection="plane",
    )  # fmt: skip
    band = {"scale": SCALE, "offset": OFFSET, "nodata": NODATA, "unit": "degC"}
    item.add_asset("values", pystac.Asset(href, media_type=pystac.MediaType.COG, roles=["data"],
                                          extra_fields={"raster:bands": [band]}))  # fmt: skip
    item.add_asset("picture", pystac.Asset(href + ".png", media_type=pystac.MediaType.PNG, roles=["thumbnail"]))
    return item.to_dict(include_self_link=False, transform_hrefs=False) | {"links": []}


def _collection() -> pystac.Collection:
    span = [datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[1], 12, 31, tzinfo=UTC)]
    extent = pystac.Extent(pystac.SpatialExtent([[115, 49, 125, 53]]), pystac.TemporalExtent([span]))
    return pystac.Collection("plane", "A made-up plane.", extent, license="CC0-1.0")
