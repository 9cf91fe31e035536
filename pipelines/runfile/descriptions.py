"""Descriptions of data sets that run files name: beside the run file, else those of the catalogue."""

from importlib import resources
from pathlib import Path

from engine.sources.metadata import About, read_about

FOLDER = "sources"
"""Of descriptions, in the catalogue and beside the run files that `gelisol init` writes."""


def read_description(path: Path, key: str) -> About:
    """Read a description; one of the catalogue need not be copied beside the run file.

    Parameters
    ----------
    path : Path
        As the run file names it.
    key : str
        Names it in errors.

    Raises
    ------
    InputError
        If there is no such file, or it is not a description.
    """
    if not path.exists() and path.parent.name == FOLDER:
        known = resources.files("catalogs").joinpath(FOLDER, path.name)
        if known.is_file():
            with resources.as_file(known) as file:
                return read_about(file, key)
    return read_about(path, key)
