"""An entry under `covariates:`: the union of all kinds of source.

A formula is here, too: its terms are entries.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticCustomError

from engine.sources.formula import names_in
from engine.sources.kinds import ONE_KIND, FileSpec, ItemsSpec, LayersSpec, RegisteredSpec, not_a_category
from engine.sources.spec import SourceSpec


class FormulaSpec(SourceSpec):
    """A formula of other covariates, or of sources of its own."""

    kind: ClassVar[str] = "a formula, which is computed from its terms"

    expression: str = Field(
        description="formula of other covariates, or of those in `of`: + - * / **, sqrt, exp, log, min, …"
    )
    of: "dict[str, AnySource] | None" = Field(
        None, description="sources that only the expression uses: name → entry, as under `covariates`"
    )

    @property
    def own_terms(self) -> Mapping[str, SourceSpec]:
        """Sources that only the formula uses."""
        return self.of or {}

    @property
    def place(self) -> str:
        """The formula."""
        return self.expression

    def _moved(self, change: Callable[[str], str], about: Callable[[str], str]) -> dict[str, Any]:
        return {"of": {name: spec.with_paths(change, about) for name, spec in self.of.items()}} if self.of else {}

    @field_validator("expression")
    @classmethod
    def _parses(cls, expression: str) -> str:
        names_in(expression)
        return expression

    @model_validator(mode="after")
    def _a_number(self) -> Self:
        return not_a_category(self)


KINDS: dict[str, type[SourceSpec]] = {
    "expression": FormulaSpec, "layers": LayersSpec, "stac": ItemsSpec, "href": FileSpec, "source": RegisteredSpec,
}  # fmt: skip
"""Key that tells a kind of source → the kind; the first that an entry has."""
SOURCE_KEYS = (
    "href", "stac", "source", "options", "expression", "of", "layers", "depth", "variable", "band", "crs",
    "coordinates", "grids", "scale", "offset", "nodata", "valid_range", "period", "baseline", "months", "reduce",
    "resampling", "units", "expected", "label", "group", "attribute", "layer", "classes", "about",
)  # fmt: skip
"""Keys of all kinds of source, in the order of the reference."""
DEFAULTS: dict[str, Any] = {
    name: None if field.is_required() else field.default
    for kind in KINDS.values()
    for name, field in kind.model_fields.items()
}
"""What keys are where an entry leaves them out."""


def kind_of(entry: Any) -> type[SourceSpec]:
    """Return the kind of an entry: by its keys, or by the key nearest to a misspelt one."""
    if isinstance(entry, SourceSpec):
        return type(entry)
    given = [key for key in KINDS if entry.get(key) is not None]
    near = [key for name in entry for key in difflib.get_close_matches(str(name), KINDS, n=1)]
    return KINDS[next(iter([*given, *near]), "href")]


def _of_one_kind(entry: Any) -> Any:
    """Return an entry of one kind, without keys of other kinds that only state their default."""
    if isinstance(entry, SourceSpec):
        return entry
    if not isinstance(entry, dict):
        raise PydanticCustomError("model_type", "Input should be keys with values")
    given = [key for key in KINDS if entry.get(key) is not None]
    alone = [key for key in given if "layers" not in given or key in ("layers", "expression")]
    if len(alone) > 1 or (not given and entry.keys() <= set(SOURCE_KEYS)):
        found = (
            f"has {' and '.join(f'`{key}`' for key in SOURCE_KEYS if key in alone)}" if alone else "has none of them"
        )
        raise ValueError(f"{ONE_KIND}; this {found}")
    fields = kind_of(entry).model_fields
    return {
        name: value for name, value in entry.items()
        if name in fields or name not in DEFAULTS or value not in (None, DEFAULTS[name])
    }  # fmt: skip


def _tag(entry: Any) -> str:
    return f"[{kind_of(entry).__name__}]"


AnySource = Annotated[
    Annotated[FormulaSpec, Tag("[FormulaSpec]")]
    | Annotated[LayersSpec, Tag("[LayersSpec]")]
    | Annotated[ItemsSpec, Tag("[ItemsSpec]")]
    | Annotated[FileSpec, Tag("[FileSpec]")]
    | Annotated[RegisteredSpec, Tag("[RegisteredSpec]")],
    Discriminator(_tag),
    BeforeValidator(_of_one_kind),
]
"""An entry of any kind of source, told apart by its keys."""
FormulaSpec.model_rebuild()
_ANY: TypeAdapter[SourceSpec] = TypeAdapter(AnySource)


def source_spec(**keys: Any) -> SourceSpec:
    """Return the entry of these keys, of the kind that they are of."""
    return _ANY.validate_python(keys)
