"""The section of the run file that says how the profile table is to be read."""

from typing import Literal

from pydantic import Field, field_validator

from pipelines.nearest import nearest
from pipelines.section import Section

PROFILE_COLUMNS = (
    "site",
    "lon",
    "lat",
    "top",
    "bottom",
    "soc",
    "som",
    "bulk_density",
    "coarse_fragments",
    "vegetation",
    "soil_type",
    "tn",
    "source",
)
"""Default column names of a layer table; densities come as `socd_TOP-BOTTOM` instead."""


class BulkDensity(Section):
    """What fills missing bulk densities."""

    function: Literal[
        "adams-1973",
        "alexander-1980",
        "federer-1993",
        "honeysett-ratkowsky-1989",
        "hossain-2015",
        "manrique-jones-1991",
        "song-2005",
    ] = Field(description="a published function of carbon, rather than one fitted to the table's own layers")


class Observations(Section):
    """The profile table."""

    table: str = Field(description="csv, parquet, GeoPackage or GeoJSON file, see below")
    columns: dict[str, str] = Field({}, description="default column name → the name in the table")
    decimal: Literal[".", ","] = Field(".", description="decimal mark of the numbers in a csv table")
    at_site: dict[str, str] = Field(
        {},
        description="covariate → column of measured values, or of classes by name or code, that replace the map's",
    )
    harmonise: Literal["spline", "layers", "exact"] = Field(
        "spline",
        description="how a layer across a target depth is used: divided by a mass-preserving spline, in proportion to "
        "thickness (layers), or not at all (exact, as in the study)",
    )

    som_to_soc: float = Field(
        0.58, ge=0.3, le=0.7, description="carbon's share of organic matter, for layers that give `som` only"
    )
    bulk_density: BulkDensity | None = None
    sure_of: tuple[str, ...] = Field(
        (),
        description="default names of columns that are right as they are, whatever the guards of units and places say",
    )

    @field_validator("sure_of")
    @classmethod
    def _guarded(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if name not in PROFILE_COLUMNS and not name.startswith("socd_"):
                raise ValueError(f"{name!r} is no default column name{nearest(name, PROFILE_COLUMNS)}")
        return columns

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in PROFILE_COLUMNS and not name.startswith("socd_"):
                raise ValueError(f"{name!r} is no default column name{nearest(name, PROFILE_COLUMNS)}")
        return columns
