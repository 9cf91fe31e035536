"""Versions with which each stage was done, and what would differ under the installed ones."""

from collections.abc import Mapping

from engine.execution.ledger import Ledger, key_of
from engine.execution.versions import LIBRARIES
from engine.registry import packages_offering
from pipelines import STAGES

_FIELD = ("gelisol", "numpy", "pandas", "scipy")
_PLANE = ("pyproj", "PROJ")
OF_STAGE: dict[str, tuple[str, ...]] = {
    "profiles": (*_FIELD, *_PLANE),
    "cube": (
        *_FIELD, *_PLANE, "rasterio", "GDAL", "shapely", "GEOS", "geopandas", "pyogrio", "odc-geo", "xarray",
        "h5netcdf", "h5py", "zarr", "cftime", "cf-xarray",
    ),
    "select": _FIELD,
    "train": (*_FIELD, "scikit-learn", "dask-ml", "xgboost"),
    "map": (*_FIELD, *_PLANE, "odc-geo", "scikit-learn", "xgboost"),
    "report": (),
}  # fmt: skip
"""Stage → what its numbers depend on besides the run file and the data."""
OFFERED: dict[str, tuple[str, ...]] = {
    "cube": ("gelisol.sources",),
    "train": ("gelisol.families", "gelisol.splitters"),
    "map": ("gelisol.families", "gelisol.statistics"),
}
"""Stage → groups of entry points whose packages its numbers depend on, too."""
OWN = "gelisol"
"""Of this package, a stage's number in `keys.CODE` says when results change; its version is recorded all the same."""
ABSENT = "not installed"


def of_stage(stage: str, here: Mapping[str, str]) -> dict[str, str]:
    """Return the versions that a stage's numbers depend on, as far as they are installed."""
    one_name = {"xgboost": here.get("xgboost-cpu", here.get("xgboost"))}  # the same library in two packages
    named = {**here, **{name: version for name, version in one_name.items() if version}}
    return {name: named[name] for name in _packages(stage) if name in named}


def _packages(stage: str) -> tuple[str, ...]:
    """Return the packages that a stage's numbers depend on, with those that offer registered parts."""
    offering = (package for group in OFFERED.get(stage, ()) for package in packages_offering(group))
    return tuple(dict.fromkeys([*OF_STAGE[stage], *offering]))


def environment_key(stage: str, here: Mapping[str, str]) -> str:
    """Hash the versions under which a stage's pieces may stand side by side: a map is not made with two of them."""
    return key_of({name: version for name, version in of_stage(stage, here).items() if name != OWN})


def version_notes(ledger: Ledger, here: Mapping[str, str]) -> list[str]:
    """Note what was done, or begun, with other versions than the installed ones; one line for all stages alike.

    Parameters
    ----------
    here : mapping
        Of what is known of this environment; the rest is not compared.
    """
    done: dict[str, list[str]] = {}
    notes = []
    for stage in STAGES:
        if (entry := ledger.entry(stage)) and (differs := _differences(stage, entry.versions, here)):
            done.setdefault(differs, []).append(stage)
        if (begun := ledger.begun(stage)) and (differs := _differences(stage, begun, here)):
            notes.append(
                f"stage {stage} was begun with {differs}: what it had done by then is done again, so that its results "
                "are not of two versions mixed"
            )
    for differs, stages in done.items():
        many = len(stages) > 1
        notes.append(
            f"{'stages' if many else 'stage'} {', '.join(stages)} {'were' if many else 'was'} done with {differs}: "
            f"{'their' if many else 'its'} results are kept, but made here their numbers could differ; "
            "`gelisol run --fresh` makes everything with the versions that are here"
        )
    return notes


def _differences(stage: str, then: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return `xgboost 3.2.0 (here 3.4.0)` for each that differs; unrecorded or unknown ones are left out."""
    now = of_stage(stage, here)
    return ", ".join(
        f"{name} {then.get(name, ABSENT)} (here {now.get(name, ABSENT)})"
        for name in _packages(stage)
        if then and then.get(name) != now.get(name) and (name in now or name not in LIBRARIES)
    )
