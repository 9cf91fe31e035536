"""Runs on a real one-node Slurm and over a real sshd, where they can be started."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from small_run import SmallRun

from engine.execution.cluster import connect, local_client
from engine.storage.zarr_store import open_dataset

GELISOL = Path(sys.executable).with_name("gelisol")
SLURM = Path(__file__).with_name("one_node_slurm.sh")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a running Slurm."""
    if os.getuid() or not shutil.which("slurmctld") or not shutil.which("munged"):
        pytest.skip("needs root and Debian's slurm-wlm and munge")
    folder = Path("/tmp") / f"gelisol-slurm-{os.getpid()}"  # readable by munge's own user
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"), "SLURMCTLD_PORT": str(free_port()), "SLURMD_PORT": str(free_port()),
    }  # fmt: skip
    started = subprocess.run([SLURM, "start", folder], env=environment, capture_output=True, text=True, check=False)
    try:
        if started.returncode:
            pytest.skip(f"Slurm does not start here: {started.stderr.strip()[-500:]}")
        yield environment
    finally:
        subprocess.run([SLURM, "stop", folder], check=False, capture_output=True)
        time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Connection options of a running sshd."""
    daemon = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(daemon).exists():
        pytest.skip("needs sshd (Debian: openssh-server)")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized_keys")
    port = free_port()
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [daemon, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", tmp_path / "host",
         "-o", f"AuthorizedKeysFile={tmp_path / 'authorized_keys'}", "-o", "StrictModes=no", "-o", "UsePAM=no",
         "-o", "ListenAddress=127.0.0.1", "-o", "PermitRootLogin=yes", "-o", "PidFile=none"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    kind, key, *_ = (tmp_path / "host.pub").read_text().split()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    yield {
        "port": port, "username": getpass.getuser(), "client_keys": [str(tmp_path / "user")],
        "known_hosts": str(tmp_path / "known_hosts"),
    }  # fmt: skip
    process.terminate()
    process.wait()


def cube(run: SmallRun, cluster: dict[str, Any], environment: dict[str, str] | None = None) -> tuple[xr.Dataset, str]:
    """Build the cube on a cluster: the store, and what was said."""
    run.set("cluster", cluster)
    done = subprocess.run(
        [GELISOL, "run", run.path, "--until", "cube"],
        capture_output=True, text=True, timeout=240, env=environment, cwd=run.directory, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return open_dataset(run.out / "cube.zarr").load(), done.stderr


@pytest.fixture(scope="session")
def expected(small: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """The cube as made on this machine."""
    out = tmp_path_factory.mktemp("expected") / "out"
    subprocess.run(
        [GELISOL, "run", small / "run.yaml", "--until", "cube", "--out", out], check=True, capture_output=True
    )
    return open_dataset(out / "cube.zarr").load()


@pytest.mark.slow
def test_workers_from_a_slurm_queue(run: SmallRun, slurm: dict[str, str], expected: xr.Dataset):
    options = {
        "queue": "normal", "cores": 1, "processes": 1, "memory": "2GB", "walltime": "00:10:00", "interface": "lo",
        "log_directory": str(run.directory / "logs"),
        "job_script_prologue": ["export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"],
    }  # fmt: skip
    spec = {"kind": "dask_jobqueue.SLURMCluster", "workers": 1, "timeout": 120, "options": options}
    made, said = cube(run, spec, slurm)
    assert made.identical(expected)
    assert "cluster: 1 worker, 1 thread" in said and "dashboard http://127.0.0.1:" in said
    assert "Workers that differ" not in said
    assert list((run.directory / "logs").iterdir())  # of the job


@pytest.mark.slow
def test_workers_over_ssh(run: SmallRun, sshd: dict[str, Any], expected: xr.Dataset):
    spec = {
        "kind": "ssh", "hosts": ["127.0.0.1", "127.0.0.1"], "memory": "2GB", "timeout": 120,
        "options": {"connect_options": sshd, "remote_python": sys.executable},
    }  # fmt: skip
    made, said = cube(run, spec)
    assert made.identical(expected)
    assert "cluster: 1 worker, 1 thread, 1.9 GiB" in said


def test_a_local_cluster_that_grows_and_shrinks():
    with connect("local", adaptive=(1, 2)) as client:
        client.submit(sum, [1, 2]).result(timeout=60)
        assert 1 <= len(client.nthreads()) <= 2


def test_a_fixed_local_cluster():
    with local_client(workers=1, threads=2, memory="1GB") as client:
        (worker,) = client.scheduler_info()["workers"].values()
        assert (worker["nthreads"], worker["memory_limit"]) == (2, 1_000_000_000)
