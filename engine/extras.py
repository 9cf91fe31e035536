"""Packages that only some runs need, installed as extras: `pip install "gelisol[stac]"`."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from engine.errors import InputError

MODULES = {
    "stac": ("pystac_client", "requests"),
    "s3": ("s3fs",),
    "report": ("matplotlib", "contourpy", "PIL"),
    "search": ("dask_ml",),
}
"""What each extra brings that is imported here."""
PACKAGES = {"pystac_client": "pystac-client", "PIL": "pillow", "dask_ml": "dask-ml"}
"""Packages whose modules have other names."""


def missing(extra: str, purpose: str) -> str:
    """Return what to install before something can be done; empty if it is there.

    Parameters
    ----------
    purpose : str
        What needs the extra, as the beginning of a sentence, e.g. "STAC catalogs".
    """
    absent = [name for name in MODULES[extra] if not _is_there(name)]
    if not absent:
        return ""
    packages = ", ".join(PACKAGES.get(name, name) for name in absent)
    return f'{purpose} need {packages}, not installed here: pip install "gelisol[{extra}]"'


def require(extra: str, purpose: str) -> None:
    """Make sure that an extra is installed; arguments as for `missing`.

    Raises
    ------
    InputError
        With the command that installs it.
    """
    if problem := missing(extra, purpose):
        raise InputError(problem)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # blocked, or half imported
        return False


def load(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an extra; arguments and errors as for `require`."""
    require(extra, purpose)
    return import_module(module)
