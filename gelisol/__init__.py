"""Gelisol in Python: open the results of a run, run and check run files, map a Dataset of your own.

>>> import gelisol
>>> run = gelisol.open("out")
>>> run.verdict in ("supported", "weak", "none")
True

Each name is loaded when it is first used, so that the import itself takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gelisol._rooms import require_own_rooms

require_own_rooms()

from engine import __version__  # noqa: E402 (only now is it certain that it is the installed one)

if TYPE_CHECKING:
    from engine.errors import GelisolError, InputError
    from gelisol._check import Check, check
    from gelisol._execute import run
    from gelisol._map_dataset import map_dataset
    from gelisol._mapper import SoilMapper
    from gelisol._runs import Run, open
    from gelisol._verdict import Verdict

__all__ = [
    "Check",
    "GelisolError",
    "InputError",
    "Run",
    "SoilMapper",
    "Verdict",
    "__version__",
    "check",
    "map_dataset",
    "open",
    "run",
]

_HOME = {
    "Check": "gelisol._check",
    "GelisolError": "engine.errors",
    "InputError": "engine.errors",
    "Run": "gelisol._runs",
    "SoilMapper": "gelisol._mapper",
    "Verdict": "gelisol._verdict",
    "check": "gelisol._check",
    "map_dataset": "gelisol._map_dataset",
    "open": "gelisol._runs",
    "run": "gelisol._execute",
}
"""Public name → module that defines it."""


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'gelisol' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
