"""The page: what its templates are given, and how it reaches the disk."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from engine.formatting import counted, duration
from engine.mapping.blockwise import DENSITY
from engine.storage.atomic import staged
from engine.storage.paths import OutPath
from engine.uncertainty.core_intervals import fewest_sites
from engine.validation.error_profile import WINDOW
from pipelines.soil_carbon import formatting as wording
from pipelines.soil_carbon.figures import draw_figures
from pipelines.soil_carbon.figures.canvas import DPI
from pipelines.soil_carbon.figures.drivers import LEADING
from pipelines.soil_carbon.figures.sites import recorded_zones
from pipelines.soil_carbon.profiles.pedotransfer import FUNCTIONS
from pipelines.soil_carbon.profiles.source_kinds import kind_of
from pipelines.soil_carbon.report import inputs, tables
from pipelines.soil_carbon.report.calibration import calibration
from pipelines.soil_carbon.report.downloads import csv_links
from pipelines.soil_carbon.report.independent import independent
from pipelines.soil_carbon.results.overviews import share_of_cells
from pipelines.soil_carbon.results.published_stocks import compare_regions
from pipelines.soil_carbon.results.read_results import Results, read_results
from pipelines.soil_carbon.results.truth import Agreement, compare_with_truth
from pipelines.soil_carbon.verdict.evidence import gather
from pipelines.soil_carbon.verdict.rules import judge, standing_scheme
from pipelines.soil_carbon.verdict.summary import sites_means, write_summary

NO_BREAK = "\N{NO-BREAK SPACE}"

REDUCTION = 2
"""The page shows every second pixel of the printed figure."""
CSS_PIXELS_PER_INCH = 130
"""How large a figure is shown where the page is wide enough."""

LINKS = {
    "summary.json": "the headline and its verdict, for machines",
    "maps.zarr": "all maps",
    "cog": "the maps as GeoTIFFs",
    "stac/collection.json": "STAC collection of the maps",
    "figures": "all figures, as PNG of 300 dpi and as PDF",
    "stocks.csv": "stocks by zone and depth",
    "stocks_applicable.csv": "stocks inside the area of applicability",
    "replicate_totals.csv": "stocks of every replicate",
    "stock_uncertainty.csv": "what the uncertainty of the stocks is made of",
    "zone_differences.csv": "tests between zones",
    "representativeness.csv": "whether the sites’ ground is richer than the region’s",
    "selection.csv": "screening of the covariates",
    "tuning.csv": "every combination of hyperparameters that was tried",
    "validation.csv": "cross-validation scores, every repeat",
    "skill.csv": "skill over the sites’ mean at every depth",
    "validation_zones.csv": "cross-validation scores by zone",
    "validation_predictions.parquet": "held-out predictions of every site",
    "coverage.csv": "coverage of the prediction intervals",
    "calibration.csv": "calibration of the prediction intervals by zone and fifth, with proper scores",
    "pit.csv": "probability integral transform of every held-out observation",
    "independent.csv": "scores at independent sites",
    "independent_sites.parquet": "observed and predicted at every independent site",
    "importance.csv": "importance of covariates and groups",
    "partial_dependence.csv": "partial dependence",
    "depth_regression.csv": "depth regressions",
    "dropped_rows.csv": "rows of the profile table that are not used",
    "sites.gpkg": "the sites with observed and predicted densities, for GIS",
    "profiles.parquet": "densities of the profiles with every fill and exclusion",
    "ensemble/manifest.json": "the trained ensemble",
    "applicability.npz": "what the area of applicability is judged by",
    "cube.zarr": "covariates on the grid",
    "run.yaml": "the run file",
    "provenance.json": "versions, sources, timings",
}
"""File or folder of a run → what it holds."""


@dataclass
class Numbers:
    """Numbers of the figures and tables beyond the study's, in the order of the page."""

    last: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> str:
        """Return the next label of a kind: `S1`, `S2`, …."""
        self.last[kind] = self.last.get(kind, 0) + 1
        return f"S{self.last[kind]}"


def write_report(directory: OutPath) -> OutPath:
    """Judge a run (`summary.json`), draw its figures and write its page, `report.html`.

    Parameters
    ----------
    directory : OutPath
        The run's folder.

    Returns
    -------
    OutPath
        The page: it needs no other file, but links to those beside it.

    Raises
    ------
    InputError
        Names every artefact that is missing, or of an earlier version, and the stage that makes it.
    """
    results = read_results(directory)
    write_summary(results)
    agreements = compare_with_truth(results) if results.truth is not None else []
    figures = {name: _embedded(path) for name, path in draw_figures(results, agreements).items()}
    path = directory / "report.html"
    with staged(path) as stage:
        stage.write_text(render(results, agreements, figures), encoding="utf-8")
    return path


def render(results: Results, agreements: Sequence[Agreement], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the page.

    Parameters
    ----------
    agreements : sequence of Agreement
        With the truth, if there is one.
    figures : mapping
        Name → `uri` (its content)`, width` (CSS pixels)`, png, pdf` (the files beside the page).
    """
    content = _content(results, agreements) | {
        "verdict": judge(gather(results), results.target.has_stocks),
        "sites_means": sites_means(results),
        "figures": figures,
    }
    return _environment().get_template("page.html.j2").render(content)


def _content(results: Results, agreements: Sequence[Agreement]) -> dict[str, Any]:
    """Return the content that the templates show."""
    provenance, (unit, factor) = results.provenance, results.stock_unit
    regions = compare_regions(results.totals, results.title, results.target)
    sources, contributions = tables.sources_of_uncertainty(results)
    stages = provenance.get("stages", {})
    zone_tests = tables.zone_tests(results)
    return {
        "results": results,
        "run": results.run,
        "model": results.run.model,
        "provenance": provenance,
        "manifest": results.manifest,
        "numbers": Numbers(),
        "agreements": {agreement.depth: agreement for agreement in agreements},
        "unit": unit.replace(" ", NO_BREAK),
        "factor": factor,
        "target": results.target,
        "units": results.target.printed_units,
        "depths": results.run.depth_labels,
        "totals": results.totals.to_dict("index"),
        "totals_applicable": tables.totals(results.stocks_applicable).to_dict("index"),
        "stocks": tables.stocks_by_zone(results),
        "sources": sources,
        "contributions": contributions,
        "covariates": inputs.covariates(results),
        "selection": tables.records(results.selection),
        "sites": results.sites,
        "by_record": recorded_zones(results.sites, results.zones[1]) is not None,
        "left_out": inputs.left_out(results.sites),
        "permafrost": inputs.permafrost(results.run),
        "several_kinds": len({kind_of(source) for source in results.sites["source"]}) > 1,
        "observed": inputs.observations(results),
        "changes": inputs.CHANGES if results.target.is_carbon else inputs.CHANGES[-1:],
        "harmonisation": inputs.harmonisation(results.profiles),
        "excluded": inputs.exclusions(results.profiles),
        "schemes": tables.family_scores(results),
        "hyperparameters": tables.hyperparameters(results),
        "zone_scores": tables.zone_scores(results),
        "regressions": tables.records(results.depth_regression),
        "zone_tests": zone_tests,
        "coverage": tables.coverage(results),
        "calibration": calibration(results),
        "standing": standing_scheme(results.run.model.validation.schemes),
        "independent": independent(results),
        "importance": tables.importance(results),
        "window": WINDOW,
        "fewest": fewest_sites(results.run.model.interval),
        "certified": share_of_cells(results.maps[DENSITY], fewest_sites(results.run.model.interval)),
        "chance_of_fall": results.applicability.profile.p_value,
        "leading": results.importance.query("kind == 'covariate'")["label"][:LEADING].tolist(),
        "regions": tables.regions(regions),
        "failed": list(dict(stages.get("train", {}).get("failed", {})).values()),
        "notes": {stage: facts.get("notes", []) for stage, facts in stages.items()},
        # This page is part of the stage that the record does not have yet, or has from another time.
        "stages": {name: facts for name, facts in stages.items() if name != "report"},
        "links": {name: _said_of(what, results) for name, what in LINKS.items() if _is_there(name, results)},
        "downloads": csv_links(results, agreements, regions),
    }


def _is_there(name: str, results: Results) -> bool:
    """Return whether the run has an optional result."""
    if name.startswith("independent"):
        return results.independent is not None
    return name not in ("coverage.csv", "calibration.csv", "pit.csv") or results.coverage is not None


def _said_of(what: str, results: Results) -> str:
    """Describe a result in the words of the mapped target."""
    return what if results.target.has_stocks else what.replace("stocks", "means").replace("densities", "values")


def _breakable(path: str) -> Markup:
    """Return a path that may be broken after its slashes."""
    return Markup("/<wbr>").join(path.split("/"))


def _embedded(path: OutPath) -> dict[str, Any]:
    """Return a figure as a lighter data URI, and its width in CSS pixels that shows its inches alike in all figures."""
    with path.open("rb") as file, Image.open(file) as image:
        light = image.convert("RGB").reduce(REDUCTION)
        inches = image.width / DPI
    buffer = BytesIO()
    light.save(buffer, format="PNG", compress_level=4)
    return {
        "uri": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"),
        "width": round(inches * CSS_PIXELS_PER_INCH),
        "png": f"figures/{path.name}",
        "pdf": f"figures/{path.stem}.pdf",
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sentence": wording.sentence,
        "pedotransfer": lambda name: str(FUNCTIONS[name]),
        "number": wording.number, "fixed": wording.fixed, "span": wording.span, "plus_minus": wording.plus_minus,
        "depth": wording.depth_text, "duration": duration, "size": wording.size, "p_value": wording.p_value,
        "p_text": wording.p_text, "counted": counted, "listed": wording.listed, "plain": "{:g}".format,
        "named": wording.named, "typeset": wording.typeset, "breakable": _breakable, "grouped": tables.grouped,
    }  # fmt: skip
    return environment
