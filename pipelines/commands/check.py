"""`gelisol check`: what a run would read, lay out and need, as tables."""

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from engine.errors import Finding, InputError
from engine.execution.ledger import Ledger
from engine.execution.versions import versions
from engine.forest import INSTRUCTION_SETS
from engine.formatting import counted
from engine.grid.crs_name import crs_label, crs_text
from engine.grid.grid import Grid, crs_of
from engine.mapping.blockwise import OF_CELL, STATISTICS
from engine.sources.base import Source, SourceSummary
from engine.sources.resampling import plain
from engine.sources.spec import StoredSpec
from engine.storage.paths import OutPath
from pipelines.preflight.absent_classes import pixel_against_cell
from pipelines.preflight.download_size import projected_download
from pipelines.preflight.inspection import Inspection
from pipelines.preflight.memory import project
from pipelines.preflight.prepare import Survey
from pipelines.run.stage_keys import stage_states, states_as_left
from pipelines.run.stage_versions import version_notes
from pipelines.soil_carbon.prepared import Prepared

SLOW = "not built: the plain path serves, some 50 times slower; install a C++ compiler, then gelisol again"
_CODES = 8
"""So many unlisted codes are named; the others are counted."""


def show(survey: Survey, inspection: Inspection, console: Console) -> None:
    """Print sources, what was seen of their values, profiles, grid, plan, and projected memory, disk and download.

    Of a run that has problems, what can be told of the rest.
    """
    if survey.sources:
        console.print(source_table(survey))
    if survey.sources and survey.grid is not None:
        console.print(_values(survey.sources, survey.grid, inspection))
    for finding in all_notes(survey, inspection):
        console.print(str(finding), highlight=False, markup=False, soft_wrap=True)
    if survey.grid is not None:
        console.print(_grid(survey, survey.grid))
    if survey.directory is not None:
        console.print(_plan(survey, survey.directory))
        for note in _versions(survey.directory):
            console.print(str(Finding.warning(note)), highlight=False, markup=False, soft_wrap=True)


def source_table(survey: Survey) -> Table:
    """Tabulate files, size, CRS, pixel, period, resampling and coverage of every source."""
    table = Table(title="Sources", title_justify="left")
    for name in ("covariate", "files", "size", "CRS", "pixel", "period", "resampling", "domain", "sites"):
        table.add_column(name, justify="right" if name in ("files", "domain", "sites") else "left")
    for name, source in survey.sources.items():
        summary, cover = source.summary(), survey.coverage.get(name)
        rows, cols = summary.size or (0, 0)
        files = (
            f"{len(summary.files)}, {_size(summary.bytes)}" if summary.bytes is not None else f"{len(summary.files)}"
        )
        table.add_row(
            name,
            files + (" remote" if summary.is_remote else ""),
            f"{rows} × {cols}" if summary.size else "several grids" if summary.resolution else "polygons",
            crs_label(summary.crs),
            _pixel(source, summary, survey.grid),
            f"{summary.period} ({summary.steps})" if summary.period else "–",
            _resampling(source, survey.grid),
            _share(cover.domain) if cover else "–",
            _share(cover.sites) if cover else "–",
        )
    return table


def _of_land(share: float) -> str:
    """Format a share of land so that not quite all is not 100%, and a little is not 0%."""
    return f"{share:.1%}" if 0 < share < 0.01 or 0.99 <= share < 1 else f"{share:.0%}"


def _share(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def _resampling(source: Source, grid: Grid | None) -> str:
    if grid is None:
        return (isinstance(source.spec, StoredSpec) and source.spec.resampling) or "–"
    return " | ".join(dict.fromkeys(plain(source.choose_resampling(grid.geobox))))


def _pixel(source: Source, summary: SourceSummary, grid: Grid | None) -> str:
    """Return the side of a pixel, and how many cells of the grid that is."""
    if not summary.resolution:
        return "–"
    cells = pixel_against_cell(source, grid) if grid is not None else None
    if not cells:
        return f"{summary.resolution:.6g}"
    count = f"{cells:.2g}"
    return f"{summary.resolution:.6g} = {count} {'cell' if count == '1' else 'cells'}"


def _values(sources: Mapping[str, Source], grid: Grid, inspection: Inspection) -> Table:
    table = Table(title="Values where the map will be", title_justify="left")
    for name in ("covariate", "units", "lowest", "median", "highest", "known", "looked at", "download"):
        table.add_column(name, justify="left" if name in ("covariate", "units", "looked at") else "right")
    for name, source in sources.items():
        spread = inspection.spread.get(name)
        download = projected_download(source, grid)
        table.add_row(
            name,
            "classes" if source.spec.is_categorical else source.spec.units,
            *((f"{v:.4g}" for v in spread) if spread else ("–", "–", "–")),
            _of_land(inspection.known[name]) if name in inspection.known else "–",
            inspection.extent.get(name, "–"),
            "–" if download is None else f"about {_size(download)}",
        )
    return table


def all_notes(survey: Survey, inspection: Inspection) -> list[Finding]:
    """Return doubtful signs in the input that are not errors; the key is the source or section concerned."""
    odd = [(name, note) for name, source in survey.sources.items() for note in source.summary().notes]
    for found in (inspection.gaps, inspection.overlaps, inspection.doubts):
        odd += found.items()
    for name, codes in inspection.unlisted.items():
        if codes:
            more = f" and {len(codes) - _CODES} more" if len(codes) > _CODES else ""
            odd.append((name, f"codes that no class lists, so missing: {', '.join(codes[:_CODES])}{more}"))
    for name, unseen in inspection.unseen.items():
        listed = survey.sources[name].spec.classes or {}
        for label in unseen.classes:
            missing = ", ".join(map(str, listed[label]))
            where = "occurs in the domain" if unseen.everywhere else "was met where it was looked at, in small patches"
            odd.append((name, f"class {label}: none of its codes ({missing}) {where}"))
    of_sources = [Finding.note(text).of(name) for name, text in odd]
    of_sites = [
        note.of(key)
        for key, profiles in (("profiles", survey.profiles), ("independent", survey.independent))
        for note in (profiles.notes if profiles else ())
    ]
    return [*survey.notes, *of_sources, *of_sites]


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _grid(survey: Survey, grid: Grid) -> Table:
    height, width = grid.shape
    table = Table(title="Grid", title_justify="left", show_header=False)
    table.add_row(
        "CRS",
        crs_text(crs_of(grid.geobox)) + ("" if grid.is_equal_area else " (not equal-area: true cell areas count)"),
    )
    table.add_row("cells", f"{height} × {width} of {grid.geobox.resolution.x:g} m in {counted(grid.n_blocks, 'block')}")
    table.add_row("kernel", f"compiled ({INSTRUCTION_SETS[0]})" if INSTRUCTION_SETS else SLOW)
    if not survey.problems.found:
        prepared = survey.prepared()
        threads = prepared.config.cluster.threads
        memory, disk = project(prepared).worker(threads), _disk(prepared)
        table.add_row("memory", f"about {memory / 1e9:.2g} GB for each worker of {counted(threads, 'thread')}")
        table.add_row("disk", f"at most {disk / 1e9:.2g} GB in {prepared.directory}")
    return table


def _disk(prepared: Prepared) -> float:
    """Return the bytes of disk before compression."""
    config, grid = prepared.config, prepared.grid
    statistics = len(STATISTICS) + len(config.model.statistics) + len(config.model.asked.names)
    statistics += len(OF_CELL) if config.model.residual_error else 0
    on_grid = grid.shape[0] * grid.shape[1] * 4
    return on_grid * (len(config.covariates) + 2 * len(config.depths) * statistics)


def _plan(survey: Survey, directory: OutPath) -> Table:
    table = Table("stage", "state", title="Plan", title_justify="left")
    states = states_as_left(directory) if survey.problems.found else stage_states(survey.prepared())
    for stage, state in states.items():
        table.add_row(stage, state)
    return table


def _versions(directory: OutPath) -> list[str]:
    """Note stages done with other versions than the installed ones; a damaged ledger is reported by the plan."""
    try:
        return version_notes(Ledger(directory), versions())
    except InputError:
        return []
