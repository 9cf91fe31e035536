"""Files that grow line by line, in places that cannot append."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from upath import UPath

from engine.storage.store_errors import is_of_store

EVERY_S = 5.0
"""Seconds after which what was added is written to an object store; as many more for every MiB of the file."""


@contextmanager
def copied_now_and_then(path: UPath) -> Iterator[Path]:
    """Open a file on this machine's disks to add lines to, in the place of an object.

    The object is written anew as a whole, every few seconds and at the end: what was added in the last seconds before
    the process is killed is lost.
    """
    with TemporaryDirectory(prefix="gelisol-") as folder:
        local = Path(folder, path.name)
        with suppress(FileNotFoundError), path.open("rb") as before, local.open("wb") as copy:
            shutil.copyfileobj(before, copy)
        ended = threading.Event()
        thread = threading.Thread(target=_copy, args=(local, path, ended), daemon=True, name=f"gelisol-{path.name}")
        thread.start()
        try:
            yield local
        finally:
            ended.set()
            thread.join()


def _copy(local: Path, path: UPath, ended: threading.Event) -> None:
    """Copy the file whenever it has grown; a store that fails stops the run, not its record."""
    copied = 0
    while True:
        last = ended.wait(EVERY_S * (1 + copied // 2**20))
        size = local.stat().st_size if local.exists() else 0
        if size > copied:
            try:
                path.fs.put_file(str(local), path.path)
                copied = size
            except Exception as error:
                if not is_of_store(error):
                    raise
        if last:
            return
