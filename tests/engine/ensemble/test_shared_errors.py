"""Replicates that are trained on observations with errors in common."""

import numpy as np
import pytest
import xgboost
from test_bootstrap import FEATURES, REPLICATES, SEED, SITES, XGBOOST, lines, trained, training

from engine.ensemble import bootstrap
from engine.ensemble.manifest import SHARED, bootstrap_indices
from engine.ensemble.out_of_bag import mean_out_of_bag
from engine.ensemble.packed import train_packed
from engine.ensemble.perturbed import Moved
from engine.seeds import Use, integer, streams


def errors():
    return np.random.default_rng(5).normal(0, 0.3, (REPLICATES, SITES, 2))


def test_each_replicate_learns_its_own_observations(client, tmp_path):
    ensemble = trained(client, tmp_path / "ensemble", shared=errors())
    x, observed = training()
    for replicate, stream in enumerate(streams(SEED, Use.ENSEMBLE, REPLICATES)):
        rows = bootstrap_indices(SITES, REPLICATES, SEED)[replicate]
        plain = xgboost.XGBRegressor(
            n_estimators=20, learning_rate=0.03, max_depth=3, subsample=0.6, min_child_weight=3,
            random_state=integer(stream.spawn(1)[0]), n_jobs=1, tree_method="hist",
        ).fit(x[rows], (observed[:, 0] + errors()[replicate, :, 0])[rows])  # fmt: skip
        np.testing.assert_array_equal(ensemble.predict(replicate, x), plain.predict(x))
    np.testing.assert_array_equal(ensemble.observed, observed)
    np.testing.assert_array_equal(ensemble.shared, errors())
    assert ensemble.manifest.largest == np.abs(observed[:, 0] + errors()[:, :, 0]).max()


def moved():
    x = np.random.default_rng(6).normal(size=(REPLICATES, 3, 3)).astype("float32")
    return Moved(np.array([2, 7, 40]), x)


def test_each_replicate_learns_its_own_places(client, tmp_path):
    ensemble = trained(client, tmp_path / "ensemble", moved=moved())
    x, observed = training()
    for replicate, stream in enumerate(streams(SEED, Use.ENSEMBLE, REPLICATES)):
        rows = bootstrap_indices(SITES, REPLICATES, SEED)[replicate]
        there = x.copy()
        there[[2, 7, 40]] = moved().x[replicate]
        plain = xgboost.XGBRegressor(
            n_estimators=20, learning_rate=0.03, max_depth=3, subsample=0.6, min_child_weight=3,
            random_state=integer(stream.spawn(1)[0]), n_jobs=1, tree_method="hist",
        ).fit(there[rows], observed[rows, 0])  # fmt: skip
        np.testing.assert_array_equal(ensemble.predict(replicate, x), plain.predict(x))
        out = np.isfinite(ensemble.out_of_bag[replicate])
        np.testing.assert_array_equal(ensemble.out_of_bag[replicate, out], plain.predict(x[out]))
    assert ensemble.shared is None


def test_packed_is_the_same(client, tmp_path):
    ensemble = trained(client, tmp_path / "ensemble", shared=errors(), moved=moved())
    x, observed = training()
    packed = train_packed(
        None, x, observed, FEATURES, lines(), [XGBOOST], outputs=("0-10", "0-30"), units="kg m-2", seed=SEED,
        version="test", shared=errors(), moved=moved(),
    )  # fmt: skip
    assert packed.digest == ensemble.hash


def test_without_errors_nothing_is_another(client, tmp_path):
    plain = trained(client, tmp_path / "plain")
    assert plain.shared is None and not (tmp_path / "plain" / SHARED).exists()
    zero = trained(client, tmp_path / "zero", shared=np.zeros((REPLICATES, SITES, 2)))
    assert zero.manifest.files == plain.manifest.files


def test_replicates_are_trained_again_where_their_errors_are_others(client, tmp_path, monkeypatch):
    trained(client, tmp_path / "ensemble", shared=errors())
    others = errors()
    others[[1, 4], 0, 0] += 1
    asked = []
    run_each = bootstrap.run_each

    def watched(client, function, items, *args, **named):
        asked.extend(item[0] for item in items)
        return run_each(client, function, items, *args, **named)

    monkeypatch.setattr(bootstrap, "run_each", watched)
    again = trained(client, tmp_path / "ensemble", shared=others)
    assert asked == [1, 4]
    assert again.hash == trained(client, tmp_path / "fresh", shared=others).hash


def test_mean_over_the_replicates_that_did_not_see_a_site():
    nan = np.nan
    values = np.array([[[1.0, 10], [2, 20], [3, 30]], [[5, 50], [7, 70], [9, 90]]])
    found = mean_out_of_bag(values, np.array([[0.1, nan, nan], [0.2, 4, nan]]))
    # Site 0: (1 + 5) / 2; site 1: 7; site 2 is in every bag.
    assert found == pytest.approx(np.array([[3, 30], [7, 70], [nan, nan]]), nan_ok=True)
