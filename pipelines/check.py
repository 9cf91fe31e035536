"""`gelisol check`: what a run would read, lay out and need, as tables."""

from rich.console import Console
from rich.table import Table

from engine.blockwise import STATISTICS
from engine.forest import INSTRUCTION_SETS
from pipelines.inspection import Inspection, pixel_against_cell, projected_download
from pipelines.keys import stage_states
from pipelines.memory import project
from pipelines.prepare import Prepared

SLOW = "not built: the plain path serves, some 50 times slower; install a C++ compiler, then gelisol again"
_CODES = 8
"""So many unlisted codes are named; the others are counted."""


def show(prepared: Prepared, inspection: Inspection, console: Console) -> None:
    """Print sources, what was seen of their values, profiles, grid, plan, and projected memory, disk and download."""
    console.print(_sources(prepared))
    console.print(_values(prepared, inspection))
    for name, note in _notes(prepared, inspection):
        console.print(f"{name}: {note}", highlight=False, markup=False, soft_wrap=True)
    for note in prepared.profiles.notes:
        console.print(f"profiles: {note}", highlight=False, markup=False)
    console.print(_grid(prepared))
    console.print(_plan(prepared))


def _sources(prepared: Prepared) -> Table:
    table = Table(title="Sources", title_justify="left")
    for name in ("covariate", "files", "size", "CRS", "pixel", "period", "resampling", "domain", "sites"):
        table.add_column(name, justify="right" if name in ("files", "domain", "sites") else "left")
    for name, summary in prepared.summaries.items():
        cover = prepared.coverage[name]
        rows, cols = summary.size or (0, 0)
        files = (
            f"{len(summary.files)}, {_size(summary.bytes)}" if summary.bytes is not None else f"{len(summary.files)}"
        )
        table.add_row(
            name,
            files + (" remote" if summary.is_remote else ""),
            f"{rows} × {cols}" if summary.size else "several grids" if summary.resolution else "polygons",
            summary.crs.proj.name,
            _pixel(prepared, name),
            f"{summary.period} ({summary.steps})" if summary.period else "–",
            " | ".join(dict.fromkeys(prepared.plan.resampling[name].replace(" | ", ", ").split(", "))),
            f"{cover.domain:.0%}",
            f"{cover.sites:.0%}",
        )
    return table


def _pixel(prepared: Prepared, name: str) -> str:
    """Side of a pixel, and how many cells of the grid that is."""
    side = prepared.summaries[name].resolution
    if not side:
        return "–"
    cells = pixel_against_cell(prepared.plan.sources[name], prepared.grid)
    return f"{side:.6g}" + (f" = {cells:.2g} cells" if cells else "")


def _values(prepared: Prepared, inspection: Inspection) -> Table:
    table = Table(title="Values, in small patches over the domain", title_justify="left")
    for name in ("covariate", "units", "lowest", "median", "highest", "known", "download"):
        table.add_column(name, justify="left" if name in ("covariate", "units") else "right")
    for name, source in prepared.plan.sources.items():
        spread = inspection.spread.get(name)
        download = projected_download(source, prepared.grid)
        table.add_row(
            name,
            "classes" if source.spec.is_categorical else source.spec.units,
            *((f"{v:.4g}" for v in spread) if spread else ("–", "–", "–")),
            f"{inspection.known[name]:.0%}" if name in inspection.known else "–",
            "–" if download is None else f"about {_size(download)}",
        )
    return table


def _notes(prepared: Prepared, inspection: Inspection) -> list[tuple[str, str]]:
    notes = [(name, note) for name, summary in prepared.summaries.items() for note in summary.notes]
    for name, codes in inspection.unlisted.items():
        if codes:
            more = f" and {len(codes) - _CODES} more" if len(codes) > _CODES else ""
            notes.append((name, f"codes that no class lists, so missing: {', '.join(codes[:_CODES])}{more}"))
    return notes


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _grid(prepared: Prepared) -> Table:
    grid, config = prepared.grid, prepared.config
    height, width = grid.shape
    table = Table(title="Grid", title_justify="left", show_header=False)
    table.add_row(
        "CRS", f"{grid.geobox.crs}" + ("" if grid.is_equal_area else " (not equal-area: true cell areas count)")
    )
    table.add_row("cells", f"{height} × {width} of {config.domain.resolution:g} m in {grid.n_blocks} blocks")
    table.add_row("kernel", f"compiled ({INSTRUCTION_SETS[0]})" if INSTRUCTION_SETS else SLOW)
    memory, disk = project(prepared).worker(config.cluster.threads), _disk(prepared)
    table.add_row("memory", f"about {memory / 1e9:.2g} GB for each worker of {config.cluster.threads} thread(s)")
    table.add_row("disk", f"at most {disk / 1e9:.2g} GB in {prepared.directory}")
    return table


def _disk(prepared: Prepared) -> float:
    """Bytes of disk before compression."""
    config, grid = prepared.config, prepared.grid
    on_grid = grid.shape[0] * grid.shape[1] * 4
    return on_grid * (len(config.covariates) + 2 * len(config.depths) * len(STATISTICS))


def _plan(prepared: Prepared) -> Table:
    table = Table("stage", "state", title="Plan", title_justify="left")
    for stage, state in stage_states(prepared).items():
        table.add_row(stage, state)
    return table
