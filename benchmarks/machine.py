"""What a measurement was made on, and where its table goes."""

import os
import platform
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


def into_readme(name: str, text: str) -> None:
    """Put what a command found between its marks in the README."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(start)
    README.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")
