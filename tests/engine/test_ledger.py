"""What is done is known, and only that."""

import json

import numpy as np
import pytest

from engine.errors import InputError
from engine.ledger import Ledger, Scratch, key_of


def test_keys_tell_values_apart():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    keys = [key_of(1), key_of("1"), key_of([1]), key_of(1, 2), key_of([1, 2]), key_of({"a": None}), key_of({})]
    assert len(set(keys)) == len(keys)


def test_a_stage_is_done_with_its_key_and_artefacts(tmp_path):
    artefact = tmp_path / "maps.zarr"
    ledger = Ledger(tmp_path)
    assert not ledger.is_done("map", "k1", [artefact]) and not ledger.was_done("map")
    ledger.finish("map", "k1")
    assert not ledger.is_done("map", "k1", [artefact])  # deleted, or never written
    artefact.mkdir()
    for current in (ledger, Ledger(tmp_path)):
        assert current.is_done("map", "k1", [artefact])
        assert not current.is_done("map", "k2", [artefact])
        assert not current.is_done("cube", "k1", [artefact])
        assert current.was_done("map")


def test_a_stage_that_was_begun_is_not_done(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.finish("cube", "k")
    ledger.finish("map", "k")
    ledger.begin("map")
    reread = Ledger(tmp_path)
    assert not reread.was_done("map") and reread.is_done("cube", "k", [])
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stages": {"map": 3}}', '{"steps": {}}'])
def test_what_is_no_ledger(tmp_path, text):
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(
        InputError,
        match=r"ledger.json: cannot be read \(damaged, or of another version\); delete it, or run with --fresh",
    ):
        Ledger(tmp_path)


def test_the_ledger_is_readable(tmp_path):
    Ledger(tmp_path).finish("map", "k")
    assert json.loads((tmp_path / "ledger.json").read_text()) == {"stages": {"map": "k"}}


def test_scratch_keeps_arrays_until_cleared(tmp_path):
    scratch = Scratch(tmp_path / "k")
    assert scratch.load("a") is None
    scratch.save("a", np.array([1.5, np.nan]))
    assert np.array_equal(Scratch(tmp_path / "k").load("a"), [1.5, np.nan], equal_nan=True)
    (tmp_path / "k" / "a.npy").write_bytes(b"half")
    assert scratch.load("a") is None
    scratch.clear()
    assert list(tmp_path.iterdir()) == []
    nowhere = Scratch(None)
    nowhere.save("a", np.zeros(1))
    assert nowhere.load("a") is None
    nowhere.clear()
