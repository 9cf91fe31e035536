"""Time steps that a series holds twice: a value that counted twice would weigh twice in a mean and a sum."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.errors import Finding
from engine.remote.files import Place
from engine.sources.files import Step
from engine.sources.netcdf.times import Times
from engine.sources.tiles import shown

_SHOWN = 3
"""Files, or dates, that a message names."""
_MONTH = 27.0
"""Days between steps from which they are of months, at most: a file may hold one month of every year."""
Wanted = tuple[Place, Times, tuple[int, ...]]
"""A file, its time steps and the places of those that count."""


def repeated(name: str, files: Sequence[Wanted]) -> list[Finding]:
    """Describe the problem where two files, or one file twice, hold the same year, month, day or moment.

    A step of one file is the same as one of another if their dates are, as far as the coarser of both tells: a month in
    a monthly file is also each of its days in a daily one.
    """
    problems = []
    owner: dict[tuple[float, ...], Place] = {}
    inner: dict[tuple[float, ...], Place] = {}
    shared: dict[tuple[Place, Place], list[Step]] = {}
    for place, times, wanted in _with_lengths(files):
        keys = times.keys
        twice: dict[tuple[float, ...], int] = {}
        for at in wanted:
            key = keys[at]
            if not key:
                continue
            if key in twice:
                problems.append(
                    Finding(
                        f"{shown(place)}: places {twice[key] + 1} and {at + 1} on its time axis are "
                        f"both of {times.moments[at] or _date(times.steps[at])}; expected each date once",
                        f"covariates.{name}",
                    )
                )
            twice.setdefault(key, at)
            before = next((owner[key[:cut]] for cut in range(1, len(key) + 1) if key[:cut] in owner), inner.get(key))
            if before is not None and before != place:
                shared.setdefault((before, place), []).append(times.steps[at])
        for key in twice:
            owner.setdefault(key, place)
            for cut in range(1, len(key)):
                inner.setdefault(key[:cut], place)
    return problems[:_SHOWN] + [
        Finding(
            f"{shown(a)} and {shown(b)} both hold {_dates(steps)}; expected each date in one file. "
            "Narrow `period` or `href`, or leave one of them out",
            f"covariates.{name}",
        )
        for (a, b), steps in list(shared.items())[:_SHOWN]
    ]


def _with_lengths(files: Sequence[Wanted]) -> list[Wanted]:
    """Give files of one step the usual time between them as its length."""
    alone = [m.days for _, times, _ in files if times.length is None and len(times.steps) == 1
             if (m := times.moments[0]) is not None]  # fmt: skip
    days = np.unique(np.floor(alone))
    length = min(float(np.median(np.diff(days))), _MONTH) if len(days) > 2 else None
    return [
        (place, replace(times, length=length) if times.length is None and len(times.steps) == 1 else times, wanted)
        for place, times, wanted in files
    ]


def _dates(steps: Sequence[Step]) -> str:
    first, last = _date(min(steps)), _date(max(steps))
    return first if first == last else f"{first} to {last} ({len(steps)} steps)"


def _date(step: Step) -> str:
    if not step.year and step.month:
        return f"month {step.month}"
    return "-".join(f"{part:02d}" for part in (step.year, step.month, step.day) if part)


def contradiction(dated: Step, steps: Sequence[Step], dated_by: str) -> tuple[str, bool]:
    """Describe how the date in a file's name contradicts the dates in it; also return whether none of them fits."""

    def fits(step: Step) -> bool:
        pairs = zip((dated.year, dated.month, dated.day), (step.year, step.month, step.day), strict=True)
        return all(a == b for a, b in pairs if a and b)

    others = [step for step in steps if not fits(step)]
    if not others:
        return "", False
    held = _dates(others)
    return f"{dated_by} says {_date(dated)}, its time axis {held}", len(others) == len(steps)
