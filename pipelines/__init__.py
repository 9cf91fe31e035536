"""Pipelines of soil science: run files, the command line, the soil-carbon pipeline and the virtual region."""

from enum import StrEnum


class Stage(StrEnum):
    """The stages of a run, in order."""

    PROFILES = "profiles"
    CUBE = "cube"
    SELECT = "select"
    TRAIN = "train"
    MAP = "map"
    REPORT = "report"


STAGES = tuple(stage.value for stage in Stage)
"""Their names."""
