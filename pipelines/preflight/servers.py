"""Servers that a run needs: a silent one is found once, in seconds, not again for every source."""

from collections.abc import Callable, Iterator, Mapping

from engine.remote.reachable import server_of, silent_servers
from engine.sources.entry import FormulaSpec
from engine.sources.formula import names_in
from engine.sources.kinds import ItemsSpec, LayersSpec
from engine.sources.spec import SourceSpec
from engine.storage.paths import OutPath
from pipelines.runfile.observations_section import tables_of
from pipelines.runfile.reader import Draft, RunFile


def silent_needs(needs: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the silent servers that each key of the run file needs; keys without any are left out."""
    silent = silent_servers(sorted(set().union(*needs.values())))
    return {
        key: "; ".join(f"cannot be reached: {server}: {silent[server]}" for server in sorted(servers & silent.keys()))
        for key, servers in needs.items()
        if servers & silent.keys()
    }


def needed_servers(
    run: RunFile | Draft, entries: Mapping[str, SourceSpec], key_of: Callable[[str], str], items: OutPath | None
) -> dict[str, set[str]]:
    """Return the servers that each key of the run file needs.

    Parameters
    ----------
    entries : mapping
        Name → source.
    key_of : callable
        Name → its key in the run file.
    items : OutPath or None
        Folder of the items that earlier searches found, which need no search.
    """
    addresses = {key_of(name): set(_addresses(name, spec, items, run.covariates)) for name, spec in entries.items()}
    if run.domain and run.domain.boundary:
        addresses["domain.boundary"] = {run.domain.boundary}
    if run.observations:
        addresses |= {key: {href} for key, href in tables_of(run.observations).items()}
    found = {key: {server for a in each if (server := server_of(a))} for key, each in addresses.items()}
    return {key: servers for key, servers in found.items() if servers}


def _addresses(name: str, spec: SourceSpec, items: OutPath | None, others: Mapping[str, SourceSpec]) -> Iterator[str]:
    yield from spec.hrefs
    if isinstance(spec, (ItemsSpec, LayersSpec)) and spec.stac:
        if not _kept(name, spec, items):
            yield spec.stac.api
    elif isinstance(spec, LayersSpec):
        yield from (layer for layer in spec.layers.values() if isinstance(layer, str))
    known = {**others, **spec.own_terms}
    for term in names_in(spec.expression) if isinstance(spec, FormulaSpec) else ():
        if term in known and term != name:
            yield from _addresses(f"{name}.{term}", known[term], items, known)


def _kept(name: str, spec: SourceSpec, items: OutPath | None) -> bool:
    """Return whether every part of a source has an earlier search."""
    if items is None:
        return False
    names = [f"{name}.{layer}" for layer in spec.layers] if isinstance(spec, LayersSpec) else [name]
    return all((items / f"{part}.json").exists() for part in names)
