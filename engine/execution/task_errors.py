"""Errors of tasks, brought into the one form that the user meets: an error without a traceback.

| what is at fault | in the task | what `run_each` raises |
|---|---|---|
| the input | `InputError`, `FitError` | the same, whole |
| the run: a disk that is full, a disk or store that is away | `RunError`, `OSError`, a store's error | `RunError` |
| the cluster: dead workers, a lost scheduler, none left | – | `RunError` |
| this program | anything else | the same, with its traceback |
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from distributed.client import CancelledError
from distributed.scheduler import KilledWorker

from engine.errors import GelisolError, RunError
from engine.storage.paths import is_of_store, said_by_store

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Failure:
    """An error for the user as the result of a task: what a task raises, Dask logs with a traceback on the worker."""

    error: GelisolError


def failure_of(error: Exception) -> Failure | None:
    """Return the failure that an error in a task is to the user; None of a fault of this program.

    It travels alone: GDAL's error, behind it, cannot be pickled and would take it along.
    """
    if isinstance(error, GelisolError):
        error.__cause__ = error.__context__ = error.__traceback__ = None
        return Failure(error)
    if not is_of_store(error):
        return None
    if _is_full(error):
        return Failure(RunError(f"no space is left on the disk of {_file_of(error) or 'the results'}: free some"))
    return Failure(RunError(said_by_store(error) or str(error) or type(error).__name__))


def may_pass(error: Exception) -> bool:
    """Return whether a retry may help: a file could not be read or written, and the disk is not full."""
    at_fault = error.__cause__ if isinstance(error, GelisolError) else error
    if isinstance(error, GelisolError):
        return isinstance(at_fault, OSError)
    return is_of_store(error) and not _is_full(error)


@contextmanager
def faults_of_cluster(name: str) -> Iterator[None]:
    """Raise dead workers and a lost scheduler as `RunError`; `name` is what the tasks do."""
    try:
        yield
    except KilledWorker as error:
        raise RunError(
            f"{name}: the workers that ran {error.task!r} died, most often for lack of memory. "
            "Give workers more memory (cluster.memory), fewer threads, or the grid smaller blocks (domain.chunk)."
        ) from error
    except (CancelledError, OSError) as error:  # a task's own `OSError` is a `Failure`
        raise RunError(
            f"{name}: the connection to the Dask scheduler was lost; it was stopped, or its node died"
        ) from error


def no_workers(name: str, paused: bool, seconds: float) -> RunError:
    """Return the error for tasks that no worker has run for so long."""
    state = "are all paused for lack of memory" if paused else "are all gone, and no other has joined"
    return RunError(f"{name}: the workers {state}, for {seconds:g} s now")


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _file_of(error: Exception) -> object:
    return error.filename if isinstance(error, OSError) else None
