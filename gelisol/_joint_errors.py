"""The joint model of the errors for covariates and points of one's own: the command line's, on a plane that fits."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer

from engine.ensemble.trained import Ensemble
from engine.grid.grid import centres, crs_of
from engine.mapping.joint_cells import OF_CELL
from engine.uncertainty.asked import NONE, Asked
from engine.uncertainty.core_intervals import fewest_sites
from engine.uncertainty.error_model import FEWEST_SITES, ErrorModel
from engine.uncertainty.new_observations import Located
from pipelines.runfile.model_section import Model
from pipelines.soil_carbon.model.joint_errors import fit_at

_DEGREES = "EPSG:4326"
_QUARTER = 10_000_000
"""Distance in metres from the middle of a grid in degrees beyond which no plane shows distances: to the horizon."""
_NO_INTERVAL = "the map has no cell_mean, cell_lower and cell_upper, the interval of a cell's own mean"


@dataclass(frozen=True, eq=False)
class JointErrors:
    """Joint model of the errors of a map, and where its sites and cells are.

    Attributes
    ----------
    model : ErrorModel
        Fitted to the points that train the ensemble.
    plane : str
        CRS of the plane that distances are measured on, as WKT.
    zones : str or None
        Category whose classes are the model's zones.
    asked : Asked
        Layers beside those of every map.
    local : bool
        Whether the interval of a new measurement comes from the model; else it is jackknife+'s.
    """

    model: ErrorModel
    plane: str
    zones: str | None = None
    asked: Asked = NONE
    local: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers of a cell's own mean."""
        return (*OF_CELL, *self.asked.names)

    @property
    def key(self) -> str:
        """All that numbers depend on."""
        return repr((self.model.digest, self.plane, self.zones, self.asked, self.local))

    def places(self, geobox: GeoBox, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates on the plane of the centres of a grid's cells; infinite beyond it."""
        x, y = centres(geobox, rows, cols)
        crs, plane = crs_of(geobox).proj, CRS.from_wkt(self.plane)
        if not crs.equals(plane):
            x, y = Transformer.from_crs(crs, plane, always_xy=True).transform(x, y)
        return np.asarray(x), np.asarray(y)


def fit_joint_errors(
    ensemble: Ensemble,
    training: pd.DataFrame,
    lon: np.ndarray,
    lat: np.ndarray,
    geobox: GeoBox,
    settings: Model,
    zones: str | None = None,
    zone_names: Sequence[str] = (),
) -> JointErrors | None:
    """Fit the joint model of the errors; warn, and return None, where it cannot be.

    Parameters
    ----------
    training : DataFrame
        A row per point that trained the ensemble: covariates, and `zone`.
    lon, lat : ndarray, shape (points,)
        Where they are, in degrees.
    geobox : GeoBox
        Grid of the map.
    settings : Model
        As in a run file.
    zones : str, optional
        Category whose classes share errors.
    zone_names : sequence of str
        Those classes.
    """
    plane = _plane(geobox)
    if plane is None:
        warnings.warn(f"the grid is in degrees and spans more than half of the Earth, so that no plane shows its "
                      f"distances: {_NO_INTERVAL}; put it on a grid in metres", stacklevel=4)  # fmt: skip
        return None
    x, y = Transformer.from_crs(_DEGREES, plane, always_xy=True).transform(lon, lat)
    codes = {name: code for code, name in enumerate(zone_names, start=1)}
    zone = np.array([codes.get(name, 0) for name in training["zone"]])
    at = Located(np.asarray(x), np.asarray(y), zone, len(zone_names), _extent(geobox, plane))
    model = fit_at(ensemble, training, at, settings.seed)
    if model is None:
        warnings.warn(f"fewer than {FEWEST_SITES} points with residuals that differ, or all points in one place: "
                      f"{_NO_INTERVAL}", stacklevel=4)  # fmt: skip
        return None
    fewest = fewest_sites(settings.interval)
    if settings.local_intervals and (np.isfinite(model.residual).sum(axis=0) < fewest).any():
        warnings.warn(f"an interval of {100 * settings.interval:g} % takes {fewest} points: pi_lower and pi_upper are "
                      "open; lower `interval`", stacklevel=4)  # fmt: skip
    return JointErrors(model, plane.to_wkt(), zones, settings.asked, settings.local_intervals)


def _plane(geobox: GeoBox) -> CRS | None:
    """Return the grid's own CRS, or for one in degrees the equal-area plane around its middle; None if it is too wide.

    Returns
    -------
    CRS or None
    """
    crs = crs_of(geobox)
    if crs.projected:
        return crs.proj
    outline = geobox.extent.to_crs(_DEGREES).boundingbox
    lon, lat = (outline.left + outline.right) / 2, (outline.bottom + outline.top) / 2
    edge = np.linspace(outline.bottom, outline.top, 19)
    same = np.ones_like(edge)
    away = Geod(ellps="WGS84").inv(lon * same, lat * same, outline.left * same, edge)[2]
    if outline.span_x > 180 or np.max(away) > _QUARTER:
        return None
    return CRS.from_user_input(f"+proj=laea +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m")


def _extent(geobox: GeoBox, plane: CRS) -> float:
    """Return the longer side of a grid on a plane."""
    if crs_of(geobox).projected:
        box = geobox.boundingbox
        return float(max(box.span_x, box.span_y))
    corners = geobox.extent.to_crs(_DEGREES).boundingbox.bbox
    left, bottom, right, top = Transformer.from_crs(_DEGREES, plane, always_xy=True).transform_bounds(*corners)
    return float(max(right - left, top - bottom))
