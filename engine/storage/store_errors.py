"""Errors of a disk or an object store, recognised and put into words."""

from engine.remote.retry import reason


def is_of_store(error: BaseException) -> bool:
    """Return whether a disk, an object store or the way to it failed, rather than this program."""
    return isinstance(error, OSError) or of_client(error) is not None


def said_by_store(error: BaseException) -> str:
    """Return the reason that an object store gave, and for which request; empty for any other fault.

    s3fs makes an error of a file system of it, whose text some stores leave empty.
    """
    found = of_client(error)
    return f"the object store failed: {reason(found)}" if found else ""


def of_client(error: BaseException) -> BaseException | None:
    """Return the error of the client of the store: itself, or the one behind it."""
    for found in (error, error.__cause__):
        if type(found).__module__.startswith(("aiobotocore", "aiohttp", "botocore")):
            return found
    return None
