"""The items that a search found, kept as GeoJSON, so that a run reads the same items again without a network."""

import hashlib
import json
from typing import Any

from engine.errors import InputError
from engine.remote.retry import unsigned
from engine.sources.stac.boxes import Item
from engine.storage.atomic import write_file
from engine.storage.paths import OutPath

_QUERY = "gelisol:query"
_COLLECTION = "gelisol:collection"
_DECISIVE = ("updated", "datetime", "start_datetime", "end_datetime", "bands", "raster:bands", "nodata", "unit")
"""Properties of an item that decide over values, besides those of its projection."""
_OF_COLLECTION = ("id", "title", "license", "item_assets")


def load(path: OutPath, query: dict[str, Any]) -> tuple[Item, list[Item]] | None:
    """Load collection and items of an earlier search of the same kind; None without one.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as the list of items ({error}); delete it to search again") from None
    if document.get(_QUERY) != query:
        return None
    return document[_COLLECTION], document["features"]


def save(path: OutPath, query: dict[str, Any], collection: Item, items: list[Item], asset: str) -> None:
    """Save what was found, whole or not at all, one asset per item, without tokens."""
    document = {
        "type": "FeatureCollection",
        _QUERY: query,
        _COLLECTION: {key: collection[key] for key in _OF_COLLECTION if key in collection},
        "features": [_bare(item, asset) for item in items],
    }
    write_file(path, json.dumps(document, indent=1).encode())


def _bare(item: Item, asset: str) -> Item:
    kept = dict(item["assets"][asset])
    if "://" in kept["href"]:
        kept["href"] = unsigned(kept["href"])
    return {**item, "links": [], "assets": {asset: kept}}


def fingerprint(items: list[Item], asset: str) -> str:
    """Hash the items: changes when one is added, removed or updated, or its asset's content, date or place changes."""
    digest = hashlib.sha256()
    for item in items:
        properties, details = item.get("properties", {}), dict(item["assets"][asset])
        details["href"] = unsigned(details["href"])
        of_item = {key: value for key, value in properties.items() if key in _DECISIVE or key.startswith("proj:")}
        digest.update(json.dumps([item["id"], of_item, details], sort_keys=True).encode())
    return digest.hexdigest()[:16]
