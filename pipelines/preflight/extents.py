"""Share of the domain, and of the sites, within a source's extent."""

import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

from engine.grid.grid import Grid, crs_of
from engine.sources.base import SourceSummary
from pipelines.soil_carbon.prepared import Coverage

_LATTICE = 64
"""Points on a side at which the domain is looked at."""


def coverage_of(summary: SourceSummary, grid: Grid, sites: pd.DataFrame | None) -> Coverage:
    """Compare a source's extent with the domain and the sites.

    Parameters
    ----------
    sites : DataFrame, optional
        With `lon` and `lat`, degrees.
    """
    left, bottom, right, top = grid.geobox.boundingbox.bbox
    x, y = np.meshgrid(np.linspace(left, right, _LATTICE), np.linspace(bottom, top, _LATTICE))
    within = shapely.contains_xy(grid.outline.geom, x, y)
    to_source = Transformer.from_crs(crs_of(grid.geobox).proj, summary.crs.proj, always_xy=True)
    domain = _share_within(summary, *to_source.transform(x[within], y[within]))
    if sites is None:
        return Coverage(domain, float("nan"))
    degrees = Transformer.from_crs("EPSG:4326", summary.crs.proj, always_xy=True)
    return Coverage(
        domain, _share_within(summary, *degrees.transform(sites["lon"].to_numpy(), sites["lat"].to_numpy()))
    )


def _share_within(summary: SourceSummary, x: np.ndarray, y: np.ndarray) -> float:
    bounds = summary.footprint.boundingbox
    return float(np.mean((x >= bounds.left) & (x <= bounds.right) & (y >= bounds.bottom) & (y <= bounds.top)))
