"""Hold the docstrings of all that `gelisol` offers against numpydoc's rules; part of `make lint`."""

import sys
from collections.abc import Iterator
from types import FunctionType

from numpydoc.validate import validate

import gelisol

OURS = {"GL01", "GL03", "ES01", "SA01", "SS05", "SS06"}
"""What we do otherwise: the summary stands on the first line, and may take two; no extended summary where one line
says all; no lists of what else to see."""


def public() -> Iterator[str]:
    """Dotted names of public functions, classes and their own members."""
    for name in gelisol.__all__:
        found = getattr(gelisol, name)
        if not str(getattr(found, "__module__", "")).startswith("gelisol"):
            continue
        path = f"{found.__module__}.{name}"
        yield path
        if isinstance(found, type):
            for key, value in vars(found).items():
                if not key.startswith("_") and isinstance(value, FunctionType | property):
                    yield f"{path}.{key}"


def problems() -> list[str]:
    """One line per rule that is not kept."""
    found = []
    for path in public():
        result = validate(path)
        # What a property is shows in the examples of its class.
        allowed = OURS | ({"EX01"} if result["type"] == "property" else set())
        found += [f"{path}: {code} {text}" for code, text in result["errors"] if code not in allowed]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or 0)
