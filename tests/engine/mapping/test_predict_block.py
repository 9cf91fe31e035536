"""The compiled pass against the plain one: the same numbers to the bit, whatever the cells, levels and members."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.statistics import CELL_STATISTICS, Statistic
from engine.errors import InputError, RunError
from engine.forest import INSTRUCTION_SETS, is_built
from engine.forest.native import module
from engine.mapping import predict_block
from engine.mapping.predict_block import OF_MEAN, STATISTICS, OnePass
from engine.mapping.zonal_sums import Precision
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from engine.validation.applicability import _nearest

pytestmark = pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
REPLICATES, ZONES = 13, 5
SITES = {"many sites": 300}
"""Of many sites, more than the kernel keeps in order may reach the end of an interval."""
MEMBERS = {
    "xgboost": [Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 12})],
    "many sites": [Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 12})],
    "rf": [Member(family=FAMILIES["rf"], parameters={"n_estimators": 5})],
    "svm": [Member(family=FAMILIES["svm"], parameters={})],
    "brt+svm": [
        Member(family=FAMILIES["brt"], parameters={"n_estimators": 9}, weight=0.6),
        Member(family=FAMILIES["svm"], parameters={}, weight=0.4),
    ],
}


@pytest.fixture(scope="module", params=MEMBERS)
def ensemble(request, client, tmp_path_factory):
    rng, sites = np.random.default_rng(1), SITES.get(request.param, 41)
    x = rng.normal(size=(sites, 3)).astype("float32")
    first = 4 + x[:, 0] + rng.normal(0, 0.5, sites)
    observed = np.stack([first, 2 * first + rng.normal(size=sites)], axis=1)
    observed[::6, 1] = np.nan
    deep = np.stack([rng.normal(1, 0.1, REPLICATES), rng.normal(2, 0.1, REPLICATES)], axis=1)
    return train_ensemble(
        client, tmp_path_factory.mktemp(request.param) / "ensemble", x, observed,
        Features.of({name: source_spec(href="x.tif") for name in "abc"}),
        np.stack([np.tile([0.0, 1.0], (REPLICATES, 1)), deep], axis=1), MEMBERS[request.param],
        outputs=("0-10", "0-30"), units="kg m-2", seed=2, version="test", least=0.5,
    )  # fmt: skip


def cells(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype("float32")
    return x, rng.uniform(0.5, 1, n), np.sort(rng.integers(0, ZONES, n))


PRECISION = Precision.for_map(500, 2000, 1.0, 10**6)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([1, 3, 4, 255, 256, 257, 512, 1030]),
    level=st.sampled_from([0.1, 0.5, 0.8, 0.95, 0.999]),
)
def test_compiled_equals_plain(ensemble, seed, n, level):
    given_cells = cells(seed, n)
    expected, sums = OnePass(ensemble, level, PRECISION, compiled=False).run(*given_cells, ZONES)
    assert expected.shape == (2, len(STATISTICS), n)
    for instruction_set in INSTRUCTION_SETS:
        one_pass = OnePass(ensemble, level, PRECISION, compiled=True, instruction_set=instruction_set)
        found, found_sums = one_pass.run(*given_cells, ZONES)
        assert np.array_equal(found, expected, equal_nan=True)
        for name, values in vars(sums).items():
            assert np.array_equal(getattr(found_sums, name), values), name


@pytest.mark.parametrize("compiled", [False, True])
def test_without_votes_the_interval_is_open_and_all_else_the_same(ensemble, compiled):
    given_cells = cells(5, 700)
    expected, sums = OnePass(ensemble, 0.8, PRECISION, compiled=compiled).run(*given_cells, ZONES)
    found, same = OnePass(ensemble, 0.8, PRECISION, compiled=compiled, observations=False).run(*given_cells, ZONES)
    assert np.array_equal(found[:, : len(OF_MEAN)], expected[:, : len(OF_MEAN)])
    assert (found[:, -2] == 0.5).all() and (found[:, -1] == np.inf).all()  # 0.5: the least there can be
    assert all(np.array_equal(getattr(same, name), values) for name, values in vars(sums).items())


def test_cells_in_parts_give_the_same_bits(ensemble):
    x, area, zone = cells(3, 1500)
    one_pass = OnePass(ensemble, 0.8, PRECISION)
    whole, sums = one_pass.run(x, area, zone, ZONES)
    parts = [one_pass.run(x[a:b], area[a:b], zone[a:b], ZONES) for a, b in ((0, 1), (1, 700), (700, 1500))]
    assert np.array_equal(np.concatenate([part[0] for part in parts], axis=2), whole)
    total = parts[0][1]
    for _, part in parts[1:]:
        total += part
    for name, values in vars(sums).items():
        assert np.array_equal(getattr(total, name), values), name


@pytest.fixture
def registered(monkeypatch):
    """Statistics of every map under other names, so that they are not compiled; and some that are of no use."""
    monkeypatch.setattr(CELL_STATISTICS, "_entries", dict(CELL_STATISTICS._entries))
    for name in STATISTICS:
        CELL_STATISTICS.register(f"again_{name}", CELL_STATISTICS[name])
    CELL_STATISTICS.register("scalar", Statistic(lambda cells: np.array(1.0), "one number"))
    CELL_STATISTICS.register("words", Statistic(lambda cells: np.full(cells.values.shape[1], "a"), "words"))
    CELL_STATISTICS.register("broken", Statistic(lambda cells: cells.values["a"], "an error"))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_registered_is_taken_slab_by_slab_beside_the_others(ensemble, compiled, monkeypatch):
    given_cells = cells(4, 1030)
    plain, sums = OnePass(ensemble, 0.8, PRECISION, compiled=compiled).run(*given_cells, ZONES)
    monkeypatch.setattr(predict_block, "SLAB", 300)
    further = tuple(f"again_{name}" for name in STATISTICS)
    found, same = OnePass(ensemble, 0.8, PRECISION, further, compiled=compiled).run(*given_cells, ZONES)
    assert np.array_equal(found[:, : len(STATISTICS)], plain) and np.array_equal(found[:, len(STATISTICS) :], plain)
    assert all(np.array_equal(getattr(same, name), values) for name, values in vars(sums).items())


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("scalar", r"model\.statistics: 'scalar' gives float64 of shape \(\); expected a number for each of 3 cells"),
        ("words", "'words' gives <U1 of shape"),
        ("broken", "'broken' fails: IndexError: only integers"),
        ("again", r"model\.statistics: 'again' is not among mean, sd"),
    ],
)
def test_what_is_no_statistic_is_refused(ensemble, name, problem):
    with pytest.raises(InputError, match=problem):
        OnePass(ensemble, 0.8, PRECISION, (name,)).run(*cells(0, 3), ZONES)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_prediction_beyond_what_the_data_allow_is_refused(ensemble, compiled):
    tight = Precision.for_map(1.0, 1.0, 1.0, 10**6)
    with pytest.raises(RunError, match="far outside what the training data allow"):
        OnePass(ensemble, 0.8, tight, compiled=compiled).run(*cells(0, 300), ZONES)


def test_a_missing_value_is_refused(ensemble):
    x, area, zone = cells(0, 300)
    x[7, 1] = np.nan
    if ensemble.forest is None:
        pytest.skip("not evaluated by the compiled forest")
    with pytest.raises(ValueError, match="missing value"):
        OnePass(ensemble, 0.8, PRECISION).run(x, area, zone, ZONES)


@pytest.mark.parametrize(("cells", "points", "columns"), [(1, 1, 1), (5, 40, 3), (1001, 147, 11)])
def test_nearest_point_equals_the_plain_search(cells, points, columns):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(cells, columns + 2)).astype("float32")
    used = np.sort(rng.permutation(columns + 2)[:columns])
    scale, places = rng.uniform(0.1, 3, columns), rng.normal(size=(points, columns))
    plain = _nearest(x, used, scale, places, compiled=False)
    assert np.array_equal(_nearest(x, used, scale, places, compiled=True), plain)
    direct = ((x[:, None, used].astype("float64") * scale - places) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(plain, direct, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e30])
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_points_that_are_nearly_as_near_are_told_apart(instruction_set, scale):
    """Where float32 cannot say which is nearest, or overflows: cells on points, between two, points at one place."""
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, (997, 5)).astype("float32")
    points = np.concatenate([x[:20], x[:20] + 1e-9 * rng.normal(size=(20, 5)), x[:7], rng.normal(size=(60, 5))]) * scale
    columns, scales = np.arange(5), np.full(5, scale)
    found = module().nearest(x, columns, scales, points, instruction_set)
    assert np.array_equal(found, _nearest(x, columns, scales, points, compiled=False))
    assert (found[:20] == 0).all()
