"""The run file of the virtual region, and the note that goes with its files."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from engine.formatting import doing
from pipelines.virtual.outline import REGION_CRS
from pipelines.virtual.raw import climate, geotiff, modis, vegetation
from pipelines.virtual.raw.layout import YEARS, Size
from pipelines.virtual.sampling import Sampling

TRUE_PLACES = "true_places.csv"
"""Where the sites are, if the places in the profile table are not exact."""

README = """\
MADE-UP DATA

The files in this folder describe a permafrost region that does not exist. They were drawn at random, by
`gelisol demo`, to look like the inputs of a soil carbon map, so that the map can be compared with a known
truth. Nothing in them may be taken for an observation of any real place.

boundary.geojson  outline of the region
raw/              covariates in the formats of real sources
stac/             a static STAC catalog of raw/
profiles.csv      soil layers of the sites, with gaps
truth.zarr        the true carbon densities and covariates on the run's grid
run.yaml          the run file: gelisol run run.yaml

Made from seed {seed}; the same seed makes the same data.
"""


def write_run_file(path: Path, size: Size, seed: int) -> None:
    """Write the commented run file; it names every raw file by a path relative to its own folder."""
    template = files("pipelines.virtual").joinpath("run.yaml.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    text = environment.from_string(template).render(
        crs=REGION_CRS,
        resolution=f"{size.resolution:g}",
        chunk=size.chunk,
        first=YEARS[0],
        last=YEARS[-1],
        climate_scale=climate.SCALE,
        aridity_scale=f"{geotiff.ARIDITY_SCALE:.4f}",
        index_scale=f"{modis.SCALE:.4f}",
        index_fill=modis.INDEX_FILL,
        npp_valid=modis.NPP_VALID,
        classes=vegetation.CLASSES,
        seed=seed,
    )
    path.write_text(text, encoding="utf-8")


def write_readme(path: Path, seed: int, sampling: Sampling) -> None:
    """Write the note that the data are made up, and how the sites were chosen where that is not as usual."""
    text = README.format(seed=seed)
    if sampling.pattern != "random":
        text += f"The sites follow the pattern `{sampling.pattern}`.\n"
    if sampling.repeated:
        text += f"{doing(sampling.repeated, 'site', 'has')} further cores from the same square kilometre.\n"
    if sampling.position_error:
        text += (
            f"Reported places are off; `position_error` is the SD of either coordinate, m. {TRUE_PLACES} has the true "
            f"ones, on the plane {REGION_CRS}.\n"
        )
    path.write_text(text, encoding="utf-8")
