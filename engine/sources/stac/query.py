"""Match of an item's properties with a query, by the rules of the STAC API's query extension."""

from collections.abc import Callable, Mapping
from typing import Any

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "neq": lambda value, wanted: value != wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "in": lambda value, wanted: value in wanted,
    "startsWith": lambda value, wanted: str(value).startswith(wanted),
    "endsWith": lambda value, wanted: str(value).endswith(wanted),
    "contains": lambda value, wanted: wanted in value,
}


def matches(properties: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Return whether every condition holds; a property that is absent or of another type fits only `neq`."""
    return all(
        _holds(properties.get(key), condition if isinstance(condition, dict) else {"eq": condition})
        for key, condition in query.items()
    )


def _holds(value: Any, condition: Mapping[str, Any]) -> bool:
    for operator, wanted in condition.items():
        if value is None:
            if operator != "neq":
                return False
            continue
        try:
            if not _TESTS[operator](value, wanted):
                return False
        except TypeError:
            return False
    return True
