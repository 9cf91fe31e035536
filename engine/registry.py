"""Registries: what this package, installed packages and the user's own code offer under a name."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, overload

from engine.errors import Finding, InputError

T = TypeVar("T")
OWN = "gelisol"
"""Who offers what this package registers itself; also the prefix of the groups of entry points."""
HERE = "this process"
"""Who offers what is registered by a script, a notebook or a test."""
GROUPS = tuple(f"{OWN}.{name}" for name in ("families", "splitters", "statistics", "sources"))
"""Groups of entry points that packages offer things in."""


@dataclass(frozen=True)
class _Entry(Generic[T]):
    thing: T
    by: str


class Registry(Mapping[str, T]):
    """Things of one kind by name: registered in this process, or offered by an installed package as an entry point.

    What this package brings is registered as anything else is. Entry points are looked for when a name is asked for
    that is not registered, and when all names are; they are known to every process in which the package is installed.

    Parameters
    ----------
    group : str
        Group of entry points, e.g. `gelisol.families`.
    what : str
        What one of them is, for messages, e.g. `family`.
    kind : type
        What each of them must be.
    adapt : callable, optional
        What makes one of what is given.

    Examples
    --------
    >>> numbers = Registry("gelisol.numbers", "number", int)
    >>> numbers.register("two", 2)
    2
    >>> numbers["two"], "three" in numbers
    (2, False)
    """

    def __init__(self, group: str, what: str, kind: type[T], adapt: Callable[[Any], T] | None = None):
        self.group, self.what, self.kind, self._adapt = group, what, kind, adapt
        self._entries: dict[str, _Entry[T]] = {}

    @overload
    def register(self, name: str, thing: T, *, by: str = ..., replace: bool = ...) -> T: ...

    @overload
    def register(self, name: str, *, by: str = ..., replace: bool = ...) -> Callable[[T], T]: ...

    def register(
        self, name: str, thing: T | None = None, *, by: str = HERE, replace: bool = False
    ) -> T | Callable[[T], T]:
        """Offer a thing under a name in this process; without the thing, a decorator that does.

        Parameters
        ----------
        by : str
            Who offers it.
        replace : bool
            Whether it may take the place of what was registered in this process before.

        Raises
        ------
        InputError
            If the name is taken, or it is not of the kind.
        """
        if thing is None:
            return lambda given: self.register(name, given, by=by, replace=replace)
        taken = self._entries.get(name)
        if taken and not (replace and taken.by == by == HERE):
            hint = "; pass replace=True to put this one in its place" if taken.by == by == HERE else ""
            raise InputError(f"{self.group}: the name {name!r} is taken by {taken.by}{hint}")
        self._entries[name] = _Entry(self._checked(name, thing, by), by)
        return thing

    def find(self, name: str, key: str = "") -> T:
        """Return what has a name.

        Parameters
        ----------
        key : str
            Of the run file, for the message.

        Raises
        ------
        InputError
            If nothing has it, or the package that offers it cannot be loaded.
        """
        if (found := self._entry(name)) is None:
            raise InputError(Finding(self.unknown(name), key))
        return found.thing

    def unknown(self, name: str) -> str:
        """Describe that a name is unknown, with those that exist and the nearest one."""
        close = difflib.get_close_matches(name, self, n=1, cutoff=0.6)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        return f"{name!r} is not among {', '.join(self)}{hint}"

    def by(self, name: str) -> str:
        """Return who offers what has a name: `gelisol`, a package and its version, or `this process`."""
        found = self._entry(name)
        return found.by if found else ""

    def __getitem__(self, name: str) -> T:
        if (found := self._entry(name)) is None:
            raise KeyError(name)
        return found.thing

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._entries, *self._offered]))

    def __len__(self) -> int:
        return len({*self._entries, *self._offered})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._entry(name) is not None

    def _entry(self, name: str) -> _Entry[T] | None:
        if name not in self._entries and name in self._offered:
            point = self._offered[name]
            by = _package(point)
            try:
                thing = point.load()
            except Exception as error:
                raise InputError(
                    f"{self.group}: {by} offers {name!r}, but {point.value} cannot be loaded: "
                    f"{type(error).__name__}: {error}; repair or uninstall that package"
                ) from error
            self._entries[name] = _Entry(self._checked(name, thing, by), by)
        return self._entries.get(name)

    def _checked(self, name: str, thing: T, by: str) -> T:
        thing = self._adapt(thing) if self._adapt else thing
        if not isinstance(thing, self.kind):
            raise InputError(
                f"{self.group}: {name!r} of {by} is {type(thing).__name__}; expected {self.kind.__name__} "
                "(docs/extending.md)"
            )
        return thing

    @cached_property
    def _offered(self) -> dict[str, EntryPoint]:
        """Entry points by name."""
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            taken = self._entries.get(point.name)
            if (taken and taken.by == OWN) or point.name in found:
                other = OWN if taken else _package(found[point.name])
                raise InputError(
                    f"{self.group}: {other} and {_package(point)} both offer {point.name!r}; uninstall one of them"
                )
            found[point.name] = point
        return found


@lru_cache
def packages_offering(group: str) -> tuple[str, ...]:
    """Return the names of the installed packages that offer something in a group."""
    return tuple(sorted({point.dist.name for point in entry_points(group=group) if point.dist}))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
