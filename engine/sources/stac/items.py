"""Assets of an item: address, date, pixel grid and encoding of values."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from engine.errors import Finding, InputError, Where
from engine.formatting import counted, verb
from engine.grid.grid import require_place
from engine.remote.files import Place, place_of
from engine.remote.retry import unsigned
from engine.sources.declared import Declared, of_catalogue
from engine.sources.files import Step
from engine.sources.kinds import ItemsSpec
from engine.sources.netcdf import NETCDF_SUFFIXES
from engine.sources.stac.boxes import Item
from engine.sources.stac.item_parts import asset_keys, span

_LONG_DAYS = 400
"""An item over more days is a mean of years and has no date."""
_BANDS = ("bands", "raster:bands")
_IMAGES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-hdf")
_NETCDF = ("application/netcdf", "application/x-netcdf")
_ZARR = ("application/vnd+zarr", "application/vnd.zarr")


@dataclass(frozen=True)
class Asset:
    """One asset of one item.

    Attributes
    ----------
    geobox : GeoBox or None
        Its pixel grid, if the item gives it (projection extension).
    media : str
        What it is said to be, e.g. image/tiff; "" where nothing is said.
    bands : int
        How many it is said to have.
    """

    item: str
    place: Place
    step: Step
    geobox: GeoBox | None
    declared: Declared
    units: str | None = None
    media: str = ""
    bands: int = 1

    @property
    def holds_arrays(self) -> bool:
        """Whether it is NetCDF or Zarr, by its description or its name."""
        return self.media in (*_NETCDF, *_ZARR) or self.place.suffix.lower() in NETCDF_SUFFIXES


def choose_asset(name: str, spec: ItemsSpec, items: list[Item]) -> str:
    """Return the key of the asset to read.

    Raises
    ------
    InputError
        If no item has the asset, or the choice is not clear.
    """
    assert spec.stac is not None
    keys = asset_keys(items)
    wanted = spec.stac.asset
    if wanted is None:
        data = data_assets(keys)
        if len(data) != 1:
            raise InputError(
                Finding(
                    f"the items have {', '.join(keys) or 'no assets'}; say which one to read",
                    f"covariates.{name}.stac.asset",
                )
            )
        return data[0]
    if without := [item["id"] for item in items if wanted not in item.get("assets", {})]:
        raise InputError(
            Finding(
                f"{len(without)} of {counted(len(items), 'item')}, e.g. {without[0]}, "
                f"{verb(len(without), 'has', 'have')} no asset "
                f"{wanted!r}; they have {', '.join(keys) or 'none'}",
                f"covariates.{name}.stac.asset",
            )
        )
    return wanted


def data_assets(keys: dict[str, dict[str, Any]]) -> list[str]:
    """Return assets that are data rather than pictures or descriptions."""
    by_role = [key for key, asset in keys.items() if "data" in (asset.get("roles") or ())]
    by_type = [
        key for key, asset in keys.items() if str(asset.get("type", "")).startswith((*_IMAGES, *_NETCDF, *_ZARR))
    ]
    return by_role or by_type


def describe(item: Item, key: str, collection: Item, spec: ItemsSpec, base: Path) -> Asset:
    """Describe one asset by its item and, where that is silent, by the collection."""
    asset = item["assets"][key]
    described = collection.get("item_assets")
    general = described.get(key) if isinstance(described, dict) else None
    general = general if isinstance(general, dict) else {}
    declared, units = encoding(asset, spec.band)
    general_declared, general_units = encoding(general, spec.band)
    return Asset(
        item=item["id"],
        place=place_of(unsigned(asset["href"]) if "://" in asset["href"] else asset["href"], base),
        step=_step(item),
        geobox=_geobox(asset, item.get("properties", {})),
        declared=declared.over(general_declared),
        units=units or general_units,
        bands=max(1, *(len(_bands(part, listed)) for part in (asset, general) for listed in _BANDS)),
        media=str(asset.get("type") or general.get("type") or "").partition(";")[0].strip(),
    )


def encoding(asset: dict[str, Any], band: int = 1) -> tuple[Declared, str | None]:
    """Return scale, offset, nodata and units of a band, from STAC 1.1's `bands`, the raster extension or the asset."""
    described = [part for key in _BANDS for part in _bands(asset, key)[band - 1 : band]]

    def first(*keys: str) -> Any:
        return next((part[k] for part in (*described, asset) for k in keys if part.get(k) is not None), None)

    declared = of_catalogue(first("nodata"), first("raster:scale", "scale"), first("raster:offset", "offset"))
    return declared, first("unit")


def _bands(asset: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the metadata of each band; empty entries if it is malformed."""
    listed = asset.get(key)
    return [band if isinstance(band, dict) else {} for band in listed] if isinstance(listed, list) else []


def _step(item: Item) -> Step:
    first, last = span(item)
    first, last = first or last, last or first
    if first is None or last is None or (last - first).days > _LONG_DAYS:
        return Step()
    return Step(first.year, first.month, first.day)


def _geobox(asset: dict[str, Any], properties: dict[str, Any]) -> GeoBox | None:
    def value(*keys: str) -> Any:
        return next((part[k] for part in (asset, properties) for k in keys if part.get(k) is not None), None)

    shape, transform = value("proj:shape"), value("proj:transform")
    crs = value("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")
    if shape is None or transform is None or crs is None:
        return None
    try:
        text = json.dumps(crs) if isinstance(crs, dict) else f"EPSG:{crs}" if isinstance(crs, int) else crs
        affine = Affine(*transform[:6])
        north_up = affine.b == 0 and affine.d == 0 and affine.a > 0 and affine.e < 0
        if not north_up or len(shape) != 2 or min(shape) < 1:
            return None
        return GeoBox(tuple(shape), affine, require_place(CRS(text), Where("")))
    except (CRSError, InputError, TypeError, ValueError):
        # What an item says of its grid is a short cut: the file's own header serves as well.
        return None
