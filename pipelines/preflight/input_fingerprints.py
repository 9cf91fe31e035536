"""Fingerprints of what a run reads, taken before anything is read, and compared once the work is done."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from engine.errors import InputError
from engine.remote.files import Place, Remote, forget, place_of, read_bytes
from engine.remote.retry import RemoteError
from engine.sources.base import SourceSummary, beside, stamp
from engine.sources.spec import SourceSpec
from pipelines.runfile.observations_section import Observations, tables_of
from pipelines.runfile.schema import Draft, RunFile

GONE = "gone"
"""Fingerprint of a file that is not there any more."""
BOUNDARY, TABLE, TRUTH = "the boundary's file", "the profile table", "the truth's files"
SITES, INDEPENDENT = "the table of sites", "the table of independent sites"


def named_files(run: RunFile | Draft, base: Path) -> dict[str, Place]:
    """Return files that the run file names one by one, by their names in messages."""
    found: dict[str, Place] = {}
    if run.domain and run.domain.boundary:
        found[BOUNDARY] = place_of(run.domain.boundary, base)
    if run.observations:
        found |= _tables(run.observations, base / run.data, (TABLE, SITES))
    if run.model and (given := run.model.validation.independent):
        found |= _tables(given, base / run.data, (INDEPENDENT, f"{INDEPENDENT} (sites)"))
    specs = dict(run.covariates) | ({"zones": run.zones} if isinstance(run.zones, SourceSpec) else {})
    for name, spec in specs.items():
        for inner, text in _descriptions(name, spec).items():
            found[f"the description of {inner}"] = base / text
    if isinstance(run, RunFile) and run.truth:
        found[TRUTH] = base / run.truth
    return found


def _tables(given: str | Observations, data: Path, names: tuple[str, str]) -> dict[str, Place]:
    """Return one table, or two if places stand in a table of their own."""
    hrefs = (given,) if isinstance(given, str) else tuple(tables_of(given).values())
    return {name: place_of(href, data) for name, href in zip(names, hrefs, strict=False)}


def _descriptions(name: str, spec: SourceSpec) -> dict[str, str]:
    found = {name: spec.about} if spec.about else {}
    for term, inner in spec.own_terms.items():
        found |= _descriptions(f"{name}.of.{term}", inner)
    return found


def content(place: Place) -> str:
    """Return the SHA-256 of a file and its companions; for a folder, that of its files' names, sizes and times."""
    if isinstance(place, Remote):
        return hashlib.sha256(read_bytes(place)).hexdigest()
    if place.is_dir():
        return hashlib.sha256(stamp(place).encode()).hexdigest()
    digest = hashlib.sha256(place.read_bytes())
    for other in beside(place):
        digest.update(f"\0{other.name}\0".encode() + other.read_bytes())
    return digest.hexdigest()


def fingerprints(run: RunFile | Draft, base: Path) -> dict[str, str]:
    """Fingerprint the files that the run file names; an unreadable one is left to whoever reads it."""
    found = {name: _attempt(partial(content, place)) for name, place in named_files(run, base).items()}
    return {name: text for name, text in found.items() if text and text != GONE}


def of_sources(summaries: Mapping[str, SourceSummary]) -> dict[str, str]:
    """Fingerprint the covariates' files."""
    return {f"files of {name}": summary.fingerprint for name, summary in summaries.items()}


def changed_since(
    before: Mapping[str, str], run: RunFile, base: Path, summaries: Callable[[], Mapping[str, SourceSummary]],
    *, remote: bool,
) -> list[str]:  # fmt: skip
    """Return the files whose fingerprint has changed, by the names of `fingerprints` and `of_sources`.

    Parameters
    ----------
    summaries : callable
        Summaries of the sources that have not been asked yet.
    remote : bool
        Whether to ask servers, too; one that does not answer tells nothing.
    """
    if remote:
        forget()
    now: dict[str, str | None] = {}
    for name, place in named_files(run, base).items():
        if isinstance(place, Path) or remote:
            now[name] = _attempt(partial(content, place))
    for name, summary in summaries().items():
        if remote or not summary.is_remote:
            now[f"files of {name}"] = _attempt(partial(getattr, summary, "fingerprint"))
    return [name for name, found in now.items() if found is not None and found != before.get(name)]


def _attempt(read: Callable[[], str]) -> str | None:
    """Return a fingerprint; None if it cannot be had now."""
    try:
        return read()
    except FileNotFoundError:
        return GONE
    except (OSError, RemoteError, InputError):
        return None
