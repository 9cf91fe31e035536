"""The trained ensemble against a plain loop over replicates, and its artefact."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xgboost

from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.manifest import bootstrap_indices, damaged_files, write_words
from engine.ensemble.trained import Ensemble, load_ensemble
from engine.errors import InputError
from engine.execution.ledger import digest_of
from engine.forest import is_built
from engine.mapping.predict_block import OnePass
from engine.mapping.zonal_sums import Precision
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.seeds import Use, integer, streams
from engine.sources.entry import source_spec

REPLICATES, SITES, SEED = 6, 50, 11
FEATURES = Features.of({name: source_spec(href="x.tif") for name in ("mat", "ai", "tn")})
XGBOOST = Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 20})


def training():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(SITES, 3)).astype("float32")
    shallow = 4 + x[:, 0] + rng.normal(0, 0.5, SITES)
    deep = np.where(rng.random(SITES) < 0.7, 2 * shallow + 1, np.nan)
    return x, np.stack([shallow, deep], axis=1)


def lines():
    rng = np.random.default_rng(4)
    deep = np.stack([rng.normal(1, 0.1, REPLICATES), rng.normal(2, 0.1, REPLICATES)], axis=1)
    return np.stack([np.tile([0.0, 1.0], (REPLICATES, 1)), deep], axis=1)


def trained(client, path, members=(XGBOOST,), **changes):
    x, observed = training()
    return train_ensemble(
        client, path, x, observed, FEATURES, lines(), members,
        outputs=("0-10", "0-30"), units="kg m-2", seed=SEED, version="test", **changes,
    )  # fmt: skip


def test_equals_a_plain_loop(client, tmp_path):
    ensemble = trained(client, tmp_path / "ensemble")
    x, observed = training()
    for replicate, stream in enumerate(streams(SEED, Use.ENSEMBLE, REPLICATES)):
        rows = np.random.default_rng(stream).integers(0, SITES, SITES)
        seed = integer(stream.spawn(1)[0])
        plain = xgboost.XGBRegressor(
            n_estimators=20, learning_rate=0.03, max_depth=3, subsample=0.6, min_child_weight=3,
            random_state=seed, n_jobs=1, tree_method="hist",
        ).fit(x[rows], observed[rows, 0])  # fmt: skip
        np.testing.assert_array_equal(ensemble.bootstrap[replicate], rows)
        np.testing.assert_array_equal(ensemble.predict(replicate, x), plain.predict(x))
        out = np.setdiff1d(np.arange(SITES), rows)
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(ensemble.out_of_bag[replicate])), out)
        np.testing.assert_array_equal(ensemble.out_of_bag[replicate, out], plain.predict(x[out]))


def test_several_members_are_a_weighted_mean(client, tmp_path):
    members = [
        Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 10}, weight=0.7),
        Member(family=FAMILIES["svm"], parameters={}, weight=0.3),
    ]
    ensemble = trained(client, tmp_path / "ensemble", members)
    x, _ = training()
    first, second = (model.predict(x).astype("float64") for model in ensemble.models[2])
    np.testing.assert_allclose(ensemble.predict(2, x), 0.7 * first + 0.3 * second, rtol=1e-6)
    assert (tmp_path / "ensemble" / "replicate_002_svm.skops").exists()


def test_fewer_replicates_are_the_first_of_more():
    np.testing.assert_array_equal(bootstrap_indices(40, 3, 1), bootstrap_indices(40, 9, 1)[:3])
    assert not np.array_equal(bootstrap_indices(40, 3, 1), bootstrap_indices(40, 3, 2))


def test_artefact_is_whole_and_names_everything(client, tmp_path):
    table = pd.DataFrame({"site": ["a", "b"]})
    ensemble = trained(client, tmp_path / "ensemble", tables={"training.parquet": table})
    folder = tmp_path / "ensemble"
    assert {p.name for p in folder.iterdir()} == {
        *(f"replicate_{r:03d}{suffix}" for r in range(REPLICATES) for suffix in (".ubj", ".trees.npz")),
        "manifest.json", "bootstrap.npy", "out_of_bag.npy", "coefficients.npy", "observed.npy", "training.parquet",
    }  # fmt: skip
    assert ensemble.features == FEATURES
    assert ensemble.manifest.family == "xgboost"
    booster = xgboost.Booster(model_file=folder / "replicate_000.ubj")
    assert booster.feature_names == ["mat", "ai", "tn"]
    assert json.loads((folder / "manifest.json").read_text())["replicates"] == REPLICATES


def test_damage_is_noticed(client, tmp_path):
    ensemble = trained(client, tmp_path / "ensemble")
    x, _ = training()
    file = tmp_path / "ensemble" / "replicate_001.ubj"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="replicate_001"):
        Ensemble(tmp_path / "ensemble").predict(0, x)
    (tmp_path / "ensemble" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="stage `train`"):
        Ensemble(tmp_path / "ensemble")
    with pytest.raises(InputError, match="stage `train`"):
        load_ensemble(tmp_path / "none", ensemble.hash)


@pytest.mark.parametrize("name", ["coefficients", "observed", "out_of_bag", "bootstrap"])
def test_the_hash_covers_every_array(client, tmp_path, name):
    ensemble = trained(client, tmp_path / "ensemble")
    file = ensemble.path / f"{name}.npy"
    values = np.load(file)
    values[np.isfinite(values)] += 1
    np.save(file, values)
    with pytest.raises(InputError, match=f"{name}.npy is not the file that was trained"):
        Ensemble(ensemble.path)
    changed = ensemble.manifest.model_copy(update={"arrays": ensemble.manifest.arrays | {file.name: digest_of(file)}})
    assert changed.digest != ensemble.hash
    assert damaged_files(ensemble.path) == [file.name]


def test_labels_groups_and_units_are_words(client, tmp_path):
    """They are written anew, and the ensemble is the same to whatever is keyed by its hash."""
    ensemble = trained(client, tmp_path / "ensemble")
    specs = {
        name: source_spec(href="x.tif", label=f"The {name}", group="all", units="m") for name in ("mat", "ai", "tn")
    }
    assert write_words(ensemble.path, Features.of(specs), "g m-2")
    after = Ensemble(ensemble.path)
    assert after.hash == ensemble.hash and after.manifest.units == "g m-2"
    assert {(f.label, f.group, f.units) for f in after.features.columns} == {
        (f"The {name}", "all", "m") for name in ("mat", "ai", "tn")
    }
    assert not write_words(ensemble.path, Features.of(specs), "g m-2")
    with pytest.raises(ValueError, match="has other columns"):
        write_words(ensemble.path, Features.of({"mat": specs["mat"]}), "g m-2")


def test_replicates_of_another_environment_are_trained_again(client, tmp_path):
    path = tmp_path / "ensemble"
    trained(client, path, environment="a")
    before = {file.name: file.stat().st_ino for file in path.glob("*.ubj")}
    trained(client, path, environment="a")
    kept = {file.name: file.read_bytes() for file in path.glob("*.ubj")}
    forged = path / "replicate_000.ubj"
    assert before.keys() == kept.keys() and forged.name in kept
    seen = []
    trained(client, path, environment="b", progress=lambda done, total: seen.append(done))
    assert seen[0] == 0 and {file.name: file.read_bytes() for file in path.glob("*.ubj")} == kept
    seen.clear()
    trained(client, path, environment="b", progress=lambda done, total: seen.append(done))
    assert seen == [REPLICATES]


@pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel")
def test_malformed_trees_are_refused_whatever_their_checksum(client, tmp_path):
    path = tmp_path / "ensemble"
    trained(client, path)
    file, text = path / "replicate_002.trees.npz", path / "manifest.json"
    tables, manifest = dict(np.load(file)), json.loads(text.read_text())

    def forge(changed: dict[str, np.ndarray], message: str) -> None:
        np.savez(file, **changed)
        manifest["files"][file.name] = digest_of(file)
        text.write_text(json.dumps(manifest))
        with pytest.raises(InputError, match=message + ".*run the stage `train` again"):
            Ensemble(path).predict_all(training()[0])

    left = tables["left"].copy()
    left[tables["tree_start"][3]] = 10**6
    forge(tables | {"left": left}, "its child 1000000 is not there")
    forge({name: values for name, values in tables.items() if name != "value"}, "value")


def test_replicates_are_predicted_from_their_trees_alone(client, tmp_path, monkeypatch):
    """Workers need not read the models."""
    ensemble = trained(client, tmp_path / "ensemble")
    x = training()[0]
    expected = np.stack([ensemble.predict(replicate, x) for replicate in range(ensemble.manifest.replicates)])
    monkeypatch.setattr("engine.ensemble.trained.load_model", None)
    assert np.array_equal(Ensemble(ensemble.path).predict_all(x), expected)


def test_a_failed_fit_leaves_what_was_there(client, tmp_path):
    before = trained(client, tmp_path / "ensemble").hash
    hopeless = Member(family=FAMILIES["xgboost"], parameters={"objective": "reg:none_such"})
    with pytest.raises(Exception, match="none_such"):
        trained(client, tmp_path / "ensemble", [hopeless])
    assert Ensemble(tmp_path / "ensemble").hash == before
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["ensemble"]


def test_columns_of_a_table_are_found_by_name(client, tmp_path):
    """In any order, beside others; an array, which has no names, stands in the order of the features."""
    ensemble, (x, _) = trained(client, tmp_path / "ensemble"), training()
    table = pd.DataFrame(x, columns=["mat", "ai", "tn"])
    expected = ensemble.predict_all(x)
    others = table.assign(site="A")[["tn", "site", "mat", "ai"]]
    np.testing.assert_array_equal(ensemble.predict_all(table[["tn", "ai", "mat"]]), expected)
    np.testing.assert_array_equal(ensemble.predict_all(others), expected)
    np.testing.assert_array_equal(ensemble.predict(2, others), expected[2])
    with pytest.raises(InputError, match=r"missing or repeated: ai; the table has mat, tn"):
        ensemble.predict_all(table[["mat", "tn"]])
    with pytest.raises(InputError, match=r"missing or repeated: tn; the table has mat, ai, tn, tn"):
        ensemble.predict_all(pd.concat([table, table["tn"]], axis=1))
    with pytest.raises(InputError, match=r"x: has shape \(50, 2\); expected 3 columns, in this order: mat, ai, tn"):
        ensemble.predict_all(x[:, :2])


def test_an_ensemble_is_pickled_before_and_after_its_use(client, tmp_path):
    ensemble, (x, _) = trained(client, tmp_path / "ensemble"), training()
    before = pickle.dumps(ensemble)
    expected = ensemble.predict_all(x)
    assert ensemble.jackknives and ensemble.models
    for travelled in (pickle.loads(before), pickle.loads(pickle.dumps(ensemble)), copy.deepcopy(ensemble)):
        np.testing.assert_array_equal(travelled.predict_all(x), expected)
    one_pass = OnePass(ensemble, 0.9, Precision.for_map(500, 2000, 1.0, 10**6))
    cells = (x, np.ones(SITES), np.zeros(SITES, "int64"), 1)
    statistics, _ = one_pass.run(*cells)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one_pass)).run(*cells)[0], statistics)
    assert len(before) < 2000  # by path, not by value
