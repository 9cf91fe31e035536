"""A made-up circumpolar region: smooth covariates with noise on EASE-Grid 2.0 North, and an ensemble trained on it.

The model is a real one: 100 bootstrap replicates of 300 trees of depth 4, trained on 500 sites of the cube.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from distributed import Client
from odc.geo.geobox import GeoBox

from engine.cube.build import DOMAIN
from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.trained import Ensemble
from engine.execution.tasks import run_each
from engine.grid.chunking import best_chunk
from engine.grid.grid import Block, Grid
from engine.mapping.blockwise import (
    APPLICABLE,
    DENSITY,
    DISSIMILARITY,
    EXPECTED_ERROR,
    OF_CELL,
    STATISTICS,
    MapPlan,
    make_plan,
)
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from engine.storage.zarr_store import Layer, array, create
from engine.uncertainty.error_model import fit_error_model
from engine.validation.applicability import Applicability
from engine.validation.error_profile import ErrorProfile
from pipelines.progress import Display

SITES, REPLICATES, ROUNDS, DEPTH = 500, 100, 300, 4
LABELS = ("0-10", "0-30", "0-50")
NUMBERS = ("mat", "map", "ai", "ndvi", "npp", "tn", "clay_silt")
CLASSES = {"forest": (1,), "grassland": (2,), "wetland": (3,)}
SPECS = {name: source_spec(href="made-up") for name in NUMBERS} | {
    "vegetation": source_spec(href="made-up", classes=CLASSES)
}
FEATURES = Features.of(SPECS)
ERRORS = "error_model.npz"
OF_SITES = (DISSIMILARITY, APPLICABLE, DENSITY, EXPECTED_ERROR)
LAND = 0.62
"""Share of the disc that is land."""


def a_plan(
    grid: Grid, out: Path, ensemble: Ensemble, joint: bool = True
) -> tuple[MapPlan, Mapping[str, object], dict[str, dict]]:
    """What `map_region` is given: plan, with the joint model of the errors or without, coordinates, attributes."""
    plan = make_plan(
        grid, out / "cube.zarr", ensemble, out / "applicability.npz", "vegetation", len(CLASSES), 0.95,
        errors=out / ERRORS if joint else None, local=joint,
    )  # fmt: skip
    attrs: dict[str, dict] = {name: {} for name in ("", *STATISTICS, *OF_CELL, *OF_SITES)}
    return plan, {"depth": ("depth", np.array(LABELS))}, attrs


def a_grid(cells: float, chunk: int | None = None) -> Grid:
    """EASE-Grid 2.0 North, 1 km, over a disc around the pole with so many cells on land."""
    radius = np.ceil(np.sqrt(cells / LAND / np.pi)) * 1000 + 1000
    geobox = GeoBox.from_bbox((-radius, -radius, radius, radius), crs="EPSG:6931", resolution=1000)
    return Grid(geobox, chunk or best_chunk(geobox.shape.yx), geobox.extent)


def make_cube(client: Client, grid: Grid, path: Path, display: Display) -> None:
    """Covariates on the grid, one task a block."""
    layers = dict.fromkeys(NUMBERS, Layer("float32", {})) | dict.fromkeys(("vegetation", DOMAIN), Layer("uint8", {}))
    create(path, grid, layers, {}, {})
    radius = grid.geobox.extent.boundingbox.right
    with display.stage("cube", "block") as progress:
        for _ in run_each(
            client,
            write_covariates,
            grid.blocks(mixed=True),
            path,
            radius,
            total=grid.n_blocks,
            progress=progress,
            name="cube",
        ):
            pass


def write_covariates(block: Block, path: Path, radius: float) -> None:
    """Covariates of one block into the cube."""
    values, land = covariates(block, radius)
    for name, numbers in values.items():
        missing = 0 if name == "vegetation" else np.nan
        array(path, name, "r+")[block.roi] = np.where(land, numbers, missing)
    array(path, DOMAIN, "r+")[block.roi] = land.astype("uint8")


def covariates(block: Block, radius: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Smooth fields with noise, and where there is land: functions of place, and noise that is drawn block by block."""
    y, x = (block.geobox.coordinates[d].values[:, None] / 1e6 for d in block.geobox.dimensions)
    rng = np.random.default_rng([block.rows.start, block.cols.start])

    def field(seed: int, noise: float = 0.15) -> np.ndarray:
        """Waves of 200 to 3000 km, nine of them; the variance of each is the square of its length's share."""
        waves, length = np.random.default_rng(seed), np.geomspace(0.2, 3.0, 9)
        angle, phase = waves.uniform(0, 2 * np.pi, (2, 9))
        # cos(a + b) = cos a cos b - sin a sin b: the sum over waves is a product of two small matrices.
        a = 2 * np.pi / length * np.sin(angle) * y + phase
        b = 2 * np.pi / length * np.cos(angle) * x
        total = np.sqrt(length) * np.cos(a) @ np.cos(b).T - np.sqrt(length) * np.sin(a) @ np.sin(b).T
        return total.astype("float32") / 2.4 + noise * rng.standard_normal(total.shape, "float32")

    distance = np.hypot(x.T, y) * 1e6
    values = {name: field(seed) for seed, name in enumerate(NUMBERS)}
    values["mat"] += (distance / 1e6 - 4).astype("float32") * 3
    wet, woody = field(20), field(21)
    values["vegetation"] = np.select([wet > 0.8, woody > 0], [3, 1], 2).astype("uint8")
    # Land is where a field that all regions share is above the value that leaves LAND of the disc.
    land = (field(30, noise=0) > _SEA) & (distance < radius - 1000)
    return values, land


_SEA = -0.31


def train(client: Client, grid: Grid, out: Path, display: Display) -> Ensemble:
    """Replicates of a real model on sites drawn from the cube."""
    rng = np.random.default_rng(1)
    cube = {name: array(out / "cube.zarr", name) for name in (*SPECS, DOMAIN)}
    found: dict[str, list] = {name: [] for name in SPECS}
    places: list[tuple[int, int]] = []
    while len(found["mat"]) < SITES:
        row, col = (int(rng.integers(0, n)) for n in grid.shape)
        if cube[DOMAIN][row, col]:
            places.append((row, col))
            for name in SPECS:
                found[name].append(cube[name][row, col])
    x = FEATURES.matrix({name: np.array(values) for name, values in found.items()})
    first = np.maximum(4.2 + 0.8 * x[:, 5] + 0.5 * x[:, 2] - 0.3 * x[:, 0] + rng.normal(0, 1, SITES), 0.2)
    observed = np.stack([first, 2.3 * first + rng.normal(0, 1, SITES), 2.9 * first + rng.normal(0, 1.5, SITES)], axis=1)
    lines = np.stack(
        [np.tile([0.0, 1.0], (REPLICATES, 1))]
        + [
            np.stack([rng.normal(0.1, 0.05, REPLICATES), rng.normal(slope, 0.05, REPLICATES)], 1)
            for slope in (2.3, 2.9)
        ],
        axis=1,
    )
    member = Member(family=FAMILIES["xgboost"], parameters={"n_estimators": ROUNDS, "max_depth": DEPTH})
    with display.stage("train", "replicates") as progress:
        ensemble = train_ensemble(
            client, out / "ensemble", x, observed, FEATURES, lines, [member],
            outputs=LABELS, units="kg m-2", seed=1, version="benchmark", progress=progress,
        )  # fmt: skip
    area = Applicability.fit(x, FEATURES, np.ones(x.shape[1]), [np.arange(SITES) % 10])
    profile = ErrorProfile.fit(area.density, np.nanmean(ensemble.out_of_bag, axis=0) - observed[:, 0])
    replace(area, profile=profile).save(out / "applicability.npz")
    rows, cols = np.array(places).T
    east, north = grid.geobox.pix2wld(cols + 0.5, rows + 0.5)
    errors = fit_error_model(
        observed=observed, out_of_bag=ensemble.out_of_bag, predicted=ensemble.predict_all(x), coefficients=lines,
        design=x, zone=np.array(found["vegetation"], int), zones=len(CLASSES), x=east, y=north, seed=1,
        extent=grid.geobox.boundingbox.span_x,
    )  # fmt: skip
    assert errors is not None
    errors.save(out / ERRORS)
    return ensemble
