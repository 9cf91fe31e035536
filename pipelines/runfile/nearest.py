"""What a misspelt name was meant to be."""

import difflib
from typing import Any


def nearest(name: str, valid: Any) -> str:
    """`; did you mean …?`, or the list of what is valid."""
    options = [str(v) for v in valid]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else f"; valid here: {', '.join(options)}"
