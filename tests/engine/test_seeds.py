"""Random streams of one seed."""

import numpy as np

from engine.seeds import Use, integer, streams


def numbers(seed: int, use: Use, n: int) -> list[int]:
    return [integer(s) for s in streams(seed, use, n)]


def test_more_streams_begin_with_the_fewer():
    assert numbers(1, Use.ENSEMBLE, 3) == numbers(1, Use.ENSEMBLE, 10)[:3]


def test_every_seed_use_and_repeat_has_its_own():
    drawn = [n for seed in (0, 1, 2) for use in Use for n in numbers(seed, use, 20)]
    assert len(set(drawn)) == len(drawn) == 60 * len(Use)


def test_seeds_fit_31_bits_and_are_those_of_old_runs():
    drawn = numbers(20250731, Use.ENSEMBLE, 1000)
    assert min(drawn) >= 0 and max(drawn) < 2**31
    # A change here would change the maps of every run that was ever made.
    assert drawn[:2] == [integer(s) for s in np.random.SeedSequence(20250731, spawn_key=(0,)).spawn(2)]
    assert (Use.ENSEMBLE, Use.VALIDATION) == (0, 1)
