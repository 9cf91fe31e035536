"""From configuration to a Dask client, with workers that suit the machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
import psutil
from distributed import Client, LocalCluster

from engine.errors import InputError

MEMORY_SHARE = 0.8
"""Share of the machine's memory that local workers may use together."""


@contextmanager
def local_client(workers: int | None = None, threads: int = 1, memory: str | None = None) -> Iterator[Client]:
    """Start workers on this machine: one process a core, one thread each, unless told otherwise.

    Parameters
    ----------
    workers, threads : int
        Processes, and threads of each.
    memory : str, optional
        Limit of each worker, e.g. "2GB"; by default an equal share of 80 % of the machine's memory.
    """
    workers = workers or max(1, (os.cpu_count() or 1) // threads)
    limit = dask.utils.parse_bytes(memory) if memory else int(psutil.virtual_memory().total * MEMORY_SHARE / workers)
    # One thread a task: numerical libraries must not start their own beside it.
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    settings = {
        "distributed.nanny.pre-spawn-environ": environment | {"MALLOC_TRIM_THRESHOLD_": "65536"},
        "distributed.worker.use-file-locking": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            memory_limit=limit,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def remote_client(address: str, timeout: float = 20.0) -> Iterator[Client]:
    """Join a scheduler that runs already; its workers must see the same files.

    Raises
    ------
    InputError
        If nobody answers at the address, or no worker has joined the scheduler.
    """
    try:
        client = Client(address, timeout=timeout)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cluster.address: no Dask scheduler answers at {address} within {timeout:g} s ({error}). "
            "Start one with `dask scheduler`, or use `cluster: {kind: local}`."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError:
            raise InputError(
                f"cluster.address: the scheduler at {address} has no workers; start some with `dask worker {address}`."
            ) from None
        yield client


def peak_memory(client: Client) -> int:
    """Highest resident memory of any worker so far, bytes."""
    return max(client.run(_peak_of_this_process).values(), default=0)


def _peak_of_this_process() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
