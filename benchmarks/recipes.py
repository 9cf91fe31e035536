"""The usual recipes for covariates on one grid: dask arrays of the sources, reprojected one by one, then `to_zarr`.

What is fair: the same files, periods, scales, fill codes and resamplings, reduced over time before they are
reprojected, in chunks that suit the files. What differs from the engine: GDAL's `average` takes the box between two
opposite corners of a cell, its coordinates are approximated, cells outside the domain are computed and kept, polygons
count at the centres of cells rather than by the largest share, and no block is recorded: a crash starts over.
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords, xr_reproject
from rasterio.enums import Resampling
from rasterio.features import rasterize

from engine.sources.spec import SourceSpec
from pipelines.soil_carbon.prepared import Prepared

PIXELS = 1024
"""Pixels on a side of the chunks in which sources are read."""


def odc_geo(prepared: Prepared, path: Path) -> None:
    """Lazy to the end: odc-geo's `xr_reproject` onto chunks of the grid."""
    geobox, chunk, how = prepared.grid.geobox, prepared.grid.chunk, prepared.plan.resampling
    layers = {
        name: xr_reproject(source, geobox, resampling=how[name], dst_nodata=np.nan, chunks=(chunk, chunk))
        for name, source in natives(prepared).items()
    }
    _write(layers, prepared, path)


def reproject_match(prepared: Prepared, path: Path) -> None:
    """Reduced on the cluster, then warped whole in this process: rioxarray's `reproject_match`."""
    geobox, how = prepared.grid.geobox, prepared.plan.resampling
    template = xr.DataArray(np.zeros(geobox.shape, "uint8"), xr_coords(geobox), ("y", "x"))
    layers = {
        name: source.rio.write_nodata(np.nan).rio.reproject_match(template, resampling=Resampling[how[name]])
        for name, source in natives(prepared).items()
    }
    _write({name: layer.drop_vars("spatial_ref") for name, layer in layers.items()}, prepared, path)


def natives(prepared: Prepared) -> dict[str, xr.DataArray]:
    """The numbers among the covariates on their own pixels, decoded and reduced over time; not read yet."""
    specs = {name: spec for name, spec in prepared.config.covariates.items() if not spec.is_categorical}
    return {name: _native(spec, prepared.data) for name, spec in specs.items()}


def _native(spec: SourceSpec, base: Path) -> xr.DataArray:
    if spec.variable:
        return _of_months(spec, base)
    pattern = str(spec.href).replace("{year}", "*")
    return _of_rasters(spec, sorted(base.glob(pattern)))


def _of_months(spec: SourceSpec, base: Path) -> xr.DataArray:
    """A monthly series in NetCDF files."""
    chunks = {"time": -1, "lat": PIXELS, "lon": PIXELS}
    months = xr.open_mfdataset(sorted(base.glob(str(spec.href))), chunks=chunks)[spec.variable]
    if spec.reduce == "annual_sum":
        reduced = months.sum("time", skipna=False) / len(np.unique(months["time.year"]))
    else:
        reduced = months.mean("time")
    reduced = (reduced * spec.scale).astype("float32").rename(lon="x", lat="y")
    return reduced.rio.write_crs(4326)


def _of_rasters(spec: SourceSpec, files: list[Path]) -> xr.DataArray:
    """Tiles of several years, or one file: a mosaic by coordinates, the mean of the years."""
    years: dict[str, list[xr.DataArray]] = {}
    for file in files:
        tile = rioxarray.open_rasterio(file, chunks={"x": PIXELS, "y": PIXELS}, masked=True).squeeze("band", drop=True)
        if spec.nodata is not None:
            tile = tile.where(tile != spec.nodata)
        if spec.valid_range:
            tile = tile.where((tile >= spec.valid_range[0]) & (tile <= spec.valid_range[1]))
        years.setdefault(file.name.split(".")[1] if len(files) > 1 else "", []).append(tile.rename("v"))
    crs = next(iter(years.values()))[0].rio.crs
    mosaics = [xr.combine_by_coords(tiles)["v"].sortby("y", ascending=False) for tiles in years.values()]
    mean = xr.concat(mosaics, "year").mean("year") if len(mosaics) > 1 else mosaics[0]
    declared = rioxarray.open_rasterio(files[0])
    scale = spec.scale if spec.scale is not None else declared.attrs.get("scale_factor", 1.0)
    return (mean * scale + declared.attrs.get("add_offset", 0.0)).astype("float32").rio.write_crs(crs)


def _write(layers: dict[str, xr.DataArray], prepared: Prepared, path: Path) -> None:
    """All layers, and the classes of the polygons, as one store with the chunks of the grid."""
    geobox = prepared.grid.geobox
    for name, spec in prepared.config.covariates.items():
        if spec.is_categorical:
            classes = xr.DataArray(_classes(spec, prepared.data, geobox), xr_coords(geobox), ("y", "x"))
            layers[name] = classes.drop_vars("spatial_ref")
    chunks = dict.fromkeys(("y", "x"), prepared.grid.chunk)
    plain = {name: layer.drop_vars("spatial_ref", errors="ignore").drop_attrs() for name, layer in layers.items()}
    xr.Dataset(plain).chunk(chunks).drop_encoding().to_zarr(path, consolidated=False)


def _classes(spec: SourceSpec, base: Path, geobox: GeoBox) -> np.ndarray:
    """The class at every cell's centre."""
    numbers = {code: n for n, codes in enumerate((spec.classes or {}).values(), 1) for code in codes}
    polygons = gpd.read_file(base / str(spec.href)).to_crs(geobox.crs.proj)
    burnt = zip(polygons.geometry, polygons[spec.attribute].map(numbers).fillna(0).astype("uint8"), strict=True)
    return rasterize(burnt, geobox.shape.yx, transform=geobox.affine, fill=0, dtype="uint8")
