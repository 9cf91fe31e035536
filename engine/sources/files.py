"""Which files a source is made of: patterns, tiles of a mosaic and the dates in their names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.sources.spec import SourceSpec

_PLACEHOLDERS = {"{year}": r"(?P<year>\d{4})", "{month}": r"(?P<month>\d{2})", "{doy}": r"(?P<doy>\d{3})"}


@dataclass(frozen=True, order=True)
class Step:
    """A moment in time as far as the files tell it; 0 where they do not."""

    year: int = 0
    month: int = 0

    def wanted(self, spec: SourceSpec) -> bool:
        """Whether the spec's period and months include this step, as far as it is known."""
        in_period = not (spec.period and self.year) or spec.period[0] <= self.year <= spec.period[1]
        return in_period and (not (spec.months and self.month) or self.month in spec.months)


def find(name: str, spec: SourceSpec, base: Path) -> dict[Path, Step]:
    """Every file of a source with the date in its name.

    Raises
    ------
    InputError
        If a pattern matches nothing, or the period leaves nothing.
    """
    found: dict[Path, Step] = {}
    problems = []
    for href in spec.href if isinstance(spec.href, tuple) else (spec.href,):
        if matches := _match(href, base):
            found.update(matches)
        else:
            what = "no file matches" if any(c in href for c in "*?{") else "no such file:"
            problems.append(f"covariates.{name}.href: {what} {base / href}")
    if problems:
        raise InputError(problems)
    wanted = {path: step for path, step in found.items() if step.wanted(spec)}
    if not wanted:
        years = sorted({step.year for step in found.values()})
        of = f"of {years[0]}–{years[-1]}" if years[0] else f"of months {sorted({s.month for s in found.values()})}"
        raise InputError(
            f"covariates.{name}: the files are {of}, none is in "
            f"period {list(spec.period or ())} and months {list(spec.months or range(1, 13))}"
        )
    return dict(sorted(wanted.items(), key=lambda item: (item[1], item[0])))


def check_steps(name: str, spec: SourceSpec, steps: Sequence[Step]) -> None:
    """That the time steps of a source can be chosen and reduced as its spec asks.

    Raises
    ------
    InputError
        If a period or months are asked for and the steps have no dates, if classes have several steps, or if
        `annual_sum` meets a year with fewer steps than the others.
    """
    problems = []
    for key, dated in (("period", all(s.year for s in steps)), ("months", all(s.month for s in steps))):
        if getattr(spec, key) and not dated:
            part = "{year}" if key == "period" else "{month} or {doy}"
            problems.append(
                f"covariates.{name}.{key}: neither the files nor their names are dated; mark the place of the date in "
                f"`href` with {part}, or leave `{key}` out"
            )
    if spec.is_categorical and len(steps) > 1:
        problems.append(
            f"covariates.{name}: classes of {len(steps)} time steps cannot be reduced; choose one by `period`"
        )
    if spec.reduce == "annual_sum":
        per_year = Counter(step.year for step in steps)
        most = max(per_year.values())
        # Daily steps: a common year is a 366th shorter than a leap year.
        if short := [f"{year} has {n}" for year, n in sorted(per_year.items()) if n * 366 < most * 365]:
            problems.append(
                f"covariates.{name}: annual_sum needs {most} steps a year; {', '.join(short)}. Narrow `period`."
            )
    if problems:
        raise InputError(problems)


def _match(href: str, base: Path) -> dict[Path, Step]:
    """Files below the run file's folder (or absolute) that fit a pattern."""
    path = Path(href) if Path(href).is_absolute() else base / href
    if not any(c in path.name for c in "*?{"):
        return {path: Step()} if path.exists() else {}
    glob, regex = path.name, re.escape(path.name).replace(r"\*", ".*").replace(r"\?", ".")
    for placeholder, group in _PLACEHOLDERS.items():
        glob = glob.replace(placeholder, "*")
        regex = regex.replace(re.escape(placeholder), group, 1).replace(re.escape(placeholder), r"\d+")
    pattern = re.compile(regex + r"\Z")
    found = {}
    for file in sorted(path.parent.glob(re.sub(r"\*+", "*", glob))):
        if match := pattern.match(file.name):
            found[file] = _step(match.groupdict())
    return found


def _step(parts: dict[str, str]) -> Step:
    year = int(parts.get("year") or 0)
    if parts.get("doy"):
        from datetime import date, timedelta

        return Step(year, (date(year or 2001, 1, 1) + timedelta(int(parts["doy"]) - 1)).month)
    return Step(year, int(parts.get("month") or 0))
