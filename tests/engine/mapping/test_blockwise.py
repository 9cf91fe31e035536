"""The map against a plain loop on whole arrays; the same whatever the blocks and workers; exact totals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost
import zarr
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from engine.cube.build import DOMAIN
from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.execution.cluster import local_client
from engine.execution.ledger import key_of
from engine.grid.grid import Grid
from engine.mapping.blockwise import STATISTICS, make_plan, map_region
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from engine.storage.zarr_store import Layer, create, open_dataset
from engine.validation.applicability import Applicability

SHAPE, SITES, REPLICATES = (70, 90), 60, 8
LABELS = ("0-10", "0-30")
COORDS = {"depth": ("depth", np.array(LABELS))}
ATTRS = {name: {} for name in ("", *STATISTICS, "dissimilarity", "applicable")}
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
    Applicability.fit(x, FEATURES, np.ones(x.shape[1]), folds).save(path / "applicability.npz")
    return ensemble


def make_map(client, path: Path, ensemble, chunk=32, name="maps", crs=EQUAL_AREA):
    grid = a_grid(chunk, crs)
    cube = write_cube(path / f"{name}-cube.zarr", grid)
    plan = make_plan(grid, cube, ensemble, ensemble.path.parent / "applicability.npz", "vegetation", 3, 0.8)
    totals = map_region(client, plan, path / f"{name}.zarr", COORDS, ATTRS, key=key_of(name, ensemble.hash))
    return grid, open_dataset(path / f"{name}.zarr").load(), totals


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


@pytest.fixture(scope="module")
def ensemble(client, tmp_path_factory):
    return train(client, tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(scope="module")
def mapped(client, ensemble, tmp_path_factory):
    return make_map(client, tmp_path_factory.mktemp("map"), ensemble)


def test_statistics_equal_a_plain_loop(ensemble, mapped):
    _, maps, _ = mapped
    known, x, predicted, by_depth = plain(ensemble)
    for depth, values in enumerate(by_depth):
        mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
        half = 1.96 * sd / np.sqrt(REPLICATES)
        lower, upper = ensemble.jackknives[depth].interval(predicted, (0.8,))
        expected = {
            "mean": mean, "sd": sd, "ci_lower": mean - half, "ci_upper": mean + half, "uncertainty": 2 * half / mean,
            "pi_lower": lower[0], "pi_upper": upper[0],
        }  # fmt: skip
        for name, numbers in expected.items():
            np.testing.assert_allclose(maps[name].values[depth][known], numbers, rtol=2e-6, err_msg=name)
    model = Applicability.load(ensemble.path.parent / "applicability.npz")
    np.testing.assert_array_equal(maps["dissimilarity"].values[known], model.dissimilarity(x))
    np.testing.assert_array_equal(maps["applicable"].values[known], model.dissimilarity(x) <= model.threshold)
    assert 0 < maps["applicable"].values[known].mean() <= 1


def test_missing_covariate_is_missing_everywhere(ensemble, mapped):
    _, maps, _ = mapped
    known, *_ = plain(ensemble)
    assert (~known).sum() > 0
    for name in STATISTICS:
        for depth in (0, 1):
            np.testing.assert_array_equal(np.isfinite(maps[name].values[depth]), known)
    np.testing.assert_array_equal(np.isfinite(maps["dissimilarity"].values), known)
    assert (maps["applicable"].values[~known] == 0).all()


def test_same_bits_for_other_blocks_and_one_worker(client, ensemble, mapped, tmp_path):
    _, expected, totals = mapped
    with local_client(workers=1) as alone:
        others = [make_map(client, tmp_path, ensemble, 47, "a"), make_map(alone, tmp_path, ensemble, 128, "b")]
    for _, maps, other_totals in others:
        for name in (*STATISTICS, "dissimilarity", "applicable"):
            np.testing.assert_array_equal(maps[name].values, expected[name].values, err_msg=name)
        for ours, theirs in zip(totals, other_totals, strict=True):
            for field in ("cells", "area", "predicted", "replicate", "mean", "square"):
                np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)


def test_totals_are_sums_over_cells(ensemble, mapped):
    grid, maps, (everywhere, applicable) = mapped
    known, _, _, by_depth = plain(ensemble)
    zone = covariates()["vegetation"][known]
    inside = maps["applicable"].values[known] == 1
    for totals, chosen in ((everywhere, np.ones(zone.size, bool)), (applicable, inside)):
        for z in range(4):
            here = chosen & ((zone == z + 1) if z < 3 else True)
            assert totals.cells[z] == here.sum()
            assert totals.area[z] == pytest.approx(25 * here.sum(), rel=1e-12)
            for depth, values in enumerate(by_depth):
                np.testing.assert_allclose(totals.replicate[:, depth, z], 25 * values[:, here].sum(axis=1), rtol=1e-8)
                mean = values.mean(axis=0)[here]
                assert totals.mean[depth, z] == pytest.approx(25 * mean.sum(), rel=1e-8)
                assert totals.square[depth, z] == pytest.approx(25 * (mean**2).sum(), rel=1e-8)
    assert grid.is_equal_area


def test_constant_map_gives_area_times_value(client, tmp_path):
    ensemble = train(client, tmp_path, np.full(SITES, 4.0))
    _, maps, (totals, _) = make_map(client, tmp_path, ensemble)
    assert set(np.unique(maps["mean"].values[0][np.isfinite(maps["mean"].values[0])])) == {4.0}
    np.testing.assert_allclose(totals.mean[0], 4.0 * totals.area, rtol=1e-9)
    np.testing.assert_allclose(totals.replicate[:, 0, :], np.tile(4.0 * totals.area, (REPLICATES, 1)), rtol=1e-9)


def test_cells_of_another_projection_weigh_their_true_area(client, ensemble, tmp_path):
    grid, _, (totals, _) = make_map(client, tmp_path, ensemble, 64, crs="EPSG:3857")
    assert not grid.is_equal_area and grid.geobox.crs == CRS("EPSG:3857")
    known, _, _, by_depth = plain(ensemble)
    area = np.empty(SHAPE)
    for block in grid.blocks():
        area[block.roi] = grid.cell_areas(block)
    assert totals.area[-1] == pytest.approx(area[known].sum(), rel=1e-9)
    np.testing.assert_allclose(totals.replicate[:, 1, -1], (by_depth[1] * area[known]).sum(axis=1), rtol=1e-8)


def test_workers_that_outlive_a_run_map_with_the_next_ensemble(client, tmp_path):
    """The same models in the same folder, other lines to the deeper output, and another area of applicability."""
    first = train(client, tmp_path)
    make_map(client, tmp_path, first, name="a")
    second = train(client, tmp_path, intercept=5.0)
    assert first.manifest.files == second.manifest.files and first.hash != second.hash
    _, maps, (everywhere, _) = make_map(client, tmp_path, second, name="b")
    known, _, _, by_depth = plain(second)
    for depth, values in enumerate(by_depth):
        np.testing.assert_allclose(maps["mean"].values[depth][known], values.mean(axis=0), rtol=2e-6)
        assert everywhere.mean[depth, -1] == pytest.approx(25 * values.mean(axis=0).sum(), rel=1e-8)
    model = Applicability.load(tmp_path / "applicability.npz")
    replace(model, threshold=model.threshold / 8).save(tmp_path / "applicability.npz")
    _, narrower, (_, applicable) = make_map(client, tmp_path, second, name="c")
    inside = narrower["dissimilarity"].values <= np.float32(model.threshold / 8)
    np.testing.assert_array_equal(narrower["applicable"].values, inside)
    assert applicable.cells[-1] == inside.sum() < maps["applicable"].values.sum()
