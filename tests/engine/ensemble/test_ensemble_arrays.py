"""Arrays of an ensemble's folder that are damaged."""

import numpy as np
import pytest

from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.trained import Ensemble
from engine.errors import InputError
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec


def test_damaged_arrays_are_no_ensemble(client, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 1)).astype("float32")
    path = tmp_path / "ensemble"
    train_ensemble(
        client, path, x, x.astype(float), Features.of({"mat": source_spec(href="x")}), np.tile([0.0, 1.0], (2, 1, 1)),
        [Member(family=FAMILIES["xgboost"], parameters={"n_estimators": 2})],
        outputs=["0-10"], units="kg m-2", seed=1, version="test",
    )  # fmt: skip
    Ensemble(path)
    whole = (path / "coefficients.npy").read_bytes()
    for damaged in (whole[:-4], whole[:20], b"", b"<html>"):
        (path / "coefficients.npy").write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{path}: holds no trained ensemble .*run the stage `train`"):
            Ensemble(path)
    (path / "coefficients.npy").unlink()
    with pytest.raises(InputError, match="holds no trained ensemble"):
        Ensemble(path)
