"""Opening of sources from entries of the run file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from engine.errors import Finding, InputError, Where
from engine.registry import OWN
from engine.remote.files import place_of
from engine.sources.base import Context, Source
from engine.sources.composite import ExpressionSource, LayeredSource, layers_of, terms_of
from engine.sources.entry import KINDS, FormulaSpec
from engine.sources.files import find
from engine.sources.kinds import FileSpec, LayersSpec, RegisteredSpec
from engine.sources.netcdf import NETCDF_SUFFIXES, NetcdfSource, holds_arrays, refuse_references
from engine.sources.raster import open_rasters
from engine.sources.registered import SOURCES
from engine.sources.spec import SourceSpec
from engine.sources.stac import open_stac
from engine.sources.vector import VectorSource

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".parq")
_RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")
"""What is never NetCDF, and not looked at."""
_KEYS = {kind: key for key, kind in KINDS.items()}
"""Kind of entry → the key that tells it, under which its opener is registered."""


def open_source(name: str, spec: SourceSpec, base: Path, context: Context | None = None) -> Source:
    """Open a covariate without reading its values.

    Parameters
    ----------
    name : str
        Covariate name, for messages.
    spec : SourceSpec
        Its entry in the run file.
    base : Path
        Folder that relative paths start from.
    context : Context, optional
        The run around it.

    Raises
    ------
    InputError
        With every problem of this source.
    """
    kind = spec.source if isinstance(spec, RegisteredSpec) else _KEYS[type(spec)]
    return SOURCES.find(kind, f"covariates.{name}")(name, spec, base, context or Context())


@SOURCES.register("expression", by=OWN)
def _open_formula(name: str, spec: FormulaSpec, base: Path, context: Context) -> Source:
    inner = replace(context, others={**context.others, **spec.own_terms})
    terms = terms_of(name, spec, context.others)
    return ExpressionSource(name, spec, _open_each(name, terms, base, inner))


@SOURCES.register("layers", by=OWN)
def _open_layers(name: str, spec: LayersSpec, base: Path, context: Context) -> Source:
    entries, weights = layers_of(name, spec)
    return LayeredSource(name, spec, _open_each(name, entries, base, context), weights)


SOURCES.register("stac", open_stac, by=OWN)


@SOURCES.register("href", by=OWN)
def _open_files(name: str, spec: FileSpec, base: Path, context: Context) -> Source:
    """Open polygons, arrays or rasters, by the suffix of the first file, or by its content."""
    del context
    suffix = place_of(spec.hrefs[0], base).suffix.lower()
    if suffix in NETCDF_SUFFIXES:
        return NetcdfSource.open(name, spec, base)
    refuse_references(Where(f"covariates.{name}.href"), place_of(spec.hrefs[0], base))
    if spec.attribute and suffix in _RASTER_SUFFIXES:
        raise InputError(
            Finding(
                f"names a column of polygons, but {place_of(spec.hrefs[0], base).name} is a "
                "raster, whose values are the codes; leave `attribute` out",
                f"covariates.{name}.attribute",
            )
        )
    if suffix in VECTOR_SUFFIXES or spec.attribute:
        return VectorSource.open(name, spec, base)
    if suffix not in _RASTER_SUFFIXES and holds_arrays(next(iter(find(name, spec, base))), spec.variable):
        return NetcdfSource.open(name, spec, base)
    return open_rasters(name, spec, base)


def _open_each(name: str, entries: Mapping[str, SourceSpec], base: Path, context: Context) -> dict[str, Source]:
    """Open the parts of a source, named after it in messages; all problems are reported at once."""
    parts, problems = {}, []
    for part, spec in entries.items():
        try:
            parts[part] = open_source(f"{name}.{part}", spec, base, context)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return parts
