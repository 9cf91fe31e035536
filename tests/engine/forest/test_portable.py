"""The kernel for compilers without vectors of their own, such as MSVC: the bytes of the plain path, in standard C++."""

import re
import shutil
import subprocess
import sysconfig
from distutils.core import run_setup
from pathlib import Path

import pybind11
import pytest
from test_neon import CASES, ROOT, Inputs, expected, serialised

from engine.forest import is_built
from engine.forest.trees import tables_of

COMPILER = "g++"
KERNEL = ROOT / "engine" / "forest"
STANDALONE = Path(__file__).with_name("standalone.cpp")
PORTABLE = ["-DGELISOL_NO_VECTORS", f"-I{KERNEL}"]
OF_GCC = re.compile(
    r"__attribute__|__builtin_(?!huge_val|nan)|\bpragma\s+(GCC|clang)|\b_Pragma\b|\b_mm\w+|aligned_alloc|\btypeof\b"
)
"""What MSVC does not know; infinity and NaN are macros of each system's own headers."""
pytestmark = [
    pytest.mark.skipif(not is_built(), reason="this installation has no compiled kernel to compare with"),
    pytest.mark.skipif(not shutil.which(COMPILER), reason=f"no {COMPILER} here"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    (kernel,) = run_setup(str(ROOT / "setup.py"), stop_after="init").ext_modules
    to = tmp_path_factory.mktemp("portable") / "standalone"
    flags = [*kernel.extra_compile_args, *PORTABLE, "-std=c++17", "-pedantic-errors"]
    subprocess.run([COMPILER, *flags, STANDALONE, KERNEL / "tables.cpp", "-o", to], check=True)
    return to


@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_path_with_vectors(case, program, tmp_path):
    tables, double = tables_of(CASES[case][2]()), case.startswith("double")
    given = Inputs(30 if case == "categories" else 0)
    wanted = expected(tables, double, given)
    (tmp_path / "input").write_bytes(serialised(tables, double, given))
    subprocess.run([program, "plain", tmp_path / "input", tmp_path / "output"], check=True)
    assert (tmp_path / "output").read_bytes() == b"".join(wanted.values())


def own_lines(flags: list[str]) -> list[str]:
    """What the compiler is given of the kernel's own files once conditions and macros are resolved."""
    command = [COMPILER, "-E", "-std=c++17", *flags, KERNEL / "native.cpp"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines, own = [], False
    for line in text.splitlines():
        if marker := re.match(r'# \d+ "(.*?)"', line):
            own = Path(marker[1]).parent == KERNEL
        elif own and "pybind11_init" not in line:  # pybind11's macro, which knows MSVC
            lines.append(line)
    return lines


def test_nothing_of_gcc_is_left_for_other_compilers():
    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    assert [line for line in own_lines([*PORTABLE, *includes]) if OF_GCC.search(line)] == []
    assert any(OF_GCC.search(line) for line in own_lines(includes))  # the test can fail


def test_flags_are_those_of_the_compiler(monkeypatch):
    def flags() -> list[str]:
        (kernel,) = run_setup(str(ROOT / "setup.py"), stop_after="init").ext_modules
        return kernel.extra_compile_args

    assert {"-O3", "-ffp-contract=off"} <= set(flags())
    monkeypatch.setattr("sys.platform", "win32")
    windows = flags()
    assert {"/O2", "/fp:precise"} <= set(windows)
    assert not {"-O3", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi"}.intersection(windows)
