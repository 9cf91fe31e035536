"""Results on an object store: places, folders that appear in an order, files that grow."""

import os
import pickle
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from object_store import be_impatient, contents, faulty, only, prefix, secrets_in
from odc.geo.geom import box
from web import Web

from engine.errors import InputError
from engine.execution.block_store import Blocks, _do_block, damaged_blocks, key_of_store
from engine.execution.ledger import Entry, Ledger, Records, digest_of
from engine.execution.lock import held, locked
from engine.grid.grid import Block, Grid
from engine.sources.stac import item_cache as kept
from engine.storage import append_log as journal
from engine.storage.atomic import publish, remove, staged, unfinished, write_file
from engine.storage.object_store import put_if
from engine.storage.paths import (
    OutPath,
    appended,
    children,
    digests_of,
    files_in,
    is_of_store,
    out_path,
    problem_of,
    read_each,
    read_file,
    read_tail,
    require_access,
    said_by_store,
)
from engine.storage.zarr_store import Layer, array, open_dataset

# Places


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("gs://bucket/out", "give a folder, or s3://BUCKET/PREFIX"),
        ("s3://key:word@bucket/out", "'s3://bucket/out': credentials and settings of an object store belong"),
        ("s3://bucket/out?versionId=3", "belong in the environment"),
        ("s3://bucket", "expected s3://BUCKET/PREFIX"),
        ("s3:///out", "expected s3://BUCKET/PREFIX"),
        ("s3://bucket/out/*", "without `*`"),
        ("s3://bucket/../out", "dots and empty parts"),
    ],
)
def test_an_address_that_is_no_place_for_results(text, part):
    assert part in problem_of(text) and "word" not in problem_of(text)
    with pytest.raises(InputError):
        out_path(text, Path())


def test_a_place_holds_no_credentials(bucket):
    place = out_path(f"{bucket}/a/b/", Path("/anywhere"))
    assert str(place) == f"{bucket}/a/b" and place == pickle.loads(pickle.dumps(place))
    write_file(place / "x", b"1")  # its file system has them by now
    assert not secrets_in(pickle.dumps(place) + repr(place).encode())
    assert out_path("out", Path("/base")) == Path("/base/out") and problem_of("out") == ""


def test_access_is_looked_into(bucket, monkeypatch):
    require_access(bucket)
    with pytest.raises(InputError, match="s3://nowhere/out: bucket 'nowhere' does not exist"):
        require_access(out_path("s3://nowhere/out", Path()))


# Files and folders


def test_digests_are_those_of_a_folder(bucket, tmp_path):
    for place in (bucket, tmp_path):
        for name, content in {"a/b.npy": b"1", "a.x": b"2", "a/c/d": b"3", "e": b""}.items():
            write_file(place / name, content)
    assert digest_of(bucket) == digest_of(tmp_path) != ""
    names = ("a/b.npy", "none", "e")
    assert digests_of([bucket / n for n in names]) == digests_of([tmp_path / n for n in names])
    assert digest_of(bucket / "none") == ""
    remove(bucket / "a")
    remove(bucket / "a")
    assert contents(bucket) == {"a.x": b"2", "e": b""}


def test_an_object_that_stands_for_a_folder_is_no_file(bucket):
    bucket.fs.pipe_file(f"{bucket.path}/a/", b"")  # as consoles of object stores make them
    write_file(bucket / "a" / "x", b"1")
    assert children(bucket / "a") == files_in(bucket / "a") == [bucket / "a" / "x"]
    assert children(bucket / "none") == files_in(bucket / "none") == []


def test_a_file_is_read_by_one_request(bucket, tmp_path):
    """So that another process may write it anew in between."""
    for folder in (bucket, tmp_path):
        write_file(folder / "log", b"begun\nended\n")
        write_file(folder / "empty", b"")
        assert read_tail(folder / "empty", 6) == b""
        for read, content in (
            (read_file, b"begun\nended\n"),
            (partial(read_tail, size=6), b"ended\n"),
            (partial(read_tail, size=100), b"begun\nended\n"),
        ):
            with only(1):
                assert read(folder / "log") == content
            with pytest.raises(FileNotFoundError):
                read(folder / "none")


def test_what_fails_leaves_the_former(bucket):
    write_file(bucket / "a.csv", b"former")
    with pytest.raises(RuntimeError), staged(bucket / "a.csv") as stage:
        stage.write_bytes(b"half")
        raise RuntimeError
    assert contents(bucket) == {"a.csv": b"former"}
    with staged(bucket / "a.csv") as stage:
        stage.write_bytes(b"new")
    assert contents(bucket) == {"a.csv": b"new"}


def test_publishing_stopped_after_any_request(bucket):
    """Whoever knows a folder by its head finds the former one, none, or the new one; and a rerun brings the new one."""
    former = {"head.json": b"former", "a/0": b"former", "gone": b"former"}
    new = {"head.json": b"new", "a/0": b"new", "a/1": b"new"}
    seen = set()
    for stop in range(100):
        stage, place = bucket / f"{stop}" / ".x.partial", bucket / f"{stop}" / "x"
        for folder, files in ((place, former), (stage, new)):
            for name, content in files.items():
                write_file(folder / name, content)
        with only(stop) as passed, suppress(OSError):
            publish(stage, place, "head.json")
        found = contents(place)
        state = "former" if found == former else "new" if found == new else "none"
        assert state != "none" or "head.json" not in found
        seen.add(state)
        if (stage / "head.json").exists():
            publish(stage, place, "head.json")
        assert contents(place) == new
        if len(passed) < stop:
            break
    assert seen == {"former", "new", "none"} and not contents(stage)


def test_a_write_with_a_condition(bucket):
    tag = put_if(bucket / "a", b"1", None)
    with pytest.raises(FileExistsError):
        put_if(bucket / "a", b"2", None)
    other = put_if(bucket / "a", b"3", tag)
    for stale in (tag, None):
        with pytest.raises(FileExistsError):
            put_if(bucket / "a", b"4", stale)
    assert (bucket / "a").read_bytes() == b"3"
    remove(bucket / "a")
    with pytest.raises(FileExistsError):
        put_if(bucket / "a", b"5", other)


def test_items_of_a_catalog_are_kept(bucket):
    item = {"id": "a", "type": "Feature", "links": [], "assets": {"npp": {"href": "https://host/a.tif?sig=word"}}}
    place, query = bucket / "items" / "npp.json", {"collection": "c"}
    assert kept.load(place, query) is None
    kept.save(place, query, {"id": "c"}, [item], "npp")
    bare = {**item, "assets": {"npp": {"href": "https://host/a.tif"}}}
    assert kept.load(place, query) == ({"id": "c"}, [bare]) and kept.load(place, {}) is None


def test_lines_are_added(bucket, monkeypatch):
    monkeypatch.setattr(journal, "EVERY_S", 0.05)
    for n in (1, 2):
        with appended(bucket / "log") as local, local.open("a") as file:
            print(f"begun {n}", file=file, flush=True)
            deadline = time.monotonic() + 60
            while f"begun {n}".encode() not in (read_each([bucket / "log"])[0] or b""):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            print(f"ended {n}", file=file, flush=True)
    assert (bucket / "log").read_text() == "begun 1\nended 1\nbegun 2\nended 2\n"


# Faults


KINDS = ("HEAD ", "GET /", "?list-type", "PUT ", "COPY ", "?delete", "DELETE ")
"""All requests that are made."""


@pytest.fixture
def way(object_store: dict[str, str]) -> Iterator[Web]:
    """What stands between this process and the store."""
    with faulty(object_store) as web:
        yield web


def work_of_a_run(place: OutPath, told: list[str]) -> None:
    """Each kind of request at least once: a lock, a log, a former store, and one that takes its place."""
    with locked(place), appended(place / "log") as log:
        log.write_bytes(b"begun")
        for key in ("former", "new"):
            fill(place / "a.zarr", key, told, SMALL)
        assert damaged_blocks(place / "a.zarr", "new") == {}


@pytest.mark.parametrize("fault", [500, 503, "reset", "lost", "cut"])
def test_a_fault_that_passes_is_not_noticed(way, tmp_path, fault):
    """Whatever request it befalls, and also if it was done and only the answer is lost."""
    done: list[str] = []
    for kind in KINDS:
        way.fail(kind, fault)
    place = prefix(f"passes-{fault}")
    work_of_a_run(place, done)
    work_of_a_run(tmp_path, [])
    assert not any(way.faults.values()) and done == ["(0, 0)", "(0, 0)"]
    assert contents(place) == contents(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_stays_is_named_and_nothing_is_lost(way, tmp_path, monkeypatch, kind):
    be_impatient(monkeypatch)
    place = prefix(f"stays-{KINDS.index(kind)}")
    with appended(place / "log") as log:
        log.write_bytes(b"begun")
    fill(place / "a.zarr", "former", [], SMALL)
    former = contents(place / "a.zarr")
    fill(tmp_path / "a.zarr", "new", [], SMALL)
    whole = contents(tmp_path / "a.zarr")
    way.fail(kind, *[503] * 1000)
    with pytest.raises(Exception) as failed:
        fill(place / "a.zarr", "new", [], SMALL)
    assert is_of_store(failed.value)
    said = said_by_store(failed.value)
    assert re.match(
        r"the object store failed: An error occurred \((SlowDown|503)\) when calling the \w+ operation", said
    )
    way.forget()
    found = contents(place / "a.zarr")
    assert "zarr.json" not in found or found in (former, whole)
    again: list[str] = []
    recorded = len(Records.of(place / "a.zarr", "new").names())
    fill(place / "a.zarr", "new", again, SMALL)
    assert contents(place / "a.zarr") == whole and len(again) == 1 - recorded


def test_a_lock_that_cannot_be_removed_is_left(way, monkeypatch):
    be_impatient(monkeypatch)
    place = prefix("left")
    with pytest.raises(KeyboardInterrupt), locked(place):
        way.fail("run.lock", *[503] * 100)
        raise KeyboardInterrupt
    way.forget()
    assert held(place).owner.pid == os.getpid()


def test_a_store_that_takes_no_checksum_after_the_data(way):
    place = prefix("trailer")
    way.fail("PUT ", 411)
    with pytest.raises(InputError, match=r"MissingContentLength.*; set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
        locked(place).__enter__()


def test_a_ledger_that_cannot_be_reached_is_none_to_delete(way, monkeypatch):
    be_impatient(monkeypatch)
    place = prefix("unreachable")
    Ledger(place).finish("map", Entry(key="k"))
    way.fail("ledger.json", *[503] * 100)
    with pytest.raises(OSError, match="made up"):
        Ledger(place)


def test_what_a_store_says_it_has_left_is_deleted_alone(way, monkeypatch):
    """Of many that one request deletes, some may stay, while the request as a whole is answered as done."""
    be_impatient(monkeypatch)
    place = prefix("many")
    for name in ("a", "b"):
        write_file(place / name, b"1")
    left = "".join(f"<Error><Key>many/{n}</Key><Code>InternalError</Code></Error>" for n in ("a", "b"))
    answer = f"<DeleteResult>{left}</DeleteResult>".encode()
    way.fail("?delete", answer, answer)
    way.fail("DELETE ", 403)
    with pytest.raises(PermissionError):
        remove(place)
    assert set(contents(place)) == {"a", "b"}
    remove(place)
    assert contents(place) == {}


def test_a_store_that_knows_tags_without_quotes(way):
    place = prefix("quotes")
    tag = put_if(place / "a", b"1", None)
    way.fail("PUT ", 412)
    other = put_if(place / "a", b"2", tag)
    way.fail("PUT ", 412)
    with pytest.raises(FileExistsError):
        put_if(place / "a", b"3", tag)
    assert (place / "a").read_bytes() == b"2" and other != tag


# Stores


GRID = Grid.from_outline(box(0, 0, 30_000, 20_000, "EPSG:6931"), "EPSG:6931", 1000, 16)
SMALL = Grid.from_outline(box(0, 0, 9000, 9000, "EPSG:6931"), "EPSG:6931", 1000, 16)
LAYERS = {"mean": Layer("float32", {}, ("depth",)), "class": Layer("uint8", {})}
COORDS = {"depth": ("depth", np.array(["0-10", "0-30"]))}


def work(block: Block, plan: None, store: OutPath) -> dict[str, np.ndarray]:
    """Write a block's number; its class is 0, a chunk that is not stored, in the first."""
    number = 10 * block.index[0] + block.index[1]
    shape = block.geobox.shape.yx
    for depth in range(2):
        array(store, "mean", "r+")[(depth, *block.roi)] = np.full(shape, number + depth, "float32")
    array(store, "class", "r+")[block.roi] = np.full(shape, number, "uint8")
    return {"sum": np.array([number])}


def fill(path: OutPath, key: str, done: list[str], grid: Grid = GRID) -> None:
    """As `Blocks.fill` does, without a cluster; notes the blocks that it does."""
    blocks = Blocks(path, key, LAYERS, COORDS, {"title": "made up"})
    stage, kept = blocks._open(grid)
    for block in grid.blocks(mixed=True):
        if f"block_{block.index[0]:05d}_{block.index[1]:05d}" not in kept:
            done.append(str(block.index))
            _do_block(block, work, None, stage, blocks)
    blocks.publish()


def test_a_store_is_that_of_a_folder(bucket, tmp_path):
    for place in (bucket, tmp_path):
        fill(place / "a.zarr", "k", [])
    ours, theirs = contents(bucket / "a.zarr"), contents(tmp_path / "a.zarr")
    assert ours == theirs and len(ours) > 10 and "class/c/0/0" not in ours
    assert open_dataset(bucket / "a.zarr").load().identical(open_dataset(tmp_path / "a.zarr").load())
    records = [Records.of(place / "a.zarr", "k") for place in (bucket, tmp_path)]
    assert records[0].names() == records[1].names() and len(records[0].names()) == 4
    assert key_of_store(bucket / "a.zarr") == "k" and not contents(unfinished(bucket / "a.zarr", "k"))


def test_publishing_a_store_stopped_after_any_request(bucket):
    """The next run publishes it, whatever the one before has left, and computes nothing."""
    path, stop = bucket / "a.zarr", 0
    fill(path, "former", [], SMALL)
    blocks = Blocks(path, "new", LAYERS, COORDS, {"title": "made up"})
    (block,) = SMALL.blocks()
    _do_block(block, work, None, blocks._open(SMALL)[0], blocks)
    former, new = contents(path), contents(unfinished(path, "new"))
    states = set()
    while True:
        begun: list[str] = []
        with only(stop) as passed, suppress(OSError):
            fill(path, "new", begun, SMALL)
        assert begun == []
        found = contents(path)
        assert "zarr.json" not in found or found in (former, new)
        states.add((key_of_store(path), key_of_store(unfinished(path, "new"))))
        if len(passed) < stop:
            break
        stop += 1
    assert states == {("former", "new"), (None, "new"), ("new", "new"), ("new", None)}
    assert contents(path) == new and not contents(unfinished(path, "new"))


def test_a_store_stopped_after_any_request(bucket, tmp_path):
    """Whenever the process dies, a rerun does what is not recorded, and readers find the former store until then."""
    fill(tmp_path / "a.zarr", "new", [])
    whole = contents(tmp_path / "a.zarr")
    path, stop, stops = bucket / "a.zarr", 0, 0
    fill(path, "former", [])
    former = contents(path)
    again: list[str] = []
    while True:
        begun: list[str] = []
        recorded = len(Records.of(path, "new").names())
        with only(stop):
            try:
                fill(path, "new", begun)
                ended = True
            except OSError:
                ended = False
        found = contents(path)
        assert "zarr.json" not in found or found in (former, whole)
        again += begun
        assert len(begun) <= 4 - recorded
        if ended:
            break
        # Each rerun may do more than the one before: every piece of the work is the last of some run.
        stop, stops = stop + 5, stops + 1
    assert found == whole and stops > 5
    assert set(again) == {"(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"}
    assert damaged_blocks(path, "new") == {} and not contents(unfinished(path, "new"))
    assert {name.partition("/")[0] for name in contents(bucket / ".records" / "a.zarr")} == {"new"}


def test_a_damaged_block_is_mended_where_it_stands(bucket):
    path, done = bucket / "a.zarr", []
    fill(path, "k", [])
    before = contents(path)
    write_file(path / "mean" / "c" / "1" / "1" / "0", b"no chunk at all")
    remove(path / "class" / "c" / "0" / "1")
    write_file(path / "class" / "c" / "0" / "0", b"from nowhere")
    damaged = damaged_blocks(path, "k")
    assert damaged.keys() == {"block_00000_00000", "block_00000_00001", "block_00001_00000"}
    assert damaged["block_00001_00000"] == f"{path}/mean/c/1/1/0"
    for name in damaged:
        Records.of(path, "k").forget(name)
    fill(path, "k", done)
    assert sorted(done) == ["(0, 0)", "(0, 1)", "(1, 0)"]
    assert contents(path) == before and damaged_blocks(path, "k") == {}


def test_an_unreadable_record_is_none_but_a_store_that_fails_is_no_missing_record(bucket):
    records = Records.of(bucket / "a.zarr", "k")
    records.save("one", n=np.array(1))
    write_file(records.directory / "two.npz", b"PK half")
    assert dict(records.load_each(["one", "two", "three"])) == {"one": {"n": np.array(1)}, "two": None, "three": None}
    with only(0), pytest.raises(OSError, match="killed"):
        records.load("one")
