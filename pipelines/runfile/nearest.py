"""Nearest valid name to a misspelt one."""

import difflib
from typing import Any


def nearest(name: str, valid: Any) -> str:
    """Return `; did you mean …?`, or the list of valid names."""
    options = [str(v) for v in valid]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else f"; valid here: {', '.join(options)}"
