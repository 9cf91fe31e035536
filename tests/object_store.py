"""An S3-compatible object store on loopback, as a process of its own, and faults in the way to it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import s3fs
from fsspec.asyn import sync
from zarr.core.sync import _get_loop as zarr_loop

from engine.outputs.place import OutPath, out_path

BUCKET = "results"


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Start a store with a bucket; yields what the environment of its users holds."""
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
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIDSECRET",
            "AWS_SECRET_ACCESS_KEY": "VERYSECRET",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with using(environment):
            s3fs.S3FileSystem().mkdir(BUCKET)
        yield environment
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


def prefix(name: str) -> OutPath:
    """A place in the bucket."""
    return out_path(f"s3://{BUCKET}/{name}", Path())


@contextmanager
def only(requests: int) -> Iterator[list[str]]:
    """Let so many requests pass, as if the process were killed then; yields those that were made."""
    passed: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **keywords: Any) -> Any:
        if len(passed) >= requests:
            raise OSError("killed")
        passed.append(f"{method} {keywords.get('Key', keywords.get('Prefix', ''))}")
        return await call(self, method, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
        yield passed


def contents(place: OutPath) -> dict[str, bytes]:
    """Everything under a prefix, or in a folder: name → content."""
    if isinstance(place, Path):
        return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}
    keys = place.fs.find(place.path)
    found = place.fs.cat(keys) if keys else {}
    return {key.removeprefix(f"{place.path}/"): content for key, content in found.items()}


def without_credentials() -> dict[str, str]:
    """This process's environment, without any."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {"AWS_EC2_METADATA_DISABLED": "true"}
