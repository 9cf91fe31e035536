"""What the model of a stage's time says, and the block sizes that follow from it."""

import math

import pytest

from engine.grid.chunking import CHUNKS, MAP, WORKERS, Cost, OneMachine, best_chunk


def test_seconds_by_hand():
    cost = Cost(start=3, task=0.5, block=2, cell=0.01)
    # Ten blocks of 100 cells, 3 s each: alone one after the other; by five, two rounds and most of a block more.
    assert cost.seconds(10, 1000, 1) == 3 + 10 * 3
    assert cost.seconds(10, 1000, 5) == pytest.approx(3 + 10 * 3 / 5 + 0.8 * 3)
    # More workers than blocks have nothing to do.
    assert cost.seconds(10, 1000, 10) == cost.seconds(10, 1000, 99) == pytest.approx(3 + 3 + 0.9 * 3)
    # Small tasks: the scheduler's 0.5 s each are what counts.
    assert Cost(start=0, task=0.5, block=0, cell=0.001).seconds(100, 100, 1000) == 50


@pytest.mark.parametrize("shape", [(300, 200), (1500, 1200), (7600, 7600), (40000, 30000)])
def test_the_block_size_is_near_the_best_whatever_the_workers(shape):
    def seconds(chunk: int, workers: int) -> float:
        blocks = math.ceil(shape[0] / chunk) * math.ceil(shape[1] / chunk)
        return MAP.seconds(blocks, shape[0] * shape[1], workers)

    chosen = best_chunk(shape)
    for workers in WORKERS:
        assert seconds(chosen, workers) < 1.8 * min(seconds(chunk, workers) for chunk in CHUNKS)


def test_larger_grids_and_dearer_blocks_ask_for_larger_blocks():
    assert best_chunk((300, 200)) < best_chunk((7600, 7600))
    dear = Cost(MAP.start, MAP.task, 100 * MAP.block, MAP.cell)
    assert best_chunk((3000, 3000), dear) > best_chunk((3000, 3000))


def test_processes_on_one_machine_share_its_cores():
    cost, shared = Cost(start=3, task=0.01, block=2, cell=0.01), OneMachine(cores=2, beside=0.6)
    # Ten blocks of 3 s and 0.6 s of the client: 36 s of a core, of which there are two.
    assert cost.seconds(10, 1000, 2, shared) == pytest.approx(3 + 36 / 2 + 0.5 * 3)
    assert cost.seconds(10, 1000, 1, shared) == cost.seconds(10, 1000, 1)  # two cores are enough for one worker
    assert cost.seconds(10, 1000, 8, shared) > cost.seconds(10, 1000, 2, shared) > cost.seconds(10, 1000, 2)
