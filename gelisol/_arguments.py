"""Mistakes in a call, each in a sentence that begins with the name of the argument."""

import os
from typing import Any

from upath import UPath

from engine.errors import InputError
from engine.storage.paths import OutPath


class ArgumentError(InputError, ValueError):
    """An argument is at fault: which, what was found and what is expected."""


def described(value: object) -> str:
    """Return the type of a value, with its shape or its text where that helps to recognise it."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{kind} of shape {shape}"
    return f"{kind} {value!r:.60}" if isinstance(value, str | os.PathLike | int | float) else kind


def require_path(value: Any, argument: str, example: str) -> str:
    """Return a path or an address as text.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    if isinstance(value, str | os.PathLike | UPath) and str(value):
        return str(value)
    raise ArgumentError(f"{argument}: expected a path or an address, e.g. {example}; found {described(value)}")


def require_client(client: Any) -> None:
    """Refuse what cannot hand out tasks and wait for them.

    Raises
    ------
    ArgumentError
        If it is not a Dask client, is asynchronous, or is closed.
    """
    from distributed import Client

    if client is None:
        return
    if not isinstance(client, Client):
        raise ArgumentError(f"client: expected a distributed.Client, e.g. Client(cluster); found {described(client)}")
    if client.asynchronous:
        raise ArgumentError("client: is asynchronous; give one that was made without `asynchronous=True`")
    if client.status != "running":
        raise ArgumentError(f"client: is {client.status}; give one that is connected to a scheduler")


def results_place(value: Any, argument: str) -> OutPath:
    """Return the place of a results folder: a folder, or a prefix of an object store."""
    from pathlib import Path

    from engine.storage.paths import out_path

    return out_path(require_path(value, argument, "'out/north' or 's3://BUCKET/PREFIX'"), Path.cwd())
