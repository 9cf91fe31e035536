"""Small made-up regions of which it is known how much the covariates tell: to try the verdict on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin
from ruamel.yaml import YAML
from scipy.ndimage import gaussian_filter

CRS = "+proj=laea +lat_0=50 +lon_0=120 +datum=WGS84 +units=m"
BOUNDS = (117.0, 48.0, 123.0, 52.0)
CELL = 10_000.0
"""Side of a cell, m."""
SIDE = 60
"""Cells of the rasters in either direction; the bounds lie within them."""
WIDTH = 5.0
"""Of the Gaussian kernel that smooths the covariates, cells."""
CORRELATED = 3.0
"""The same of the part of the noise that is correlated in space."""
COVARIATES = ("a", "b", "c", "d")
MEAN, SD = 5.0, 1.5
"""Of the density of the first depth, kg C/m²."""
PARAMETERS = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.08}
"""Of the model."""


@dataclass(frozen=True)
class TrialRegion:
    """Settings of a trial region.

    Attributes
    ----------
    seed : int
    information : float
        Share of the variance of the density that the covariates explain: 0 for pure noise.
    correlated : float
        Share of the rest that is correlated in space; what is left of it differs from metre to metre.
    sites, clusters : int
        Sites, and the places that they crowd around; 0 for sites at random.
    """

    seed: int
    information: float
    correlated: float = 0.0
    sites: int = 120
    clusters: int = 0


@dataclass(frozen=True)
class Made:
    """A region as it was drawn.

    Attributes
    ----------
    fields : dict
        Covariate → its values, shape (SIDE, SIDE), row 0 in the north.
    sites : DataFrame
        The profile table: `site, lon, lat, socd_0-10, socd_0-30`.
    rows, cols : ndarray of int, shape (sites,)
        Cell of each site.
    observable : ndarray, shape (SIDE, SIDE)
        What a new profile in each cell would find at the first depth, kg C/m².
    inner : slice
        Rows and columns in which sites can be.
    """

    fields: dict[str, np.ndarray]
    sites: pd.DataFrame
    rows: np.ndarray
    cols: np.ndarray
    observable: np.ndarray
    inner: slice


def make_region(region: TrialRegion) -> Made:
    """Draw a region."""
    rng = np.random.default_rng(region.seed)
    fields = {name: _smooth(rng, WIDTH) for name in COVARIATES}
    told = _standard(fields["a"] + np.tanh(1.5 * fields["b"]) + fields["a"] * fields["c"])
    untold = np.sqrt(region.correlated) * _smooth(rng, CORRELATED)
    rows, cols = _places(rng, region)

    def density(told: np.ndarray, untold: np.ndarray) -> np.ndarray:
        noise = untold + np.sqrt(1 - region.correlated) * rng.normal(size=told.shape)
        value = MEAN + SD * (np.sqrt(region.information) * told + np.sqrt(1 - region.information) * noise)
        return np.asarray(np.maximum(value, 0.1))

    first = density(told[rows, cols], untold[rows, cols])
    x, y = (cols + rng.random(region.sites)) * CELL + _LEFT, _TOP - (rows + rng.random(region.sites)) * CELL
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    sites = pd.DataFrame({"site": [f"S{i:03d}" for i in range(region.sites)], "lon": lon, "lat": lat})
    sites["socd_0-10"] = first
    sites["socd_0-30"] = first * (2.2 + 0.2 * rng.normal(size=region.sites).clip(-2, 2))
    inner = slice(_MARGIN, SIDE - _MARGIN)
    return Made(fields, sites.round(4), rows, cols, density(told, untold), inner)


def write_region(folder: Path, region: TrialRegion) -> Path:
    """Write covariates, profile table and run file; returns the run file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = make_region(region)
    for name, values in made.fields.items():
        _write(folder / f"{name}.tif", values)
    made.sites.to_csv(folder / "profiles.csv", index=False)
    document = {
        "name": "trial",
        "synthetic": True,
        "domain": {"bounds": list(BOUNDS), "crs": CRS, "resolution": CELL},
        "covariates": {name: {"href": f"{name}.tif", "group": "made up"} for name in COVARIATES},
        "observations": {"table": "profiles.csv"},
        "depths": [[0, 10], [0, 30]],
        "selection": {"screen": False},
        "model": {
            "families": [{"name": "xgboost", "parameters": PARAMETERS, "grid": {}}],
            "validation": {"folds": 10, "repeats": 3, "schemes": ["random", "knndm"], "coverage": 1},
            "replicates": 20,
            "seed": 1,
        },
        "output": {"dir": "out"},
    }
    with (folder / "run.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="rt", pure=True).dump(document, file)
    return folder / "run.yaml"


_LEFT, _TOP = -SIDE * CELL / 2, SIDE * CELL / 2
_MARGIN = 9
"""Cells between the rasters' edges and the nearest site."""


def _places(rng: np.random.Generator, region: TrialRegion) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each site's cell."""
    low, high = _MARGIN, SIDE - _MARGIN
    if not region.clusters:
        rows, cols = rng.integers(low, high, (2, region.sites))
        return rows, cols
    centres = rng.uniform(low, high, (2, region.clusters))
    around = centres[:, rng.integers(0, region.clusters, region.sites)] + rng.normal(0, 1.0, (2, region.sites))
    rows, cols = np.clip(around, low, high - 1).astype(int)
    return rows, cols


def _smooth(rng: np.random.Generator, width: float) -> np.ndarray:
    return _standard(gaussian_filter(rng.normal(size=(SIDE, SIDE)), width, mode="wrap"))


def _standard(field: np.ndarray) -> np.ndarray:
    """Standardise to mean 0 and SD 1 where sites can be."""
    inner = field[_MARGIN : SIDE - _MARGIN, _MARGIN : SIDE - _MARGIN]
    return np.asarray((field - inner.mean()) / inner.std())


def _write(path: Path, values: np.ndarray) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="float32", crs=CRS,
        transform=from_origin(_LEFT, _TOP, CELL, CELL),
    ) as file:  # fmt: skip
        file.write(values.astype("float32"), 1)
