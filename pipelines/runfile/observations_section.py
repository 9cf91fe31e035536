"""Section of the run file on the profile table."""

import codecs
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from pipelines.runfile.column_units import conversion, has_units
from pipelines.runfile.depth_intervals import interval_of
from pipelines.runfile.nearest import nearest
from pipelines.runfile.section import Section

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
    "position_error",
)
"""Default column names of a layer table; densities come as `socd_TOP-BOTTOM` instead."""
ALSO_MAPPED = ("depth", "thickness")
"""Columns that stand for `top` and `bottom`, where a table has them in another form."""
IN_LAYERS = ("soc", "som", "bulk_density", "coarse_fragments", "tn")
"""Columns that `wide` may give interval by interval."""


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


class SharedErrorsOfProfiles(Section):
    """Errors that all sites share which were completed in the same way, drawn anew in every replicate."""

    draw: bool = Field(
        True,
        description="whether they are drawn; false, or `errors: false`: sites are taken as they are, as in the study",
    )
    som_to_soc: float = Field(
        0.04,
        ge=0,
        le=0.2,
        description="SD of `som_to_soc`: with 0.04, the published 0.5 (Pribyl 2010) lies two SD below 0.58",
    )
    bulk_density: float | None = Field(
        None,
        ge=0,
        le=1,
        description="relative SD of all filled bulk densities together; default: that of the fitted coefficients, or "
        "of the published functions among each other",
    )
    coarse_fragments: float | None = Field(
        None,
        ge=0,
        le=50,
        description="SD of all filled coarse fragments together, volume %; default: the standard error of the mean "
        "that fills them, and none where the table has no fragments at all",
    )
    positions: bool = Field(
        True, description="whether sites with a `position_error` are moved by it, each on its own, in every replicate"
    )
    layer_division: float = Field(
        1.0,
        ge=0,
        le=5,
        description="SD of how far divided layers are off, in differences between the spline and division by thickness",
    )


def _errors(value: Any) -> Any:
    return {"draw": value} if isinstance(value, bool) else value


def _encoding(name: str | None) -> str | None:
    try:
        if name is not None:
            "a".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"{name!r} is not an encoding of text; e.g. utf-8, utf-16, gbk, latin-1, cp1252") from None
    return None if name is None else codecs.lookup(name).name


def _mark(mark: str | None) -> str | None:
    if mark is not None and mark != "whitespace" and (len(mark) != 1 or mark.isalnum() or mark in '"\n\r.'):
        raise ValueError(
            f'{mark!r} cannot stand between fields; one sign such as , ; | or a tab ("\\t"), or whitespace'
        )
    return mark


def _crs(text: str | None) -> str | None:
    try:
        if text is not None:
            CRS.from_user_input(text)
    except CRSError:
        raise ValueError(f"{text!r} is not a CRS; expected e.g. EPSG:32651 or a PROJ string") from None
    return text


def _crs_text(value: Any) -> Any:
    return f"EPSG:{value}" if isinstance(value, int) and not isinstance(value, bool) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else value


class TableKeys(Section):
    """A table and how it is written."""

    table: str = Field(
        description="csv (also .csv.gz, .zip), xlsx, parquet, GeoPackage, GeoJSON or shapefile, see below"
    )
    columns: dict[str, str | tuple[str, ...]] = Field(
        {},
        description="default column name → the name in the table; `site` also → several columns that together name it",
    )
    sheet: str | None = Field(
        None, description="sheet of a workbook, or layer of a vector file, where there are several"
    )
    header: int | None = Field(None, ge=1, description="line or row of the column names; default: the first")
    encoding: Annotated[str | None, AfterValidator(_encoding)] = Field(
        None, description="of a text table or shapefile; default: UTF-8, or what a byte order mark says"
    )
    delimiter: Annotated[str | None, AfterValidator(_mark)] = Field(
        None, description="between fields of a text table, or `whitespace`; default: whichever divides the lines evenly"
    )
    decimal: Literal[".", ","] = Field(".", description="decimal mark of numbers that are text")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None, description="mark between groups of three digits, in numbers that are text"
    )
    missing: Annotated[
        tuple[str | float, ...] | None,
        BeforeValidator(_one_or_more, json_schema_input_type=str | float | tuple[str | float, ...] | None),
    ] = Field(
        None, description="values and words that mean: not measured, e.g. [-9999, n.d.]; empty fields and NA do anyway"
    )
    crs: Annotated[
        str | None, BeforeValidator(_crs_text, json_schema_input_type=str | int | None), AfterValidator(_crs)
    ] = Field(
        None, description="CRS of `lon` and `lat`, which then hold x and y; default: degrees, WGS 84, or the file's own"
    )

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        for name, own in columns.items():
            if name not in (*PROFILE_COLUMNS, *ALSO_MAPPED) and not name.startswith("socd_"):
                raise ValueError(
                    f"{name!r} is not a default column name{nearest(name, (*PROFILE_COLUMNS, *ALSO_MAPPED))}"
                )
            if not isinstance(own, str) and (name != "site" or not own):
                raise ValueError(f"{name!r} is one column; only `site` may be made of several")
        return columns

    @model_validator(mode="after")
    def _two_marks(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"`decimal` and `thousands` are both {self.decimal!r}; a number needs two different marks")
        return self

    @property
    def plain_columns(self) -> dict[str, str]:
        """Default name → the table's, of those that are one column."""
        return {name: own for name, own in self.columns.items() if isinstance(own, str)}

    @property
    def site_columns(self) -> tuple[str, ...]:
        """Columns that together name the site, where several do."""
        own = self.columns.get("site", "")
        return () if isinstance(own, str) else own


class SiteTable(TableKeys):
    """A second table, with one row per site.

    `decimal`, `thousands`, `missing` and `crs` are those of the first table where they are not given.
    """

    key: Annotated[tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...])] = (
        Field(min_length=1, description="columns that both tables have and that together name a site")
    )


class Observations(TableKeys):
    """The profile table."""

    units: dict[str, str] = Field(
        {},
        description='column → its unit, where it is not the default one, e.g. {soc: "%", bulk_density: kg/m3, top: m}',
    )
    below_detection: Literal["refuse", "half", "zero", "limit"] = Field(
        "refuse", description="what `<0.5` becomes: an error, half of the limit, zero, or the limit"
    )
    sites: SiteTable | None = Field(None, description="table of the sites, where places stand in a table of their own")
    wide: dict[str, dict[str, str]] | None = Field(
        None, description="of a table with one row per site: interval, cm → {soc: COLUMN, bulk_density: COLUMN, …}"
    )
    depth_zero: Literal["mineral", "surface"] | None = Field(
        None,
        description="where 0 is, for tables with heights or negative depths: the surface of the mineral soil, organic "
        "layers above it, or the surface of the whole profile",
    )
    on_bad_row: Literal["refuse", "drop"] = Field(
        "refuse", description="drop: rows with impossible values are left out, counted and listed in dropped_rows.csv"
    )
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
    errors: Annotated[
        SharedErrorsOfProfiles,
        BeforeValidator(_errors, json_schema_input_type=bool | SharedErrorsOfProfiles),
    ] = SharedErrorsOfProfiles()
    sure_of: tuple[str, ...] = Field(
        (),
        description="default names of columns that are right as they are, whatever the guards of units and places say",
    )

    @field_validator("sure_of")
    @classmethod
    def _guarded(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if name not in PROFILE_COLUMNS and not name.startswith("socd_"):
                raise ValueError(f"{name!r} is not a default column name{nearest(name, PROFILE_COLUMNS)}")
        return columns

    @field_validator("units")
    @classmethod
    def _of_columns(cls, units: dict[str, str]) -> dict[str, str]:
        for column, unit in units.items():
            if has_units(column):
                conversion(column, unit)
        return units

    @field_validator("wide")
    @classmethod
    def _intervals(cls, wide: dict[str, dict[str, str]] | None) -> dict[str, dict[str, str]] | None:
        if wide is not None and not wide:
            raise ValueError("lists no interval; expected e.g. {0-10: {soc: SOC_0_10}, 10-30: {soc: SOC_10_30}}")
        for interval, columns in (wide or {}).items():
            bottom = interval_of(interval, ".").bottom
            if bottom is None:
                raise ValueError(f"{interval!r} has no lower depth; expected e.g. 0-10")
            for name in columns:
                if name not in IN_LAYERS:
                    raise ValueError(f"{interval}: {name!r} does not vary by layer{nearest(name, IN_LAYERS)}")
            if not {"soc", "som"} & set(columns):
                raise ValueError(f"{interval}: names neither `soc` nor `som`")
        return wide

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        loose = [c for c in self.units if not has_units(c) and c not in self.at_site.values()]
        if loose:
            known = [*PROFILE_COLUMNS[3:9], "tn", "position_error", *ALSO_MAPPED, *self.at_site.values()]
            raise ValueError(f"`units`: {loose[0]!r} is not a column with units{nearest(loose[0], known)}")
        both = [c for c in ("top", "bottom", "depth", "thickness", *IN_LAYERS[:4]) if self.wide and c in self.columns]
        if both:
            raise ValueError(
                f"`columns.{both[0]}` does not go with `wide`, which gives the depths and the layers' values"
            )
        for one, others in (("depth", ("top", "bottom", "thickness")), ("thickness", ("top", "bottom"))):
            for other in others:
                if one in self.columns and other in self.columns:
                    raise ValueError(f"`columns` names `{one}` and `{other}`; the depths need one form")
        return self


def tables_of(observations: Observations) -> dict[str, str]:
    """Return file or address of every table that the section names, by its key."""
    sites = observations.sites
    return {"observations.table": observations.table} | ({"observations.sites.table": sites.table} if sites else {})
