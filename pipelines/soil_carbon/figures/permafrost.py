"""Limits of permafrost for Figure 1: from a covariate, or the outline of the domain."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.figures.backdrop import Backdrop, contours
from pipelines.soil_carbon.results.overviews import class_picture, picture
from pipelines.soil_carbon.results.read_results import Results

BOUNDARY, NONE = "boundary", "none"
"""What `figures.permafrost` may be beside the name of a covariate."""
STYLES = ("-", (0, (5, 2)), (0, (5, 2, 1, 2)), (0, (1, 1.5)))
"""Of lines, from the most to the least permafrost."""
_WORDS = re.compile(r"perma ?frost|冻土|凍土|мерзлот", re.IGNORECASE)
_ABSENT = re.compile(r"^(?:no|none|non|not|without|absent|outside|seasonal)\b|non-?permafrost|无|нет", re.IGNORECASE)
_HALF = {"1": 0.5, "%": 50.0}
"""Units of a share or probability of permafrost → half of it."""


@dataclass(frozen=True)
class Limit:
    """The limit of permafrost, or of a class of it.

    Attributes
    ----------
    label : str
        In the legend.
    lines : list of ndarray, shape (points, 2)
        x and y in the grid's CRS, m.
    style : str or tuple
        Of the line, as Matplotlib has it.
    """

    label: str
    lines: list[np.ndarray]
    style: Any = "-"


def permafrost_of(run: RunFile) -> str | None:
    """Return the source of the permafrost limits: a covariate, `boundary`, or None.

    Without `figures.permafrost` it is a covariate whose name or label speaks of permafrost, a category before a share
    or probability; else the domain's boundary if the name of its file does.
    """
    asked = run.figures.permafrost
    if asked:
        return None if asked == NONE else asked
    speaking = {name: spec for name, spec in run.covariates.items() if _WORDS.search(f"{name} {spec.label or ''}")}
    classes = [name for name, spec in speaking.items() if spec.is_categorical]
    shares = [name for name, spec in speaking.items() if not spec.is_categorical and spec.units in _HALF]
    if classes or shares:
        return (classes + shares)[0]
    return BOUNDARY if _WORDS.search((run.domain.boundary or "").rpartition("/")[2]) else None


def permafrost_limits(results: Results, backdrop: Backdrop) -> list[Limit]:
    """Return lines around the permafrost of a run, one for each class of it; none if the run has no source of them."""
    run = results.run
    name = permafrost_of(run)
    if name is None:
        return []
    if name == BOUNDARY:
        return [Limit("permafrost region", backdrop.outline)]
    spec = run.covariates[name]
    if not spec.is_categorical:
        values = picture(results.cube[name]).values
        inside = values <= 0 if spec.units == "degC" else values >= _HALF.get(spec.units, 0.5)
        return _limits([("permafrost", inside & backdrop.inside)], backdrop)
    codes = class_picture(results.cube[name]).values
    inside, found = np.zeros(codes.shape, bool), []
    for code, label in enumerate(spec.class_names, start=1):
        if not _ABSENT.search(label):
            inside = inside | (codes == code)
            found.append((label if _WORDS.search(label) else f"{label} permafrost", inside & backdrop.inside))
    return _limits(found, backdrop)


def _limits(found: list[tuple[str, np.ndarray]], backdrop: Backdrop) -> list[Limit]:
    return [
        Limit(label, contours(inside, backdrop.domain.extent), STYLES[min(i, len(STYLES) - 1)])
        for i, (label, inside) in enumerate(found)
        if inside.any()
    ]
