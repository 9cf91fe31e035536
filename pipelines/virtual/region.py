"""The whole virtual region on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.errors import InputError
from pipelines.virtual.catalog import write_catalog
from pipelines.virtual.landscape import make_landscape
from pipelines.virtual.outline import write_boundary
from pipelines.virtual.profiles import make_layers, punch_gaps
from pipelines.virtual.raw.climate import write_climate
from pipelines.virtual.raw.geotiff import write_aridity, write_soil
from pipelines.virtual.raw.layout import RawFile, SizeName, size_of
from pipelines.virtual.raw.modis import write_productivity, write_vegetation_indices
from pipelines.virtual.raw.vegetation import write_vegetation
from pipelines.virtual.run_file import TRUE_PLACES, write_readme, write_run_file
from pipelines.virtual.sampling import Sampling
from pipelines.virtual.sites import make_sites
from pipelines.virtual.truth import region_grid, write_truth

_STREAM = 1000
"""Keeps the region's random streams apart from those of a run with the same seed."""


_AS_IN_THE_STUDY = Sampling()


def _silent(step: str) -> None:
    del step


def make(
    directory: Path,
    size: SizeName = "small",
    seed: int = 20250731,
    on_step: Callable[[str], None] = _silent,
    sampling: Sampling = _AS_IN_THE_STUDY,
) -> Path:
    """Write a made-up permafrost region: raw files, catalog, profiles, truth and run file.

    Both sizes show the same landscape and have the same profiles for a given seed; `small` has coarser rasters.

    Parameters
    ----------
    directory : Path
        Everything is written below it; files of an earlier region are replaced.
    size : {"small", "full"}
        5 km or 1 km (the study's) cells.
    seed : int
        The same seed gives the same data.
    on_step : callable
        Takes what comes next.
    sampling : Sampling
        How the sites are chosen, and how well their places are known.

    Returns
    -------
    Path
        The run file, `directory/run.yaml`; it is written last.

    Raises
    ------
    InputError
        If the size is unknown, the seed negative, or `directory` not a folder.
    """
    scale = size_of(size)
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; expected 0 or more.")
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: is a file; the virtual region needs a folder.")
    root = np.random.SeedSequence(seed, spawn_key=(_STREAM,))
    for_landscape, for_sites, for_layers, for_gaps = root.spawn(4)
    climate, vegetation, soil = (directory / "raw" / name for name in ("climate", "vegetation", "soil"))
    for folder in (climate, vegetation, soil):
        folder.mkdir(parents=True, exist_ok=True)
    run_file = directory / "run.yaml"
    run_file.unlink(missing_ok=True)
    (directory / TRUE_PLACES).unlink(missing_ok=True)
    write_readme(directory / "README.txt", seed, sampling)
    boundary = write_boundary(directory / "boundary.geojson")

    on_step("landscape")
    landscape = make_landscape(for_landscape)
    on_step("profiles")
    sites = make_sites(landscape, for_sites, sampling)
    punch_gaps(make_layers(sites, for_layers), for_gaps).to_csv(directory / "profiles.csv", index=False)
    if sampling.position_error:
        sites[["site", "x", "y", "position_error"]].to_csv(directory / TRUE_PLACES, index=False)
    raw: list[RawFile] = []
    on_step("climate rasters")
    raw += write_climate(landscape, scale, climate)
    raw += write_aridity(landscape, scale, climate)
    on_step("vegetation rasters")
    raw += write_vegetation_indices(landscape, scale, vegetation)
    raw += write_productivity(landscape, scale, vegetation)
    on_step("vegetation map")
    raw += write_vegetation(landscape, vegetation)
    on_step("soil rasters")
    raw += write_soil(landscape, scale, soil)
    on_step("catalog")
    write_catalog(raw, directory / "stac")
    on_step("truth")
    write_truth(landscape, region_grid(boundary, scale), directory / "truth.zarr")
    write_run_file(run_file, scale, seed)
    return run_file
