"""Kinds of source, each with the keys that apply to it: files, items of a catalogue, soil layers, formulas."""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from engine.remote.retry import is_signed, unsigned
from engine.sources.registered import SOURCES
from engine.sources.spec import SourceSpec, StacSpec, StoredSpec, layer_interval

T = TypeVar("T", bound=SourceSpec)
ONE_KIND = "a source is one of `href`, `stac`, `expression`, `layers` and `source`"


def _without_secrets(href: str | tuple[str, ...]) -> str | tuple[str, ...]:
    for text in (href,) if isinstance(href, str) else href:
        if "://" in text and is_signed(text):
            raise ValueError(
                f"{unsigned(text)} comes with a signature, token or password, which a run file and its results "
                "would pass on; leave it out, and give credentials by the environment (docs/sources.md)"
            )
    return href


def _stac_place(stac: StacSpec) -> str:
    return f"{stac.api} {stac.collection}" + (f" {stac.asset}" if stac.asset else "")


def _moved_stac(stac: StacSpec, change: Callable[[str], str]) -> StacSpec:
    return stac if "://" in stac.api else stac.model_copy(update={"api": change(stac.api)})


def not_a_category(spec: T) -> T:
    """Return the same entry if it has no classes; else raise."""
    if spec.is_categorical:
        raise ValueError("`classes` need a single source; an expression or a mean of layers is a number")
    return spec


_HREF = (
    "file, files or pattern, local, http(s):// or s3://: `*` spans the tiles of a mosaic, `{year}`, `{month}`, "
    "`{day}`, `{doy}` date it"
)
Href = Annotated[str | tuple[str, ...], AfterValidator(_without_secrets)]


class FileSpec(StoredSpec):
    """Files: rasters, arrays (NetCDF, Zarr, HDF) or polygons, which opening them tells."""

    kind: ClassVar[str] = "files (`href`)"

    href: Href = Field(description=_HREF)
    attribute: str | None = Field(None, description="column of a vector file that holds the class code")
    layer: str | None = Field(None, description="layer of a vector file; default: the first")

    @property
    def hrefs(self) -> tuple[str, ...]:
        """Files and patterns, in their order."""
        return (self.href,) if isinstance(self.href, str) else self.href

    @property
    def place(self) -> str:
        """The files and patterns."""
        return ", ".join(self.hrefs)

    def _moved(self, change: Callable[[str], str], about: Callable[[str], str]) -> dict[str, Any]:
        del about
        return {"href": change(self.href) if isinstance(self.href, str) else tuple(map(change, self.href))}

    @model_validator(mode="after")
    def _polygons_of_a_category(self) -> Self:
        if self.attribute and not self.classes:
            raise ValueError("`attribute` reads polygons of a category: give `classes` (class name → codes) as well")
        return self


class ItemsSpec(StoredSpec):
    """Items of a STAC API or catalog."""

    kind: ClassVar[str] = "items of a STAC catalog (`stac`)"

    stac: StacSpec = Field(description="items of a STAC API or catalog instead of files")

    @property
    def place(self) -> str:
        """Address, collection and asset."""
        return _stac_place(self.stac)

    def _moved(self, change: Callable[[str], str], about: Callable[[str], str]) -> dict[str, Any]:
        del about
        return {"stac": _moved_stac(self.stac, change)}


class RegisteredSpec(SourceSpec):
    """A source of a kind that is registered, by this process or an installed package."""

    kind: ClassVar[str] = "a kind that is registered (`source`)"

    source: str = Field(description="kind of source that is registered, by its name")
    options: dict[str, Any] = Field({}, description="what that kind of source wants to know; it says what")

    @property
    def place(self) -> str:
        """Kind and options."""
        given = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        return f"{self.source} ({given})" if given else self.source

    @field_validator("source")
    @classmethod
    def _is_registered(cls, source: str) -> str:
        if source in ("href", "stac", "expression", "layers"):
            raise ValueError(f"{source!r} is a key of its own: give `{source}` in place of `source`")
        if source not in SOURCES:
            raise ValueError(f"{SOURCES.unknown(source)}; register a kind of source first (docs/extending.md)")
        return source


class LayersSpec(StoredSpec):
    """Soil layers, each of files, of assets of `stac` or of bands of `href`, averaged over a depth interval."""

    kind: ClassVar[str] = "soil layers (`layers`)"

    layers: dict[str, str | int] = Field(
        description="soil layers averaged by thickness: `top-bottom` in cm → file, asset of `stac`, or band of `href`",
    )
    depth: tuple[float, float] | None = Field(
        None, description="top and bottom, cm, of what is averaged over `layers`; default: all of them"
    )
    href: Href | None = Field(None, description=_HREF)
    stac: StacSpec | None = Field(None, description="items of a STAC API or catalog instead of files")

    @property
    def hrefs(self) -> tuple[str, ...]:
        """The file that has the layers as bands, if one has."""
        return () if self.href is None else (self.href,) if isinstance(self.href, str) else self.href

    @property
    def place(self) -> str:
        """Origin of the values, in a few words."""
        return _stac_place(self.stac) if self.stac else ", ".join(self.hrefs or map(str, self.layers.values()))

    def _moved(self, change: Callable[[str], str], about: Callable[[str], str]) -> dict[str, Any]:
        del about
        if self.stac:
            return {"stac": _moved_stac(self.stac, change)}
        moved: dict[str, Any] = {"layers": {k: change(v) if isinstance(v, str) else v for k, v in self.layers.items()}}
        if self.href is not None:
            moved["href"] = change(self.href) if isinstance(self.href, str) else tuple(map(change, self.href))
        return moved

    def parts(self) -> dict[str, StoredSpec]:
        """Return the entry of each layer: a file, an asset, or a band."""
        return {name: self._part(where) for name, where in self.layers.items()}

    def _part(self, where: str | int) -> StoredSpec:
        given = {name: getattr(self, name) for name in StoredSpec.model_fields if name in self.model_fields_set}
        if isinstance(where, int):
            given["band"] = where
        if self.stac:
            chosen = {} if isinstance(where, int) else {"asset": where}
            return ItemsSpec(**given, stac=self.stac.model_copy(update=chosen))
        return FileSpec(**given, href=self.href if isinstance(where, int) else where)

    @model_validator(mode="after")
    def _of_one_place(self) -> Self:
        bands = [isinstance(where, int) for where in self.layers.values()]
        if self.href is not None and self.stac is not None:
            raise ValueError(f"{ONE_KIND}; this has `href` and `stac`")
        if self.href is not None and not all(bands):
            raise ValueError(f"{ONE_KIND}; this has `href` and `layers`, which are not bands of it")
        if any(bands) and self.href is None and self.stac is None:
            raise ValueError("`layers` are bands, but of which file? Give `href` as well")
        return self

    @model_validator(mode="after")
    def _a_number(self) -> Self:
        return not_a_category(self)

    @field_validator("layers")
    @classmethod
    def _apart(cls, layers: dict[str, str | int]) -> dict[str, str | int]:
        intervals = sorted(layer_interval(text) for text in layers)
        for (_, bottom), (top, _) in pairwise(intervals):
            if top < bottom:
                raise ValueError(f"layers overlap: one ends at {bottom:g} cm, the next starts at {top:g} cm")
        return layers
