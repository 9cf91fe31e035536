"""Errors that are meant for people: what is wrong, where, and what to do about it."""

from collections.abc import Iterable


class GelisolError(Exception):
    """Base of every error that is shown to the user without a traceback."""


class InputError(GelisolError):
    """The user's input is at fault: one message per problem, all of them at once.

    Parameters
    ----------
    problems : str or iterable of str
        One sentence or more per problem: where (file, key, row), the value found, what was expected.
    """

    def __init__(self, problems: str | Iterable[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["InputError"], tuple[list[str]]]:
        """Pickle with the list of problems, so that a worker's error arrives whole."""
        return type(self), (self.problems,)


class FitError(GelisolError):
    """A model family cannot be fitted to the sites; others may still serve."""


class RunError(GelisolError):
    """The run failed although its input was sound: a worker died, a disk filled up."""
