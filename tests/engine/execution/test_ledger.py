"""What is done is known, and only that."""

import json

import numpy as np
import pytest

from engine.errors import InputError
from engine.execution.ledger import Entry, Ledger, Records, Scratch, digest_of, key_of


def test_keys_tell_values_apart():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    keys = [key_of(1), key_of("1"), key_of([1]), key_of(1, 2), key_of([1, 2]), key_of({"a": None}), key_of({})]
    assert len(set(keys)) == len(keys)


def test_a_stage_is_done_with_its_key_and_artefacts(tmp_path):
    artefact = tmp_path / "maps.zarr"
    ledger = Ledger(tmp_path)
    assert not ledger.is_done("map", "k1", [artefact]) and ledger.entry("map") is None
    ledger.finish("map", Entry(key="k1", parts={"model": "m"}))
    assert not ledger.is_done("map", "k1", [artefact])  # deleted, or never written
    artefact.mkdir()
    for current in (ledger, Ledger(tmp_path)):
        assert current.is_done("map", "k1", [artefact])
        assert not current.is_done("map", "k2", [artefact])
        assert not current.is_done("cube", "k1", [artefact])
        assert current.entry("map").parts == {"model": "m"}


def test_a_stage_that_was_begun_is_not_done(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.finish("cube", Entry(key="k"))
    ledger.finish("map", Entry(key="k"))
    ledger.begin("map")
    reread = Ledger(tmp_path)
    assert reread.entry("map") is None and reread.is_done("cube", "k", [])
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
    Ledger(tmp_path).finish("map", Entry(key="k", digests={"stocks.csv": "ab"}))
    written = json.loads((tmp_path / "ledger.json").read_text())
    assert written == {"stages": {"map": {"key": "k", "parts": {}, "digests": {"stocks.csv": "ab"}}}}


def test_scratch_keeps_arrays_until_cleared(tmp_path):
    scratch = Scratch(tmp_path / "k")
    assert scratch.load("a") is None and scratch.count() == 0
    scratch.save("a", np.array([1.5, np.nan]))
    assert np.array_equal(Scratch(tmp_path / "k").load("a"), [1.5, np.nan], equal_nan=True)
    Scratch(tmp_path / "other").save("a", np.zeros(1))
    scratch.clear_others()
    assert [p.name for p in tmp_path.iterdir()] == ["k"] and scratch.count() == 1
    (tmp_path / "k" / "a.npy").write_bytes(b"half")
    assert scratch.load("a") is None
    scratch.clear()
    assert list(tmp_path.iterdir()) == []
    nowhere = Scratch(None)
    nowhere.save("a", np.zeros(1))
    assert nowhere.load("a") is None and nowhere.count() == 0
    nowhere.clear()
    nowhere.clear_others()


def test_records_belong_to_a_key(tmp_path):
    records = Records.of(tmp_path / "maps.zarr", "k1")
    assert records.names() == set() and records.load("block") is None
    records.save("block", sums=np.arange(3), files=np.array(["a", "b"]))
    Records.of(tmp_path / "maps.zarr", "k2").save("block", sums=np.zeros(1))
    again = Records.of(tmp_path / "maps.zarr", "k1")
    assert again.names() == {"block"}
    assert again.load("block")["sums"].tolist() == [0, 1, 2] and again.load("block")["files"].tolist() == ["a", "b"]
    again.forget_others()
    assert Records.of(tmp_path / "maps.zarr", "k2").names() == set()
    again.forget("block")
    assert again.names() == set()


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04half"])
def test_a_record_that_cannot_be_read_is_none(tmp_path, content):
    records = Records.of(tmp_path / "maps.zarr", "k")
    records.save("block", sums=np.arange(3))
    (records.directory / "block.npz").write_bytes(content)
    assert records.load("block") is None


def test_no_pickle_is_read_from_records(tmp_path):
    records = Records(tmp_path)
    np.savez(tmp_path / "block.npz", sums=np.array([{"evil": 1}], dtype=object))
    assert records.load("block") is None


def test_digests(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("one")
    before = digest_of(tmp_path / "folder")
    assert digest_of(tmp_path / "folder" / "a") == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    (tmp_path / "folder" / "a").rename(tmp_path / "folder" / "b")
    assert digest_of(tmp_path / "folder") != before
    assert digest_of(tmp_path / "nothing") == ""
