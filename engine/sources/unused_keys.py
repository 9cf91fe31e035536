"""Keys of an entry that its kind of source does not use: those that would change values are problems, others notes."""

from engine.errors import Finding
from engine.sources.base import Source
from engine.sources.composite import ExpressionSource
from engine.sources.netcdf import NetcdfSource
from engine.sources.raster import Patchwork, RasterSource
from engine.sources.resampling import Resampling
from engine.sources.spec import SourceSpec
from engine.sources.vector import VectorSource

_DECODING = ("scale", "offset", "nodata", "valid_range")
_CHOICE = ("variable", "band")
_TIME = ("months", "reduce", "baseline")
_POLYGONS = ("attribute", "layer")
_PLACE = ("coordinates", "grids")


def misplaced(source: Source, key: str) -> list[Finding]:
    """Problems and notes on keys of an entry, and of the terms that a formula has of its own.

    Parameters
    ----------
    key : str
        Of the entry in the run file.
    """
    wrong, idle, kind = _unused(source)
    found = [Finding(f"does not apply to {kind}; leave it out", f"{key}.{name}") for name in wrong]
    found += [Finding.note(f"`{name}` does not apply to {kind} and changes nothing").of(key) for name in idle]
    for term, part in source.parts.items() if isinstance(source, ExpressionSource) else ():
        if term in (source.spec.of or {}):
            more = misplaced(part, f"{key}.of.{term}")
            found += more
    return found


def _unused(source: Source) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Keys that change nothing of a source: those that are meant to change values; others; what it is, in words."""
    spec = source.spec
    wrong: tuple[str, ...]
    idle: tuple[str, ...]
    match source:
        case VectorSource():
            kind, wrong, idle = "polygons", (*_DECODING, *_CHOICE, *_TIME), ("period", *_PLACE, "units", "expected")
            if spec.resampling is not Resampling.MODE:
                idle = (*idle, "resampling")
        case ExpressionSource():
            kind = "a formula, which is computed from its terms"
            wrong = (*_DECODING, *_CHOICE, *_TIME, *_POLYGONS, "resampling")
            idle = ("period", "crs", *_PLACE)
        case NetcdfSource():
            kind, wrong, idle = "arrays (NetCDF, Zarr)", _POLYGONS, ("grids",)
        case RasterSource() | Patchwork():
            kind, wrong, idle = "rasters", (*_POLYGONS, "coordinates"), ()
        case _:
            kind, wrong, idle = "soil layers", (), ()
    given = spec.model_fields_set
    return _given(spec, wrong, given), _given(spec, idle, given), kind


def _given(spec: SourceSpec, keys: tuple[str, ...], given: set[str]) -> tuple[str, ...]:
    """Those that the entry sets to something else than what they are without."""
    default = {name: info.default for name, info in SourceSpec.model_fields.items()}
    return tuple(key for key in keys if key in given and getattr(spec, key) not in (default[key], None))
