"""Cloud-optimised GeoTIFFs of single layers of a Zarr store, for readers that know no Zarr."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.crs
import rasterio.shutil
import xarray as xr
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from engine.storage.atomic import staged
from engine.storage.paths import OutPath
from engine.storage.zarr_store import open_dataset

TILE = 512
"""Side of a tile in the file, cells."""

DESCRIPTION = "TIFFTAG_IMAGEDESCRIPTION"
"""Tag of the file that says in a sentence what it holds."""

CACHE_MEGABYTES = 64
"""GDAL's block cache while a file is written; its default, a share of the machine's memory, is no bound."""


def write_cog(
    store: str | OutPath,
    variable: str,
    path: OutPath,
    *,
    name: str,
    description: str,
    units: str,
    missing: str = "",
    index: Mapping[str, int] | None = None,
    tags: Mapping[str, str] | None = None,
    resampling: Literal["average", "mode"] = "average",
) -> None:
    """Write one 2-D layer of a Zarr store as a cloud-optimised GeoTIFF with overviews and statistics.

    The layer goes strip by strip, one row of the store's chunks at a time, into a plain GeoTIFF, which GDAL turns
    into the final layout; memory is bounded by a strip and GDAL's cache. The file appears under its name only when
    it is whole and on disk. Deflate with the predictor of its data type is used because every GDAL build reads it.

    Parameters
    ----------
    store : str or OutPath
        Zarr store with a CF grid mapping, dims (…, y, x).
    variable : str
        Array to read. Floats have NaN as nodata, counts what the store has for missing ones, class codes 0.
    path : OutPath
        The file to write; one that exists is replaced. Its folder is made if need be.
    name : str
        Of the band, short, e.g. `socd_0-30_mean`: what GIS programs call it.
    description, units : str
        Of the band, for people and machines.
    missing : str
        What it means where a cell has no value.
    index : mapping of str to int, optional
        Position along every dimension other than y and x, e.g. `{"depth": 1}`.
    tags : mapping of str to str, optional
        Metadata of the file.
    resampling : {"average", "mode"}
        How overviews are made: average for numbers, mode for categories.

    Raises
    ------
    ValueError
        If `index` does not leave a 2-D layer, or the layer has no georeference.
    """
    with open_dataset(store) as dataset:
        layer = dataset[variable].isel(dict(index or {}))
        geobox = layer.odc.geobox
        if layer.ndim != 2 or geobox is None or geobox.crs is None:
            raise ValueError(
                f"{store}, {variable}: dims {layer.dims} at index {dict(index or {})}, "
                f"georeference {geobox}; a GeoTIFF needs one 2-D layer on a grid"
            )
        with (
            staged(path) as stage,
            tempfile.TemporaryDirectory(dir=stage.parent, prefix=f".{path.stem}-") as scratch,
            rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES, GDAL_NUM_THREADS="1"),
        ):
            plain = Path(scratch, "plain.tif")
            dtype, nodata = _as_stored(layer)
            with rasterio.open(plain, "w", **_profile(geobox, geobox.crs, dtype, nodata)) as file:
                for window, values in _strips(layer):
                    if dtype != layer.dtype:
                        values = np.where(np.isnan(values), nodata, values).astype(dtype)
                    file.write(values, 1, window=window)
                file.set_band_description(1, name)
                file.set_band_unit(1, units)
                file.update_tags(1, long_name=description, units=units, **({"missing": missing} if missing else {}))
                file.update_tags(**{DESCRIPTION: description, **(tags or {})})
            rasterio.shutil.copy(
                plain,
                stage,
                driver="COG",
                BLOCKSIZE=TILE,
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                OVERVIEW_RESAMPLING=resampling.upper(),
                STATISTICS="YES",
                BIGTIFF="IF_SAFER",
            )


def _as_stored(layer: xr.DataArray) -> tuple[np.dtype, float]:
    """Return the type of the file, and its nodata: of counts, which xarray turns into floats, those of the store."""
    if layer.dtype.kind != "f":
        return layer.dtype, 0
    stored = np.dtype(layer.encoding.get("dtype", layer.dtype))
    return (stored, layer.encoding["_FillValue"]) if stored.kind == "i" else (layer.dtype, np.nan)


def _profile(geobox: GeoBox, crs: CRS, dtype: np.dtype, nodata: float) -> dict[str, object]:
    """Return the creation options of the plain GeoTIFF: uncompressed, so that a rewritten tile wastes no space."""
    height, width = geobox.shape.yx
    return {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": dtype.name,
        "crs": rasterio.crs.CRS.from_wkt(crs.to_wkt()),
        "transform": geobox.affine,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "BIGTIFF": "IF_SAFER",
    }


def _strips(layer: xr.DataArray) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the layer's rows of chunks from the top, each read whole and once."""
    height, width = layer.shape
    chunks = layer.encoding.get("preferred_chunks", {})
    rows = chunks.get(layer.dims[0], TILE)
    for top in range(0, height, rows):
        strip = layer[top : top + rows].values
        yield Window(0, top, width, strip.shape[0]), strip
