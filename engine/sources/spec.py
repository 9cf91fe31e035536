"""How a user describes one covariate: the typed form of an entry under `covariates:` in the run file."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from engine.remote.retry import is_signed, unsigned
from engine.sources.formula import names_in
from engine.sources.resampling import Resampling

Reduction = Literal["mean", "min", "max", "sum", "annual_sum", "anomaly"]
Code = int | str
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
OPERATORS = ("eq", "neq", "lt", "lte", "gt", "gte", "in", "startsWith", "endsWith", "contains")
"""Comparisons of a STAC query, as in the API's query extension."""


def _month(value: int) -> int:
    if not 1 <= value <= 12:
        raise ValueError(f"a month is 1 to 12, not {value}")
    return value


def _season(value: Any) -> Any:
    return SEASONS.get(value.upper(), value) if isinstance(value, str) else value


def in_order(value: tuple[int, int] | None) -> tuple[int, int] | None:
    """A period that does not run backwards."""
    if value and value[0] > value[1]:
        raise ValueError(f"runs backwards: {value[0]} is after {value[1]}")
    return value


Months = Annotated[
    tuple[Annotated[int, AfterValidator(_month)], ...],
    BeforeValidator(_season, json_schema_input_type=tuple[int, ...] | str),
]


def layer_interval(text: str) -> tuple[float, float]:
    """Top and bottom, cm, of a layer written as `0-5`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
    if not match or float(match[1]) >= float(match[2]):
        raise ValueError(f"{text!r} is no layer; expected top-bottom in cm, e.g. 0-5")
    return float(match[1]), float(match[2])


class StacSpec(BaseModel):
    """Where to look for the items of a covariate, and which of their assets to read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str = Field(description="address of a STAC API, or of a static catalog or collection (address or JSON file)")
    collection: str = Field(description="id of the collection")
    asset: str | None = Field(None, description="key of the asset; default: the only one that is data")
    query: dict[str, Any] = Field({}, description="property → value, or → {operator: value}, e.g. {lt: 20}")
    sign: Literal["planetary_computer", "earthdata", "none"] | None = Field(
        None, description="how assets are unlocked, with what the environment holds; default: by the address of the API"
    )

    @field_validator("query")
    @classmethod
    def _known_operators(cls, query: dict[str, Any]) -> dict[str, Any]:
        for key, condition in query.items():
            for operator in condition if isinstance(condition, dict) else ():
                if operator not in OPERATORS:
                    raise ValueError(f"{key}: {operator!r} is no comparison; expected one of {', '.join(OPERATORS)}")
        return query


class SourceSpec(BaseModel):
    """One covariate, from where it lives to how it lands on the grid.

    It has one of `href`, `stac`, `expression` and `layers`. Values are decoded as `stored × scale + offset`; `nodata`
    and `valid_range` speak of stored values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    href: str | tuple[str, ...] | None = Field(
        None,
        description="file, files or pattern, local, http(s):// or s3://: `*` spans the tiles of a mosaic, `{year}`, "
        "`{month}`, `{day}`, `{doy}` date it",
    )
    stac: StacSpec | None = Field(None, description="items of a STAC API or catalog instead of files")
    expression: str | None = Field(
        None, description="formula of other covariates, or of those in `of`: + - * / **, sqrt, exp, log, min, …"
    )
    of: "dict[str, SourceSpec] | None" = Field(
        None, description="sources that only the expression uses: name → entry, as under `covariates`"
    )
    layers: dict[str, str | int] | None = Field(
        None,
        description="soil layers averaged by thickness: `top-bottom` in cm → file, asset of `stac`, or band of `href`",
    )
    depth: tuple[float, float] | None = Field(
        None, description="top and bottom, cm, of what is averaged over `layers`; default: all of them"
    )
    variable: str | None = Field(None, description="variable of a NetCDF file, Zarr store or HDF file")
    band: int = Field(1, ge=1, description="band of a raster file, counted from 1")
    crs: str | None = Field(None, description="CRS of the source, where the file declares none")
    coordinates: Literal["center", "lower_left", "upper_left"] = Field(
        "center",
        description="what the coordinates of a NetCDF file mark: cell centres or corners",
    )
    grids: Literal["one", "many"] | None = Field(
        None,
        description="whether all tiles lie on one pixel grid, or on several (UTM zones, latitude bands); "
        "default: one for files, many for STAC items",
    )
    scale: float | None = Field(None, description="factor on stored values; default: what the source declares, else 1")
    offset: float | None = Field(None, description="added after scaling; default: what the source declares, else 0")
    nodata: float | tuple[float, ...] | None = Field(
        None, description="stored values that mean missing, in addition to those that the source declares"
    )
    valid_range: tuple[float, float] | None = Field(
        None,
        description="lowest and highest stored value that are measurements; others are fill codes; replaces what the "
        "source declares",
    )
    period: Annotated[tuple[int, int] | None, AfterValidator(in_order)] = Field(
        None, description="first and last year, both included"
    )
    baseline: Annotated[tuple[int, int] | None, AfterValidator(in_order)] = Field(
        None, description="first and last year of the period that `reduce: anomaly` compares with"
    )
    months: Months | None = Field(None, description="months that count, 1 to 12, or DJF, MAM, JJA, SON; default: all")
    reduce: Reduction = Field(
        "mean",
        description="how time steps become one value; annual_sum: sum of each year, averaged over years; anomaly: mean "
        "of the period less that of the baseline, month by month",
    )
    resampling: Resampling | None = Field(
        None,
        description="default: finer sources by average (numbers) or mode (classes), coarser by bilinear or nearest",
    )
    units: str = Field("1", description="units after scaling, e.g. degC, mm, g/kg; default of sums: those of the terms")
    expected: tuple[float, float] | None = Field(
        None, description="lowest and highest value to expect, in `units`; `gelisol check` compares; default: by name"
    )
    label: str | None = Field(None, description="what figures and tables call it")
    group: str = Field("other", description="group of covariates, e.g. climate, vegetation, soil")
    attribute: str | None = Field(None, description="column of a vector file that holds the class code")
    layer: str | None = Field(None, description="layer of a vector file; default: the first")
    classes: dict[str, tuple[Code, ...]] | None = Field(
        None,
        description="makes the covariate a category: class name → stored codes; codes not listed are missing",
    )
    about: str | None = Field(
        None, description="STAC collection (JSON file) that says whose data it is, under which licence and where to get"
    )

    @property
    def is_categorical(self) -> bool:
        """Whether the covariate is a set of classes rather than a number."""
        return self.classes is not None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of their cube codes 1, 2, …; empty for a number."""
        return tuple(self.classes or ())

    @property
    def hrefs(self) -> tuple[str, ...]:
        """Files and patterns, in their order; empty for other kinds of source."""
        return () if self.href is None else (self.href,) if isinstance(self.href, str) else self.href

    @property
    def place(self) -> str:
        """Where the values come from, in a few words."""
        if self.stac:
            return f"{self.stac.api} {self.stac.collection}" + (f" {self.stac.asset}" if self.stac.asset else "")
        if self.expression:
            return self.expression
        return ", ".join(self.hrefs or map(str, (self.layers or {}).values()))

    def with_paths(self, change: Callable[[str], str], about: Callable[[str], str]) -> "SourceSpec":
        """The same source with other paths: `change` is for data, `about` for descriptions."""
        changes: dict[str, Any] = {}
        if self.href is not None:
            changes["href"] = change(self.href) if isinstance(self.href, str) else tuple(map(change, self.href))
        if self.layers and self.stac is None:
            changes["layers"] = {k: change(v) if isinstance(v, str) else v for k, v in self.layers.items()}
        if self.stac and "://" not in self.stac.api:
            changes["stac"] = self.stac.model_copy(update={"api": change(self.stac.api)})
        if self.of:
            changes["of"] = {name: spec.with_paths(change, about) for name, spec in self.of.items()}
        if self.about:
            changes["about"] = about(self.about)
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        bands = self.layers is not None and all(isinstance(v, int) for v in self.layers.values())
        given = [key for key in ("href", "stac", "expression") if getattr(self, key) is not None]
        if self.layers is not None and not (given and bands) and given != ["stac"]:
            given.append("layers")
        if len(given) != 1:
            found = f"has {' and '.join(f'`{key}`' for key in given)}" if given else "has none of them"
            raise ValueError(f"a source is one of `href`, `stac`, `expression` and `layers`; this {found}")
        if self.of is not None and self.expression is None:
            raise ValueError("`of` holds the terms of an `expression`, which is missing")
        if self.depth is not None and self.layers is None:
            raise ValueError("`depth` chooses among `layers`, which are missing")
        return self

    @field_validator("href")
    @classmethod
    def _no_secrets(cls, href: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for text in (href,) if isinstance(href, str) else href or ():
            if "://" in text and is_signed(text):
                raise ValueError(
                    f"{unsigned(text)} comes with a signature, token or password, which a run file and its results "
                    "would pass on; leave it out, and give credentials by the environment (docs/sources.md)"
                )
        return href

    @field_validator("layers")
    @classmethod
    def _apart(cls, layers: dict[str, str | int] | None) -> dict[str, str | int] | None:
        intervals = sorted(layer_interval(text) for text in layers or ())
        for (_, bottom), (top, _) in pairwise(intervals):
            if top < bottom:
                raise ValueError(f"layers overlap: one ends at {bottom:g} cm, the next starts at {top:g} cm")
        return layers

    @field_validator("scale")
    @classmethod
    def _keeps_the_values(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("0 makes every value the same; leave it out to take the file's own")
        return scale

    @field_validator("expression")
    @classmethod
    def _parses(cls, expression: str | None) -> str | None:
        if expression is not None:
            names_in(expression)
        return expression

    @model_validator(mode="after")
    def _consistent_time(self) -> Self:
        if (self.reduce == "anomaly") != (self.baseline is not None):
            raise ValueError("`reduce: anomaly` and `baseline` (e.g. [1981, 2010]) go together")
        if self.reduce == "anomaly" and self.period is None:
            raise ValueError("`reduce: anomaly` needs `period`, the years that are compared with the baseline")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.attribute and not self.classes:
            raise ValueError("`attribute` reads polygons of a category: give `classes` (class name → codes) as well")
        if self.classes is not None:
            if not self.classes:
                raise ValueError("`classes` is empty; give at least one class name with its codes")
            if len(self.classes) > 254:
                raise ValueError(f"`classes` has {len(self.classes)} classes; at most 254 fit the cube")
            listed = [code for codes in self.classes.values() for code in codes]
            if twice := sorted({str(code) for code in listed if listed.count(code) > 1}):
                raise ValueError(f"`classes` lists the code {', '.join(twice)} in more than one place")
            if self.resampling not in (None, Resampling.NEAREST, Resampling.MODE):
                raise ValueError(f"`resampling: {self.resampling}` would mix class codes; use nearest or mode")
            if self.expression or self.layers:
                raise ValueError("`classes` are of one source; an expression or a mean of layers is a number")
        elif self.resampling is Resampling.MODE:
            raise ValueError("`resampling: mode` is for categories; use average for numbers")
        if self.valid_range and self.valid_range[0] > self.valid_range[1]:
            raise ValueError(f"`valid_range` is empty: {self.valid_range[0]} is above {self.valid_range[1]}")
        return self
