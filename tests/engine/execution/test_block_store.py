"""Blocks of a store, each computed once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geom import box

from engine.errors import RunError
from engine.execution.block_store import Blocks, _do_block, damaged_blocks, key_of_store
from engine.execution.ledger import Records
from engine.grid.grid import Block, Grid
from engine.storage.atomic import unfinished
from engine.storage.zarr_store import Layer, array, open_dataset

GRID = Grid.from_outline(box(0, 0, 70_000, 50_000, "EPSG:6931"), "EPSG:6931", 1000, 16)
LAYERS = {"mean": Layer("float32", {}, ("depth",)), "class": Layer("uint8", {})}
COORDS = {"depth": ("depth", np.array(["0-10", "0-30"]))}


def number_of(block: Block) -> int:
    return 10 * block.index[0] + block.index[1] + 1


LATE = number_of(list(GRID.blocks(mixed=True))[14])
"""A block of the last quarter."""


@dataclass(frozen=True)
class Plan:
    grid: Grid
    calls: Path
    fails_at: int = 0


def work(block: Block, plan: Plan, store: Path) -> dict[str, np.ndarray] | None:
    """Write a block's number; an edge block that is not square, a block without anything, a block that fails."""
    with plan.calls.open("a") as calls:
        calls.write(f"{block.index}\n")
    number = number_of(block)
    if number == 12:
        return None
    shape = block.geobox.shape.yx
    for depth in range(2):
        array(store, "mean", "r+")[(depth, *block.roi)] = np.full(shape, number + depth, "float32")
    array(store, "class", "r+")[block.roi] = np.full(shape, number % 3, "uint8")
    if number == plan.fails_at:
        raise RunError("the disk is full")
    return {"sum": np.array([number], "int64")}


def fill(client, path: Path, key: str = "k", fails_at: int = 0) -> tuple[list[int], list[str]]:
    """Sums of all blocks, and the blocks that were computed."""
    calls = path.parent / "calls"
    calls.write_text("")
    blocks = Blocks(path, key, LAYERS, COORDS, {"title": "made up"})
    plan = Plan(GRID, calls, fails_at)
    found = [int(f["sum"][0]) for f in blocks.fill(client, work, plan, name="test") if f is not None]
    blocks.publish()
    return sorted(found), calls.read_text().splitlines()


@pytest.fixture(scope="module")
def whole(client, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    sums, calls = fill(client, path)
    assert len(calls) == GRID.n_blocks == 20
    return open_dataset(path).load(), sums


def same(path: Path, whole) -> bool:
    return open_dataset(path).load().drop_attrs().identical(whole[0].drop_attrs())


def test_an_interrupted_store_is_finished(client, whole, tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(RunError):
        fill(client, path, fails_at=LATE)
    kept = Records.of(path, "k").names()
    assert not path.exists() and 5 <= len(kept) < 20
    sums, calls = fill(client, path)
    assert len(calls) == 20 - len(kept)
    assert sums == whole[1] and same(path, whole)
    assert not unfinished(path, "k").exists() and key_of_store(path) == "k"
    assert fill(client, path) == (sums, [])


def test_a_block_whose_answer_was_lost_with_its_worker_is_not_done_again(tmp_path):
    """Dask runs the task once more, and finds what it left."""
    (tmp_path / "calls").touch()
    blocks, plan = Blocks(tmp_path / "store.zarr", "k", LAYERS, COORDS, {}), Plan(GRID, tmp_path / "calls")
    stage, _ = blocks._open(GRID)
    for block in GRID.blocks():
        first, second = (_do_block(block, work, plan, stage, blocks) for _ in range(2))
        assert first == second
    assert len(plan.calls.read_text().splitlines()) == GRID.n_blocks


def test_another_key_starts_anew_and_leaves_the_old_one_until_it_is_whole(client, whole, tmp_path):
    path = tmp_path / "a.zarr"
    fill(client, path)
    with pytest.raises(RunError):
        fill(client, path, "k2", fails_at=LATE)
    assert key_of_store(path) == "k" and same(path, whole)
    with pytest.raises(RunError):
        fill(client, path, "k3", fails_at=LATE)
    assert not unfinished(path, "k2").exists()  # of use to nobody
    _, calls = fill(client, path, "k2")
    assert len(calls) == 20
    assert key_of_store(path) == "k2" and same(path, whole)
    assert [p.name for p in (tmp_path / ".records" / "a.zarr").iterdir()] == ["k2"]


def test_a_damaged_block_is_mended_where_it_stands(client, whole, tmp_path):
    path = tmp_path / "a.zarr"
    fill(client, path)
    assert damaged_blocks(path, "k") == {}
    edge = path / "mean" / "c" / "1" / "3" / "4"
    edge.write_bytes(b"no chunk at all")
    (path / "class" / "c" / "0" / "3").unlink()
    damaged = damaged_blocks(path, "k")
    assert damaged == {
        "block_00000_00003": str(path / "class" / "c" / "0" / "3"), "block_00003_00004": str(edge),
    }  # fmt: skip
    for name in damaged:
        Records.of(path, "k").forget(name)
    sums, calls = fill(client, path)
    assert sorted(calls) == ["(0, 3)", "(3, 4)"]
    assert sums == whole[1] and same(path, whole) and damaged_blocks(path, "k") == {}


def test_a_chunk_that_appears_from_nowhere_is_damage(client, tmp_path):
    path = tmp_path / "a.zarr"
    fill(client, path)
    empty = path / "class" / "c" / "1" / "1"
    assert not empty.exists()
    empty.write_bytes((path / "class" / "c" / "0" / "0").read_bytes())
    assert list(damaged_blocks(path, "k")) == ["block_00001_00001"]


def test_chunks_that_were_being_written_are_removed(client, whole, tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(RunError):
        fill(client, path, fails_at=LATE)
    half = unfinished(path, "k") / "mean" / "c" / "0" / "0" / "0.1234.partial"
    half.write_bytes(b"half")
    fill(client, path)
    assert not [p for p in tmp_path.rglob("*.partial")] and same(path, whole)


def test_an_unreadable_record_is_done_again(client, whole, tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(RunError):
        fill(client, path, fails_at=LATE)
    record = next(iter(sorted(Records.of(path, "k").directory.glob("*.npz"))))
    record.write_bytes(record.read_bytes()[:50])
    assert record.stem in damaged_blocks(path, "k")
    sums, _ = fill(client, path)
    assert sums == whole[1] and same(path, whole)
