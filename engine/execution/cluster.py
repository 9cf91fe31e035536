"""Dask clients made from the run file, with workers that suit the machine."""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import dask
import psutil
from distributed import Client, LocalCluster
from distributed.deploy import Cluster
from distributed.security import Security

from engine.errors import Finding, InputError

MEMORY_SHARE = 0.8
"""Share of the machine's memory that local workers may use together."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One thread a task: numerical libraries must not start their own beside it."""
ENVIRONMENT = ONE_THREAD | {"MALLOC_TRIM_THRESHOLD_": "65536"}
"""What workers are started with."""
LOOPBACK = "127.0.0.1:0"
"""Where a dashboard listens: it has no password."""
ALLOWED_FAILURES = 10
"""Workers that may die under one task before the run gives up; nodes that are taken back are no fault of the task."""
_NOT_CLUSTERS = ("dask_gateway.GatewayCluster",)
"""Cluster classes that are not Dask's own by descent."""


_MOST: WeakKeyDictionary[Client, int] = WeakKeyDictionary()
"""Clients of clusters that grow by themselves → the most workers there may be."""


def most_workers(client: Client) -> int | None:
    """Return the largest number of workers of an adaptive cluster; None for a cluster of fixed size."""
    return _MOST.get(client)


@contextmanager
def connect(
    kind: str,
    *,
    address: str | None = None,
    tls: Mapping[str, str] | None = None,
    hosts: Sequence[str] = (),
    workers: int | None = None,
    adaptive: tuple[int, int] | None = None,
    threads: int = 1,
    memory: str | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
) -> Iterator[Client]:
    """Start or join a cluster, and let go of it at the end.

    Parameters
    ----------
    kind : str
        `local`, `address`, `ssh`, or the dotted name of a Dask cluster class, e.g. `dask_jobqueue.SLURMCluster`.
    address, tls
        Of a running scheduler; paths of `ca`, `cert` and `key`.
    hosts : sequence of str
        For ssh: where the scheduler runs, then where workers run.
    workers, adaptive
        A fixed number of workers, or the least and the most of them. A scheduler that runs already scales its workers
        itself: of it, `adaptive` says how many it may start, so that there is work for as many.
    threads, memory
        Of each worker, for `local` and `ssh`.
    options : mapping
        Arguments of the cluster class.
    timeout : float
        Seconds to wait for the scheduler and the first worker.

    Raises
    ------
    InputError
        If there is no such class, scheduler or worker.
    """
    if kind == "local" and not adaptive:
        client: AbstractContextManager[Client] = local_client(workers, threads, memory)
    elif kind == "address":
        assert address is not None
        client = remote_client(address, timeout, tls)
    else:
        client = _started(kind, hosts, workers, adaptive, threads, memory, dict(options or {}), timeout)
    with client as connected:
        if adaptive:
            _MOST[connected] = adaptive[1]
        yield connected


@contextmanager
def local_client(workers: int | None = None, threads: int = 1, memory: str | None = None) -> Iterator[Client]:
    """Start workers on this machine, by default one process per core with one thread each.

    Parameters
    ----------
    workers, threads : int
        Processes, and threads of each.
    memory : str, optional
        Limit of each worker, e.g. "2GB"; by default an equal share of 80 % of the machine's memory.
    """
    workers = workers or local_workers(threads)
    with (
        dask.config.set(_settings()),
        LocalCluster(n_workers=workers, **_local_options(workers, threads, memory)) as cluster,
        Client(cluster) as client,
    ):
        yield client


def local_workers(threads: int) -> int:
    """Return the number of workers that this machine has cores for."""
    return max(1, (os.cpu_count() or 1) // threads)


def local_memory(workers: int) -> int:
    """Return the bytes of memory of each of `workers` local workers, by default an equal share."""
    return int(psutil.virtual_memory().total * MEMORY_SHARE / workers)


def _local_options(workers: int, threads: int, memory: str | None) -> dict[str, Any]:
    return {
        "threads_per_worker": threads,
        "memory_limit": dask.utils.parse_bytes(memory) if memory else local_memory(workers),
        "host": "127.0.0.1",
        "dashboard_address": LOOPBACK,
        "silence_logs": 50,
    }


def _settings() -> dict[str, Any]:
    # A worker that takes longer than this to start again after a crash would be given up for good.
    lost = _unless_set("distributed.deploy.lost-worker-timeout", "300s", "15s")
    return (
        lost
        | {
            "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
            "distributed.worker.use-file-locking": False,
        }
        | _unless_set("distributed.scheduler.allowed-failures", ALLOWED_FAILURES, 3)
    )


def _unless_set(name: str, ours: Any, dasks: Any) -> dict[str, Any]:
    """Return a Dask setting to change, unless the user has set it."""
    return {name: ours} if dask.config.get(name) == dasks else {}


@contextmanager
def _started(
    kind: str,
    hosts: Sequence[str],
    workers: int | None,
    adaptive: tuple[int, int] | None,
    threads: int,
    memory: str | None,
    options: dict[str, Any],
    timeout: float,
) -> Iterator[Client]:
    """Start a cluster of a class, scale it, and close it at the end."""
    make: Any
    if kind == "local":
        assert adaptive is not None
        make, options = LocalCluster, {"n_workers": adaptive[0], **_local_options(adaptive[1], threads, memory)}
    elif kind == "ssh":
        from distributed import SSHCluster

        make, options = SSHCluster, _ssh_options(hosts, workers, threads, memory, options)
    else:
        make, options = cluster_class(kind), _loopback(kind, options)
    with dask.config.set(_settings()), ExitStack() as stack:
        try:
            cluster = stack.enter_context(closing(make(**options)))
            client = stack.enter_context(Client(cluster, timeout=timeout))
            if adaptive:
                cluster.adapt(minimum=adaptive[0], maximum=adaptive[1])
            elif workers and kind != "ssh":
                cluster.scale(workers)
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError:
            raise InputError(
                Finding(
                    f"no worker of {kind} has started within {timeout:g} s. Look at the queue or the workers' "
                    "logs; wait longer with `cluster.timeout`.",
                    "cluster",
                )
            ) from None
        except (TypeError, ValueError, OSError, RuntimeError) as error:
            raise InputError(
                Finding(f"{kind} cannot be started with its options: {_reason(error)}", "cluster")
            ) from error
        yield client


def _reason(error: BaseException) -> str:
    """Return the message of a Dask error with that of its root cause."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return str(error) if root is error else f"{error} ({root})"


def cluster_class(name: str) -> type:
    """Import the Dask cluster class of a dotted name.

    Raises
    ------
    InputError
        If its package is not installed, or the name is not that of a cluster.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            Finding(
                f"{name!r} cannot be imported ({error}). Use local, address, ssh, or a cluster class such as "
                "dask_jobqueue.SLURMCluster, whose package is installed beside gelisol.",
                "cluster.kind",
            )
        ) from None
    if not (inspect.isclass(found) and (issubclass(found, Cluster) or name in _NOT_CLUSTERS)):
        raise InputError(Finding(f"{name!r} is not a Dask cluster class, but {found!r}", "cluster.kind"))
    return found


def _loopback(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Keep the dashboard of a scheduler that starts in this process to this machine."""
    if kind.startswith("dask_jobqueue."):
        options["scheduler_options"] = {"dashboard_address": LOOPBACK, **options.get("scheduler_options", {})}
    return options


def _ssh_options(
    hosts: Sequence[str], workers: int | None, threads: int, memory: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    worker = {"nthreads": threads} | ({"memory_limit": memory} if memory else {})
    if workers:
        worker["n_workers"] = workers
    return {
        **options,
        "hosts": list(hosts),
        "scheduler_options": {"port": 0, "dashboard_address": LOOPBACK, **options.get("scheduler_options", {})},
        "worker_options": {**worker, **options.get("worker_options", {})},
    }


@contextmanager
def remote_client(address: str, timeout: float = 20.0, tls: Mapping[str, str] | None = None) -> Iterator[Client]:
    """Join a scheduler that runs already; its workers must see the same files.

    Parameters
    ----------
    tls : mapping, optional
        Paths of `ca`, `cert` and `key`, for a scheduler at tls://…

    Raises
    ------
    InputError
        If nobody answers at the address, or no worker has joined the scheduler.
    """
    try:
        client = Client(address, timeout=timeout, security=_security(tls))
    except (OSError, ValueError, TypeError) as error:  # TypeError: tls:// without certificates
        raise InputError(
            Finding(
                f"no Dask scheduler answers at {address} within {timeout:g} s ({error}). "
                "Start one with `dask scheduler`, or use `cluster: {kind: local}`.",
                "cluster.address",
            )
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError:
            raise InputError(
                Finding(
                    f"the scheduler at {address} has no workers; start some with `dask worker {address}`.",
                    "cluster.address",
                )
            ) from None
        yield client


def _security(tls: Mapping[str, str] | None) -> Security | None:
    if not tls:
        return None
    names = {"tls_ca_file": "ca", "tls_client_cert": "cert", "tls_client_key": "key"}
    return Security(require_encryption=True, **{name: tls[key] for name, key in names.items() if key in tls})


def peak_memory(client: Client) -> int:
    """Return the highest resident memory of any worker since the last call, bytes; departed workers do not count."""
    found = client.run(_peak_of_this_process, on_error="ignore")
    return max((peak for peak in found.values() if isinstance(peak, int)), default=0)


def _peak_of_this_process() -> int:
    """Return this process's peak memory and, where the system can (Linux), reset it to the current use."""
    used = psutil.Process().memory_info()
    peak = int(getattr(used, "peak_wset", used.rss))  # Windows keeps the peak, too; elsewhere what is in use now
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
        with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
            reset.write("5")
    except (OSError, StopIteration):
        pass
    return peak
