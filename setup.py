"""The compiled kernel and the pinned versions; everything else is in pyproject.toml.

Without a C++ compiler the plain paths serve.
"""

import sys
import sysconfig
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

LOCK = Path(__file__).parent / "deploy" / "docker" / "requirements.lock"


def pins(lock: str) -> list[str]:
    """`name==version`, with markers, of every package of a lock file; pip takes no hashes from an extra."""
    return [line.removesuffix("\\").strip() for line in lock.splitlines() if line[:1].isalnum()]


MSVC = sys.platform == "win32" and "mingw" not in sysconfig.get_platform()
# Sums must be the same with and without the kernel: no fused multiply-add, no liberties with floating point.
FLAGS = (
    ["/O2", "/fp:precise", "/DNOMINMAX"]
    if MSVC
    else ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi"]
)
kernel = Pybind11Extension(
    "engine.forest._native",
    ["engine/forest/native.cpp", "engine/forest/tables.cpp"],
    depends=glob("engine/forest/*.hpp"),
    cxx_std=17,
    extra_compile_args=FLAGS,
    optional=True,
)
setup(ext_modules=[kernel], extras_require={"locked": pins(LOCK.read_text(encoding="utf-8"))})
