"""Files of a source: patterns, tiles of a mosaic and the dates in their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Self

from engine.errors import Finding, InputError
from engine.remote.files import Place, exists, find_remote, is_remote, local_path, place_of
from engine.remote.retry import RemoteError
from engine.sources.spec import StoredSpec

_PLACEHOLDERS = {
    "{year}": r"(?P<year>\d{4})",
    "{month}": r"(?P<month>\d{2})",
    "{day}": r"(?P<day>\d{2})",
    "{doy}": r"(?P<doy>\d{3})",
}
_UNLISTED = ". A web server must list the folder on a page for a pattern; else name every file (`href: [A, B]`)"


@dataclass(frozen=True)
class MissingFile(Finding):
    """A file that is not there, or a pattern that none matches.

    Attributes
    ----------
    file : str
        Path or address.
    source : str
        Where it can be had, in a sentence; empty where that is not known.
    """

    file: str = ""
    source: str = ""

    def with_source(self, source: str) -> Self:
        """Return the same with where the file can be had."""
        return replace(self, message=f"{self.message}. {source}", source=source)


@dataclass(frozen=True, order=True)
class Step:
    """A moment in time as far as the files tell it; 0 where they do not."""

    year: int = 0
    month: int = 0
    day: int = 0

    def wanted(self, spec: StoredSpec) -> bool:
        """Return whether the spec's period (or baseline) and months include this step, as far as its date is known."""
        periods = [p for p in (spec.period, spec.baseline) if p]
        in_period = not (periods and self.year) or any(first <= self.year <= last for first, last in periods)
        return in_period and (not (spec.months and self.month) or self.month in spec.months)


def find(name: str, spec: StoredSpec, base: Path) -> dict[Place, Step]:
    """Find every file of a source with the date in its name.

    Raises
    ------
    InputError
        If a pattern matches nothing, a server does not answer, or the period leaves nothing.
    """
    found: dict[Place, Step] = {}
    problems: list[Finding] = []
    for href in spec.hrefs:
        try:
            matches = _match(href, base)
        except RemoteError as error:
            problems.append(Finding(f"cannot be reached: {error}", f"covariates.{name}.href"))
            continue
        if matches:
            found.update(matches)
        else:
            what = "no file matches" if _is_pattern(href) else "no such file:"
            hint = _UNLISTED if _is_pattern(href) and href.startswith("http") else ""
            place = str(place_of(href, base))
            problems.append(MissingFile(f"{what} {place}{hint}", f"covariates.{name}.href", file=place))
    if problems:
        raise InputError(problems)
    wanted = {path: step for path, step in found.items() if step.wanted(spec)}
    if not wanted:
        raise InputError(none_wanted(name, spec, list(found.values()), "files"))
    return dict(sorted(wanted.items(), key=lambda item: (item[1], str(item[0]))))


def none_wanted(name: str, spec: StoredSpec, steps: Sequence[Step], what: str) -> Finding:
    """Describe that period and months hold no step, and which years or months the steps are of."""
    years = sorted({step.year for step in steps})
    of = f"of {years[0]}–{years[-1]}" if years[0] else f"of months {sorted({s.month for s in steps})}"
    return Finding(
        f"the {what} are {of}, none is in "
        f"period {list(spec.period or ())} and months {list(spec.months or range(1, 13))}",
        f"covariates.{name}",
    )


def _is_pattern(href: str) -> bool:
    # In an address a question mark begins the query.
    return any(c in _name(href) for c in ("*{" if is_remote(href) else "*?{"))


def _name(href: str) -> str:
    return href.partition("?")[0].rpartition("/")[2] if is_remote(href) else Path(local_path(href)).name


def _match(href: str, base: Path) -> dict[Place, Step]:
    """Return files, below the run file's folder, absolute or behind an address, that fit a pattern."""
    place = place_of(href, base)
    if not _is_pattern(href):
        return {place: Step()} if exists(place) else {}
    name = _name(href)
    glob, regex = name, re.escape(name).replace(r"\*", ".*").replace(r"\?", ".")
    for placeholder, group in _PLACEHOLDERS.items():
        glob = glob.replace(placeholder, "*")
        regex = regex.replace(re.escape(placeholder), group, 1).replace(re.escape(placeholder), r"\d+")
    pattern, glob = re.compile(regex + r"\Z"), re.sub(r"\*+", "*", glob)
    found: dict[Place, Step] = {}
    for file in _glob(place, href, glob):
        if match := pattern.match(file.name):
            found[file] = _step(match.groupdict())
    return found


def _glob(place: Place, href: str, pattern: str) -> list[Place]:
    if isinstance(place, Path):
        return list(sorted(place.parent.glob(pattern)))
    return [place_of(url, Path()) for url in find_remote(f"{href.rpartition('/')[0]}/{pattern}")]


def _step(parts: dict[str, str]) -> Step:
    year = int(parts.get("year") or 0)
    if parts.get("doy"):
        day = date(year or 2001, 1, 1) + timedelta(int(parts["doy"]) - 1)
        return Step(year, day.month, day.day)
    return Step(year, int(parts.get("month") or 0), int(parts.get("day") or 0))
