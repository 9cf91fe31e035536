"""What is at fault when a task fails, and in which form the user gets it."""

import errno
import pickle

import pytest
from botocore.exceptions import EndpointConnectionError
from distributed.client import CancelledError
from distributed.comm import CommClosedError

from engine.errors import FitError, GelisolError, InputError, RunError
from engine.execution.task_errors import failure_of, faults_of_cluster, may_pass, no_workers
from engine.execution.tasks import run_each

AWAY = EndpointConnectionError(endpoint_url="http://store")


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (InputError(["a: bad", "b: worse"]), InputError, "a: bad\nb: worse"),
        (FitError("svm cannot be fitted"), FitError, "svm cannot be fitted"),
        (RunError("a value is far outside"), RunError, "a value is far outside"),
        (OSError(errno.ENOSPC, "No space", "/d/c"), RunError, "no space is left on the disk of /d/c: free some"),
        (OSError(errno.EDQUOT, "Quota"), RunError, "no space is left on the disk of the results: free some"),
        (OSError(errno.EIO, "Input/output error", "/d/c"), RunError, "[Errno 5] Input/output error: '/d/c'"),
        (AWAY, RunError, 'the object store failed: Could not connect to the endpoint URL: "http://store"'),
        (TimeoutError(), RunError, "TimeoutError"),
    ],
)
def test_a_fault_of_input_or_run_has_one_form(error, expected, text):
    if isinstance(error, GelisolError):
        error.__cause__ = OSError("behind it")
    failure = pickle.loads(pickle.dumps(failure_of(error)))
    assert type(failure.error) is expected and str(failure.error) == text
    assert failure.error.__cause__ is None and failure.error.__traceback__ is None


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("no"), AssertionError(), MemoryError()])
def test_a_fault_of_the_program_keeps_its_traceback(error):
    assert failure_of(error) is None and not may_pass(error)


def caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (caused(InputError("tn.tif: cannot be read"), OSError("no answer")), True),
        (InputError("bad setting"), False),
        (caused(InputError("bad"), ValueError("no")), False),
        (OSError(errno.EIO, "no answer"), True),
        (AWAY, True),
        (OSError(errno.ENOSPC, "No space"), False),
    ],
)
def test_what_may_pass_by_itself(error, passes):
    assert may_pass(error) is passes


@pytest.mark.parametrize(
    "error", [CancelledError("future"), CommClosedError("in <TCP>"), OSError("no connection after 120 s")]
)
def test_a_lost_scheduler_is_a_failed_run(error):
    with pytest.raises(RunError, match="map: the connection to the Dask scheduler was lost"), faults_of_cluster("map"):
        raise error


def test_no_workers_is_a_failed_run():
    assert str(no_workers("map", paused=True, seconds=300)) == (
        "map: the workers are all paused for lack of memory, for 300 s now"
    )


def fit(item: int) -> None:
    try:
        raise ValueError("too few")
    except ValueError as error:
        raise FitError(f"svm cannot be fitted to {item} sites: too few") from error


def divide(item: int) -> float:
    return 1 / item


def test_through_the_cluster_each_arrives_in_its_form(client):
    with pytest.raises(FitError, match="svm cannot be fitted to 3 sites"):
        list(run_each(client, fit, [3], total=1))
    with pytest.raises(ZeroDivisionError):
        list(run_each(client, divide, [0], total=1))
