"""Keys that all kinds of source share: the typed form of an entry under `covariates:` in the run file.

An entry is a `Variable` (what the values are) and, by its kind of source (`engine.sources.kinds`), where these come
from.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from engine.sources.resampling import Resampling
from engine.sources.variable import Variable

Reduction = Literal["mean", "min", "max", "sum", "annual_sum", "anomaly"]
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
    """Return a period that does not run backwards; else raise."""
    if value and value[0] > value[1]:
        raise ValueError(f"runs backwards: {value[0]} is after {value[1]}")
    return value


Months = Annotated[
    tuple[Annotated[int, AfterValidator(_month)], ...],
    BeforeValidator(_season, json_schema_input_type=tuple[int, ...] | str),
]


def layer_interval(text: str) -> tuple[float, float]:
    """Return top and bottom, cm, of a layer written as `0-5`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
    if not match or float(match[1]) >= float(match[2]):
        raise ValueError(f"{text!r} is not a layer; expected top-bottom in cm, e.g. 0-5")
    return float(match[1]), float(match[2])


class StacSpec(BaseModel):
    """Place to search for the items of a covariate, and the assets of them to read."""

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
                    raise ValueError(f"{key}: {operator!r} is not a comparison; expected one of {', '.join(OPERATORS)}")
        return query


class SourceSpec(Variable, ABC):
    """One covariate, from where it lives to how it lands on the grid: of `href`, `stac`, `layers` or `expression`."""

    kind: ClassVar[str]
    """What a source of this kind is called in messages."""

    about: str | None = Field(
        None, description="STAC collection (JSON file) that says whose data it is, under which licence and where to get"
    )

    @property
    def hrefs(self) -> tuple[str, ...]:
        """Files and patterns, in their order; empty for other kinds of source."""
        return ()

    @property
    def years(self) -> tuple[int, int] | None:
        """First and last year that the entry asks for."""
        return None

    @property
    def own_terms(self) -> "Mapping[str, SourceSpec]":
        """Sources that only this one uses; empty but for formulas."""
        return {}

    @property
    @abstractmethod
    def place(self) -> str:
        """Origin of the values, in a few words."""

    def with_paths(self, change: Callable[[str], str], about: Callable[[str], str]) -> Self:
        """Return the same source with other paths: `change` is for data, `about` for descriptions."""
        described = {"about": about(self.about)} if self.about else {}
        return self.model_copy(update={**self._moved(change, about), **described})

    def _moved(self, change: Callable[[str], str], about: Callable[[str], str]) -> dict[str, Any]:
        """Return the changes by `with_paths` apart from the description."""
        del change, about
        return {}


class StoredSpec(SourceSpec, ABC):
    """A source of stored values.

    They are decoded as `stored × scale + offset`; `nodata` and `valid_range` speak of stored values.
    """

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

    @property
    def years(self) -> tuple[int, int] | None:
        """First and last year that the entry asks for."""
        return self.period

    @field_validator("scale")
    @classmethod
    def _keeps_the_values(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("0 makes every value the same; leave it out to take the file's own")
        return scale

    @model_validator(mode="after")
    def _consistent_time(self) -> Self:
        if (self.reduce == "anomaly") != (self.baseline is not None):
            raise ValueError("`reduce: anomaly` and `baseline` (e.g. [1981, 2010]) go together")
        if self.reduce == "anomaly" and self.period is None:
            raise ValueError("`reduce: anomaly` needs `period`, the years that are compared with the baseline")
        return self

    @model_validator(mode="after")
    def _consistent_values(self) -> Self:
        if self.is_categorical and self.resampling not in (None, Resampling.NEAREST, Resampling.MODE):
            raise ValueError(f"`resampling: {self.resampling}` would mix class codes; use nearest or mode")
        if not self.is_categorical and self.resampling is Resampling.MODE:
            raise ValueError("`resampling: mode` is for categories; use average for numbers")
        if self.valid_range and self.valid_range[0] > self.valid_range[1]:
            raise ValueError(f"`valid_range` is empty: {self.valid_range[0]} is above {self.valid_range[1]}")
        return self
