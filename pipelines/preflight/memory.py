"""Memory of a worker, projected before the run from blocks, covariates, threads and replicates, and refused in time."""

import math
from dataclasses import dataclass

from dask.utils import parse_bytes

from engine.cube.features import Features
from engine.errors import Finding, InputError
from engine.execution.cluster import local_memory, local_workers
from engine.formatting import counted
from engine.mapping.predict_block import SLAB, STATISTICS
from engine.sources.align import MOST_POINTS, STRIPS_KEPT
from engine.sources.base import SourceSummary
from engine.sources.composite import Composite
from engine.sources.read_cache import Readings
from engine.uncertainty.error_model import MOST_RESIDUALS
from pipelines.soil_carbon.prepared import Prepared

_LIBRARIES = 450e6 + 4 * STRIPS_KEPT * MOST_POINTS
"""Memory of a worker that has only loaded the libraries, and of what it keeps between blocks, bytes."""
_REPLICATE = 1.5e6
"""Memory of a boosted replicate of a few hundred shallow trees, bytes."""
_PIXELS_PER_CELL = 64
"""Most source pixels that are read for a cell: finer sources are sampled."""
_PIXEL = 12
"""Memory of a pixel that is read, decoded and reduced, bytes."""


@dataclass(frozen=True)
class Projection:
    """Bytes that a worker needs.

    Attributes
    ----------
    shared : float
        By the whole worker: libraries and models.
    of_block : dict
        Stage → by each thread, for one block.
    cells : int
        Of a block.
    """

    shared: float
    of_block: dict[str, float]
    cells: int

    def worker(self, threads: int = 1) -> float:
        """Return the bytes for a worker of `threads` threads."""
        return self.shared + threads * max(self.of_block.values())


def project(prepared: Prepared, chunk: int | None = None) -> Projection:
    """Project the memory of a run, with its own or another size of blocks."""
    config, grid = prepared.config, prepared.grid
    chunk = chunk or grid.chunk
    cells = min(chunk, grid.shape[0]) * min(chunk, grid.shape[1])
    columns, outputs = len(Features.of(config.covariates).columns), len(config.depths)
    replicates = config.model.replicates
    # Covariates, what they are made of, and domain; of one source at a time the pixels under the block.
    pixels = max(_pixels(summary, config.domain.resolution) for summary in prepared.summaries.values())
    sources = prepared.plan.sources
    made_of = len(Readings(sources, prepared.plan.resampling, grid.geobox))
    arrays = made_of + sum(isinstance(source, Composite) for source in sources.values())
    of_cube = cells * (4 * arrays + 10 + _PIXEL * pixels)
    # Covariates, the design matrix and its zone order, places and zones, the statistics; a slab of all replicates.
    further = len(config.model.statistics)
    statistics = len(STATISTICS) + 2 * further  # those are put beside the others once they are there
    of_map = cells * (4 * len(config.covariates) + 8 * columns + 52 + 4 * outputs * statistics)
    of_map += 4 * 8 * min(SLAB, cells) * replicates
    if config.model.residual_error:
        # The basis, places and weights on the lattice, mean, SD and interval of cells; sites condition all of them.
        basis = 2 + columns + len(prepared.zones[1])
        residuals = min(outputs * len(prepared.profiles.wide()), MOST_RESIDUALS)
        asked = 24 * outputs if config.model.asked.names else 0  # one such layer at a time
        of_map += cells * (8 * basis + 120 + 36 * outputs + asked) + 3 * 8 * residuals**2
    return Projection(_LIBRARIES + replicates * _REPLICATE, {"cube": of_cube, "map": of_map}, cells)


def _pixels(summary: SourceSummary, resolution: float) -> float:
    """Return the number of pixels of a source that are read for a cell."""
    if not summary.resolution:
        return 2.0
    metres = summary.resolution * (111_000 if summary.crs.geographic else 1)
    return min(max((resolution / metres) ** 2, 1.0), _PIXELS_PER_CELL)


def require_memory(prepared: Prepared, limit: float, threads: int) -> Projection:
    """Refuse a run that cannot fit its workers.

    Parameters
    ----------
    limit : float
        Memory of the smallest worker, bytes; 0: unlimited.
    threads : int
        Of a worker.

    Raises
    ------
    InputError
        With the numbers and what to change.
    """
    projection = project(prepared)
    need = projection.worker(threads)
    if not limit or need <= limit:
        return projection
    stage = max(projection.of_block, key=projection.of_block.__getitem__)
    raise InputError(
        Finding(
            f"a worker needs about {_gb(need)} ({_gb(projection.shared)} for libraries and "
            f"{counted(prepared.config.model.replicates, 'replicate')}, {_gb(projection.of_block[stage])} for each of "
            f"{counted(threads, 'thread')} to do a block of {counted(projection.cells, 'cell')} in the stage "
            f"`{stage}`), but has {_gb(limit)}. "
            f"{_advice(prepared, projection, limit, threads)}",
            "cluster",
        )
    )


def require_promised_memory(prepared: Prepared) -> None:
    """Check memory as `require_memory` does, with the workers' memory that the run file states."""
    spec = prepared.config.cluster
    if spec.memory and spec.kind in ("local", "ssh"):
        require_memory(prepared, parse_bytes(spec.memory), spec.threads)
    elif spec.kind == "local":
        most = spec.adaptive.maximum if spec.adaptive else spec.workers or local_workers(spec.threads)
        require_memory(prepared, local_memory(most), spec.threads)


def _advice(prepared: Prepared, projection: Projection, limit: float, threads: int) -> str:
    options = [f"give each worker {_gb(math.ceil(projection.worker(threads) / 1e8) * 1e8)} (`cluster.memory`)"]
    spec = prepared.config.cluster
    if spec.kind == "local" and spec.memory is None and (spec.workers or 2) > 1:
        options.append("start fewer workers (`cluster.workers`), so that each has more")
    fewer = next((n for n in range(threads - 1, 0, -1) if projection.worker(n) <= limit), None)
    if fewer:
        options.append(f"{counted(fewer, 'thread')} (`cluster.threads`)")
    smaller = next((c for c in (4096, 2048, 1024, 512, 256, 128, 64)
                    if c < prepared.grid.chunk and project(prepared, c).worker(threads) <= limit), None)  # fmt: skip
    if smaller:
        options.append(f"smaller blocks (`domain.chunk: {smaller}`; cube and map then start anew)")
    text = "; or ".join(options)
    return text[0].upper() + text[1:] + "."


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
