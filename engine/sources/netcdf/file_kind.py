"""Kinds of files with named arrays, by their names, first bytes and the dimensions of HDF5."""

import re
from pathlib import Path

from engine.errors import InputError, Where
from engine.remote.auth import BY_HOST
from engine.remote.files import ZARR_SUFFIX, Place, holds_store, open_remote

NETCDF_SUFFIXES = (".nc", ".nc4", ".nc3", ".cdf", ".netcdf", ZARR_SUFFIX)
CLASSIC, HDF5 = (b"CDF\x01", b"CDF\x02", b"CDF\x05"), b"\x89HDF\r\n\x1a\n"
"""How NetCDF files begin."""
_REFERENCES = re.compile(rb'\s*\{\s*"(version"\s*:\s*\d+\s*,\s*"(refs|templates|gen)|refs|templates|\.zgroup|\.zattrs|'
                         rb'\.zmetadata)"')  # fmt: skip


def holds_arrays(place: Place, variable: str | None) -> bool:
    """Return whether a file is NetCDF or Zarr by its name or, if its name does not show it, by its content."""
    suffix = place.suffix.lower()
    if suffix in NETCDF_SUFFIXES:
        return True
    if holds_store(place):
        return True
    begin = begin_of(place)
    return begin.startswith(CLASSIC) or (begin == HDF5 and _has_axes(place, variable))


def refuse_references(where: Where, place: Place) -> None:
    """Refuse what only points to the chunks of other files, as kerchunk and VirtualiZarr write it."""
    if isinstance(place, Path) and place.is_dir():
        metadata = place / ".zmetadata"
        found = metadata.is_file() and b'"record_size"' in metadata.read_bytes()
    else:
        found = place.suffix.lower() == ".json" and bool(_REFERENCES.match(begin_of(place, 512)))
    if found:
        raise InputError(
            where.problem(
                f"{place} holds references to chunks of other files (kerchunk), which are not followed; name "
                "those files with `href`, or write them to a Zarr store (xarray opens them with engine='kerchunk')"
            )
        )


def begin_of(place: Place, n: int = 8) -> bytes:
    """Return the first bytes of a file; empty for a folder or an unreadable file, whose error comes with opening it."""
    try:
        if isinstance(place, Path):
            with place.open("rb") as file:
                return file.read(n)
        with open_remote(place, BY_HOST, block=max(n, 4096)) as file:
            return bytes(file.read(n))
    except (OSError, ValueError):
        return b""


def _has_axes(place: Place, variable: str | None) -> bool:
    """Return whether an HDF5 file has NetCDF's dimensions for a variable; GDAL reads HDF-EOS's own."""
    import h5py

    def has(file: h5py.File) -> bool:
        plain = (variable or "").strip("/")
        if "HDFEOS INFORMATION" in file and plain not in file:
            return False
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if "DIMENSION_LIST" in item.attrs else None)
        return bool(found)

    try:
        if isinstance(place, Path):
            with h5py.File(place) as file:
                return has(file)
        with open_remote(place, BY_HOST) as remote, h5py.File(remote) as file:
            return has(file)
    except (OSError, ValueError):
        return False
