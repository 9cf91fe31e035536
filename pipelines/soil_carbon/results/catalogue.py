"""The STAC collection of a run's results: which years and land they stand for, whose they are, which licence."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pystac

from engine.cube.build import DOMAIN
from engine.export.extent import Extent, extent_of
from engine.export.stac import Layers, write_collection
from engine.sources.spec import SourceSpec
from engine.storage.paths import OutPath, read_file
from engine.storage.zarr_store import open_dataset
from pipelines.runfile.reader import RunFile
from pipelines.runfile.target import Target
from pipelines.soil_carbon.formatting import listed, sentence
from pipelines.soil_carbon.results.products import item_files

NOT_STATED = ("", "other", "unknown", "various", "proprietary")
"""What stands for a licence that has no text of its own."""
Years = tuple[int, int]
_MADE_UP = "made-up data"


def write_catalogue(config: RunFile, directory: OutPath, verdict: str = "") -> None:
    """Write the STAC collection of all results, from what lies in the folder of the run.

    Parameters
    ----------
    config : RunFile
        Of the run.
    directory : OutPath
        The folder.
    verdict : str
        What the validation says of the maps, in sentences.
    """
    record = json.loads(read_file(directory / "provenance.json"))
    sources = record.get("sources", {})
    years = period_of(config, sources)
    name = config.title or config.name
    if config.synthetic and _MADE_UP not in name.lower():
        name += f" ({_MADE_UP})"
    write_collection(
        directory,
        collection_id=config.name,
        title=name,
        description=_description(config, name, years, verdict),
        items=[
            Layers(
                id=f"{config.name}-{key}",
                title=title,
                files={variable: file for variable, (file, _) in files.items()},
                styles={variable: style for variable, (_, style) in files.items()},
            )
            for key, title, files in item_files(config, directory)
        ],
        assets=_assets(directory, config.target),
        period=_moments(years) if years else None,
        created=_mapped(record),
        license=config.output.licence or "other",
        providers=_providers(config, sources),
        links=_links(config, sources),
        extent=_extent(directory),
        keywords=[*_keywords(config.target), *([_MADE_UP] if config.synthetic else [])],
    )


def period_of(config: RunFile, sources: Mapping[str, Any]) -> Years | None:
    """Return first and last year that the maps stand for.

    Parameters
    ----------
    config : RunFile
        Whose `output.period` counts, where it is given.
    sources : mapping
        Covariate → what the record holds of its source.

    Returns
    -------
    (int, int) or None
        From the first year of any covariate to the last of any; None where no covariate has a period.
    """
    if config.output.period:
        return config.output.period
    return _hull(covariate_years(spec, sources.get(name, {})) for name, spec in config.covariates.items())


def covariate_years(spec: SourceSpec, source: Mapping[str, Any]) -> Years | None:
    """Return first and last year of a covariate: as the run file asks, else of its files, else of its description."""
    if spec.years:
        return spec.years
    if found := _hull(covariate_years(term, {}) for term in spec.own_terms.values()):
        return found
    if found := _hull((int(year), int(year)) for year in re.findall(r"\d{4}", source.get("period") or "")):
        return found
    return _hull(tuple(about["period"]) if about.get("period") else None for about in source.get("about", []))


def _hull(periods: Iterable[Years | None]) -> Years | None:
    known = [period for period in periods if period]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None


def _moments(years: Years) -> tuple[datetime, datetime]:
    return datetime(years[0], 1, 1, tzinfo=UTC), datetime(years[1], 12, 31, 23, 59, 59, tzinfo=UTC)


def _mapped(record: Mapping[str, Any]) -> datetime | None:
    """Return when the maps were finished."""
    finished = record.get("stages", {}).get("map", {}).get("finished")
    return datetime.fromisoformat(finished) if finished else None


def _extent(directory: OutPath) -> Extent | None:
    with open_dataset(directory / "cube.zarr") as cube:
        return extent_of(cube[DOMAIN])


def _description(config: RunFile, name: str, years: Years | None, verdict: str) -> str:
    end = f"; {verdict}" if verdict else "."
    what = sentence(config.target.long) + (" and stocks" if config.target.has_stocks else "")
    said = [f"{what} of {name}, mapped by Gelisol{end}"]
    if years is None:
        said.append("The covariates state no period (`output.period` of the run file): times are those of the making.")
    elif not config.output.period:
        said.append(f"The covariates are of {years[0]}–{years[1]}.")
    if config.output.licence is None:
        said.append(
            "The licence of the maps is not stated (`output.licence` of the run file); the licences of the data that "
            "they were made from are linked and may bind."
        )
    return " ".join(said)


def data_sets(sources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the data sets that the covariates come from, each once."""
    found = {about["title"]: about for source in sources.values() for about in source.get("about", [])}
    return list(found.values())


def _providers(config: RunFile, sources: Mapping[str, Any]) -> list[pystac.Provider]:
    """Return the providers of the maps and, after them, those of the data sets that went into them."""
    own = [
        pystac.Provider(provider.name, roles=[pystac.ProviderRole(role) for role in provider.roles], url=provider.url)
        for provider in config.output.providers
    ]
    given: dict[str, list[str]] = {}
    for about in data_sets(sources):
        for name, roles in about.get("providers", ()):
            if name and (set(roles) - {"host"} or not roles):
                given.setdefault(name, []).append(about["title"])
    return own + [
        pystac.Provider(name, description=f"of {listed(titles)}", roles=[pystac.ProviderRole.PRODUCER])
        for name, titles in given.items()
        if name not in {provider.name for provider in own}
    ]


def licence_text(licence: str) -> str | None:
    """Return the address of a licence's text, if it has an SPDX identifier."""
    return None if licence.lower() in NOT_STATED else f"https://spdx.org/licenses/{licence}.html"


def _links(config: RunFile, sources: Mapping[str, Any]) -> list[pystac.Link]:
    """Return links to the text of the licence, and to every data set with its own."""
    links: list[pystac.Link] = []
    if address := licence_text(config.output.licence or ""):
        links.append(pystac.Link("license", address, "text/html", f"Licence of the maps: {config.output.licence}"))
    for about in data_sets(sources):
        home = f"https://doi.org/{about['doi']}" if about["doi"] else about["address"]
        if home:
            links.append(pystac.Link("derived_from", home, "text/html", about["title"]))
        if text := licence_text(about["licence"]) or home:
            stated = about["licence"] if about["licence"] not in NOT_STATED else "not stated here, see the provider"
            links.append(pystac.Link("license", text, "text/html", f"Licence of {about['title']}: {stated}"))
    return links


def _keywords(target: Target) -> list[str]:
    return ["soil organic carbon", "permafrost"] if target.is_carbon else [target.long]


def _assets(directory: OutPath, target: Target) -> dict[str, pystac.Asset]:
    store, csv = "application/vnd+zarr", "text/csv"
    listed_files: Sequence[tuple[str, str, str, str, str]] = (
        ("maps", "maps.zarr", "Maps of all depths", store, "data"),
        ("cube", "cube.zarr", "Covariates", store, "data"),
        ("stocks", "stocks.csv", f"{'Stocks' if target.has_stocks else 'Means'} by zone and depth", csv, "data"),
        ("summary", "summary.json", "Headline and verdict", "application/json", "metadata"),
        ("sites", "sites.gpkg", "Sites, observed and predicted", "application/geopackage+sqlite3", "data"),
        ("report", "report.html", "Report", "text/html", "overview"),
        ("provenance", "provenance.json", "Versions, sources, timings", "application/json", "metadata"),
    )
    return {
        key: pystac.Asset(file, title, media_type=kind, roles=[role])
        for key, file, title, kind, role in listed_files
        if key not in ("sites", "summary") or (directory / file).exists()
    }
