"""What a measurement was made on."""

import os
import platform
from pathlib import Path

import psutil

from engine.forest import INSTRUCTION_SETS


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
