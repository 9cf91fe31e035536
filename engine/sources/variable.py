"""Description of a covariate, apart from where its values come from."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Code = int | str


class Variable(BaseModel):
    """Covariate, wherever its values come from; its name is the key of the entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: str = Field("1", description="units after scaling, e.g. degC, mm, g/kg; default of sums: those of the terms")
    expected: tuple[float, float] | None = Field(
        None, description="lowest and highest value to expect, in `units`; `gelisol check` compares; default: by name"
    )
    label: str | None = Field(None, description="what figures and tables call it")
    group: str = Field("other", description="group of covariates, e.g. climate, vegetation, soil")
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
    def _sound_classes(self) -> Self:
        if self.classes is None:
            return self
        if not self.classes:
            raise ValueError("`classes` is empty; give at least one class name with its codes")
        if len(self.classes) > 254:
            raise ValueError(f"`classes` has {len(self.classes)} classes; at most 254 fit the cube")
        listed = [code for codes in self.classes.values() for code in codes]
        if twice := sorted({str(code) for code in listed if listed.count(code) > 1}):
            raise ValueError(f"`classes` lists the code {', '.join(twice)} in more than one place")
        return self
