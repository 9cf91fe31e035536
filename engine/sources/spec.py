"""How a user describes one covariate: the typed form of an entry under `covariates:` in the run file."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Resampling = Literal["nearest", "bilinear", "cubic", "average", "mode"]
Reduction = Literal["mean", "min", "max", "sum", "annual_sum"]
Code = int | str


def _month(value: int) -> int:
    if not 1 <= value <= 12:
        raise ValueError(f"a month is 1 to 12, not {value}")
    return value


class SourceSpec(BaseModel):
    """One covariate, from where it lives to how it lands on the grid.

    Values are decoded as `stored × scale + offset`; `nodata` and `valid_range` speak of stored values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    href: str | tuple[str, ...] = Field(
        description="file, files or pattern: `*` spans the tiles of a mosaic, `{year}`, `{month}`, `{doy}` date it"
    )
    variable: str | None = Field(None, description="variable of a NetCDF file")
    band: int = Field(1, ge=1, description="band of a raster file, counted from 1")
    crs: str | None = Field(None, description="CRS of the source, where the file declares none")
    coordinates: Literal["center", "lower_left"] = Field(
        "center", description="what the coordinates of a NetCDF file mark: cell centres or lower-left corners"
    )
    scale: float | None = Field(None, description="factor on stored values; default: what the file declares, else 1")
    offset: float | None = Field(None, description="added after scaling; default: what the file declares, else 0")
    nodata: float | tuple[float, ...] | None = Field(
        None, description="stored values that mean missing, in addition to the one that the file declares"
    )
    valid_range: tuple[float, float] | None = Field(
        None, description="lowest and highest stored value that are measurements; others are fill codes"
    )
    period: tuple[int, int] | None = Field(None, description="first and last year, both included")
    months: tuple[Annotated[int, AfterValidator(_month)], ...] | None = Field(
        None, description="months that count, 1 to 12; default: all"
    )
    reduce: Reduction = Field(
        "mean",
        description="how time steps become one value; annual_sum: sum of each year, averaged over years",
    )
    resampling: Resampling | None = Field(
        None,
        description="default: finer sources by average (numbers) or mode (classes), coarser by bilinear or nearest",
    )
    units: str = Field("1", description="units after scaling, e.g. degC, mm, g/kg")
    label: str | None = Field(None, description="what figures and tables call it")
    group: str = Field("other", description="group of covariates, e.g. climate, vegetation, soil")
    attribute: str | None = Field(None, description="column of a vector file that holds the class code")
    layer: str | None = Field(None, description="layer of a vector file; default: the first")
    classes: dict[str, tuple[Code, ...]] | None = Field(
        None,
        description="makes the covariate a category: class name → stored codes; codes not listed are missing",
    )

    @property
    def is_categorical(self) -> bool:
        """Whether the covariate is a set of classes rather than a number."""
        return self.classes is not None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of their cube codes 1, 2, …; empty for a number."""
        return tuple(self.classes or ())

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
            if self.resampling not in (None, "nearest", "mode"):
                raise ValueError(f"`resampling: {self.resampling}` would mix class codes; use nearest or mode")
        elif self.resampling == "mode":
            raise ValueError("`resampling: mode` is for categories; use average for numbers")
        if self.period and self.period[0] > self.period[1]:
            raise ValueError(f"`period` runs backwards: {self.period[0]} is after {self.period[1]}")
        if self.valid_range and self.valid_range[0] > self.valid_range[1]:
            raise ValueError(f"`valid_range` is empty: {self.valid_range[0]} is above {self.valid_range[1]}")
        return self
