"""Errors that a user reads: what is wrong, where, and how to correct it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self


class Level(StrEnum):
    """Level of a finding."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Finding in the user's input: a problem that stops a run, a warning, or a note.

    Code decides by these attributes, never by words of the message.

    Attributes
    ----------
    message : str
        One sentence or more: the value found, what was expected, what to do.
    key : str
        Key of the run file that it concerns, e.g. `covariates.mat.href`; empty where it concerns none.
    level : Level
        How grave it is.
    place : str
        What is printed before the message instead of the key, e.g. the line of the run file.
    """

    message: str
    key: str = ""
    level: Level = Level.PROBLEM
    place: str = ""

    @classmethod
    def note(cls, message: str) -> Self:
        """Return what is worth knowing."""
        return cls(message, level=Level.NOTE)

    @classmethod
    def warning(cls, message: str) -> Self:
        """Return what is likely wrong, but lets the run go on."""
        return cls(message, level=Level.WARNING)

    def __str__(self) -> str:
        """Return the line that is printed."""
        head = self.place or self.key
        words = f"{Level.WARNING}: {self.message}" if self.level is Level.WARNING else self.message
        return f"{head}: {words}" if head else words

    def of(self, key: str) -> Self:
        """Return the same of another key."""
        return replace(self, key=key)

    def moved(self, old: str, new: str) -> Self:
        """Return the same of a section of another name; of other sections it stays as it is."""
        inside = self.key == old or self.key.startswith(f"{old}.")
        return self.of(new + self.key[len(old) :]) if inside else self


@dataclass(frozen=True)
class Where:
    """A place of the input: what errors begin with.

    Attributes
    ----------
    key : str
        Of the run file.
    place : str
        File or item that the key names, in words.
    """

    key: str
    place: str = ""

    def __str__(self) -> str:
        """Return key and place as errors begin with them."""
        return ": ".join(filter(None, (self.key, self.place)))

    def problem(self, message: str) -> Finding:
        """Return a problem of this place."""
        return Finding(f"{self.place}: {message}" if self.place else message, self.key)


def _as_finding(problem: str | Finding) -> Finding:
    return Finding(problem) if isinstance(problem, str) else problem


class GelisolError(Exception):
    """Base of every error that is shown to the user without a traceback.

    Parameters
    ----------
    problem : str or Finding
        What is wrong; a text is a problem that concerns no key.
    """

    def __init__(self, problem: str | Finding):
        self.problems = [_as_finding(problem)]
        super().__init__(str(problem))


class InputError(GelisolError):
    """The user's input is at fault: one finding per problem, all of them at once.

    Parameters
    ----------
    problems : str, Finding or iterable of these
        What is wrong; a text is a problem that concerns no key.
    """

    def __init__(self, problems: str | Finding | Iterable[str | Finding]):
        given = [problems] if isinstance(problems, str | Finding) else problems
        found = [_as_finding(each) for each in given]
        Exception.__init__(self, "\n".join(map(str, found)))
        self.problems = found

    def __reduce__(self) -> tuple[type[Self], tuple[Any]]:
        """Pickle with the problems, so that a worker's error arrives whole."""
        return type(self), (self.problems,)


class FitError(GelisolError):
    """A model family cannot be fitted to the sites; others may still serve."""


class RunError(GelisolError):
    """The run failed although its input was sound: a worker died, a disk filled up."""
