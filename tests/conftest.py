"""What tests of more than one package share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client
from hypothesis import settings

# pytest puts this folder on the path, where tests/engine would pass for the package `engine` that it tests.
sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.cluster import local_client

# Continuous integration tries the same examples every time; a developer's machine goes on looking for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Two worker processes of one thread each: the only cluster of the whole suite."""
    with local_client(workers=2) as client:
        yield client
