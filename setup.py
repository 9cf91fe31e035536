"""The compiled kernel, the extras and the pinned versions; everything else is in pyproject.toml.

Without a C++ compiler the plain paths serve.
"""

import os
import sys
import sysconfig
import tomllib
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

ROOT = Path(__file__).parent
LOCK = ROOT / "deploy" / "docker" / "requirements.lock"
EXTRAS = ("stac", "s3", "report", "search", "clusters")


def pins(lock: str) -> list[str]:
    """`name==version`, with markers, of every package of a lock file; pip takes no hashes from an extra."""
    return [line.removesuffix("\\").strip() for line in lock.splitlines() if line[:1].isalnum()]


def extras() -> dict[str, list[str]]:
    """The dependency groups that users may ask for, and `all` of them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    chosen = {name: groups[name] for name in EXTRAS}
    return {**chosen, "all": [package for packages in chosen.values() for package in packages]}


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
    optional=os.environ.get("GELISOL_REQUIRE_KERNEL") != "1",  # wheels are not built without it
)
setup(ext_modules=[kernel], extras_require={**extras(), "locked": pins(LOCK.read_text(encoding="utf-8"))})
