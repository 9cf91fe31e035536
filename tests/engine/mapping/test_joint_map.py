"""The map under the joint model of the errors: the same for all blocks, its sums those of its cells."""

from math import erfc

import numpy as np
import pytest
from made_up_map import ATTRS, COORDS, EQUAL_AREA, FEATURES, SITES, a_grid, covariates, plain, train, write_cube

from engine.execution.ledger import key_of
from engine.mapping.blockwise import OF_CELL, make_plan, map_region
from engine.mapping.predict_block import OF_OBSERVATION, STATISTICS
from engine.mapping.predict_rows import RowPredictor
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.asked import Asked
from engine.uncertainty.cells import cell_moments, kriged_field
from engine.uncertainty.core_intervals import core_interval
from engine.uncertainty.draws import Draws
from engine.uncertainty.error_model import ErrorModel, fit_error_model

LEVEL, Z = 0.8, 1.2815515655446004
ASKED = Asked(thresholds=(6.5,), quantiles=(0.1, 0.5))
ZONES = 3


@pytest.fixture(scope="module")
def ensemble(client, tmp_path_factory):
    return train(client, tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(scope="module")
def model(ensemble):
    """Fitted to sites at random places of the grid."""
    rng = np.random.default_rng(1)  # the sites of `train`
    sites = {
        "mat": rng.uniform(-1, 2, SITES).astype("float32"),
        "tn": rng.normal(3, 1, SITES).astype("float32"),
        "vegetation": rng.integers(1, 4, SITES),
    }
    x = FEATURES.matrix(sites)
    box = a_grid(32, EQUAL_AREA).geobox.boundingbox
    places = np.random.default_rng(4)
    return fit_error_model(
        observed=ensemble.observed, out_of_bag=ensemble.out_of_bag, predicted=ensemble.predict_all(x),
        coefficients=ensemble.coefficients, design=x, zone=sites["vegetation"], zones=ZONES,
        x=places.uniform(box.left, box.right, SITES), y=places.uniform(box.bottom, box.top, SITES), seed=3,
    )  # fmt: skip


def joint_map(client, path, ensemble, model, chunk):
    grid = a_grid(chunk, EQUAL_AREA)
    cube = write_cube(path / "cube.zarr", grid)
    model.save(path / "errors.npz")
    plan = make_plan(
        grid, cube, ensemble, ensemble.path.parent / "applicability.npz", "vegetation", ZONES, LEVEL,
        errors=path / "errors.npz", asked=ASKED, local=True,
    )  # fmt: skip
    attrs = {**ATTRS, **{name: {"units": "kg m-2"} for name in (*OF_CELL, *ASKED.names)}}
    totals = map_region(client, plan, path / "maps.zarr", COORDS, attrs, key=key_of(chunk, ensemble.hash))
    return grid, open_dataset(path / "maps.zarr").load(), totals


@pytest.fixture(scope="module")
def mapped(client, ensemble, model, tmp_path_factory):
    return joint_map(client, tmp_path_factory.mktemp("map"), ensemble, model, 32)


def known_cells(grid, ensemble, model):
    """Everything of the mapped cells at once: where they are, basis, predictions and zone."""
    known, x, predicted, by_depth = plain(ensemble)
    rows, cols = np.nonzero(known)
    where = [np.asarray(v) for v in grid.geobox.pix2wld(cols + 0.5, rows + 0.5)]
    mean = np.stack([values.mean(axis=0) for values in by_depth]).astype("float32")
    sd = np.stack([values.std(axis=0, ddof=1) for values in by_depth]).astype("float32")
    zone = covariates()["vegetation"][known].astype("int64")
    return known, where, model.basis.columns(mean[0], x, zone), mean, sd, zone, predicted


def test_cells_equal_a_plain_computation(ensemble, model, mapped):
    grid, maps, _ = mapped
    known, where, columns, mean, sd, *_ = known_cells(grid, ensemble, model)
    truth = cell_moments(model, *where, columns, mean, sd)
    assert truth.sd.min() > 0
    far = Z * truth.sd
    for name, values in zip(OF_CELL, (truth.mean, truth.mean - far, truth.mean + far), strict=True):
        np.testing.assert_allclose(maps[name].values[:, known], values, rtol=1e-5, err_msg=name)
        assert np.isnan(maps[name].values[:, ~known]).all()
    np.testing.assert_array_equal(maps["cell_q10"].values, maps["cell_lower"].values)  # of an 80 % interval
    np.testing.assert_allclose(maps["cell_q50"].values[:, known], truth.mean, rtol=1e-5)
    above = 0.5 * np.vectorize(erfc)((6.5 - truth.mean) / truth.sd / 2**0.5)
    np.testing.assert_allclose(maps["probability_over_6_5"].values[:, known], above, rtol=1e-3, atol=2e-6)
    assert np.ptp(above) > 0.5
    ends = core_interval(model, truth, mean[0], LEVEL, -np.inf)
    for name, values in zip(OF_OBSERVATION, ends, strict=True):
        np.testing.assert_allclose(maps[name].values[:, known], values, rtol=1e-5, err_msg=name)
        assert np.isnan(maps[name].values[:, ~known]).all()
    assert (ends[1] - ends[0] > 2 * far).all()


def test_same_bits_for_other_blocks(client, ensemble, model, mapped, tmp_path):
    _, expected, totals = mapped
    _, maps, others = joint_map(client, tmp_path, ensemble, model, 47)
    for name in (*STATISTICS, *OF_CELL, *ASKED.names):
        np.testing.assert_array_equal(maps[name].values, expected[name].values, err_msg=name)
    for ours, theirs in zip(totals, others, strict=True):
        for field in ("window", "column", "square", "node"):
            np.testing.assert_array_equal(getattr(ours.errors, field), getattr(theirs.errors, field), err_msg=field)


def test_rows_equal_cells(ensemble, model, mapped):
    grid, maps, _ = mapped
    known, where, _, _, _, zone, _ = known_cells(grid, ensemble, model)
    _, x, *_ = plain(ensemble)
    some = np.random.default_rng(5).choice(zone.size, 40, replace=False)
    rows = RowPredictor(ensemble, LEVEL, errors=model).predict(x[some], tuple(v[some] for v in where), zone[some])
    for place, name in enumerate(STATISTICS):
        np.testing.assert_array_equal(rows.statistics[:, place], maps[name].values[:, known][:, some], err_msg=name)
    with pytest.raises(ValueError, match="needs where rows are"):
        RowPredictor(ensemble, LEVEL, errors=model).predict(x[some])


def test_sums_are_those_of_cells_and_give_the_draws_of_zones(ensemble, model, mapped):
    grid, maps, (everywhere, applicable) = mapped
    known, where, columns, mean, sd, zone, predicted = known_cells(grid, ensemble, model)
    truth = cell_moments(model, *where, columns, mean, sd)
    inside = maps["applicable"].values[known] == 1
    draws = Draws.of(model, 12)
    of_cells = draws.at(*where, columns, predicted)
    for totals, chosen in ((everywhere, np.ones(zone.size, bool)), (applicable, inside)):
        sums = totals.errors
        kriged = np.stack([np.tensordot(sums.node, kriged_field(model, k, sums.window), 2) for k in range(2)])
        expected = totals.map.mean + model.shifts @ sums.column.T + kriged
        drawn = draws.sums(totals.map.area, totals.map.predicted, sums.column, sums.node, sums.window)
        for z in range(ZONES + 1):
            here = chosen & ((zone == z + 1) if z < ZONES else True)
            np.testing.assert_allclose(sums.column[z], 25 * columns[here].sum(axis=0), rtol=1e-7, atol=1e-4)
            assert sums.node[z].sum() == pytest.approx(25 * here.sum(), rel=1e-9)
            np.testing.assert_allclose(expected[:, z], 25 * truth.mean[:, here].sum(axis=1), rtol=1e-6)
            np.testing.assert_allclose(sums.square[z], 25 * np.square(truth.mean[:, here]).sum(axis=1), rtol=1e-6)
            np.testing.assert_allclose(drawn[..., z], 25 * of_cells[..., here].sum(axis=-1, dtype=float), rtol=2e-4)


def test_a_changed_model_is_refused(model, tmp_path):
    model.save(tmp_path / "errors.npz")
    assert ErrorModel.load(tmp_path / "errors.npz", model.digest).digest == model.digest
    with pytest.raises(Exception, match="has changed since the run began"):
        ErrorModel.load(tmp_path / "errors.npz", "0" * 64)
