"""Zarr stores on the grid: templates that blocks are written into, and results that appear whole or not at all.

Zarr and xarray are imported where a store is opened: who only looks whether a run works does without them.
"""

import glob
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np

from engine.late_arrays import look_late
from engine.storage import object_store as objects
from engine.storage.paths import OutPath, children, read_file, zarr_store
from engine.storage.system import replace, swap, sync

if TYPE_CHECKING:
    import xarray as xr
    import zarr

    from engine.grid.grid import Grid

ROOT = "zarr.json"
"""File of a store that readers know it by."""


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
    """One variable of a store, for reading and writing whole chunks without building an xarray dataset."""
    return _opened(path / name, mode, read_file(path / name / ROOT))


@lru_cache(maxsize=128)
def _opened(path: OutPath, mode: Literal["r", "r+"], head: bytes) -> "zarr.Array[Any]":
    """An array whose metadata are these: each block asks for two dozen, and Zarr takes half a millisecond for each."""
    import zarr

    return zarr.open_array(zarr_store(path), mode=mode, zarr_format=3)


@contextmanager
def _string_coordinates() -> Iterator[None]:
    """Depth labels are fixed-length strings, which Zarr warns is not yet in the specification of version 3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(does not have a Zarr V3 specification|FixedLengthUTF32).*")
        yield


def chunk_names(layers: Mapping[str, Layer], coords: Mapping[str, Any], index: tuple[int, int]) -> list[str]:
    """Files below the store that hold one block of the grid, of every layer and leading position."""
    names = []
    for name, layer in layers.items():
        sizes = [len(coords[d][1]) for d in layer.leading]
        names += ["/".join([name, "c", *map(str, (*lead, *index))]) for lead in np.ndindex(*sizes)]
    return names


@contextmanager
def staged(path: OutPath, head: str = ROOT) -> Iterator[Path]:
    """A place to build a file or folder that takes the name `path` only once it is whole and on disk.

    On an error what was built is removed and what stood at `path` before is left as it was. The place is a new one
    each time, since tasks of a run that has failed may still write to theirs; what they leave there is removed by the
    next run. For an object store it is a temporary folder.

    Parameters
    ----------
    head : str
        Of a folder: the file in it that readers know it by.
    """
    if not isinstance(path, Path):
        with TemporaryDirectory(prefix="gelisol-") as folder:
            yield Path(folder, path.name)
            objects.upload(Path(folder, path.name), path, head)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.partial"):
        remove(left)
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield stage
        sync_tree(stage)
        publish(stage, path)
    finally:
        remove(stage)


def write_file(path: OutPath, content: bytes) -> None:
    """Write a small file that is there whole or not at all, and on disk when this returns."""
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        stage.write_bytes(content)
        sync(stage)
        replace(stage, path)
    finally:
        stage.unlink(missing_ok=True)
    sync(path.parent)


def unfinished(path: OutPath, key: str) -> OutPath:
    """Where a folder is built that takes the name `path` once it is whole, and where a rerun finds what there is.

    Parameters
    ----------
    key : str
        Of all that the content depends on.
    """
    return path.with_name(f".{path.name}.{key}.partial")


def resume(path: OutPath, key: str) -> OutPath:
    """The place of `unfinished`, after what was built for other keys has been removed."""
    if isinstance(path, Path):
        recover(path)
    stage = unfinished(path, key)
    for other in all_unfinished(path.parent, path.name):
        if other != stage:
            remove(other)
    return stage


def all_unfinished(folder: OutPath, name: str = "") -> list[OutPath]:
    """What is being built in a folder, or was when a run ended, of all names or of one."""
    start = f".{name}." if name else "."
    return [path for path in children(folder) if path.name.startswith(start) and path.suffix == ".partial"]


def recover(path: Path) -> None:
    """Give back its name to a folder that was moved aside when the machine went down."""
    previous = _previous(path)
    if previous.exists() and not path.exists():
        replace(previous, path)
    remove(previous)


def publish(stage: OutPath, path: OutPath, head: str = ROOT) -> None:
    """Give a finished file or folder its name; a folder that has it already gives way in the same instant.

    Where the file system cannot swap two names, the old folder is moved aside first, and `recover` knows of it. An
    object store has no names to swap: see `objects`. `head` is as for `staged`.
    """
    if not (isinstance(stage, Path) and isinstance(path, Path)):
        assert not (isinstance(stage, Path) or isinstance(path, Path))
        objects.move(stage, path, head)
        return
    if path.is_dir():
        if swap(stage, path):
            remove(stage)
        else:
            previous = _previous(path)
            remove(previous)
            replace(path, previous)
            replace(stage, path)
            remove(previous)
    else:
        replace(stage, path)
    sync(path.parent)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def sync_tree(path: OutPath) -> None:
    """`sync` a file, or a folder with all in it; an object store has them for good when a write returns."""
    if not isinstance(path, Path):
        return
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                sync(Path(folder, name))
            sync(Path(folder))
    else:
        sync(path)


def remove(path: OutPath) -> None:
    """Delete a file or folder if it is there."""
    if not isinstance(path, Path):
        objects.delete(path)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
