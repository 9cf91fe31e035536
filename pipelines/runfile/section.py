"""Base of all sections of the run file."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the run file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
