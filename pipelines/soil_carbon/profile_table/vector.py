"""Vector files: attributes and points, in the CRS that the file declares."""

import io
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from engine.errors import InputError
from pipelines.soil_carbon.profile_table.names import RawTable, tidy

GEOMETRY = "geometry"
"""Column of the points."""


def read_vector(path: Path, opened: str, layer: str | None, encoding: str | None) -> RawTable:
    """Read a GeoPackage, GeoJSON or shapefile.

    Parameters
    ----------
    path : Path
        For messages.
    opened : str
        What GDAL opens.
    layer : str, optional
        Default: the only one.
    encoding : str, optional
        Of a shapefile's text; default: what it declares.

    Returns
    -------
    RawTable

    Raises
    ------
    InputError
        The file cannot be read, has several layers, or holds other geometries than points.
    """
    try:
        layers = [str(name) for name in pyogrio.list_layers(opened)[:, 0]]
        if layer is not None and layer not in layers:
            raise InputError(f"{path}: has no layer {layer!r}; it has: {', '.join(layers)}.")
        if layer is None and len(layers) > 1:
            raise InputError(f"{path}: has several layers ({', '.join(layers)}); say which: `sheet: {layers[0]}`.")
        points = gpd.read_file(opened, layer=layer or layers[0], **({"encoding": encoding} if encoding else {}))
    except (DataSourceError, DataLayerError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a vector file ({error}).") from None
    return _raw(path, points)


def read_geoparquet(path: Path, content: bytes) -> RawTable:
    """Read a GeoParquet file, as `read_vector`."""
    return _raw(path, gpd.read_parquet(io.BytesIO(content)))


def _raw(path: Path, points: pd.DataFrame) -> RawTable:
    points = points.set_axis(range(1, len(points) + 1), axis=0)
    if not isinstance(points, gpd.GeoDataFrame):
        header = tuple(tidy(name) for name in points.columns)
        return RawTable(path, header, points.set_axis(range(points.shape[1]), axis=1), "row")
    geometry = points.geometry
    present = geometry[geometry.notna() & ~geometry.is_empty]
    single = present.explode(index_parts=False)
    if len(single) == len(present):  # a collection of one point is a point
        present = single
    if others := [(row, kind) for row, kind in present.geom_type.items() if kind != "Point"]:
        row, kind = others[0]
        raise InputError(
            f"{path}, row {row}: geometry is {kind}; expected Point ({len(others)} of {len(present)} are not "
            "points). Take "
            "e.g. centroids, if they stand for the sites."
        )
    attributes = pd.DataFrame(points.drop(columns=geometry.name))
    header = (*(tidy(name) for name in attributes.columns), GEOMETRY)
    frame = attributes.set_axis(range(attributes.shape[1]), axis=1)
    frame[len(header) - 1] = pd.Series(list(present), index=present.index, dtype=object).reindex(points.index)
    return RawTable(path, header, frame, "row", crs=None if points.crs is None else points.crs.to_wkt())
