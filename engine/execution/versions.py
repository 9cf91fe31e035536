"""Versions of what numbers depend on, of this process."""

import platform
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import engine
from engine.registry import GROUPS, packages_offering

PACKAGES = (
    "cf-xarray", "cftime", "dask", "dask-ml", "distributed", "geopandas", "h5netcdf", "h5py", "numpy", "odc-geo",
    "pandas", "pyogrio", "pyproj", "rasterio", "scikit-learn", "scipy", "shapely", "xarray", "xgboost-cpu", "xgboost",
    "zarr",
)  # fmt: skip
"""Packages whose versions decide over numbers, or over whether tasks arrive."""
LIBRARIES: dict[str, tuple[str, Callable[..., str]]] = {
    "PROJ": ("pyproj", lambda module: module.proj_version_str),
    "GDAL": ("rasterio", lambda module: module.__gdal_version__),
    "GEOS": ("shapely", lambda module: module.geos_version_string),
}
"""C libraries, which a package may bring or find: the module that knows its version."""


def packages(read: Callable[[str], str] = version) -> dict[str, str]:
    """Return versions of Python, of this package and of others, without an import; `read` finds those."""
    found = {"python": platform.python_version(), "gelisol": engine.__version__}
    offering = (package for group in GROUPS for package in packages_offering(group))
    for package in dict.fromkeys([*PACKAGES, *offering]):
        try:
            found[package] = read(package)
        except PackageNotFoundError:
            continue
    return found


def versions(read: Callable[[str], str] = version) -> dict[str, str]:
    """Return versions of packages, and of the libraries under them."""
    return packages(read) | {name: of(import_module(module)) for name, (module, of) in LIBRARIES.items()}


def known_versions() -> dict[str, str]:
    """Return versions of packages, and of the libraries of those that are already loaded."""
    loaded = {name: read(sys.modules[module]) for name, (module, read) in LIBRARIES.items() if module in sys.modules}
    return packages() | loaded
