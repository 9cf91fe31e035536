"""Covariate sources: each opened lazily from where it lives, read window by window in its own grid."""

from pathlib import Path

from engine.sources.base import MISSING_CLASS, Source, SourceSummary
from engine.sources.netcdf import NetcdfSource
from engine.sources.raster import RasterSource
from engine.sources.spec import SourceSpec
from engine.sources.vector import VectorSource

NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")
VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet")

__all__ = ["MISSING_CLASS", "Source", "SourceSpec", "SourceSummary", "open_source"]


def open_source(name: str, spec: SourceSpec, base: Path) -> Source:
    """Open a covariate without reading its values.

    Parameters
    ----------
    name : str
        Covariate name, for messages.
    spec : SourceSpec
        Its entry in the run file.
    base : Path
        Folder that relative paths start from.

    Raises
    ------
    InputError
        With every problem of this source.
    """
    first = spec.href if isinstance(spec.href, str) else spec.href[0]
    suffix = Path(first).suffix.lower()
    if suffix in NETCDF_SUFFIXES:
        return NetcdfSource.open(name, spec, base)
    if suffix in VECTOR_SUFFIXES or spec.attribute:
        return VectorSource.open(name, spec, base)
    return RasterSource.open(name, spec, base)
