"""The extension module, where this installation has it: without a C++ compiler the plain paths serve."""

import importlib
from typing import Any

_module: Any
try:
    _module = importlib.import_module("engine.forest._native")
except ImportError:
    _module = None

INSTRUCTION_SETS: tuple[str, ...] = tuple(_module.instruction_sets()) if _module else ()
"""What the compiled code can use on this machine, best first; empty without the extension."""


def is_built() -> bool:
    """Return whether this installation has the compiled code."""
    return _module is not None


def module() -> Any:
    """Import the extension.

    Raises
    ------
    RuntimeError
        If this installation has none.
    """
    if _module is None:
        raise RuntimeError("the compiled kernel is not built: install a C++ compiler, then install the package again")
    return _module
