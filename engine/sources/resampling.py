"""Resampling from pixels to cells: one, or one for each part of a source that has several."""

from collections.abc import Callable, Iterator
from enum import StrEnum


class Resampling(StrEnum):
    """Resampling from the pixels around a cell to its value."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    CUBIC = "cubic"
    AVERAGE = "average"
    MODE = "mode"

    @property
    def counts(self) -> bool:
        """Whether it counts the pixels that lie in the cell, rather than interpolating between those around it."""
        return self in (Resampling.AVERAGE, Resampling.MODE)


Choice = Resampling | tuple["Choice", ...]
"""The resampling of a source; of a source of several parts, the choice of each in their order."""


def of_parts(choice: Choice, parts: int) -> tuple[Choice, ...]:
    """Return the choice of each part; one resampling is that of them all."""
    return choice if isinstance(choice, tuple) else (choice,) * parts


def plain(choice: Choice) -> Iterator[Resampling]:
    """Return every resampling that is chosen, in the order of the parts."""
    if isinstance(choice, tuple):
        for part in choice:
            yield from plain(part)
    else:
        yield choice


def changed(choice: Choice, change: Callable[[Resampling], Resampling]) -> Choice:
    """Return a choice with other resamplings."""
    return tuple(changed(part, change) for part in choice) if isinstance(choice, tuple) else change(choice)
