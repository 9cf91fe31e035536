"""Checks of a source's time steps: whether they can be reduced as asked, and doubtful signs about them."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from engine.errors import Finding, InputError
from engine.sources.files import Step
from engine.sources.spec import StoredSpec

_MANY = 6
"""So many years are named in a note; the others are counted."""


def check_steps(name: str, spec: StoredSpec, steps: Sequence[Step]) -> None:
    """Check that the time steps of a source can be chosen and reduced as its spec asks.

    Raises
    ------
    InputError
        If a period or months are asked for and the steps have no dates, if classes have several steps, if
        `annual_sum` meets a year with fewer steps than the others, or if an anomaly lacks its baseline.
    """
    problems = []
    for key, dated in (("period", all(s.year for s in steps)), ("months", all(s.month for s in steps))):
        if getattr(spec, key) and not dated:
            part = "{year}" if key == "period" else "{month} or {doy}"
            problems.append(
                Finding(
                    f"neither the files nor their names are dated; mark the place of the date in "
                    f"`href` with {part}, or leave `{key}` out",
                    f"covariates.{name}.{key}",
                )
            )
    if spec.is_categorical and len(steps) > 1:
        problems.append(
            Finding(
                f"classes of {len(steps)} time steps cannot be reduced; choose one by `period`", f"covariates.{name}"
            )
        )
    if spec.reduce == "annual_sum":
        per_year = Counter(step.year for step in steps)
        most = max(per_year.values())
        # Daily steps: a common year is a 366th shorter than a leap year.
        if short := [f"{year} has {n}" for year, n in sorted(per_year.items()) if n * 366 < most * 365]:
            problems.append(
                Finding(
                    f"annual_sum needs {most} steps a year; {', '.join(short)}. Narrow `period`.", f"covariates.{name}"
                )
            )
    if spec.reduce == "anomaly" and not problems:
        problems += _anomaly_problems(name, spec, steps)
    if problems:
        raise InputError(problems)


def _anomaly_problems(name: str, spec: StoredSpec, steps: Sequence[Step]) -> list[Finding]:
    months = []
    for key in ("period", "baseline"):
        first, last = getattr(spec, key)
        found = {step.month for step in steps if first <= step.year <= last}
        if not found:
            return [
                Finding(
                    f"no time step is in {first}–{last}; an anomaly compares two periods", f"covariates.{name}.{key}"
                )
            ]
        months.append(found)
    if not months[0] & months[1]:
        return [Finding("period and baseline have no month in common", f"covariates.{name}")]
    return []


def notes_on(spec: StoredSpec, steps: Sequence[Step]) -> tuple[str, ...]:
    """Note years that are missing, and months that some years lack."""
    notes = []
    years = sorted({step.year for step in steps} - {0})
    for key in ("period", "baseline"):
        if (asked := getattr(spec, key)) and years:
            missing = [y for y in range(asked[0], asked[1] + 1) if y not in years]
            if missing:
                notes.append(f"{key} {asked[0]}–{asked[1]}: {_listed(missing)} missing")
    months: dict[int, set[int]] = defaultdict(set)
    for step in steps:
        months[step.year].add(step.month)
    usual = set.union(*months.values())
    if spec.reduce != "annual_sum" and years and usual != {0}:
        short = [f"{year} lacks {_listed(sorted(usual - found))}" for year, found in sorted(months.items())
                 if usual - found]  # fmt: skip
        if short:
            more = f" and {len(short) - _MANY} more years" if len(short) > _MANY else ""
            notes.append(f"months: {'; '.join(short[:_MANY])}{more}; `{spec.reduce}` is of those that are there")
    return tuple(notes)


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MANY]))
    return shown if len(numbers) <= _MANY else f"{shown} and {len(numbers) - _MANY} more"
