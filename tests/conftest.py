"""What tests of more than one package share."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client
from filelock import FileLock
from hypothesis import settings

# pytest puts this folder on the path, where tests/engine would pass for the package `engine` that it tests.
sys.path.insert(0, str(Path(__file__).parents[1]))

from object_store import prefix, serving, using

from engine.execution.cluster import local_client
from engine.storage.paths import OutPath

# Continuous integration tries the same examples every time; a developer's machine goes on looking for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, the quick ones of the engine last: of two workers that share the files, none is left
    with a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    engine = Path(__file__).parent / "engine"
    items.sort(key=lambda item: (item.path not in slow, item.path.is_relative_to(engine)))


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Have a folder made, once for all processes that share the tests: `made_once("name", make)`; not to be changed."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / f"once-{name}", shared / f"once-{name}.done"
        with FileLock(shared / f"once-{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Two worker processes of one thread each, the only ones that tests of the engine share."""
    with local_client(workers=2) as client:
        yield client


@pytest.fixture(scope="session")
def object_store() -> Iterator[dict[str, str]]:
    """An object store; what the environment of its users holds."""
    with serving() as environment:
        yield environment


@pytest.fixture
def bucket(object_store: dict[str, str], request: pytest.FixtureRequest) -> Iterator[OutPath]:
    """A prefix of it for one test, which runs in an environment that knows the store."""
    with using(object_store):
        yield prefix(request.node.name.partition("[")[0])
