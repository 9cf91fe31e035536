"""Keys of an entry that what its files hold does not use; those of another kind of source the entry itself refuses."""

from engine.errors import Finding
from engine.sources.base import Source
from engine.sources.composite import ExpressionSource
from engine.sources.entry import DEFAULTS
from engine.sources.netcdf import NetcdfSource
from engine.sources.raster import Patchwork, RasterSource
from engine.sources.resampling import Resampling
from engine.sources.vector import VectorSource

_OF_POLYGONS = ("attribute", "layer")
_OF_PIXELS = (
    "scale", "offset", "nodata", "valid_range", "variable", "band", "months", "reduce", "baseline", "period",
    "coordinates", "grids", "units", "expected",
)  # fmt: skip


def misplaced(source: Source, key: str) -> list[Finding]:
    """List problems with keys of an entry, and of the terms that a formula has of its own.

    Parameters
    ----------
    key : str
        Of the entry in the run file.
    """
    wrong, kind = _unused(source)
    given = [name for name in wrong if _given(source, name)]
    found = [Finding(f"does not apply to {kind}; leave it out", f"{key}.{name}") for name in given]
    if isinstance(source, ExpressionSource):
        for term, part in source.parts.items():
            found += misplaced(part, f"{key}.of.{term}") if term in source.spec.own_terms else []
    return found


def _unused(source: Source) -> tuple[tuple[str, ...], str]:
    """Return keys without effect on a source, and a description of the source."""
    match source:
        case VectorSource():
            idle = () if source.spec.resampling is Resampling.MODE else ("resampling",)
            return (*_OF_PIXELS, *idle), "polygons"
        case NetcdfSource():
            return (*_OF_POLYGONS, "grids"), "arrays (NetCDF, Zarr)"
        case RasterSource() | Patchwork():
            return (*_OF_POLYGONS, "coordinates"), "rasters"
        case _:
            return (), ""


def _given(source: Source, key: str) -> bool:
    """Return whether the entry sets a key to another value than its default."""
    return getattr(source.spec, key, None) not in (DEFAULTS[key], None)
