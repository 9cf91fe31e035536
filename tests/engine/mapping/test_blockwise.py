"""The map against a plain loop on whole arrays; the same whatever the blocks and workers; exact totals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_map import (
    ATTRS,
    COORDS,
    EQUAL_AREA,
    OF_DENSITY,
    REPLICATES,
    SHAPE,
    SITES,
    a_grid,
    covariates,
    plain,
    train,
    write_cube,
)  # fmt: skip
from odc.geo import CRS

from engine.execution.cluster import local_client
from engine.execution.ledger import key_of
from engine.mapping.blockwise import STATISTICS, make_plan, map_region
from engine.storage.zarr_store import open_dataset
from engine.validation.applicability import Applicability


def make_map(client, path: Path, ensemble, chunk=32, name="maps", crs=EQUAL_AREA):
    grid = a_grid(chunk, crs)
    cube = write_cube(path / f"{name}-cube.zarr", grid)
    plan = make_plan(grid, cube, ensemble, ensemble.path.parent / "applicability.npz", "vegetation", 3, 0.8)
    found = map_region(client, plan, path / f"{name}.zarr", COORDS, ATTRS, key=key_of(name, ensemble.hash))
    assert all(totals.errors is None for totals in found)
    return grid, open_dataset(path / f"{name}.zarr").load(), tuple(totals.map for totals in found)


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
    density = model.local_point_density(x)
    np.testing.assert_array_equal(maps["local_point_density"].values[known], density)
    np.testing.assert_array_equal(maps["expected_error"].values[known], model.profile.at(density).astype("float32"))
    assert np.ptp(density) > 5 and np.nanmax(maps["expected_error"]) > np.nanmin(maps["expected_error"])


def test_missing_covariate_is_missing_everywhere(ensemble, mapped):
    _, maps, _ = mapped
    known, *_ = plain(ensemble)
    assert (~known).sum() > 0
    for name in STATISTICS:
        for depth in (0, 1):
            np.testing.assert_array_equal(np.isfinite(maps[name].values[depth]), known)
    for name in ("dissimilarity", "local_point_density"):
        np.testing.assert_array_equal(np.isfinite(maps[name].values), known)
    vouched = maps["local_point_density"].values > 0
    np.testing.assert_array_equal(np.isfinite(maps["expected_error"].values), vouched)
    assert (maps["applicable"].values[vouched] == 1).all()
    encoding = maps["local_point_density"].encoding
    assert (encoding["dtype"], encoding["_FillValue"]) == ("int32", -1)
    assert (maps["applicable"].values[~known] == 0).all()


def test_same_bits_for_other_blocks_and_one_worker(client, ensemble, mapped, tmp_path):
    _, expected, totals = mapped
    with local_client(workers=1) as alone:
        others = [make_map(client, tmp_path, ensemble, 47, "a"), make_map(alone, tmp_path, ensemble, 128, "b")]
    for _, maps, other_totals in others:
        for name in (*STATISTICS, "dissimilarity", "applicable", *OF_DENSITY):
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
