"""The run-file fragments, the pins of the image and the batch script."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from engine.execution.cluster import cluster_class
from pipelines.runfile.reader import Cluster

ROOT = Path(__file__).parents[2]
FRAGMENTS = sorted((ROOT / "deploy").rglob("*.run.yaml"))


def pins(lock: Path) -> dict[str, str]:
    """Package → version and marker."""
    lines = [line for line in lock.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    return {line.partition("==")[0]: line.partition("==")[2].rstrip(" \\") for line in lines}


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_fragment_is_a_cluster_section(path: Path):
    document = YAML(typ="safe", pure=True).load(path)
    assert list(document) == ["cluster"]
    spec = Cluster.model_validate(document["cluster"])
    if "." in spec.kind:
        cluster_class(spec.kind)


def test_there_is_one_for_every_way():
    assert {path.parent.name for path in FRAGMENTS} == {"kubernetes", "slurm", "ssh"}


def test_the_image_has_the_versions_that_are_tested():
    # For which Pythons a package is needed may differ: developers' tools ask for some on all of them.
    image, ours = (
        {name: pin.partition(" ;")[0] for name, pin in pins(ROOT / path).items()}
        for path in ("deploy/docker/requirements.lock", "requirements.lock")
    )
    assert len(image) > 100
    assert {name: version for name, version in image.items() if ours.get(name) != version} == {}
    assert not {"pytest", "moto", "mypy", "pip-audit"} & set(image)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("a==1 \\\n    --hash=sha256:00", ""),
        ("a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11", ""),
        ("a==1", "2: a==1 is not pinned, or without a hash"),
        ("a>=1 \\\n    --hash=sha256:00", "2: a>=1 is not pinned"),
        ("a==1 \\\nb==1 \\\n    --hash=sha256:00", "3: a==1 is without a hash"),
        ("a @ https://example.org/a.whl \\\n    --hash=sha256:00", "2: names an address"),
        ("--extra-index-url there", "2: names an address or an index"),
    ],
)
def test_locks_hold_hashes_and_no_addresses(tmp_path, entry, complaint):
    (tmp_path / "some.lock").write_text(f"# pinned\n{entry}\n")
    pinned = ["make", "-s", "-C", ROOT, "pinned"]
    done = subprocess.run([*pinned, f"LOCKS={tmp_path / 'some.lock'}"], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (complaint == ""), done.stderr
    assert complaint in done.stdout
    assert subprocess.run(pinned, check=False).returncode == 0


def test_the_image_is_pinned_slim_and_not_root():
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(set(bases)) == 1 and re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])
    assert "--require-hashes" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["1000:1000"]


def test_what_the_image_copies_is_there():
    kept = [
        line[1:]
        for line in (ROOT / "deploy" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    optional = {"setup.py"}
    assert all((ROOT / name).exists() for name in kept if name not in optional)


def test_the_batch_script_is_sound():
    script = ROOT / "deploy" / "slurm" / "gelisol.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize(("code", "restarts", "requeued"), [(0, 0, False), (1, 0, False), (3, 0, True), (3, 20, False)])
def test_the_batch_script_goes_on_after_a_stop(tmp_path: Path, code: int, restarts: int, requeued: bool):
    """With stand-ins for the two commands that it calls."""
    for name, body in (("gelisol", f"exit {code}"), ("scontrol", f'echo "$@" > {tmp_path}/requeued')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(restarts)}
    script = ROOT / "deploy" / "slurm" / "gelisol.sbatch"
    done = subprocess.run(["bash", script, "run.yaml"], env=environment, check=False)
    assert done.returncode == code
    assert (tmp_path / "requeued").exists() == requeued
    if requeued:
        assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_the_batch_script_hands_on_the_signal(tmp_path: Path):
    """The run stops in order, and the script takes its exit code."""
    (tmp_path / "gelisol").write_text(
        f"#!/bin/bash\ntrap 'sleep 0.5; exit 3' TERM\ntouch {tmp_path}/up\nsleep 30 & wait\n"
    )
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued\n')
    for name in ("gelisol", "scontrol"):
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    script = ROOT / "deploy" / "slurm" / "gelisol.sbatch"
    process = subprocess.Popen(["bash", script, "run.yaml"], env=environment)
    while not (tmp_path / "up").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=20) == 3
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
