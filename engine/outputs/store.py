"""Zarr stores on the grid: templates that blocks are written into, and results that appear whole or not at all."""

import glob
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import xarray as xr
import zarr
from odc.geo.xr import xr_coords
from xarray.backends.zarr import FillValueCoder
from zarr.codecs import BloscCodec

from engine.grid import Grid


@dataclass(frozen=True)
class Layer:
    """One variable of a store.

    Attributes
    ----------
    dtype : str
        float32 (missing: NaN) or uint8 (missing: 0).
    attrs : dict
        CF attributes: long_name, units, …
    leading : tuple of str
        Dimensions before y and x.
    """

    dtype: str
    attrs: Mapping[str, Any]
    leading: tuple[str, ...] = ()


def create(
    path: Path, grid: Grid, layers: Mapping[str, Layer], coords: Mapping[str, Any], attrs: Mapping[str, Any]
) -> None:
    """Lay out an empty store: every block of the grid is one Zarr chunk, so that tasks never share one.

    Parameters
    ----------
    coords : mapping
        Coordinates of the leading dimensions, as xarray takes them.
    """
    spatial = xr_coords(grid.geobox)
    for axis in "xy":
        spatial[axis].attrs |= {"standard_name": f"projection_{axis}_coordinate", "axis": axis.upper(), "units": "m"}
    dataset = xr.Dataset(coords={**spatial, **coords}, attrs={"Conventions": "CF-1.11", **attrs})
    with _string_coordinates():
        dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    group = zarr.open_group(path, mode="r+")
    for name, layer in layers.items():
        is_float = np.issubdtype(np.dtype(layer.dtype), np.floating)
        fill = np.dtype(layer.dtype).type(np.nan if is_float else 0)
        # As xarray encodes it. Class codes declare none: it would turn them into floats on reading.
        fill_attrs = {"_FillValue": FillValueCoder.encode(fill, fill.dtype)} if is_float else {}
        sizes = [len(coords[d][1]) for d in layer.leading]
        group.create_array(
            name,
            shape=(*sizes, *grid.shape),
            chunks=(*[1] * len(sizes), grid.chunk, grid.chunk),
            dtype=layer.dtype,
            fill_value=fill,
            compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")],
            dimension_names=[*layer.leading, "y", "x"],
            attributes={**layer.attrs, **fill_attrs, "grid_mapping": "spatial_ref"},
        )


def open_dataset(path: Path | str) -> xr.Dataset:
    """Open a store of this package lazily, with its CRS."""
    with _string_coordinates():
        return xr.open_zarr(path, consolidated=False, decode_coords="all", chunks=None)


def array(path: Path, name: str, mode: Literal["r", "r+"] = "r") -> zarr.Array[Any]:
    """One variable of a store, for reading and writing whole chunks without building an xarray dataset."""
    return zarr.open_array(path / name, mode=mode)


@contextmanager
def _string_coordinates() -> Iterator[None]:
    """Depth labels are fixed-length strings, which Zarr warns is not yet in the specification of version 3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(does not have a Zarr V3 specification|FixedLengthUTF32).*")
        yield


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A place to build a file or folder that takes the name `path` only once it is whole.

    On an error what was built is removed and what stood at `path` before is left as it was. The place is a new one
    each time, since tasks of a run that has failed may still write to theirs; what they leave there is removed by the
    next run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.partial"):
        _remove(left)
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield stage
        publish(stage, path)
    finally:
        _remove(stage)


def publish(stage: Path, path: Path) -> None:
    """Give a finished file or folder its name; a folder that has it already is moved aside first."""
    if path.is_dir():
        previous = path.with_name(f".{path.name}.previous")
        _remove(previous)
        os.replace(path, previous)
        os.replace(stage, path)
        _remove(previous)
    else:
        os.replace(stage, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
