"""Files and stores that hold arrays by name, opened lazily: NetCDF 4, classic NetCDF, HDF5 like it, and Zarr."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr
from zarr.errors import ContainsArrayError

from engine.errors import InputError, Where
from engine.late_arrays import look_late
from engine.remote.auth import BY_HOST, Access
from engine.remote.files import Place, Remote, fsspec_options, holds_store, open_remote
from engine.remote.retry import RemoteError, persistently, reason, unsigned
from engine.sources.netcdf.coordinates import planes_of, text_of
from engine.sources.netcdf.file_kind import CLASSIC, HDF5, begin_of
from engine.sources.netcdf.zarr_store import open_zarr
from engine.sources.spec import StoredSpec

_CONSOLIDATE = (
    "A Zarr store behind http(s):// needs consolidated metadata, since web servers list no folders: make them with "
    "`zarr.consolidate_metadata`, or fetch the store"
)
_SHOWN = 12
"""Names that a message lists."""
_PLAIN: dict[str, Any] = {
    "decode_times": False,
    "mask_and_scale": False,
    "decode_coords": False,
}
"""Stored values as they are, none kept."""


look_late()


@contextmanager
def opened(path: Place, access: Access, spec: StoredSpec, where: Where) -> Iterator[xr.Dataset]:
    """Open lazily, the group that `variable` names. NetCDF 4 by h5netcdf, classic files by SciPy, stores by Zarr."""
    is_store = holds_store(path, access)
    what = "Zarr store" if is_store else "NetCDF file"
    try:
        dataset, closing = _dataset(path, access, _group(spec), is_store)
    except FileNotFoundError as error:
        problem = _no_group(path, access, spec, is_store) or f"cannot be opened as a store or file ({reason(error)})"
        raise InputError(where.problem(problem)) from error
    except RemoteError as error:
        raise InputError(where.problem(f"cannot be reached: {reason(error)}")) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = _no_group(path, access, spec, is_store)
        if isinstance(error, ContainsArrayError):
            problem = f"holds no group of arrays with coordinates, but a single array ({error}); write it with its axes"
        problem = problem or f"not a {what} that can be opened ({_objection(path, error)}). Is the file whole?"
        raise InputError(where.problem(problem)) from error
    try:
        yield dataset
    finally:
        for part in closing:
            part.close()


def _objection(path: Place, error: Exception) -> str:
    """Describe why a file cannot be opened; xarray's own message for unknown files is a guide to its engines."""
    if isinstance(path, Path) and path.is_dir():
        return "a folder"
    if "Consider explicitly selecting" in str(error):
        return f"it begins with {begin_of(path)!r}, unlike NetCDF and HDF5" if begin_of(path) else "it is empty"
    return str(error).partition("\n")[0]


def _group(spec: StoredSpec) -> str:
    """Return the group of `variable: Grid/v`; "" at the root."""
    return (spec.variable or "").strip("/").rpartition("/")[0]


def _dataset(path: Place, access: Access, group: str, is_store: bool) -> tuple[xr.Dataset, list[Any]]:
    """Open the dataset of a group with coordinates of the groups around it; also return what to close after use."""
    parts = group.split("/") if group else []
    groups = ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
    source, options, closing = _source(path, access, is_store)
    try:
        datasets = []
        for name in groups:
            datasets.append(_call(path, lambda at=name: _open_group(source, at, options)))
            closing.insert(0, datasets[-1])
    except BaseException:
        for part in closing:
            part.close()
        raise
    inner, *outer = datasets
    for dataset in outer:
        fitting = {
            name: variable for name, variable in dataset.variables.items()
            if name not in inner.variables and name not in inner.sizes
            and all(inner.sizes.get(d) == size for d, size in variable.sizes.items() if d in inner.sizes)
            and (variable.ndim < 2 or set(variable.dims) & set(inner.sizes))
        }  # fmt: skip
        fitting |= {
            name: variable for name, variable in dataset.variables.items()
            if name in inner.sizes and name not in inner.variables and variable.dims == (name,)
            and inner.sizes[name] == variable.sizes[name]
        }  # fmt: skip
        inner = inner.assign(fitting)
    return inner, closing


def _source(path: Place, access: Access, is_store: bool) -> tuple[Any, dict[str, Any], list[Any]]:
    """Return what xarray opens, with which options, and the open file behind it."""
    if is_store:
        options: dict[str, Any] = {"engine": "zarr", **_PLAIN}
        if isinstance(path, Path):
            return path, options, []
        return path.url, {**options, "storage_options": fsspec_options(path.url, access)}, []
    if isinstance(path, Remote):
        file = persistently(lambda: open_remote(path, access), unsigned(path.url))
        try:
            begin = persistently(lambda: _start(file), unsigned(path.url))
        except BaseException:
            file.close()
            raise
        return file, {"cache": False, **_engine(begin), **_PLAIN}, [file]
    return path, {"cache": False, **_engine(begin_of(path)), **_PLAIN}, []


def _start(file: Any) -> bytes:
    file.seek(0)
    begin = bytes(file.read(8))
    file.seek(0)
    return begin


def _engine(begin: bytes) -> dict[str, str]:
    """Choose xarray's engine by the file's first bytes: by name, netCDF4 would fill up a cut-off file."""
    return {"engine": "h5netcdf"} if begin == HDF5 else {"engine": "scipy"} if begin.startswith(CLASSIC) else {}


def _open_group(source: Any, group: str, options: dict[str, Any]) -> xr.Dataset:
    options = {**options, "group": group} if group else options
    return open_zarr(source, **options) if options.get("engine") == "zarr" else xr.open_dataset(source, **options)


def _call(path: Place, action: Any) -> xr.Dataset:
    return action() if isinstance(path, Path) else persistently(action, unsigned(path.url))


def _no_group(path: Place, access: Access, spec: StoredSpec, is_store: bool) -> str:
    """Describe that the group of `variable` is absent and which exist; "" if the error is another."""
    if not _group(spec):
        return ""
    held = _held(path, access, is_store)
    return f"has no variable {spec.variable!r}; it holds {_few(held)}" if held else ""


def _held(path: Place, access: Access, is_store: bool) -> list[str]:
    """Return every variable on a plane of every group, under the name that `variable` takes."""
    source, options, closing = _source(path, access, is_store)
    try:
        groups = xr.open_groups(source, **options)
        closing[:0] = groups.values()
        return [f"{group.strip('/')}/{name}".strip("/") for group, dataset in groups.items()
                for name in _gridded(dataset)]  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
    finally:
        for part in closing:
            part.close()


def _gridded(dataset: xr.Dataset) -> list[str]:
    """Return the variables that can be maps, without edges and positions of cells."""
    helpers = {name for v in dataset.variables.values() for key in ("bounds", "climatology", "coordinates")
               for name in text_of(v.attrs.get(key)).split()}  # fmt: skip
    return [
        str(name) for name in dataset.data_vars
        if dataset[name].ndim >= 2 and name not in helpers and name not in planes_of(dataset, map(str, dataset.dims))
    ]  # fmt: skip


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def variable_of(
    dataset: xr.Dataset, spec: StoredSpec, where: Where, path: Place | None = None, access: Access = BY_HOST
) -> xr.DataArray:
    """Return the variable that an entry names, or the only one on a plane.

    Raises
    ------
    InputError
        If there is no such variable, naming those that there are, or it is not clear which is meant.
    """
    bare = (spec.variable or "").strip("/").rpartition("/")[2] or None
    if bare in dataset.data_vars:
        return dataset[bare]
    gridded = _gridded(dataset)
    name = bare or (gridded[0] if len(gridded) == 1 else None)
    if name is not None and bare is None:
        return dataset[name]
    inner = []
    if path is not None and not _group(spec):
        inner = [held for held in _held(path, access, holds_store(path, access)) if "/" in held]
    if inner:
        groups = ", ".join(dict.fromkeys(held.rpartition("/")[0] for held in inner))
        fitting = [held for held in inner if held.rpartition("/")[2] == bare] or inner
        held = f" (it holds {_few([*gridded, *inner])})" if len(inner) + len(gridded) > 1 else ""
        raise InputError(where.problem(f"holds groups ({groups}); write `variable: {fitting[0]}`{held}"))
    if not dataset.variables:
        raise InputError(where.problem(f"holds no array. {_CONSOLIDATE}"))
    if name is None:
        raise InputError(where.problem(f"holds {', '.join(gridded)}; say which with `variable`"))
    raise InputError(
        where.problem(f"has no variable {spec.variable!r}; it holds {_few(list(map(str, dataset.data_vars)))}")
    )
