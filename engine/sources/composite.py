"""Sources made of other sources, combined cell by cell on the target grid: formulas, and means over soil depth."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from odc.geo.geobox import GeoBox

from engine.errors import Finding, InputError
from engine.sources.base import Source, SourceSummary
from engine.sources.entry import FormulaSpec
from engine.sources.formula import evaluate, names_in
from engine.sources.kinds import LayersSpec
from engine.sources.resampling import Choice, of_parts
from engine.sources.spec import SourceSpec, layer_interval


@dataclass(frozen=True)
class Composite:
    """Parts that are each brought onto the grid before they are combined; see `Source`."""

    name: str
    spec: SourceSpec
    parts: Mapping[str, Source]

    def summary(self) -> SourceSummary:
        """Summarise all files; size, CRS and extent are those of the part that covers least, periods the first's."""
        parts = [part.summary() for part in self.parts.values()]
        least = min(parts, key=lambda p: p.footprint.to_crs("EPSG:6933").area)
        listed = [p.fingerprint for p in parts] if any(p.listed for p in parts) else None
        return replace(
            least,
            files=tuple(dict.fromkeys(file for part in parts for file in part.files)),
            steps=max(part.steps for part in parts),
            period=next((part.period for part in parts if part.period), ""),
            notes=tuple(f"{name}: {note}" for name, p in zip(self.parts, parts, strict=True) for note in p.notes),
            listed="-".join(listed) if listed else None,
        )

    def choose_resampling(self, geobox: GeoBox) -> Choice:
        """Choose the resampling of each part."""
        return tuple(part.choose_resampling(geobox) for part in self.parts.values())

    def methods(self, resampling: Choice) -> dict[str, Choice]:
        """Return the resampling of each part by name."""
        return dict(zip(self.parts, of_parts(resampling, len(self.parts)), strict=True))

    def on_grid(self, geobox: GeoBox, resampling: Choice) -> np.ndarray:
        """Return values on a part of the target grid, see `Source.on_grid`."""
        methods = self.methods(resampling)
        return self.combine({name: part.on_grid(geobox, methods[name]) for name, part in self.parts.items()})

    @abstractmethod
    def combine(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Combine the values of the parts into one per cell."""

    def glimpse(self) -> Self:
        """Return the same source of few time steps."""
        return replace(self, parts={name: part.glimpse() for name, part in self.parts.items()})

    def unlisted(self, geobox: GeoBox) -> tuple[str, ...]:
        """Return an empty result: a combination is a number."""
        del geobox
        return ()


@dataclass(frozen=True)
class ExpressionSource(Composite):
    """A formula of other covariates, or of sources of its own."""

    spec: FormulaSpec

    def combine(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Evaluate the formula; NaN where a term is missing."""
        return evaluate(self.spec.expression, values)


@dataclass(frozen=True)
class LayeredSource(Composite):
    """Soil layers averaged over a depth interval, each weighted by its thickness within it."""

    weights: tuple[float, ...] = ()

    def combine(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute the weighted mean; NaN where a layer is missing."""
        layers = np.stack([v.astype("float64") for v in values.values()])
        return np.average(layers, axis=0, weights=self.weights).astype("float32")


def terms_of(name: str, spec: FormulaSpec, others: Mapping[str, SourceSpec]) -> dict[str, SourceSpec]:
    """Return the entries that a formula names.

    Raises
    ------
    InputError
        If one is not there, is a category, or comes round to the formula itself.
    """
    known = {**others, **spec.own_terms}
    found, problems = {}, []
    for term in names_in(spec.expression):
        entry = known.get(term)
        if term == name or (entry is not None and _leads_to(name, term, known, frozenset())):
            problems.append(f"{term!r} leads back to {name!r} itself")
        elif entry is None:
            problems.append(f"{term!r} is neither in `of` nor among the covariates")
        elif entry.is_categorical:
            problems.append(f"{term!r} is a category, not a number")
        else:
            found[term] = entry
    if problems:
        raise InputError(Finding(problem, f"covariates.{name}.expression") for problem in problems)
    return found


def _leads_to(goal: str, name: str, known: Mapping[str, SourceSpec], seen: frozenset[str]) -> bool:
    """Return whether a term is the goal, names it, or names a term that leads to it."""
    if name == goal:
        return True
    entry = known.get(name)
    if name in seen or not isinstance(entry, FormulaSpec):
        return False
    inner = {**known, **entry.own_terms}
    return any(_leads_to(goal, term, inner, seen | {name}) for term in names_in(entry.expression)
               if term not in entry.own_terms)  # fmt: skip


def layers_of(name: str, spec: LayersSpec) -> tuple[dict[str, SourceSpec], tuple[float, ...]]:
    """Return an entry per soil layer that counts, and the thickness, cm, with which it does.

    Raises
    ------
    InputError
        If the layers leave a gap in the depth interval.
    """
    intervals = {text: layer_interval(text) for text in spec.layers}
    top, bottom = spec.depth or (min(t for t, _ in intervals.values()), max(b for _, b in intervals.values()))
    parts = spec.parts()
    entries: dict[str, SourceSpec] = {}
    weights = []
    for text, (start, end) in sorted(intervals.items(), key=lambda item: item[1]):
        if (thickness := min(end, bottom) - max(start, top)) > 0:
            entries[text] = parts[text]
            weights.append(thickness)
    if abs(sum(weights) - (bottom - top)) > 1e-6:
        raise InputError(
            Finding(
                f"{', '.join(intervals)} cm cover {sum(weights):g} of the {bottom - top:g} cm "
                f"between {top:g} and {bottom:g}; add the layers that are missing, or change `depth`",
                f"covariates.{name}.layers",
            )
        )
    return entries, tuple(weights)
