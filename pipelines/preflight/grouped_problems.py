"""Problems that many covariates share, as one: a data set that is not there, a server that does not answer."""

from dataclasses import replace

from engine.errors import Finding
from engine.sources.files import MissingFile

_MOST = 3
"""Files that are named where they are many."""


def grouped(problems: list[Finding]) -> list[Finding]:
    """Return the same problems, in the order of their first; each that several covariates share, once."""
    groups: dict[object, list[Finding]] = {}
    for problem in problems:
        groups.setdefault(_shared(problem), []).append(problem)
    return [_one(each) for each in groups.values()]


def _shared(problem: Finding) -> object:
    """Return what the problems of one group have in common: the source or the message."""
    if _covariate(problem) is None:
        return problem
    return problem.source if isinstance(problem, MissingFile) and problem.source else problem.message


def _one(each: list[Finding]) -> Finding:
    first = each[0]
    if len(each) == 1 or _covariate(first) is None:
        return first
    names = ", ".join(dict.fromkeys(name for problem in each if (name := _covariate(problem))))
    shared = replace(first, key=f"covariates.{names}")
    if not isinstance(first, MissingFile) or not first.source:
        return shared
    files = list(dict.fromkeys(problem.file for problem in each if isinstance(problem, MissingFile)))
    more = f" and {len(files) - _MOST} more" if len(files) > _MOST else ""
    return replace(shared, message=f"no such file: {', '.join(files[:_MOST])}{more}. {first.source}")


def _covariate(problem: Finding) -> str | None:
    """Return the covariate whose entry a problem concerns, if any."""
    section, _, rest = problem.key.partition(".")
    return rest.partition(".")[0] if section == "covariates" and rest and not problem.place else None
