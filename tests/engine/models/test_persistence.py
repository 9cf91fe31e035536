"""Model files: exact round trips, and nothing loaded that was not trained here."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import FunctionTransformer

from engine.errors import InputError
from engine.models.families import FAMILIES, Family
from engine.models.persistence import Member, fit_members, load_model, save_model

X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
Y = X[:, 0] - X[:, 1] + np.random.default_rng(1).normal(0, 0.3, 60)
NAMES = ["a", "b", "c=forest", "c=wetland"]
EXTRA = Family("extra", "sklearn.ensemble.ExtraTreesRegressor", {"n_estimators": 10})


def stored(tmp_path, content, suffix):
    path = tmp_path / f"replicate_000{suffix}"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("family", [*FAMILIES.values(), EXTRA], ids=lambda f: f.name)
def test_round_trip_is_exact(tmp_path, family):
    member = Member(family=family, parameters={"n_estimators": 20} if "n_estimators" in family.defaults else {})
    (model,) = fit_members([member], X, Y, np.random.SeedSequence(1))
    path, digest = stored(tmp_path, save_model(model, NAMES), member.suffix)
    np.testing.assert_array_equal(load_model(path, digest).predict(X), model.predict(X))


def test_fitting_twice_with_one_stream_is_the_same():
    members = [Member(family=FAMILIES[name], parameters={"n_estimators": 10}) for name in ("rf", "xgboost")]
    stream = np.random.SeedSequence(5)
    first, again = fit_members(members, X, Y, stream), fit_members(members, X, Y, stream)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.predict(X), b.predict(X))


def test_xgboost_file_names_its_columns(tmp_path):
    (model,) = fit_members([Member(family=FAMILIES["xgboost"], parameters={})], X, Y, np.random.SeedSequence(1))
    path, digest = stored(tmp_path, save_model(model, NAMES), ".ubj")
    assert load_model(path, digest).booster.feature_names == NAMES


def test_damaged_and_missing_files_are_refused(tmp_path):
    (model,) = fit_members([Member(family=FAMILIES["svm"], parameters={})], X, Y, np.random.SeedSequence(1))
    path, digest = stored(tmp_path, save_model(model, NAMES), ".skops")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        load_model(path, digest)
    with pytest.raises(InputError, match="cannot be read"):
        load_model(tmp_path / "none.ubj", digest)


@pytest.fixture(scope="module")
def booster(tmp_path_factory):
    member = Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 3})
    (model,) = fit_members([member], X, Y, np.random.SeedSequence(1))
    return stored(tmp_path_factory.mktemp("booster"), save_model(model, NAMES), ".ubj"), save_model(model, NAMES)


@given(end=st.integers(0, 10**5), places=st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 255)), max_size=4))
def test_a_file_with_altered_bytes_never_reaches_xgboost(booster, end, places):
    """Its reader would follow them out of its memory."""
    (path, digest), sound = booster
    content = bytearray(sound[:end])
    for place, flipped in places:
        if content:
            content[place % len(content)] ^= flipped
    path.write_bytes(content)
    if content == sound:
        assert load_model(path, digest).predict(X).shape == Y.shape
    else:
        with pytest.raises(InputError, match="damaged"):
            load_model(path, digest)


def test_types_that_were_not_trained_here_are_not_loaded(tmp_path):
    content = skops.io.dumps(FunctionTransformer(np.savetxt))
    assert zipfile.is_zipfile(io.BytesIO(content))
    path, digest = stored(tmp_path, content, ".skops")
    with pytest.raises(InputError, match="not loaded"):
        load_model(path, digest)


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.Popen", "sklearn.svm.SVC", "sklearn.nowhere.Thing", "numpy.array"]
)
def test_only_regressors_of_scikit_learn(name):
    with pytest.raises(InputError, match="not a regressor of scikit-learn"):
        Family("mine", name).build({}, 0)


def test_misspelt_hyperparameter_is_named():
    (problem,) = FAMILIES["brt"].check({"max_dept": 3})
    assert "max_dept" in problem.message and "max_depth" in problem.message
    assert FAMILIES["rf"].check({"n_jobs": 4})  # threads are the engine's
