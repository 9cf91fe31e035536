"""The figures of a run, drawn from what lies in its folder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

import numpy as np
import pyproj
from matplotlib.figure import Figure

from engine.mapping.blockwise import DENSITY, DISSIMILARITY, EXPECTED_ERROR
from engine.storage.paths import OutPath, children
from pipelines.soil_carbon.figures.backdrop import Backdrop
from pipelines.soil_carbon.figures.calibration import calibration_size, draw_calibration, draw_groups, groups_size
from pipelines.soil_carbon.figures.canvas import WIDTH, canvas
from pipelines.soil_carbon.figures.density import ZoneBars, densities_size, draw_densities
from pipelines.soil_carbon.figures.drivers import (
    LEADING,
    Drivers,
    draw_drivers,
    draw_other_dependences,
    drivers_size,
    others_size,
)
from pipelines.soil_carbon.figures.fit import HeldOut, draw_fit, fit_size
from pipelines.soil_carbon.figures.independent import draw_independent, independent_size
from pipelines.soil_carbon.figures.permafrost import permafrost_limits
from pipelines.soil_carbon.figures.regions import draw_regions, regions_size
from pipelines.soil_carbon.figures.scores import draw_scores, scores_size
from pipelines.soil_carbon.figures.screening import draw_screening, screening_size
from pipelines.soil_carbon.figures.sites import draw_sites, recorded_zones, sites_size
from pipelines.soil_carbon.figures.truth import draw_truth_maps, draw_truth_scatter, truth_size
from pipelines.soil_carbon.figures.uncertainty import (
    OfSites,
    applicability_size,
    draw_applicability,
    draw_coverage,
    draw_uncertainty,
    scheme_colours,
    uncertainty_size,
)
from pipelines.soil_carbon.figures.zone_colours import zone_colours
from pipelines.soil_carbon.results.overviews import Picture, class_picture, picture
from pipelines.soil_carbon.results.published_stocks import compare_regions
from pipelines.soil_carbon.results.read_results import Results
from pipelines.soil_carbon.results.truth import Agreement
from pipelines.soil_carbon.results.zone_tests import THINNED, letters
from pipelines.soil_carbon.verdict.rules import standing_scheme


def draw_figures(results: Results, agreements: Sequence[Agreement]) -> dict[str, OutPath]:
    """Draw every figure of a run into its `figures/`, and remove those of an earlier run that it no longer has.

    Parameters
    ----------
    results : Results
        The run.
    agreements : sequence of Agreement
        With the truth, one per depth; empty where there is none.

    Returns
    -------
    dict of str to OutPath
        Name → PNG file (300 dpi), with a PDF of the same name beside it: the study's `figure1_sites, figure2_fit,
        figure3_density, figure4_uncertainty, figure5_drivers` and, with a depth that others have published,
        `figure6_regions`; `screening, scores, applicability`; `partial_dependence` with more than two covariates,
        `coverage, calibration, calibration_groups` where they were measured, `independent` with sites of that kind,
        `truth_maps` and `truth_scatter` with a truth.
    """
    figures = _Figures(results)
    figures.draw_study()
    figures.draw_beyond()
    if agreements:
        figures.draw_truth(agreements)
    keep = {f"{path.stem}{suffix}" for path in figures.files.values() for suffix in (".png", ".pdf")}
    for path in children(results.directory / "figures"):
        if path.suffix in (".png", ".pdf") and path.name not in keep:
            path.unlink()
    return figures.files


class _Figures:
    """Context of a run's figures, and the files drawn so far."""

    def __init__(self, results: Results):
        self.results = results
        self.labels = results.run.depth_labels
        self.units = results.target.printed_units
        self.of = "carbon density" if results.target.is_carbon else results.target.long
        self.backdrop = _backdrop(results)
        self.zone_colours = zone_colours(results.zones[1])
        self.scheme_colours = scheme_colours(list(results.run.model.validation.schemes))
        self.files: dict[str, OutPath] = {}

    def draw_study(self) -> None:
        """Draw the study's six figures."""
        self._sites()
        self._fit()
        self._densities()
        self._uncertainty()
        self._drivers()
        regions = compare_regions(self.results.totals, self.results.title, self.results.target)
        if len(regions):
            with self._canvas("figure6_regions", regions_size(len(regions))) as figure:
                draw_regions(figure, regions)

    def draw_beyond(self) -> None:
        """Draw the figures beyond the study's."""
        results, model = self.results, self.results.run.model
        with self._canvas("screening", screening_size(results.selection)) as figure:
            limits = {"alpha": results.run.selection.alpha, "vif_max": results.run.selection.vif}
            draw_screening(figure, results.selection, results.run.covariates, self.labels[0], **limits, of=self.of)
        families = list(dict.fromkeys(results.validation["family"]))
        with self._canvas("scores", scores_size(len(families), len(self.scheme_colours))) as figure:
            draw_scores(figure, results.validation, families, self.scheme_colours, results.mapped, self.units)
        if results.coverage is not None:
            size = (2.35 * max(min(len(self.labels), 3), 1.4), 2.6 * -(-len(self.labels) // 3))
            with self._canvas("coverage", size) as figure:
                draw_coverage(figure, results.coverage, model.validation.coverage, self.scheme_colours)
        if results.calibration is not None and results.pit is not None:
            scheme = standing_scheme(model.validation.schemes)
            table = results.calibration[results.calibration["scheme"] == scheme]
            with self._canvas("calibration", calibration_size(len(self.labels))) as figure:
                draw_calibration(figure, table, results.pit[results.pit["scheme"] == scheme])
            with self._canvas("calibration_groups", groups_size(table, len(self.labels))) as figure:
                draw_groups(figure, table)
        if results.independent is not None and results.independent_sites is not None:
            scores = {row["depth"]: row for row in results.independent.to_dict("records") if row["n"] > 0}
            if scores:
                with self._canvas("independent", independent_size(len(scores))) as figure:
                    draw_independent(figure, results.independent_sites, scores, self.units)
        threshold = results.threshold
        distance, density, error = (picture(results.maps[name]) for name in (DISSIMILARITY, DENSITY, EXPECTED_ERROR))
        outside = picture(
            results.maps[DISSIMILARITY], of=lambda v: np.where(np.isnan(v), np.nan, (v > threshold).astype("float32"))
        )
        of = OfSites(distance, density, error, outside.values >= 0.5, threshold, self.labels[0], self.units)
        with self._canvas("applicability", applicability_size(self.backdrop, WIDTH)) as figure:
            draw_applicability(figure, self.backdrop, of)

    def draw_truth(self, agreements: Sequence[Agreement]) -> None:
        """Draw truth, estimate and their difference, as maps and as a scatter."""
        # The truth is known beyond the mapped cells; compare like with like.
        truths = {
            depth: picture(self.results.true_layer(depth)).where(np.isfinite(mean.values))
            for depth, mean in self.means.items()
        }
        with self._canvas("truth_maps", truth_size(self.backdrop, WIDTH, len(truths))) as figure:
            draw_truth_maps(figure, self.backdrop, self.means, truths)
        with self._canvas("truth_scatter", (2.35 * min(len(truths), 3), 2.6 * -(-len(truths) // 3))) as figure:
            draw_truth_scatter(figure, self.means, truths, agreements)

    @cached_property
    def means(self) -> dict[str, Picture]:
        """Depth → mean of the replicates, kg C/m²."""
        return {depth: picture(self.results.layer("mean", depth)) for depth in self.labels}

    def _sites(self) -> None:
        results = self.results
        variable, _ = results.zones
        domain = self.backdrop.domain
        codes = class_picture(results.cube[variable]) if variable else domain.where(np.zeros_like(domain.values, bool))
        recorded = recorded_zones(results.sites, self.zone_colours)
        sites = results.sites.assign(kind=results.sites["zone"] if recorded is None else recorded)
        to_plane = pyproj.Transformer.from_crs("EPSG:4326", self.backdrop.crs.proj, always_xy=True)
        places = np.column_stack(to_plane.transform(sites["lon"], sites["lat"]))
        with self._canvas("figure1_sites", sites_size(self.backdrop, WIDTH)) as figure:
            limits = permafrost_limits(results, self.backdrop)
            draw_sites(figure, self.backdrop, codes, sites, places, self.zone_colours, limits)

    def _fit(self) -> None:
        results = self.results
        schemes = [name for name in self.scheme_colours if (results.validation["scheme"] == name).any()]
        held_out, *others = (self._held_out(scheme, named=len(schemes) > 1) for scheme in schemes)
        sites = results.profiles.pivot(index="site", columns="depth", values="socd")
        with self._canvas("figure2_fit", fit_size(len(self.labels), len(schemes))) as figure:
            draw_fit(
                figure, held_out.predictions, held_out.scores, sites, results.depth_regression, results.coefficients,
                self.labels, self.zone_colours, held_out.folds, others, self.units,
            )  # fmt: skip

    def _held_out(self, scheme: str, named: bool) -> HeldOut:
        """Return predictions and scores of the mapped family under one scheme."""
        results = self.results
        predictions = results.predictions.query("family == @results.mapped and scheme == @scheme")
        repeats = results.validation.query("family == @results.mapped and scheme == @scheme")
        scores = {score: float(repeats[score].mean()) for score in ("r2_explained", "r2", "rmse", "mae")}
        zones = results.training[["site", "zone"]]
        return HeldOut(predictions.merge(zones, on="site"), scores, scheme if named else "")

    def _densities(self) -> None:
        results = self.results
        shown = {depth: letters(results.zone_differences, depth, THINNED) for depth in self.labels}
        target = results.target
        label = f"{target.short}, {self.units}"
        bars = ZoneBars(
            results.stocks, shown, self.zone_colours, *results.stock_unit, label=label, has_stocks=target.has_stocks
        )
        size = densities_size(self.backdrop, len(self.labels), bars)
        with self._canvas("figure3_density", size) as figure:
            draw_densities(figure, self.backdrop, self.means, bars)

    def _uncertainty(self) -> None:
        results = self.results
        relative, widths = {}, {}
        for depth in self.labels:
            relative[depth] = picture(results.layer("uncertainty", depth), of=lambda values: 100 * values)
            lower, upper = (picture(results.layer(bound, depth)) for bound in ("pi_lower", "pi_upper"))
            widths[depth] = Picture(upper.values - lower.values, upper.extent)
        level = f"{100 * results.run.model.interval:g} %"
        with self._canvas("figure4_uncertainty", uncertainty_size(self.backdrop, len(self.labels))) as figure:
            draw_uncertainty(figure, self.backdrop, relative, widths, level, self.units)

    def _drivers(self) -> None:
        results = self.results
        drivers = Drivers(
            results.importance, results.partial_dependence, results.training, results.run.covariates, self.labels[0],
            results.target.short, self.units,
        )  # fmt: skip
        with self._canvas("figure5_drivers", drivers_size(drivers)) as figure:
            draw_drivers(figure, drivers)
        if len(drivers.covariates) > LEADING:
            with self._canvas("partial_dependence", others_size(drivers)) as figure:
                draw_other_dependences(figure, drivers)

    def _canvas(self, name: str, size: tuple[float, float]) -> AbstractContextManager[Figure]:
        self.files[name] = self.results.directory / "figures" / f"{name}.png"
        return canvas(self.files[name], size, self.results.run.synthetic)


def _backdrop(results: Results) -> Backdrop:
    crs = results.geobox.crs
    if crs is None:
        raise ValueError(f"{results.directory}/maps.zarr: the maps have no CRS")
    box = results.geobox.boundingbox
    margin = 0.02 * max(box.span_x, box.span_y)
    return Backdrop(
        crs=crs,
        domain=picture(results.cube["domain"]),
        frame=(box.left - margin, box.right + margin, box.bottom - margin, box.top + margin),
    )
