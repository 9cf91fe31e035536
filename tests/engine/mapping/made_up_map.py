"""A small map of made-up covariates: its cube, an ensemble for it, and its numbers by a plain loop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost
import zarr
from odc.geo.geobox import GeoBox

from engine.cube.build import DOMAIN
from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.grid.grid import Grid
from engine.mapping.blockwise import STATISTICS
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from engine.storage.zarr_store import Layer, create
from engine.validation.applicability import Applicability
from engine.validation.error_profile import ErrorProfile

SHAPE, SITES, REPLICATES = (70, 90), 60, 8
LABELS = ("0-10", "0-30")
COORDS = {"depth": ("depth", np.array(LABELS))}
OF_DENSITY = ("local_point_density", "expected_error")
ATTRS = {name: {} for name in ("", *STATISTICS, "dissimilarity", "applicable", *OF_DENSITY)}
SPECS = {
    "mat": source_spec(href="x.tif"),
    "tn": source_spec(href="x.tif"),
    "vegetation": source_spec(href="x.tif", classes={"forest": (1,), "grassland": (2,), "wetland": (3,)}),
}
FEATURES = Features.of(SPECS)
EQUAL_AREA = "+proj=laea +lat_0=50 +lon_0=123 +ellps=WGS84"


def a_grid(chunk: int, crs: str = EQUAL_AREA) -> Grid:
    x, y = (0, 0) if crs == EQUAL_AREA else (13_500_000, 7_000_000)
    geobox = GeoBox.from_bbox((x, y, x + SHAPE[1] * 5000, y + SHAPE[0] * 5000), crs=crs, resolution=5000)
    return Grid(geobox, chunk, geobox.extent)


def covariates() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    values = {
        "mat": (np.sin(x / 9) + y / 50).astype("float32"),
        "tn": rng.normal(3, 1, SHAPE).astype("float32"),
        "vegetation": (1 + (x // 20 + y // 30) % 3).astype("uint8"),
    }
    values["mat"][5:9, 40:60] = np.nan
    values["tn"][60:, :7] = np.nan
    values["vegetation"][0, :] = 0
    return values


def write_cube(path: Path, grid: Grid) -> Path:
    layers = {name: Layer(v.dtype.name, {}) for name, v in covariates().items()} | {DOMAIN: Layer("uint8", {})}
    create(path, grid, layers, {}, {})
    group = zarr.open_group(path, mode="r+")
    group[DOMAIN][:] = 1
    for name, values in covariates().items():
        group[name][:] = values
    return path


def train(client, path: Path, y: np.ndarray | None = None, intercept: float = 1.0):
    rng = np.random.default_rng(1)
    sites = {
        "mat": rng.uniform(-1, 2, SITES).astype("float32"),
        "tn": rng.normal(3, 1, SITES).astype("float32"),
        "vegetation": rng.integers(1, 4, SITES),
    }
    x = FEATURES.matrix(sites)
    shallow = 4 + 0.8 * sites["tn"] + rng.normal(0, 0.5, SITES) if y is None else y
    deep = np.stack([rng.normal(intercept, 0.1, REPLICATES), rng.normal(2, 0.1, REPLICATES)], axis=1)
    lines = np.stack([np.tile([0.0, 1.0], (REPLICATES, 1)), deep], axis=1)
    observed = np.stack([shallow, 1 + 2 * shallow + rng.normal(0, 0.4, SITES)], axis=1)
    members = [Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 25})]
    ensemble = train_ensemble(
        client, path / "ensemble", x, observed, FEATURES, lines, members,
        outputs=LABELS, units="kg m-2", seed=2, version="test",
    )  # fmt: skip
    folds = [np.arange(SITES) % 5]
    area = Applicability.fit(x, FEATURES, np.ones(x.shape[1]), folds)
    profile = ErrorProfile.fit(area.density, rng.normal(0, 1, SITES) / (1 + area.density))
    replace(area, profile=profile).save(path / "applicability.npz")
    return ensemble


def plain(ensemble):
    """Every replicate on every cell with xgboost, all held at once."""
    values = covariates()
    known = np.isfinite(values["mat"]) & np.isfinite(values["tn"]) & (values["vegetation"] > 0)
    x = np.stack(
        [values["mat"][known], values["tn"][known], *(values["vegetation"][known] == k for k in (1, 2, 3))], axis=1
    ).astype("float32")
    stack = []
    for replicate in range(REPLICATES):
        booster = xgboost.Booster(model_file=ensemble.path / f"replicate_{replicate:03d}.ubj")
        stack.append(booster.inplace_predict(x).astype("float64"))
    lines = ensemble.coefficients
    return known, x, np.stack(stack), [lines[:, d, :1] + lines[:, d, 1:] * np.stack(stack) for d in (0, 1)]
