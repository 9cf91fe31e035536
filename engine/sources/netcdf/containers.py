"""Files and stores that hold arrays by name, opened lazily: NetCDF 4, classic NetCDF and Zarr."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from engine.errors import InputError
from engine.remote.files import ZARR_SUFFIX, Place, Remote, fsspec_options, open_remote
from engine.remote.patience import RemoteError, persistently, reason, unsigned
from engine.remote.signing import Access
from engine.sources.spec import SourceSpec

NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ZARR_SUFFIX)
_CONSOLIDATE = (
    "A Zarr store behind http(s):// needs consolidated metadata, since web servers list no folders: make them with "
    "`zarr.consolidate_metadata`, or fetch the store"
)
_PLAIN: dict[str, Any] = {
    "decode_times": False,
    "mask_and_scale": False,
    "decode_coords": False,
}
"""Stored values as they are, none kept."""


@contextmanager
def opened(path: Place, access: Access, where: str) -> Iterator[xr.Dataset]:
    """Open lazily. NetCDF 4 by h5netcdf, classic files by SciPy, stores by Zarr."""
    try:
        dataset, file = _dataset(path, access)
    except FileNotFoundError as error:
        raise InputError(f"{where}: is no store or file that can be opened ({reason(error)})") from error
    except RemoteError as error:
        raise InputError(f"{where}: cannot be reached: {reason(error)}") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        what = "Zarr store" if path.suffix == ZARR_SUFFIX else "NetCDF file"
        raise InputError(f"{where}: not a {what} that can be opened ({error}). Is the file whole?") from error
    try:
        yield dataset
    finally:
        dataset.close()
        if file is not None:
            file.close()


def _dataset(path: Place, access: Access) -> tuple[xr.Dataset, Any]:
    """The dataset, and the open file behind it where xarray does not close it itself."""
    if path.suffix == ZARR_SUFFIX:
        if isinstance(path, Path):
            return xr.open_zarr(path, chunks=None, **_PLAIN), None
        options = {"storage_options": fsspec_options(path.url, access), **_PLAIN}
        return persistently(lambda: xr.open_zarr(path.url, chunks=None, **options), unsigned(path.url)), None
    if isinstance(path, Remote):
        file = persistently(lambda: open_remote(path, access), unsigned(path.url))
        try:
            return persistently(lambda: xr.open_dataset(file, cache=False, **_PLAIN), unsigned(path.url)), file
        except BaseException:
            file.close()
            raise
    return xr.open_dataset(path, cache=False, **_PLAIN), None


def variable_of(dataset: xr.Dataset, spec: SourceSpec, where: str) -> xr.DataArray:
    """The variable that an entry names, or the only one on a plane."""
    if not dataset.variables:
        raise InputError(f"{where}: no array is found in it. {_CONSOLIDATE}")
    gridded = [str(v) for v in dataset.data_vars if dataset[v].ndim >= 2]
    name = spec.variable or (gridded[0] if len(gridded) == 1 else None)
    if name is None:
        raise InputError(f"{where}: holds {', '.join(gridded)}; say which with `variable`")
    if name not in dataset.data_vars:
        raise InputError(f"{where}: has no variable {name!r}; it holds {', '.join(map(str, dataset.data_vars))}")
    return dataset[name]
