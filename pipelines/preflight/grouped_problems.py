"""Problems that many covariates share, as one: a data set that is not there, a server that does not answer."""

import re

_OF_COVARIATE = re.compile(r"covariates\.(?P<name>\w+)(?P<more>(?:\.[^\s:.][^\s:]*)?): (?P<text>.+)", re.DOTALL)
_MISSING = re.compile(r"(?P<what>no such file:|no file matches) (?P<place>.+?)\. (?P<how>Get it from .+)", re.DOTALL)
_MOST = 3
"""Files that are named where they are many."""


def grouped(problems: list[str]) -> list[str]:
    """The same problems, in the order of their first; each text that several covariates have, once."""
    groups: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        groups.setdefault(_kind(problem), []).append(problem)
    return [text for (kind, shared), each in groups.items() for text in _one(kind, shared, each)]


def _kind(problem: str) -> tuple[str, str]:
    """What problems of one group have in common."""
    match = _OF_COVARIATE.fullmatch(problem)
    if match is None:
        return "own", problem
    missing = _MISSING.fullmatch(match["text"])
    return ("missing", missing["how"]) if missing else ("same", match["text"])


def _one(kind: str, shared: str, each: list[str]) -> list[str]:
    if len(each) == 1 or kind == "own":
        return each[:1]
    names = ", ".join(_names(each))
    if kind == "same":
        return [f"covariates.{names}: {shared}"]
    places = [found["place"] for problem in each if (found := _found_missing(problem))]
    places = list(dict.fromkeys(places))
    more = f" and {len(places) - _MOST} more" if len(places) > _MOST else ""
    return [f"covariates.{names}: no such file: {', '.join(places[:_MOST])}{more}. {shared}"]


def _names(each: list[str]) -> list[str]:
    return list(dict.fromkeys(found["name"] for problem in each if (found := _OF_COVARIATE.fullmatch(problem))))


def _found_missing(problem: str) -> re.Match[str] | None:
    found = _OF_COVARIATE.fullmatch(problem)
    return _MISSING.fullmatch(found["text"]) if found else None
