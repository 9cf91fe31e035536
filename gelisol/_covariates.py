"""Covariates of a user's Dataset: on which grid, which of them are classes, and their values as the cube holds them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.geo.xr
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import Geod

from engine.cube.build import DOMAIN, is_known
from engine.cube.sampling import cell_of, random_places
from engine.grid.chunking import best_chunk
from engine.sources.base import MISSING_CLASS
from engine.sources.variable import Variable
from gelisol._arguments import ArgumentError, described
from gelisol._predict import require_on_grid

if TYPE_CHECKING:
    from distributed import Client

_MOST_CLASSES = 254
_UNEVEN = 0.01
"""How far from their mean, as a share of it, steps between cells may be."""


@dataclass(frozen=True)
class Covariates:
    """Covariates on a grid, lazily.

    Attributes
    ----------
    dataset : Dataset
        Chunked, all variables alike; with `domain` where the user's has it.
    dims : (str, str)
        Its dimensions, by whatever names: that of rows, that of columns.
    geobox : GeoBox
        The grid.
    specs : mapping
        Covariate → its units, label, group and classes.
    flags : mapping
        Category → stored codes in the order of its classes.
    """

    dataset: xr.Dataset
    dims: tuple[str, str]
    geobox: GeoBox
    specs: Mapping[str, Variable]
    flags: Mapping[str, tuple[float, ...]]

    @property
    def area_km2(self) -> float:
        """Area of the grid."""
        if self.geobox.crs is not None and self.geobox.crs.projected:
            height, width = self.geobox.shape.yx
            return float(abs(self.geobox.affine.determinant)) * height * width / 1e6
        return abs(Geod(ellps="WGS84").geometry_area_perimeter(self.geobox.extent.geom)[0]) / 1e6

    def at(self, lon: np.ndarray, lat: np.ndarray, client: "Client | None") -> pd.DataFrame:
        """Read the cells that hold points, as `engine.cube.sampling.sample` does of a cube; and `domain`."""
        require_on_grid(self.geobox, lon, lat)
        rows, cols, on_grid = cell_of(self.geobox, lon, lat)
        y, x = self.dims
        picked = self.dataset.isel({y: xr.DataArray(rows, dims="point"), x: xr.DataArray(cols, dims="point")})
        picked = picked.compute(scheduler=client)
        columns = {name: as_in_cube(picked[name].values, self.flags.get(name)) for name in self.specs}
        inside = picked[DOMAIN].values if DOMAIN in picked else np.ones(len(rows))
        columns[DOMAIN] = (inside > 0).astype("uint8")
        for values in columns.values():
            values[~on_grid] = np.nan if values.dtype.kind == "f" else MISSING_CLASS
        return pd.DataFrame(columns)

    def cells(self, client: "Client | None", n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw centres of cells of the domain; without a domain, of cells with every covariate."""
        inside = self._inside()
        rows = _Rows(inside, client)
        return random_places(rows, self.geobox, inside.chunks[0][0], n, rng)

    def _inside(self) -> Any:
        """Return where cells are in the domain, as a Dask array of uint8, dims (y, x)."""
        if DOMAIN in self.dataset:
            return (self.dataset[DOMAIN] > 0).data.astype("uint8")
        known = [
            self.dataset[name].data.map_blocks(_is_known, self.flags.get(name), dtype="bool") for name in self.specs
        ]
        inside = known[0]
        for other in known[1:]:
            inside = inside & other
        return inside.astype("uint8")


@dataclass(frozen=True)
class _Rows:
    """Rows of a Dask array, read on a cluster."""

    values: Any
    client: "Client | None"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        shape: tuple[int, ...] = self.values.shape
        return shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.asarray(self.values[rows].compute(scheduler=self.client))


def as_in_cube(values: np.ndarray, flags: tuple[float, ...] | None) -> np.ndarray:
    """Return values as a cube holds them: float32 with NaN, or class numbers from 1, uint8 with 0."""
    if flags is None:
        with np.errstate(over="ignore"):
            return np.array(values, "float32")
    codes = np.zeros(np.shape(values), "uint8")
    for code, flag in enumerate(flags, start=1):
        codes[values == flag] = code
    return codes


def _is_known(values: np.ndarray, flags: tuple[float, ...] | None) -> np.ndarray:
    return is_known(as_in_cube(values, flags))


def read_covariates(dataset: Any, argument: str = "dataset", only: tuple[str, ...] | None = None) -> Covariates:
    """Look at a user's Dataset without reading values.

    Parameters
    ----------
    only : tuple of str, optional
        Covariates that are needed; others are left alone.

    Raises
    ------
    ArgumentError
        Says what of it cannot be used, and how to put it right.
    """
    _require_dataset(dataset, argument)
    names = [name for name in dataset.data_vars if dataset[name].ndim]  # a grid mapping has no dimensions
    if only is not None:
        if missing := [name for name in only if name not in names]:
            have = ", ".join(map(str, names))
            raise ArgumentError(
                f"{argument}: has no variable {', '.join(missing)}, which the model uses; it has {have}"
            )
        names = [name for name in names if name in (*only, DOMAIN)]
    if not [name for name in names if name != DOMAIN]:
        raise ArgumentError(f"{argument}: has no variables; expected one covariate a variable")
    dims = _dims(dataset[names], argument)
    geobox = _geobox(dataset[names], dims, argument)
    for name in names:
        _require_layer(dataset[name], dims, f"{argument}[{name!r}]")
    flags = {str(n): f for n in names if n != DOMAIN and (f := _flags(dataset[n], f"{argument}[{n!r}]")) is not None}
    specs = {str(name): _spec(dataset[name], flags.get(str(name))) for name in names if name != DOMAIN}
    chunks = _chunks(dataset[names], dims)
    return Covariates(dataset[names].transpose(*dims).chunk(chunks), dims, geobox, specs, flags)


def _require_dataset(dataset: Any, argument: str) -> None:
    expected = f"{argument}: expected an xarray.Dataset with one covariate a variable"
    if isinstance(dataset, xr.Dataset):
        return
    if isinstance(dataset, xr.DataArray):
        how = "to_dataset('band')" if "band" in dataset.dims else "to_dataset(name='…')"
        raise ArgumentError(f"{expected}; found DataArray. Make one: {argument}.{how}")
    if isinstance(dataset, str | os.PathLike):
        raise ArgumentError(f"{expected}; found {described(dataset)}. Open it first: xarray.open_dataset or open_zarr")
    if isinstance(dataset, pd.DataFrame):
        raise ArgumentError(
            f"{expected}; found {described(dataset)}. The Dataset is the first argument, then the points"
        )
    raise ArgumentError(f"{expected}; found {described(dataset)}")


def _dims(dataset: xr.Dataset, argument: str) -> tuple[str, str]:
    dims = odc.geo.xr.spatial_dims(dataset)
    found = ", ".join(map(str, dataset.sizes))
    if dims is None:
        raise ArgumentError(
            f"{argument}: its dimensions are {found}; expected y and x (or lat and lon). Rename them, e.g. "
            f"{argument}.rename({{'rows': 'y', 'cols': 'x'}})"
        )
    y, x = dims
    return y, x


def _geobox(dataset: xr.Dataset, dims: tuple[str, str], argument: str) -> GeoBox:
    if missing := [dim for dim in dims if dim not in dataset.coords]:
        raise ArgumentError(
            f"{argument}: has no coordinates along {', '.join(missing)}; where its cells are is unknown"
        )
    geobox = dataset.odc.geobox
    if not (isinstance(geobox, GeoBox) and all(_is_even(dataset[dim].values) for dim in dims)):
        raise ArgumentError(
            f"{argument}: its coordinates {' and '.join(dims)} are not evenly spaced; put it on a grid first, e.g. "
            f"with {argument}.odc.reproject"
        )
    declared = dataset.odc.crs if any(c.attrs.get("crs_wkt") or c.attrs.get("spatial_ref") for c in
                                      dataset.coords.values()) else None  # fmt: skip
    if declared is None:
        guess = "EPSG:4326" if dims[0].lower().startswith("lat") else "EPSG:…"
        raise ArgumentError(
            f"{argument}: declares no CRS; if you know it, set it: {argument}.odc.assign_crs('{guess}') or "
            f"{argument}.rio.write_crs('{guess}')"
        )
    return geobox


def _is_even(places: np.ndarray) -> bool:
    """Return whether steps along an axis differ by no more than what is lost by float32 coordinates."""
    steps = np.diff(places.astype("float64"))
    return steps.size == 0 or bool(np.all(np.abs(steps - steps.mean()) <= _UNEVEN * np.abs(steps.mean())))


def _require_layer(layer: xr.DataArray, dims: tuple[str, ...], where: str) -> None:
    if others := [str(dim) for dim in layer.dims if dim not in dims]:
        first = others[0]
        how = (
            f".squeeze({first!r}, drop=True)" if layer.sizes[first] == 1
            else f".to_dataset({first!r})" if first == "band" else f".mean({first!r})"
        )  # fmt: skip
        raise ArgumentError(
            f"{where}: has dimensions {', '.join(map(str, layer.dims))}; expected {', '.join(dims)} only. Take "
            f"{where}{how}"
        )
    if missing := [dim for dim in dims if dim not in layer.dims]:
        raise ArgumentError(f"{where}: does not vary along {', '.join(missing)}; expected {', '.join(dims)}")
    if not isinstance(layer.name, str):
        raise ArgumentError(f"{where}: its name is {described(layer.name)}; expected text")
    if layer.dtype.kind not in "fiub":
        fix = "whole-number codes with the attributes flag_values and flag_meanings, for classes"
        raise ArgumentError(f"{where}: holds {layer.dtype}; expected numbers, or {fix}")


def _flags(layer: xr.DataArray, where: str) -> tuple[float, ...] | None:
    """Return stored codes of a category; None of a number."""
    coded = layer.attrs.get("_FillValue", layer.attrs.get("missing_value"))
    if "flag_values" not in layer.attrs:
        if coded is not None and np.isfinite(coded):
            raise ArgumentError(
                f"{where}: {coded} still stands for missing; open it decoded (xarray: mask_and_scale=True; rioxarray: "
                "masked=True), or take "
                f"{where}.where({where} != {coded})"
            )
        return None
    flags = tuple(float(value) for value in np.atleast_1d(layer.attrs["flag_values"]))
    names = _class_names(layer, flags)
    if len(names) != len(flags) or len(set(names)) != len(names) or len(set(flags)) != len(flags):
        raise ArgumentError(
            f"{where}: has {len(flags)} flag_values and {len(names)} flag_meanings; expected as many, each once"
        )
    if len(flags) > _MOST_CLASSES:
        raise ArgumentError(f"{where}: has {len(flags)} classes; at most {_MOST_CLASSES} can be mapped")
    return flags


def _class_names(layer: xr.DataArray, flags: tuple[float, ...]) -> list[str]:
    meanings = layer.attrs.get("flag_meanings")
    if meanings is None:
        return [f"{flag:g}" for flag in flags]
    return meanings.split() if isinstance(meanings, str) else [str(meaning) for meaning in meanings]


def _spec(layer: xr.DataArray, flags: tuple[float, ...] | None) -> Variable:
    attrs = layer.attrs
    words = {
        "units": str(attrs.get("units", "1")),
        "group": str(attrs.get("group", "other")),
        "label": str(attrs.get("long_name", layer.name)),
    }
    if flags is None:
        return Variable(**words)
    classes = {name: (int(f) if f.is_integer() else str(f),) for name, f in zip(_class_names(layer, flags), flags,
                                                                                strict=True)}  # fmt: skip
    return Variable(classes=classes, **words)


def _chunks(dataset: xr.Dataset, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the blocks of the map: those of the first variable that has chunks, in memory or in its file."""
    for layer in dataset.data_vars.values():
        if layer.chunks is not None:
            return {dim: layer.chunksizes[dim] for dim in dims}
    for layer in dataset.data_vars.values():
        preferred = layer.encoding.get("preferred_chunks") or {}
        if all(dim in preferred for dim in dims):
            return {dim: preferred[dim] for dim in dims}
    height, width = (dataset.sizes[dim] for dim in dims)
    return dict.fromkeys(dims, best_chunk((height, width)))
