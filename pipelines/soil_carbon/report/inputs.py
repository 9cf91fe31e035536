"""Tables of what goes into a run: covariates, profiles, and what was left out of them."""

from pathlib import Path

import pandas as pd

from engine.remote.files import is_remote, local_path
from engine.sources.kinds import FileSpec, LayersSpec
from engine.sources.spec import SourceSpec
from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.figures.permafrost import BOUNDARY, permafrost_of
from pipelines.soil_carbon.formatting import listed, number, unit
from pipelines.soil_carbon.model.training_table import LEFT_OUT
from pipelines.soil_carbon.profiles.read_profiles import RULES
from pipelines.soil_carbon.report.tables import Row, records
from pipelines.soil_carbon.results.catalogue import covariate_years, licence_text
from pipelines.soil_carbon.results.read_results import Results

CHANGES = ("bulk_density_filled", "coarse_fragments_filled", "soc_from_som", "layers_split")
"""Columns that count the layers of a profile that were filled, converted or split."""

KM_PER_DEGREE = 111.2
"""Along a meridian."""


def covariates(results: Results) -> list[Row]:
    """Return Table 1: every covariate, grouped.

    Returns
    -------
    list of dict
        `group, name, label, native` (its grid)`, period, units` (or classes)`, kept` (by the screening)`, data_sets`
        (what is known of each: see `data_sets`)`, read` (where the values come from)`, files, bytes, fingerprint`.
    """
    run, sources = results.run, results.provenance.get("sources", {})
    kept = results.selection.set_index("covariate")["kept"]
    groups = list(dict.fromkeys(spec.group for spec in run.covariates.values()))
    rows = []
    for name, spec in sorted(run.covariates.items(), key=lambda item: groups.index(item[1].group)):
        source = sources.get(name, {})
        rows.append(
            {
                "group": spec.group,
                "name": name,
                "label": spec.label or name,
                "native": native_grid(source),
                "period": period(spec, source),
                "units": ", ".join(spec.class_names) if spec.is_categorical else unit(spec.units) or "–",
                "kept": bool(kept[name]),
                "data_sets": data_sets(source),
                "read": read_from(spec),
                "files": source.get("files"),
                "bytes": source.get("bytes"),
                "fingerprint": source.get("fingerprint", ""),
            }
        )
    return rows


def native_grid(source: Row) -> str:
    """Describe the native grid of a source: its pixels' side, for one in degrees also in kilometres."""
    if "resolution" not in source:
        return "–"
    side = source["resolution"]
    if side is None:
        return "polygons"
    if str(source.get("crs_unit", "")).startswith("deg"):
        return f"{number(float(side), 2)}° (≈ {number(side * KM_PER_DEGREE, 2)} km)"
    return f"{side / 1000:.3g} km" if side >= 1000 else f"{side:.3g} m"


def period(spec: SourceSpec, source: Row) -> str:
    """Return the years of a covariate: those that the run file asks for, else those of its files or description."""
    if not spec.years and source.get("period"):
        return str(source["period"])
    years = covariate_years(spec, source)
    return "not stated" if years is None else str(years[0]) if years[0] == years[1] else f"{years[0]}–{years[1]}"


def data_sets(source: Row) -> list[Row]:
    """Describe a covariate's data sets: `title, version, doi, licence, provider`, each in words."""
    return [
        {
            "title": about["title"],
            "version": about.get("version", ""),
            "doi": about["doi"],
            "address": about["address"],
            "licence": about["licence"] if licence_text(about["licence"]) else about.get("terms") or "not stated here",
            "provider": about["provider"],
        }
        for about in source.get("about", [])
    ]


def read_from(spec: SourceSpec) -> str:
    """Return where a covariate's values are read: addresses in full, files on disk by name."""
    places = spec.hrefs
    if isinstance(spec, LayersSpec) and not spec.stac:
        places = spec.hrefs or tuple(map(str, spec.layers.values()))
    elif not isinstance(spec, FileSpec):
        return spec.place
    return listed(place if is_remote(place) else Path(local_path(place)).name for place in places)


def permafrost(run: RunFile) -> str:
    """Describe the source of Figure 1's permafrost; empty if it shows none."""
    name = permafrost_of(run)
    if name is None or name == BOUNDARY:
        return "the outline of the domain" if name else ""
    return run.covariates[name].label or name


def observations(results: Results) -> list[Row]:
    """Return per depth how many profiles are used, their densities, and their fills.

    Returns
    -------
    list of dict
        `depth, profiles, used, mean, sd, min, max` (kg C/m²) and per change the layers and profiles
        concerned.
    """
    rows = []
    for depth in results.run.depth_labels:
        profiles = results.profiles[results.profiles["depth"] == depth]
        used = profiles[profiles["socd"].notna()]
        density = used["socd"].agg(["mean", "std", "min", "max"])
        rows.append(
            {"depth": depth, "profiles": len(profiles), "used": len(used)}
            | dict(zip(("mean", "sd", "min", "max"), density, strict=True))
            | {flag: (int(used[flag].sum()), int((used[flag] > 0).sum())) for flag in CHANGES}
        )
    return rows


def harmonisation(profiles: pd.DataFrame) -> list[Row]:
    """Count profiles by the rule that gives their density: `depth, exact, spline, split, given, excluded`."""
    rules = profiles.assign(rule=profiles["rule"].replace("", "excluded"))
    counts = rules.groupby(["depth", "rule"], sort=False).size().unstack(fill_value=0)
    return records(counts.reindex(columns=[*RULES, "given", "excluded"], fill_value=0).reset_index())


def left_out(sites: pd.DataFrame) -> list[Row]:
    """Count why sites do not train the model: `reason, sites`, the most frequent first."""
    reasons = sites.loc[sites[LEFT_OUT] != "", LEFT_OUT].value_counts()
    return [{"reason": str(reason), "sites": int(count)} for reason, count in reasons.items()]


def exclusions(profiles: pd.DataFrame) -> list[Row]:
    """Count why profiles are left out: the first reason of each without its numbers, so that like reasons add up.

    Returns
    -------
    list of dict
        `depth, reason, profiles`, the most frequent first at each depth.
    """
    out = profiles[profiles["excluded"] != ""]
    first = out["excluded"].str.split("; ").str[0]
    reasons = first.str.replace(r"\d[\d.]*(?:[–-]\d[\d.]*)?", "…", regex=True).rename("reason")
    counts = reasons.groupby([out["depth"], reasons], sort=False).size().rename("profiles").reset_index()
    order = {depth: i for i, depth in enumerate(profiles["depth"].unique())}
    counts = counts.assign(order=counts["depth"].map(order)).sort_values(["order", "profiles"], ascending=[True, False])
    return records(counts[["depth", "reason", "profiles"]])
