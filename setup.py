"""The compiled kernel; everything else is in pyproject.toml. Without a C++ compiler the plain paths serve."""

import sys

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi"] if sys.platform != "win32" else []
kernel = Pybind11Extension(
    "engine.forest._native",
    ["engine/forest/native.cpp", "engine/forest/tables.cpp"],
    depends=[f"engine/forest/{name}.hpp" for name in ("kernel", "statistics", "summary", "tables")],
    cxx_std=17,
    # Sums must be the same with and without the kernel: no fused multiply-add.
    extra_compile_args=[]
    if sys.platform == "win32"
    else ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi"],
    optional=True,
)
setup(ext_modules=[kernel])
