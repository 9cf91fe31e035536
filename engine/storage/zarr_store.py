"""Zarr stores on the grid: templates that blocks are written into.

Zarr and xarray are imported where a store is opened: who only looks whether a run works does without them.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.late_arrays import look_late
from engine.storage.atomic import ROOT, write_file
from engine.storage.paths import OutPath, read_file, zarr_store

if TYPE_CHECKING:
    import xarray as xr
    import zarr

    from engine.grid.grid import Grid


@dataclass(frozen=True)
class Layer:
    """One variable of a store.

    Attributes
    ----------
    dtype : str
        float32 (missing: NaN), int32 of counts (missing: −1) or uint8 of classes (missing: 0).
    attrs : dict
        CF attributes: long_name, units, …
    leading : tuple of str
        Dimensions before y and x.
    """

    dtype: str
    attrs: Mapping[str, Any]
    leading: tuple[str, ...] = ()


def create(
    path: Path, grid: "Grid", layers: Mapping[str, Layer], coords: Mapping[str, Any], attrs: Mapping[str, Any]
) -> None:
    """Lay out an empty store: every block of the grid is one Zarr chunk, so that tasks never share one.

    Parameters
    ----------
    coords : mapping
        Coordinates of the leading dimensions, as xarray takes them.
    """
    import xarray as xr
    import zarr
    from odc.geo.xr import xr_coords
    from xarray.backends.zarr import FillValueCoder
    from zarr.codecs import BloscCodec

    look_late()
    spatial = xr_coords(grid.geobox)
    for axis in "xy":
        spatial[axis].attrs |= {"standard_name": f"projection_{axis}_coordinate", "axis": axis.upper(), "units": "m"}
    dataset = xr.Dataset(coords={**spatial, **coords}, attrs={"Conventions": "CF-1.11", **attrs})
    with _string_coordinates():
        dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    group = zarr.open_group(path, mode="r+")
    for name, layer in layers.items():
        dtype = np.dtype(layer.dtype)
        fill = dtype.type({"f": np.nan, "i": -1}.get(dtype.kind, 0))
        # As xarray encodes it. Class codes declare none: it would turn them into floats on reading.
        fill_attrs = {"_FillValue": FillValueCoder.encode(fill, dtype)} if dtype.kind in "fi" else {}
        sizes = [len(coords[d][1]) for d in layer.leading]
        group.create_array(
            name,
            shape=(*sizes, *grid.shape),
            chunks=(*[1] * len(sizes), grid.chunk, grid.chunk),
            dtype=layer.dtype,
            fill_value=fill,
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")],
            dimension_names=[*layer.leading, "y", "x"],
            attributes={**layer.attrs, **fill_attrs, "grid_mapping": "spatial_ref"},
        )
    # For readers by http, which lists no folders; without it xarray warns those of a folder, too.
    with _string_coordinates():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(path, zarr_format=3)


def relabel(path: OutPath, attrs: Mapping[str, Mapping[str, Any]], optional: Sequence[str] = ()) -> bool:
    """Give variables of a store, and the store itself ("") other attributes; its values are not touched.

    Parameters
    ----------
    attrs : mapping
        Variable → attributes that it is to have besides those that it has.
    optional : sequence of str
        Attributes of the store that go where `attrs` does not name them.

    Returns
    -------
    bool
        Whether any of them was another.
    """
    root = json.loads(read_file(path / ROOT))
    kept = root.get("consolidated_metadata", {}).get("metadata", {})
    changed = False
    for name, wanted in attrs.items():
        if not name:
            continue
        document = json.loads(read_file(path / name / ROOT))
        if document["attributes"] | wanted != document["attributes"]:
            document["attributes"] |= wanted
            write_file(path / name / ROOT, json.dumps(document, indent=2).encode())
            changed = True
        if name in kept:
            kept[name]["attributes"] |= wanted
    own = root["attributes"]
    now = {key: value for key, value in own.items() if key not in optional} | dict(attrs.get("", {}))
    if changed or now != own:
        write_file(path / ROOT, json.dumps(root | {"attributes": now}, indent=2).encode())
    return changed or now != own


def open_dataset(path: OutPath | str, *, chunked: bool = False) -> "xr.Dataset":
    """Open a store of this package lazily, with its CRS, which `.odc` tells.

    Parameters
    ----------
    chunked : bool
        As Dask arrays, a block a chunk.
    """
    import odc.geo.xr  # noqa: F401 (gives datasets `.odc`)
    import xarray as xr

    look_late()
    store = path if isinstance(path, str) else zarr_store(path)
    with _string_coordinates():
        return xr.open_zarr(
            store, zarr_format=3, consolidated=False, decode_coords="all", chunks={} if chunked else None
        )


def array(path: OutPath, name: str, mode: Literal["r", "r+"] = "r") -> "zarr.Array[Any]":
    """Open one variable of a store, for reading and writing whole chunks without building an xarray dataset."""
    return _opened(path / name, mode, read_file(path / name / ROOT))


@lru_cache(maxsize=128)
def _opened(path: OutPath, mode: Literal["r", "r+"], head: bytes) -> "zarr.Array[Any]":
    """Open an array from known metadata: each block needs two dozen, and Zarr takes half a millisecond for each."""
    import zarr

    return zarr.open_array(zarr_store(path), mode=mode, zarr_format=3)


@contextmanager
def _string_coordinates() -> Iterator[None]:
    """Silence Zarr's warning about fixed-length strings, the depth labels, which version 3 does not specify yet."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(does not have a Zarr V3 specification|FixedLengthUTF32).*")
        yield


def chunk_names(layers: Mapping[str, Layer], coords: Mapping[str, Any], index: tuple[int, int]) -> list[str]:
    """Return files below the store that hold one block of the grid, of every layer and leading position."""
    names = []
    for name, layer in layers.items():
        sizes = [len(coords[d][1]) for d in layer.leading]
        names += ["/".join([name, "c", *map(str, (*lead, *index))]) for lead in np.ndindex(*sizes)]
    return names
