"""A run whose results are on an object store: the same to the byte, resumed, guarded, checked and mended."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
from faults import BLOCKS, COGS, COMMAND, REPEATS, REPLICATES, FaultyRun, assert_found_and_mended, assert_same_results
from object_store import be_impatient, contents, faulty, prefix, secrets_in, using, without_credentials
from small_run import SmallRun

from engine.execution.ledger import Ledger
from engine.execution.lock import locked
from engine.execution.worker_checks import check_workers
from engine.storage.atomic import write_file
from engine.storage.object_store import upload
from engine.storage.paths import OutPath

OF_THIS_RUN = {"run.yaml", "provenance.json", "ledger.json", "events.jsonl", "gelisol.log"}
"""Files that tell where and when a run was done."""


@pytest.fixture(scope="module")
def remote(object_store, pristine: Path, gelisol, on_scheduler: list[str]) -> Iterator[OutPath]:
    """Results of the small run up to the map, as `finished`, on an object store."""
    with using(object_store):
        place = prefix("whole/small")
        result = gelisol("run", pristine / "run.yaml", "--out", place, "--until", "map", *on_scheduler)
        assert result.exit_code == 0, result.output
        yield place


def test_results_are_those_of_a_folder(remote: OutPath, finished: Path, pristine: Path):
    """Every block, table, model, record and GeoTIFF, to the byte; and nothing of the credentials."""
    ours, theirs = contents(remote), contents(finished)
    assert ours.keys() == theirs.keys() and len(ours) > 150
    assert {name for name in ours if ours[name] != theirs[name]} <= OF_THIS_RUN
    assert_same_results(remote, finished)
    assert not [name for name, content in ours.items() if secrets_in(content)]
    text = ours["run.yaml"].decode()
    assert f"dir: {remote}" in text and f"table: {pristine / 'data' / 'profiles.csv'}" in text
    events = [json.loads(line)["event"] for line in ours["events.jsonl"].decode().splitlines()]
    assert (events[0], events[-1]) == ("run_started", "run_done")


def test_status_check_and_report(remote: OutPath, pristine: Path, gelisol):
    status = json.loads(gelisol("status", remote, "--json").stdout)
    assert status["state"] == "done" and status["stages"]["map"] == "done" and status["stages"]["report"] == "to do"
    checked = gelisol("check", pristine / "run.yaml", "--out", remote, "--deep")
    assert checked.exit_code == 0 and f"in {remote}" in checked.stdout
    result = gelisol("report", remote)
    assert result.exit_code == 0, result.output
    found = contents(remote)
    assert len(found["report.html"]) > 100_000 and len([n for n in found if n.startswith("figures/")]) >= 16
    items = [json.loads(found[name]) for name in found if re.fullmatch("stac/.+/.+json", name)]
    assert len(items) == 3
    for item in items:  # relative, so that they hold wherever the results are
        for asset in item["assets"].values():
            assert asset["href"].removeprefix("../../") in found
            assert asset["roles"] == ["metadata"] or asset["bands"][0]["statistics"]


def upload_to_folder(place: OutPath, folder: Path) -> None:
    """As one would with a client of the object store."""
    for name, content in contents(place).items():
        write_file(folder / name, content)


def test_a_second_run_is_refused(remote: OutPath, pristine: Path, gelisol, on_scheduler: list[str]):
    before = contents(remote)
    with locked(remote):
        for command in (["run", *on_scheduler], ["check", "--deep"]):
            result = gelisol(command[0], pristine / "run.yaml", "--out", remote, *command[1:])
            assert result.exit_code == 3
            assert f"{remote}: another run works here: process " in result.stderr
        assert gelisol("report", remote).exit_code == 3
        assert json.loads(gelisol("status", remote, "--json").stdout)["state"] == "running"
    assert contents(remote).keys() == before.keys()


def test_a_damaged_block_is_found_and_mended(
    remote: OutPath, finished: Path, pristine: Path, tmp_path: Path, gelisol, on_scheduler: list[str]
):
    out = prefix("damaged")
    local = tmp_path / "copy"
    upload_to_folder(remote, local)
    upload(local, out, "run.yaml")
    chunk = out / "maps.zarr" / "mean" / "c" / "1" / "0" / "1"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    write_file(chunk, bytes(content))
    (out / "cube.zarr" / "tn" / "c" / "0" / "0").unlink()
    arguments = [pristine / "run.yaml", "--out", out, *on_scheduler]
    assert_found_and_mended(out, finished, chunk, gelisol, arguments)


def test_a_store_that_fails_while_it_maps(
    remote: OutPath,
    object_store,
    finished: Path,
    pristine: Path,
    tmp_path: Path,
    gelisol,
    on_scheduler: list[str],
    monkeypatch,
):
    """The run ends with the store's word, and goes on from what it had done."""
    out, local = prefix("outage"), tmp_path / "copy"
    upload_to_folder(remote, local)
    Ledger(local).begin("map")
    for gone in ("maps.zarr", "cog", ".records/maps.zarr", ".records/cog"):
        shutil.rmtree(local / gone)
    upload(local, out, "run.yaml")
    monkeypatch.setattr("engine.execution.block_store.WAITS", (0.01,))
    arguments = ["run", pristine / "run.yaml", "--out", out, "--until", "map", *on_scheduler]
    with faulty(object_store) as way:
        be_impatient(monkeypatch)
        way.fail("/mean/c/1/1/0", *[503] * 1000)
        failed = gelisol(*arguments)
        said = "the object store failed: An error occurred (SlowDown) when calling the PutObject operation"
        assert failed.exit_code == 3 and failed.stderr.count("Traceback") == 0
        assert f"The run failed: {said}" in failed.stderr
        assert f"warning: {said}" in failed.stderr and "trying again in 0.01 s" in failed.stderr
        status = json.loads(gelisol("status", out, "--json").stdout)
        assert status["state"] == "failed" and said in status["text"]
    monkeypatch.undo()
    with using(object_store):
        result = gelisol(*arguments)
        assert result.exit_code == 0 and "map: 3 of 4 blocks were done before" in result.stderr
        assert "cube: done before, kept" in result.stderr
        assert_same_results(out, finished)


@pytest.mark.parametrize("kind", ["HEAD ", "GET ", "ledger.json", "run.lock"])
def test_commands_that_read_say_that_the_store_fails(
    remote: OutPath, object_store, pristine: Path, gelisol, monkeypatch, kind: str
):
    with faulty(object_store) as way:
        be_impatient(monkeypatch)
        way.fail(kind, *[503] * 1000)
        commands = [["status", remote], ["check", pristine / "run.yaml", "--out", remote, "--deep"]]
        if kind != "ledger.json":  # which the report comes to last
            commands.append(["report", remote])
        for command in commands:
            result = gelisol(*command)
            assert result.exit_code in (1, 3) and "Traceback" not in result.stderr, command
            assert "An error occurred (" in result.stderr and "delete it" not in result.stderr, command


@pytest.mark.slow
def test_client_killed_while_it_maps(run: SmallRun, tmp_path: Path, finished: Path, bucket: OutPath):
    """The rerun does no block that was recorded, and readers find no map until it is whole."""
    faulty = FaultyRun(run, tmp_path / "faults")
    faulty.run.out = bucket
    faulty.settings.append(f"output.dir={bucket}")
    faulty.faults(("map", 6, "kill_client"))
    code, said = faulty.go("--until", "map")
    assert code == -9, said
    assert not (bucket / "maps.zarr").exists() and (bucket / "ledger.json").exists()
    code, said = faulty.go("--until", "map")
    assert code == 0, said
    assert "an earlier run ended without a word (process" in said
    assert f"map: 5 of {BLOCKS} blocks were done before" in said
    # The block that was written and not yet recorded when the client was killed.
    assert faulty.calls() == Counter(cube=BLOCKS, validate=REPEATS, train=REPLICATES, map=BLOCKS + 1, cog=COGS)
    assert_same_results(bucket, finished)


@pytest.mark.parametrize(
    ("out", "part"),
    [
        ("s3://nowhere/out", "s3://nowhere/out: bucket 'nowhere' does not exist; make it first"),
        ("gs://results/out", "'gs://results/out' cannot hold results; give a folder, or s3://BUCKET/PREFIX"),
    ],
)
def test_an_address_that_is_wrong(bucket: OutPath, pristine: Path, gelisol, out: str, part: str):
    for command in ("run", "check"):
        result = gelisol(command, pristine / "run.yaml", "--out", out)
        assert result.exit_code == 1 and result.stderr.startswith("1 problem with the input:")
        assert part in result.stderr


def test_no_credentials(pristine: Path):
    """One message, before anything is computed."""
    command = [COMMAND, "run", pristine / "run.yaml", "--out", "s3://results/out"]
    ended = subprocess.run(command, capture_output=True, text=True, env=without_credentials(), check=False)
    assert ended.returncode == 1 and ended.stderr.startswith("1 problem with the input:")
    assert "s3://results/out: cannot be reached (Unable to locate credentials); credentials and" in ended.stderr
    assert "Traceback" not in ended.stderr and "cluster" not in ended.stderr


def test_the_demo_says_why_it_needs_a_folder(gelisol):
    result = gelisol("demo", "--out", "s3://results/demo")
    assert result.exit_code == 1 and "gelisol run FOLDER/input/run.yaml --out s3://results/demo" in result.stderr


def test_a_worker_that_does_not_reach_the_store(bucket: OutPath):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
            env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        ) as cluster,
        cluster.get_client() as client,
    ):  # fmt: skip
        (mismatch,) = [m for m in check_workers(client, [], bucket) if m.fatal]
    assert (mismatch.what, mismatch.here) == ("results folder", f"{bucket} is writable")
    assert "Could not connect to the endpoint" in mismatch.there
    assert contents(bucket) == {}
