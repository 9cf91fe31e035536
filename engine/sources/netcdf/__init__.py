"""NetCDF files and Zarr stores: a variable on latitude and longitude (or projected x and y), often a time series."""

from engine.sources.netcdf.file_kind import NETCDF_SUFFIXES, holds_arrays, refuse_references
from engine.sources.netcdf.source import NetcdfSource

__all__ = ["NETCDF_SUFFIXES", "NetcdfSource", "holds_arrays", "refuse_references"]
