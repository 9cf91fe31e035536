"""`gelisol check`: what a run would read, lay out and need, as tables."""

from rich.console import Console
from rich.table import Table

from engine.blockwise import STATISTICS
from engine.features import Features
from pipelines.prepare import Prepared
from pipelines.run import stage_states

_BASE_BYTES = 450e6
"""Memory of a worker that has only loaded the libraries."""
_BYTES_PER_REPLICATE = 1.5e6
"""Memory of a boosted replicate of a few hundred shallow trees."""


def show(prepared: Prepared, console: Console) -> None:
    """Print sources, profiles, grid, plan, and projected memory and disk."""
    console.print(_sources(prepared))
    for note in prepared.profiles.notes:
        console.print(f"profiles: {note}", highlight=False, markup=False)
    console.print(_grid(prepared))
    console.print(_plan(prepared))


def _sources(prepared: Prepared) -> Table:
    table = Table(title="Sources", title_justify="left")
    for name in ("covariate", "files", "size", "CRS", "pixel", "period", "units", "resampling", "domain", "sites"):
        table.add_column(name, justify="right" if name in ("files", "domain", "sites") else "left")
    for name, summary in prepared.summaries.items():
        spec, cover = prepared.plan.sources[name].spec, prepared.coverage[name]
        rows, cols = summary.size or (0, 0)
        table.add_row(
            name,
            f"{len(summary.files)}, {(summary.bytes or 0) / 1e6:.1f} MB",
            f"{rows} × {cols}" if summary.size else "polygons",
            summary.crs.proj.name,
            f"{summary.resolution:.6g}" if summary.resolution else "–",
            f"{summary.period} ({summary.steps})" if summary.period else "–",
            "classes" if spec.is_categorical else spec.units,
            prepared.plan.resampling[name],
            f"{cover.domain:.0%}",
            f"{cover.sites:.0%}",
        )
    return table


def _grid(prepared: Prepared) -> Table:
    grid, config = prepared.grid, prepared.config
    height, width = grid.shape
    table = Table(title="Grid", title_justify="left", show_header=False)
    table.add_row(
        "CRS", f"{grid.geobox.crs}" + ("" if grid.is_equal_area else " (not equal-area: true cell areas count)")
    )
    table.add_row("cells", f"{height} × {width} of {config.domain.resolution:g} m in {grid.n_blocks} blocks")
    memory, disk = _projected(prepared)
    table.add_row("memory", f"about {memory / 1e9:.2g} GB for each worker thread")
    table.add_row("disk", f"at most {disk / 1e9:.2g} GB in {prepared.directory}")
    return table


def _projected(prepared: Prepared) -> tuple[float, float]:
    """Bytes of memory of a worker with one thread, and of disk before compression."""
    config, grid = prepared.config, prepared.grid
    cells = min(grid.chunk, max(grid.shape)) ** 2
    columns = len(Features.of(config.covariates).columns)
    outputs = len(config.depths)
    # Covariates, design matrix, its zone order, and per output two float64 moments and five statistics.
    per_cell = 4 * len(config.covariates) + 8 * columns + 32 + outputs * 16 + 5 * 8
    memory = _BASE_BYTES + config.model.replicates * _BYTES_PER_REPLICATE + cells * per_cell
    on_grid = grid.shape[0] * grid.shape[1] * 4
    disk = on_grid * (len(config.covariates) + 2 * outputs * len(STATISTICS))
    return memory, disk


def _plan(prepared: Prepared) -> Table:
    table = Table("stage", "state", title="Plan", title_justify="left")
    for stage, state in stage_states(prepared).items():
        table.add_row(stage, state)
    return table
