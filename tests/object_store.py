"""An S3-compatible object store on loopback, as a process of its own or one that runs, and faults in the way to it."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import s3fs
import web
from fsspec.asyn import sync
from zarr.core.sync import _get_loop as zarr_loop

from engine.storage.paths import OutPath, files_in, out_path

ENDPOINT = "GELISOL_TEST_S3"
"""Variable of the environment that names a store to test with in the place of moto's, by its address; keys, region and
certificates are then those of the environment (`AWS_ACCESS_KEY_ID`, …)."""
BUCKET = f"results-{uuid4().hex[:8]}"
"""Made for these tests, and removed after them."""


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A store with a bucket; yields what the environment of its users holds."""
    with _running() if ENDPOINT in os.environ else _started() as environment:
        with using(environment):
            s3fs.S3FileSystem().mkdir(BUCKET)
        yield environment
        with using(environment):
            s3fs.S3FileSystem().rm(BUCKET, recursive=True)


@contextmanager
def _running() -> Iterator[dict[str, str]]:
    names = [name for name in os.environ if name.startswith("AWS_")]
    yield {name: os.environ[name] for name in names} | {"AWS_ENDPOINT_URL": os.environ[ENDPOINT]}


@contextmanager
def _started() -> Iterator[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None
                time.sleep(0.05)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIDSECRET",
            "AWS_SECRET_ACCESS_KEY": "VERYSECRET",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()


@contextmanager
def using(environment: dict[str, str]) -> Iterator[None]:
    """Have this process, and those that it starts, use a store."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        forget()
        yield
    forget()


def forget() -> None:
    """Let go of all file systems, which keep the store that they were made for, and close their connections."""
    for system in s3fs.S3FileSystem._cache.values():
        if system._s3 is not None:
            sync(zarr_loop() if system.asynchronous else system.loop, system._s3.close)
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def faulty(environment: dict[str, str]) -> Iterator[web.Web]:
    """Have this process, and those that it starts, reach a store by a way that fails on demand."""
    if environment["AWS_ENDPOINT_URL"].startswith("https:"):
        pytest.skip("what stands between client and store cannot read what is encrypted")
    with (
        web.serving(upstream=environment["AWS_ENDPOINT_URL"], signed=True) as way,
        using(environment | {"AWS_ENDPOINT_URL": way.url}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("botocore.retryhandler.random", SimpleNamespace(random=lambda: 0.01))  # short waits between tries
        yield way


def be_impatient(patch: pytest.MonkeyPatch) -> None:
    """Have requests tried twice only; for file systems that are made from then on."""
    patch.setenv("AWS_MAX_ATTEMPTS", "1")
    patch.setattr(s3fs.S3FileSystem, "retries", 2)
    s3fs.S3FileSystem.clear_instance_cache()


def prefix(name: str) -> OutPath:
    """A place in the bucket."""
    return out_path(f"s3://{BUCKET}/{name}", Path())


@contextmanager
def only(requests: int) -> Iterator[list[str]]:
    """Let so many requests pass, as if the process were killed then; yields those that were made.

    What is under way when one of them fails has ended afterwards: requests of a dead process do not go on.
    """
    passed: list[str] = []
    tasks: set[asyncio.Task[Any]] = set()
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **keywords: Any) -> Any:
        if task := asyncio.current_task():
            tasks.add(task)
        if len(passed) >= requests:
            raise OSError("killed")
        passed.append(f"{method} {keywords.get('Key', keywords.get('Prefix', ''))}")
        return await call(self, method, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
        yield passed
        while not all(task.done() for task in tasks):
            time.sleep(0.001)


def contents(place: OutPath) -> dict[str, bytes]:
    """Everything under a prefix, or in a folder: name → content."""
    if isinstance(place, Path):
        return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}
    names = [str(file.path) for file in files_in(place)]
    found = place.fs.cat(names) if names else {}
    return {name.removeprefix(f"{place.path}/"): content for name, content in found.items()}


def secrets_in(content: bytes) -> list[str]:
    """Which of the keys of the store in use stand in some bytes."""
    return [n for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if os.environ[n].encode() in content]


def without_credentials() -> dict[str, str]:
    """This process's environment, without any."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {"AWS_EC2_METADATA_DISABLED": "true"}
