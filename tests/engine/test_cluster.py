"""Where the tasks run."""

import os
import socket

import pytest
from distributed import LocalCluster

from engine.cluster import peak_memory, remote_client
from engine.errors import InputError


def environment() -> dict[str, str | None]:
    return {
        name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
    }


def test_local_workers_have_one_thread_each(client):
    assert list(client.nthreads().values()) == [1, 1]
    for found in client.run(environment).values():
        assert found == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    limits = [w["memory_limit"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]
    assert len(limits) == 2 and limits[0] == limits[1] > 0


def test_peak_memory_is_that_of_a_worker(client):
    peak = peak_memory(client)
    assert 50e6 < peak < 20e9


def test_nobody_at_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    message = f"cluster.address: no Dask scheduler answers at {address} within 0.5 s"
    with pytest.raises(InputError, match=message), remote_client(address, timeout=0.5):
        pass


def test_no_address():
    message = r"cluster.address: no Dask scheduler answers at nonsense://x"
    with pytest.raises(InputError, match=message), remote_client("nonsense://x", timeout=0.5):
        pass


def test_a_scheduler_without_workers():
    with (
        LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty,
        pytest.raises(InputError, match=r"cluster.address: the scheduler at .* has no workers"),
        remote_client(empty.scheduler_address, timeout=0.5),
    ):
        pass
