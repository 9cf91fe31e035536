"""Whether there is compiled code to test at all."""

import shutil

import pytest

from engine.forest import INSTRUCTION_SETS, is_built


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_the_kernel_is_built_where_there_is_a_compiler():
    """Without it the other tests of the kernel are skipped, and its failure to compile would go unnoticed."""
    assert is_built() and "plain" in INSTRUCTION_SETS
