"""STAC source: search, or the result of an earlier one, then the grid of each raster tile."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import Finding, InputError, Where
from engine.extras import load
from engine.remote.auth import Access, rule_for
from engine.remote.files import is_file_url, is_remote
from engine.remote.retry import RemoteError, unsigned
from engine.sources.base import Context, Source
from engine.sources.files import none_wanted
from engine.sources.kinds import ItemsSpec
from engine.sources.netcdf import NetcdfSource
from engine.sources.raster import assemble
from engine.sources.stac import item_cache as kept
from engine.sources.stac.boxes import Item
from engine.sources.stac.items import Asset, choose_asset, describe
from engine.sources.tiles import RasterFile, notes_on_bands, read_headers, shown


def open_stac(name: str, spec: ItemsSpec, base: Path, context: Context) -> Source:
    """Find the items of a covariate and read no pixel.

    Raises
    ------
    InputError
        If the catalogue does not answer, has no such collection, item or asset, or the assets do not fit together.
    """
    assert spec.stac is not None
    collection, items = _items(name, spec, base, context)
    key = choose_asset(name, spec, items)
    _require_reachable(name, items, key)
    assets = [describe(item, key, collection, spec, base) for item in items]
    access = Access(spec.stac.sign or rule_for(spec.stac.api), spec.stac.collection)
    if any(asset.holds_arrays for asset in assets):
        return _open_arrays(name, spec, assets, access, kept.fingerprint(items, key))
    wanted = [asset for asset in assets if asset.step.wanted(spec)]
    if not wanted:
        raise InputError(none_wanted(name, spec, [asset.step for asset in assets], "items"))
    files = _files(name, spec, wanted, access)
    return assemble(name, spec, files, many=spec.grids != "one", listed=kept.fingerprint(items, key))


def _items(name: str, spec: ItemsSpec, base: Path, context: Context) -> tuple[Item, list[Item]]:
    """Return the collection and its items, from an earlier search if it was the same."""
    assert spec.stac is not None
    query = _query(spec, context)
    path = context.items / f"{name}.json" if context.items else None
    earlier = kept.load(path, query) if path and not context.refresh else None
    # A catalog on this machine's disks may have been edited; it is read anew, which takes no network.
    if earlier and (is_remote(spec.stac.api) or not (base / spec.stac.api).exists()):
        return earlier
    key = f"covariates.{name}.stac"
    years = [year for period in (spec.period, spec.baseline) if period for year in period]
    search = load("engine.sources.stac.search", "stac", f"{key}: STAC catalogs")
    try:
        collection, items = search.find_items(
            spec.stac, base, context.bbox, (min(years), max(years)) if years else None
        )
    except LookupError as error:
        raise InputError(Finding(f"{spec.stac.api} {error.args[0]}", f"{key}.collection")) from None
    except RemoteError as error:
        if earlier:  # its items lie behind addresses
            return earlier
        raise InputError(Finding(f"cannot be reached: {error}", f"{key}.api")) from error
    if not items:
        asked = [f"bbox {[round(v, 3) for v in context.bbox]}"] if context.bbox else []
        asked += [f"period {min(years)}–{max(years)}"] if years else []
        asked += [f"query {spec.stac.query}"] if spec.stac.query else []
        raise InputError(Finding(f"{spec.stac.collection} of {spec.stac.api} has no item in {', '.join(asked)}", key))
    if path:
        kept.save(path, query, collection, items, choose_asset(name, spec, items))
    return collection, items


def _query(spec: ItemsSpec, context: Context) -> dict[str, Any]:
    """Return the query that the items depend on."""
    assert spec.stac is not None
    entry = spec.stac.model_dump(mode="json", exclude={"sign"})
    return {**entry, "period": list(spec.period or ()), "baseline": list(spec.baseline or ()),
            "bbox": [round(v, 6) for v in context.bbox or ()]}  # fmt: skip


def _open_arrays(name: str, spec: ItemsSpec, assets: list[Asset], access: Access, listed: str) -> Source:
    """Open NetCDF files or Zarr stores as one series on one grid, dated by themselves, else by their items."""
    problems = []
    for asset in assets:
        where = Where(f"covariates.{name}", f"item {asset.item}: {shown(asset.place)}")
        if not asset.holds_arrays:
            problems.append(
                where.problem(f"is {asset.media or 'a raster'}, while others are NetCDF or Zarr; use a `query`")
            )
    if problems:
        raise InputError(problems)
    return NetcdfSource.of_files(name, spec, {a.place: (a.step, a.declared) for a in assets}, listed, access)


def _require_reachable(name: str, items: list[Item], key: str) -> None:
    """Require assets on this machine's disks, on web servers or in S3-compatible stores."""
    hrefs = {item["id"]: item["assets"][key]["href"] for item in items if key in item["assets"]}
    if problems := [
        Finding(
            f"item {identity}: {unsigned(href)}: only http(s)://, s3:// and file:// can be read. Choose "
            "another asset (`stac.asset`), or fetch the files and name them with `href`",
            f"covariates.{name}",
        )
        for identity, href in hrefs.items()
        if "://" in href and not (is_remote(href) or is_file_url(href))
    ]:
        raise InputError(problems)


def _files(name: str, spec: ItemsSpec, assets: list[Asset], access: Access) -> list[RasterFile]:
    """Return the grid of every asset: from its item, else from the file's header."""
    told = [
        RasterFile(
            asset.place, asset.step, asset.geobox, asset.declared, access, notes=notes_on_bands(asset.bands, "", spec)
        )
        for asset in assets
        if asset.geobox is not None and spec.crs is None
    ]
    untold = [asset for asset in assets if asset.geobox is None or spec.crs is not None]
    headers = read_headers(name, spec, ((a.place, a.step, a.declared, access) for a in untold))
    if told and not headers and "band" not in spec.model_fields_set and not told[0].notes:
        # No item says how many bands there are, and no file is open: the first is asked, if it can be.
        first = told[0]
        with suppress(InputError):
            (opened,) = read_headers(name, spec, [(first.place, first.step, first.declared, access)])
            told[0] = replace(first, notes=opened.notes)
    return told + headers
