"""Items of a collection in a STAC API, or in a static catalog: found page by page, complete or not at all."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pystac
from pystac_client import Client, ConformanceClasses
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry

from engine.remote.files import is_remote
from engine.remote.retry import (
    PASSING,
    RemoteError,
    persistently,
    policy,
    reason,
    unsigned,
)
from engine.sources.spec import StacSpec
from engine.sources.stac.boxes import Bbox, Item, questions, touches
from engine.sources.stac.item_parts import span
from engine.sources.stac.query import matches

PAGE = 200
"""Items that are asked for at a time."""


class _Patient(StacApiIO):
    """Requests with time-outs, made again when a server is busy or broken, or an answer does not come whole."""

    def __init__(self) -> None:
        busy = Retry(
            total=None, connect=0, read=0, other=0, status=policy().tries - 1, backoff_factor=policy().first_wait_s,
            status_forcelist=PASSING, allowed_methods=None, raise_on_status=False,
        )  # fmt: skip
        super().__init__(max_retries=busy, timeout=(policy().connect_s, policy().read_s))

    def request(self, href: str, *arguments: Any, **options: Any) -> str:
        """Return the text of an answer; see `StacApiIO.request`."""

        def ask() -> str | APIError:
            try:
                text = super(_Patient, self).request(href, *arguments, **options)
            except APIError as error:
                if getattr(error, "status_code", None) is None:
                    raise RemoteError(reason(error)) from error
                return error  # an answer, be it a refusal
            json.loads(text)
            return text

        answer = persistently(ask, "")
        if isinstance(answer, APIError):
            raise answer
        return answer


Years = tuple[int, int]


def find_items(spec: StacSpec, base: Path, bbox: Bbox | None, years: Years | None) -> tuple[Item, list[Item]]:
    """Find the collection and its items that touch a box and a period and fit the query, by time and id.

    Parameters
    ----------
    base : Path
        Folder that a relative path of a static catalog starts from.
    bbox : (float, float, float, float), optional
        West, south, east, north, degrees; west > east where it crosses the 180° line.
    years : (int, int), optional
        First and last.

    Raises
    ------
    RemoteError
        If a server fails, or does not give all the items that it says it has.
    LookupError
        If there is no such collection; the message lists those that there are.
    """
    address = spec.api if is_remote(spec.api) else str(base / spec.api)
    root = open_catalog(address)
    try:
        collection = _collection(root, spec.collection)
        items = _search_each(root, spec, bbox, years) if _is_api(root) else _walk(collection)
        found = [item for item in items if _wanted(item, spec, bbox, years)]
    except LookupError as error:
        if isinstance(error, KeyError):
            raise RemoteError(f"{unsigned(address)}: its answer lacks {error}") from error
        if isinstance(error, IndexError):
            raise RemoteError(f"{unsigned(address)}: its answer has an empty list where items are due") from error
        raise
    except (APIError, OSError, pystac.STACError, ValueError, TypeError) as error:
        raise RemoteError(f"{unsigned(address)}: {_told(error)}") from error
    return collection.to_dict(include_self_link=False, transform_hrefs=False), sorted(found, key=_order)


def open_catalog(address: str) -> pystac.Catalog:
    """Open a STAC API's client, or a static catalog or collection.

    Raises
    ------
    RemoteError
        If the address does not answer, or with something else.
    """
    io = _Patient()
    try:
        document = io.read_json(address)
        if document.get("conformsTo"):
            return Client.open(address, stac_io=io, timeout=(policy().connect_s, policy().read_s))
        if document.get("type") == "Collection":  # which pystac-client takes for one of an API
            root: Any = pystac.Collection.from_dict(document, href=address)
            root.set_root(root)
        else:
            root = pystac.read_dict(document, href=address, stac_io=io)
    except FileNotFoundError as error:
        raise RemoteError(f"{address}: no such file") from error
    except (APIError, OSError, pystac.STACError, ValueError, KeyError, TypeError) as error:
        raise RemoteError(f"{unsigned(address)}: does not answer as a STAC API or catalog ({_told(error)})") from error
    if not isinstance(root, pystac.Catalog):
        raise RemoteError(f"{unsigned(address)}: is a STAC {type(root).__name__.lower()}, not a catalog or collection")
    root._stac_io = io
    return root


def collections(root: pystac.Catalog) -> Iterator[pystac.Collection]:
    """Yield every collection of an API, or below (and including) a static catalog."""
    if _is_api(root):
        yield from root.get_collections()
        return
    if isinstance(root, pystac.Collection):
        yield root
    for child in root.get_children():
        yield from collections(child)


def _told(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"answers {status} {reason(error)}" if status else reason(error)


def _is_api(root: pystac.Catalog) -> bool:
    return isinstance(root, Client) and bool(root.get_conforms_to())


def _collection(root: pystac.Catalog, wanted: str) -> pystac.Collection:
    known = []
    if isinstance(root, Client) and root.conforms_to(ConformanceClasses.COLLECTIONS):
        try:
            if (found := root.get_collection(wanted)) is not None:
                return found
        except APIError as error:
            if getattr(error, "status_code", None) != 404:
                raise
    for collection in collections(root):
        if collection.id == wanted:
            return collection
        known.append(collection.id)
    raise LookupError(f"has no collection {wanted!r}; it has {', '.join(sorted(known)[:50]) or 'none'}")


def _search_each(root: pystac.Catalog, spec: StacSpec, bbox: Bbox | None, years: Years | None) -> Iterable[Item]:
    """Search on both sides of the 180° line, if need be; items found twice count once."""
    found = (item for part in questions(bbox) for item in _search(root, spec, part, years))
    return {item["id"]: item for item in found}.values()


def _search(root: pystac.Catalog, spec: StacSpec, bbox: Bbox | None, years: Years | None) -> list[Item]:
    assert isinstance(root, Client)
    when = f"{years[0]}-01-01T00:00:00Z/{years[1]}-12-31T23:59:59Z" if years else None
    query = spec.query if spec.query and root.conforms_to(ConformanceClasses.QUERY) else None
    search = root.search(collections=[spec.collection], bbox=bbox, datetime=when, query=_operators(query), limit=PAGE)
    items: list[Item] = []
    matched = None
    for page in search.pages_as_dicts():
        items += page["features"]
        matched = page.get("numberMatched", page.get("context", {}).get("matched", matched))
    if len({item["id"] for item in items}) < len(items):
        raise ValueError("its pages repeat items; a server whose paging is broken gives no complete list")
    if matched is not None and matched != len(items):
        raise ValueError(f"reports {matched} matching items, but returns {len(items)}")
    return items


def _operators(query: dict[str, Any] | None) -> dict[str, Any] | None:
    if query is None:
        return None
    return {key: value if isinstance(value, dict) else {"eq": value} for key, value in query.items()}


def _walk(collection: pystac.Collection) -> Iterator[Item]:
    """Yield items of a static collection, with absolute addresses of their assets."""
    for item in collection.get_items(recursive=True):
        item.make_asset_hrefs_absolute()
        document = item.to_dict(include_self_link=False, transform_hrefs=False)
        yield document if item.bbox is None else {**document, "bbox": item.bbox}  # which pystac ties to a geometry


def _wanted(item: Item, spec: StacSpec, bbox: Bbox | None, years: Years | None) -> bool:
    return touches(item, bbox) and _overlaps(item, years) and matches(item.get("properties", {}), spec.query)


def _overlaps(item: Item, years: Years | None) -> bool:
    first, last = span(item)
    if years is None:
        return True
    return (first is None or first.year <= years[1]) and (last is None or last.year >= years[0])


def _order(item: Item) -> tuple[str, str]:
    first, _ = span(item)
    return first.isoformat() if first else "", item["id"]
