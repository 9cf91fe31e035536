"""What a measurement was made on, what it took, and where its table goes."""

import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from engine.forest import INSTRUCTION_SETS

README = Path(__file__).with_name("README.md")


def describe() -> str:
    """One line: processor, cores, memory, Python, what the kernel uses."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = psutil.virtual_memory().total / 2**30
    kernel = INSTRUCTION_SETS[0] if INSTRUCTION_SETS else "not built"
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, kernel: {kernel}"


def table(rows: list[list[str]]) -> str:
    """Rows as a table in Markdown; the first is the heading."""
    header, *body = rows
    return "\n".join(["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *body)])


class Memory:
    """Resident memory of this process and all that it started, looked at every so often; pages in common count twice.

    Parameters
    ----------
    every : float
        Seconds between two looks.
    """

    def __init__(self, every: float = 0.5):
        self._every = every

    def __enter__(self) -> "Memory":
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def start_again(self) -> None:
        self.peak = 0

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self.peak = max(self.peak, int(_over_all(lambda process: process.memory_info().rss)))


def cpu_seconds() -> float:
    """Processor time that this process and those that it started have used so far."""
    return _over_all(lambda process: sum(process.cpu_times()[:2]))


def _over_all(read: Callable[[psutil.Process], float]) -> float:
    """A sum over this process and all that it started."""
    this, total = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += read(process)
    return total


def publish(name: str, text: str) -> None:
    """Put a text between the marks of a benchmark in the README."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(start)
    README.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")
