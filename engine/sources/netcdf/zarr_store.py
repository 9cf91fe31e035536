"""Zarr stores, with their arrays' missing values declared as in NetCDF files."""

import base64
import math
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import ZarrStore

from engine.sources.declared import ZARR_FORMAT

_STORE_OPTIONS = ("storage_options", "group")


def open_zarr(store: Path | str, **options: Any) -> xr.Dataset:
    """Open lazily, with stored values; `_FillValue` of each variable lists all numbers that its array fills with.

    An array has a `fill_value`, which chunks that were never written consist of. In format 2 it means missing, as it
    does to xarray and GDAL. In format 3 it is 0 unless its writer chose another, and means missing if it is another;
    an attribute `_FillValue` always does: a number, or one in base64, as xarray writes it.
    """
    where = {key: options.pop(key) for key in _STORE_OPTIONS if key in options}
    options.pop("engine", None)
    # Consolidated metadata save requests; xarray warns of local stores that have none.
    where["consolidated"] = False if isinstance(store, Path) else None
    opened = ZarrStore.open_group(str(store), mode="r", use_zarr_fill_value_as_mask=True, **where)
    dataset = xr.open_dataset(opened, cache=False, **options)
    version = opened.zarr_group.metadata.zarr_format
    for name, variable in dataset.variables.items():
        array = opened.members[str(name)]
        own = array.attrs.get("_FillValue")
        codes = _codes(own, array.dtype) + _of_array(array.fill_value, version)
        variable.encoding[ZARR_FORMAT] = version
        variable.attrs.pop("_FillValue", None)
        if codes:
            variable.attrs["_FillValue"] = codes
    return dataset


def _codes(own: Any, kind: np.dtype) -> list[Any]:
    """Decode the attribute's codes; text that is not base64 of a float64 is returned as it is."""
    if own is None:
        return []
    if isinstance(own, str) and kind.kind == "f" and len(own) == 12:
        with suppress(ValueError, struct.error):
            return [struct.unpack("<d", base64.b64decode(own, validate=True))[0]]
    return list(own) if isinstance(own, list) else [own]


def _of_array(fill: Any, version: int) -> list[Any]:
    """Return the array's own fill value, if it means missing."""
    if fill is None or np.ndim(fill) or isinstance(fill, str | bytes):
        return []
    value = fill.item() if isinstance(fill, np.generic) else fill
    if isinstance(value, float) and math.isnan(value):
        return [value]
    return [value] if version == 2 or value else []
