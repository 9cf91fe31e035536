"""Array libraries that xarray may look for only once something has imported them.

To learn whether an array is one of Dask's or of sparse, xarray imports both, and Numba with the second: a second for
every command and every worker. Yet no array is of a library that nothing has imported.
"""

import sys
from typing import Any

_MODULES = {"dask": "dask.array", "sparse": "sparse"}
"""Name in xarray → module that defines the arrays."""


class _Late:
    """Entry in xarray's table of array libraries, resolved when the library is imported."""

    def __init__(self, name: str, find: Any):
        self._name, self._find, self._found = name, find, None

    @property
    def type(self) -> tuple[type, ...]:
        """Classes of the library's arrays; empty before it is imported."""
        return self._real().type if _MODULES[self._name] in sys.modules else ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def _real(self) -> Any:
        if self._found is None:
            self._found = self._find(self._name)
        return self._found


def look_late() -> None:
    """Make xarray look for Dask's arrays and sparse ones when there can be any; versions that ask otherwise do so."""
    from xarray.namedarray import pycompat

    known = getattr(pycompat, "_cached_duck_array_modules", None)
    find = getattr(pycompat, "DuckArrayModule", None)
    if isinstance(known, dict) and find is not None:
        for name in _MODULES:
            known.setdefault(name, _Late(name, find))
