"""Duration of a stage by the number of workers: the measured cost of a task, and the block size that follows."""

import math
from dataclasses import dataclass

CHUNKS = (64, 128, 256, 512, 1024, 2048)
"""Block sides to choose from, cells."""
WORKERS = (1, 10, 100, 1000)
"""Numbers of workers that a block size must suit; results must not depend on how many there are."""


@dataclass(frozen=True)
class OneMachine:
    """Resources that the processes of one machine share.

    Attributes
    ----------
    cores : int
    beside : float
        Processor seconds of a block beside the time of its worker: of client and scheduler, and of the threads with
        which a worker compresses and writes; less those in which it waits.
    """

    cores: int
    beside: float


@dataclass(frozen=True)
class Cost:
    """Seconds that the work of a stage takes.

    Attributes
    ----------
    start : float
        Of a worker, once: libraries, models.
    task : float
        Of the client and the scheduler, for each task, one after the other.
    block : float
        Of a worker, for each block whatever its size: opening arrays, writing files and waiting for the disk.
    cell : float
        Of a worker, for each cell.
    """

    start: float
    task: float
    block: float
    cell: float

    def seconds(self, blocks: int, cells: float, workers: int, shared: OneMachine | None = None) -> float:
        """Return the time on `workers` workers of one thread.

        Work that is handed out as it is asked for takes no longer than its share and, since the last block may come
        late, most of one block more (Graham 1969); and no less than the scheduler needs for its tasks. On one machine,
        it takes no less than what all processes need of its cores together.

        Parameters
        ----------
        blocks : int
            Number of blocks, taken to be alike.
        cells : float
            Of all blocks together.
        shared : OneMachine, optional
            Where all processes are on one.
        """
        of_block = self.block + self.cell * cells / blocks
        busy = min(workers, blocks)
        share = blocks * of_block / busy
        if shared:
            share = max(share, blocks * (of_block + shared.beside) / shared.cores)
        return self.start + max(share + (1 - 1 / busy) * of_block, blocks * self.task)


MAP = Cost(start=0.5, task=0.005, block=0.05, cell=5e-6)
"""Of the map, 100 replicates of 300 trees; `benchmarks/scaling.py` measures it."""


def best_chunk(shape: tuple[int, int], cost: Cost = MAP) -> int:
    """Return the block side that comes nearest to the fastest one on any number of workers from 1 to 1,000.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the grid.
    """

    def seconds(chunk: int, workers: int) -> float:
        blocks = math.ceil(shape[0] / chunk) * math.ceil(shape[1] / chunk)
        return cost.seconds(blocks, shape[0] * shape[1], workers)

    fastest = {workers: min(seconds(chunk, workers) for chunk in CHUNKS) for workers in WORKERS}
    return min(CHUNKS, key=lambda chunk: max(seconds(chunk, workers) / fastest[workers] for workers in WORKERS))
