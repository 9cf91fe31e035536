"""Time and assets of an item, read without the search library."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from engine.sources.stac.boxes import Item


def span(item: Item) -> tuple[datetime | None, datetime | None]:
    """Return first and last moment of an item; None if unknown."""
    properties = item.get("properties", {})
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if not (start and end) and properties.get("datetime"):
        start = end = properties["datetime"]
    return _moment(start), _moment(end)


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    import pystac.utils  # here, as few runs have items

    moment = pystac.utils.str_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def asset_keys(items: Iterable[Item]) -> dict[str, dict[str, Any]]:
    """Return assets that the items have, by key, each as the first item describes it."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        for key, asset in item.get("assets", {}).items():
            found.setdefault(key, asset)
    return found
