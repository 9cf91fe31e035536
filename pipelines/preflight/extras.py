"""Extras that a run file needs, found before anything is computed."""

from engine.errors import Finding
from engine.extras import missing
from pipelines.runfile.schema import Draft, RunFile


def missing_extras(run: RunFile | Draft) -> list[Finding]:
    """Return what to install for what the run file asks for and opening its sources does not show."""
    if run.model is None or not any(spec.family().grid for spec in run.model.families):
        return []
    nested = run.model.validation.tuning == "nested"
    what = "the search of the mapped family's" if nested else "searches of"
    problem = missing("search", f"{what} hyperparameters")
    return [Finding(problem, "model.validation.tuning")] if problem else []
