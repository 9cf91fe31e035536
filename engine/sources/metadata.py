"""Metadata of a data set: its provider, licence and access.

Descriptions are STAC collections, one JSON file each; `catalogs/sources` holds those of the catalogue's domains.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import Finding, InputError

_ACCESS = {
    "open": "open download",
    "login": "free, after login",
    "request": "on request",
}
"""What `gelisol:access` may be, in words."""


@dataclass(frozen=True)
class About:
    """A data set.

    Attributes
    ----------
    access : {"open", "login", "request"}
        Whether anyone may fetch it, after a login, or on request.
    address : str
        Page from which it can be had.
    recipe : str
        What to fetch there, and where to put it.
    version : str
        Of the data set, or "".
    period : (int, int) or None
        First and last year that it speaks of, where its description states them.
    providers : tuple of (str, tuple of str)
        Everyone who made or keeps it, and in which roles.
    terms : str
        Of its use in a few words, where the licence has no name, or "".
    """

    title: str
    provider: str
    licence: str
    doi: str
    access: str
    address: str
    recipe: str
    version: str = ""
    period: tuple[int, int] | None = None
    providers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    terms: str = ""

    @property
    def how_to_get(self) -> str:
        """One sentence for whom it is missing."""
        doi = f", doi:{self.doi}" if self.doi else ""
        recipe = f" {self.recipe}" if self.recipe else ""
        return f"Get it from {self.provider} ({_ACCESS[self.access]}{doi}): {self.address}.{recipe}"


def read_about(path: Path, key: str) -> About:
    """Read a description; `key` names it in errors.

    Raises
    ------
    InputError
        If the file is not there, no STAC collection, or does not say how the data can be had.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Finding(f"no such file: {path}", key)) from None
    except (OSError, ValueError) as error:
        raise InputError(Finding(f"{path}: cannot be read as JSON ({error})", key)) from None
    if not isinstance(document, dict) or document.get("type") != "Collection":
        raise InputError(Finding(f"{path}: is not a STAC collection", key))
    access = document.get("gelisol:access", "open")
    if access not in _ACCESS:
        raise InputError(Finding(f"{path}: gelisol:access is {access!r}; expected one of {', '.join(_ACCESS)}", key))
    links = {link.get("rel"): link.get("href", "") for link in document.get("links", [])}
    providers = [p.get("name", "") for p in document.get("providers", [])]
    return About(
        title=document.get("title") or document.get("id", ""),
        provider=providers[-1] if providers else "its provider",
        licence=document.get("license", "unknown"),
        doi=document.get("sci:doi", ""),
        access=access,
        address=links.get("via") or links.get("about") or "",
        recipe=document.get("gelisol:recipe", ""),
        version=str(document.get("version", "")),
        period=_years(document),
        providers=tuple((p.get("name", ""), tuple(p.get("roles", ()))) for p in document.get("providers", [])),
        terms=document.get("gelisol:terms", ""),
    )


def _years(document: dict[str, Any]) -> tuple[int, int] | None:
    """Return first and last year of the description's temporal extent; None if either is open."""
    intervals = document.get("extent", {}).get("temporal", {}).get("interval") or [[None, None]]
    start, end = intervals[0]
    return (int(start[:4]), int(end[:4])) if start and end else None
