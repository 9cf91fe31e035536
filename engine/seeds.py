"""Random streams: all of a run's randomness comes from one seed, each use and each repeat with a stream of its own."""

from enum import IntEnum

import numpy as np


class Use(IntEnum):
    """Purpose of a stream of random numbers. Numbers are part of a run's identity: never renumber."""

    ENSEMBLE = 0
    VALIDATION = 1
    IMPORTANCE = 2
    COVERAGE = 3
    TUNING = 4
    FOLDS = 5
    CELLS = 6
    MAPPED_CELLS = 7
    ERROR_FIELD = 8
    ERROR_DRAWS = 9
    ERROR_MODEL = 10
    PROFILE_ERRORS = 11
    POSITIONS = 12


def streams(seed: int, use: Use, n: int) -> list[np.random.SeedSequence]:
    """Return `n` independent streams; the first of them do not depend on `n`."""
    return np.random.SeedSequence(seed, spawn_key=(int(use),)).spawn(n)


def integer(stream: np.random.SeedSequence) -> int:
    """Return a seed for libraries that take a non-negative 31-bit integer."""
    return int(stream.generate_state(1)[0] >> 1)
