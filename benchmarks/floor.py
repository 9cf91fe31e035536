"""The least time that the trees could take: their operations at the rate of this machine, their bytes at its bandwidth."""

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

OPERATIONS = {"avx512": (144, 512), "avx2": (209, 256)}
"""Instruction set → vector operations of one tree of depth 4 without loads and stores, for so many cells: counted in the
disassembled `add_perfect<4>`."""
_SOURCE = r"""
#include <chrono>
#include <cstdint>
#include <cstdio>
typedef uint64_t V __attribute__((vector_size(WIDTH / 8)));
int main() {
    V v[12] = {};
    V with = v[0] + 1;
    const long rounds = 40'000'000;
    const auto started = std::chrono::steady_clock::now();
    for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; ++j) {  // none waits for another
            v[j] ^= with;
            asm volatile("" : "+v"(v[j]));
        }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::printf("%g\n", 12.0 * rounds / seconds.count());
}
"""


def operations_a_second(instruction_set: str) -> float:
    """Bitwise operations on whole vectors, measured by a program that does nothing else (needs g++)."""
    width = OPERATIONS[instruction_set][1]
    flags = ["-mavx512f"] if instruction_set == "avx512" else ["-mavx2"]
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "rate.cpp"), Path(folder, "rate")
        source.write_text(_SOURCE, encoding="utf-8")
        subprocess.run(["g++", "-O3", *flags, f"-DWIDTH={width}", source, "-o", program], check=True)
        return max(float(subprocess.run([program], check=True, capture_output=True).stdout) for _ in range(3))


def bytes_a_second(size: int = 2**27) -> float:
    """Bytes that one thread copies, those read and those written, the best of several."""
    source, target = np.ones(size // 8), np.empty(size // 8)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        np.copyto(target, source)
        best = max(best, 2 * size / (time.perf_counter() - started))
    return best


def floor_of(instruction_set: str, row_trees: float, row_trees_a_second: float, moved: float) -> str:
    """A sentence: the floor of both kinds and how near to it the kernel comes.

    Parameters
    ----------
    moved : float
        Bytes of cells and predictions.
    """
    if instruction_set not in OPERATIONS:
        return f"The floor is not known for {instruction_set}."
    operations, cells = OPERATIONS[instruction_set]
    rate, bandwidth = operations_a_second(instruction_set), bytes_a_second()
    seconds, least = row_trees / row_trees_a_second, row_trees * operations / cells / rate
    return (
        f"The floor: {operations} vector operations a tree for {cells} cells, of which a core makes {rate / 1e9:.1f} × 10⁹ "
        f"a second if nothing else stands in the way, take {least / row_trees * 1e9:.3f} ns a row-tree; the kernel reaches "
        f"{least / seconds:.0%} of that rate. Cells and predictions, {moved / 1e6:.0f} MB at {bandwidth / 1e9:.1f} GB/s, would "
        f"take {moved / bandwidth / seconds:.1%} of its time: memory does not matter."
    )
