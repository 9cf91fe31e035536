"""Loaded by Dask into every worker of a fault test: counts the pieces of work, and does harm when it is told to.

The folder in $GELISOL_FAULTS holds `faults.json`, a list of {step, nth, harm}, and receives `calls`, a line per piece
of work that was begun. Each harm is done once, after the piece's data are written and before they are recorded; those
of BEFORE, before the piece.
"""

import importlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from engine.storage.paths import out_path

FOLDER = Path(os.environ["GELISOL_FAULTS"])
STEPS = {
    "cube": ("engine.cube.build", "write_block"),
    "validate": ("engine.validation.cross_validation", "_held_out"),
    "train": ("engine.ensemble.bootstrap", "fit_members"),
    "map": ("engine.mapping.blockwise", "map_block"),
    "cog": ("pipelines.soil_carbon.results.products", "write_cog"),
}


def watched(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        nth = count(step)
        faults = json.loads((FOLDER / "faults.json").read_text())
        due = [f for f in faults if f["step"] == step and f["nth"] <= nth and first_time(f)]
        with ExitStack() as before:
            for fault in due:
                if fault["harm"] in BEFORE:
                    before.enter_context(BEFORE[fault["harm"]](fault))
            result = function(*arguments, **keywords)
        for fault in due:
            if fault["harm"] in AFTER:
                AFTER[fault["harm"]](fault)
        return result

    call.__module__, call.__qualname__, call.__name__ = function.__module__, function.__qualname__, function.__name__
    return call


def count(step: str) -> int:
    """Note a piece of work; how many there have been, this one included."""
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{step} {os.getpid()}\n")
    return sum(line.startswith(f"{step} ") for line in (FOLDER / "calls").read_text().splitlines())


def first_time(fault: dict[str, Any]) -> bool:
    try:
        (FOLDER / f"done-{fault['step']}-{fault['nth']}-{fault['harm']}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def kill_worker(fault: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_client(fault: dict[str, Any]) -> None:
    os.kill(json.loads((out_path(fault["out"], Path()) / "run.lock").read_text())["pid"], signal.SIGKILL)
    time.sleep(60)  # until the nanny's end is noticed


def kill_pid(fault: dict[str, Any]) -> None:
    os.kill(int((FOLDER / "pid").read_text()), signal.SIGKILL)


def eat_memory(fault: dict[str, Any]) -> None:
    hoard = []
    while True:  # until the nanny ends it
        hoard.append(b"\1" * 50_000_000)
        time.sleep(0.02)


def fill_disk(fault: dict[str, Any]) -> None:
    with (Path(fault["out"]).parent / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass


@contextmanager
def hide(fault: dict[str, Any]) -> Iterator[None]:
    """Take a file away while one piece of work is tried."""
    file = Path(fault["file"])
    away = file.with_name(f"{file.name}.away")
    file.rename(away)
    try:
        yield
    finally:
        away.rename(file)


@contextmanager
def wait(fault: dict[str, Any]) -> Iterator[None]:
    (FOLDER / "waiting").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.05)
    yield


BEFORE = {"hide": hide, "wait": wait}
AFTER = {
    "kill_worker": kill_worker,
    "kill_client": kill_client,
    "kill_pid": kill_pid,
    "eat_memory": eat_memory,
    "fill_disk": fill_disk,
}

# While this is loaded, before the worker answers to anybody: importing takes seconds.
for step, (module, name) in STEPS.items():
    there = importlib.import_module(module)
    if not hasattr(there, f"_watched_{name}"):  # Dask may load this twice
        setattr(there, f"_watched_{name}", True)
        setattr(there, name, watched(step, getattr(there, name)))
