"""`gelisol search`: what a STAC API has, and the entry of the run file that reads it, ready to paste."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from engine.errors import InputError
from engine.remote.retry import RemoteError
from engine.sources.spec import StacSpec
from engine.sources.stac.boxes import Bbox, Item
from engine.sources.stac.item_parts import asset_keys, span
from engine.sources.stac.items import data_assets, encoding
from engine.sources.stac.search import Years, collections, find_items, open_catalog


def list_collections(api: str) -> list[tuple[str, str]]:
    """Return id and title of every collection.

    Raises
    ------
    InputError
        If the API does not answer.
    """
    try:
        return sorted((c.id, c.title or "") for c in collections(open_catalog(api)))
    except (RemoteError, OSError) as error:
        raise InputError(f"API: cannot be reached: {error}") from error


def search(
    api: str, collection: str, bbox: Bbox | None, years: Years | None, query: dict[str, Any]
) -> tuple[Item, list[Item]]:
    """Return the collection and the items that fit.

    Raises
    ------
    InputError
        If the API does not answer, or has no such collection or items.
    """
    try:
        found, items = find_items(StacSpec(api=api, collection=collection, query=query), Path.cwd(), bbox, years)
    except LookupError as error:
        raise InputError(f"--collection: {api} {error.args[0]}") from None
    except (RemoteError, ValueError) as error:
        raise InputError(f"API: cannot be reached: {error}") from error
    if not items:
        raise InputError(f"{collection} of {api} has no item in this box, period and query")
    return found, items


def describe(items: list[Item]) -> list[str]:
    """Describe the collection and items found, in lines for reading."""
    moments = [m for item in items for m in span(item) if m is not None]
    years = f", {min(moments):%Y-%m-%d} to {max(moments):%Y-%m-%d}" if moments else ""
    lines = [f"{len(items)} item{'s' if len(items) > 1 else ''}{years}", "assets:"]
    for key, asset in asset_keys(items).items():
        roles = ", ".join(asset.get("roles") or ())
        lines.append(f"  {key}: {asset.get('title') or asset.get('type') or ''}{f' ({roles})' if roles else ''}")
    return lines


def entry(
    api: str, collection: Item, items: list[Item], asset: str | None, years: Years | None, query: dict[str, Any]
) -> str:
    """Return the entry under `covariates:`, as YAML.

    Raises
    ------
    InputError
        If the asset is not there, or none is named and the choice is not clear.
    """
    keys = asset_keys(items)
    data = data_assets(keys)
    if asset is None and len(data) != 1:
        raise InputError(f"--asset: the items have {', '.join(keys)}; say which one to read")
    key = asset or data[0]
    if key not in keys:
        raise InputError(f"--asset: {key!r} is not among {', '.join(keys)}")
    declared, units = encoding(keys[key])
    general, general_units = encoding((collection.get("item_assets") or {}).get(key, {}))
    declared, units = declared.over(general), units or general_units
    stac: dict[str, Any] = {"api": api, "collection": collection["id"], "asset": key}
    if query:
        stac["query"] = query
    fields: dict[str, Any] = {"stac": stac}
    if years:
        fields |= {"period": list(years), "reduce": "mean"}
    fields |= {k: v for k, v in (("scale", declared.scale), ("offset", declared.offset)) if v is not None}
    if declared.nodata:
        fields["nodata"] = declared.nodata[0]
    if units:
        fields["units"] = units
    return _yaml({_name(key): fields})


def _name(key: str) -> str:
    """Derive a covariate's name from an asset's key: its last word that is not a number or unit of time."""
    words = [w for w in key.replace("-", "_").split("_") if w.isidentifier() and w.lower() not in ("days", "m", "km")]
    return (words[-1] if words else "covariate").lower()


def _yaml(document: dict[str, Any]) -> str:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 1000
    yaml.default_flow_style = None
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
