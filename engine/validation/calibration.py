"""Calibration of predictive distributions at held-out sites: coverage below, inside and above, and proper scores.

Schmidinger, J. & Heuvelink, G.B.M. (2023): Validation of uncertainty predictions in digital soil mapping. Geoderma
437:116585, doi 10.1016/j.geoderma.2023.116585.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.validation.interval_coverage import HeldOutDistributions
from engine.validation.predictive import METHODS, PROBABILITIES
from engine.validation.scoring_rules import crps, interval_score, pit

JUDGED = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal levels of the table."""
CORE = "core"
"""Support: a held-out observation against the distribution of a new observation at its place."""
FEWEST = 10
"""Sites of a group below which its shares are not judged: one observation is then more than 10 points."""
PARTS = 5
"""Parts of equal size that predictions and dissimilarities are divided into."""
ALL = "all"


@dataclass(frozen=True)
class _Group:
    """Held-out observations that are judged together: what divides them, a name, the range, and which they are."""

    by: str
    name: str
    ends: tuple[float, float]
    mask: np.ndarray


@dataclass(frozen=True)
class AtSites:
    """Properties of the sites that groups are made by.

    Attributes
    ----------
    names : ndarray of str, shape (sites,)
        Of the sites.
    zone : ndarray of str, shape (sites,)
        Empty where there is none.
    dissimilarity : mapping
        Scheme → of each held-out site from the nearest site of the training folds, shape (repeats, sites).
    """

    names: np.ndarray
    zone: np.ndarray
    dissimilarity: Mapping[str, np.ndarray]


def calibration_table(found: HeldOutDistributions, at: AtSites, outputs: Sequence[str]) -> pd.DataFrame:
    """Judge all methods, in groups of sites.

    Returns
    -------
    DataFrame
        One row per method, scheme, depth, group and level: `method, scheme, depth, support, by, group, group_lower,
        group_upper, nominal, below, inside, above, se, n, sites, judged, width, interval_score, crps`. `n` counts
        observations over the repeats, `sites` each site once; `se` is the standard error of `inside` if intervals are
        honest and sites independent. `crps` belongs to the group and is the same in all its rows.
    """
    rows = []
    for scheme, k, output, known in _parts(found, outputs):
        target = np.broadcast_to(found.observed[:, k], known.shape)[known]
        site = np.broadcast_to(np.arange(known.shape[1]), known.shape)[known]
        groups = list(_groups(found.mean[scheme][:, k][known], at, scheme, site, known))
        for method, values in zip(METHODS, found.quantiles[scheme], strict=True):
            scores = _Scores.of(values[:, :, k][:, known], target)
            names = {"method": method, "scheme": scheme, "depth": output, "support": CORE}
            for group in groups:
                rows += [names | row for row in scores.rows(group, len(np.unique(site[group.mask])))]
    return pd.DataFrame(rows)


def pit_table(found: HeldOutDistributions, at: AtSites, outputs: Sequence[str]) -> pd.DataFrame:
    """Tabulate the PIT of every held-out observation.

    Returns
    -------
    DataFrame
        `method, scheme, depth, repeat, site, zone, observed, predicted, dissimilarity, pit, pit_lower, pit_upper`. The
        PIT is a range where the observation lies beyond the outermost quantiles or equals several, see `pit`; `pit` is
        its middle.
    """
    tables = []
    for scheme, k, output, known in _parts(found, outputs):
        repeat, site = np.nonzero(known)
        target = found.observed[site, k]
        facts = {
            "scheme": scheme,
            "depth": output,
            "repeat": repeat,
            "site": at.names[site],
            "zone": at.zone[site],
            "observed": target,
            "predicted": found.mean[scheme][:, k][known],
            "dissimilarity": at.dissimilarity[scheme][known],
        }
        for method, values in zip(METHODS, found.quantiles[scheme], strict=True):
            lower, upper = pit(values[:, :, k][:, known], PROBABILITIES, target)
            ends = {"pit": (lower + upper) / 2, "pit_lower": lower, "pit_upper": upper}
            tables.append(pd.DataFrame({"method": method, **facts, **ends}))
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class _Scores:
    """Scores of one method at observations, shape (levels, observations) each but the CRPS."""

    below: np.ndarray
    above: np.ndarray
    width: np.ndarray
    interval: np.ndarray
    crps: np.ndarray

    @classmethod
    def of(cls, quantiles: np.ndarray, target: np.ndarray) -> "_Scores":
        lower, upper = (quantiles[[_position(0.5 + side * level / 2) for level in JUDGED]] for side in (-1, 1))
        intervals = [interval_score(lower[i], upper[i], target, level) for i, level in enumerate(JUDGED)]
        below, above, width = target < lower, target > upper, upper - lower
        return cls(below, above, width, np.stack(intervals), crps(quantiles, PROBABILITIES, target))

    def rows(self, group: _Group, sites: int) -> Iterator[dict[str, object]]:
        """Return a row per level."""
        mask = group.mask
        below, above, width, interval = (
            values[:, mask].mean(axis=1) for values in (self.below, self.above, self.width, self.interval)
        )
        for i, level in enumerate(JUDGED):
            yield {
                "by": group.by,
                "group": group.name,
                "group_lower": group.ends[0],
                "group_upper": group.ends[1],
                "nominal": level,
                "below": below[i],
                "inside": 1 - below[i] - above[i],
                "above": above[i],
                "se": np.sqrt(level * (1 - level) / sites),
                "n": int(mask.sum()),
                "sites": sites,
                "judged": sites >= FEWEST,
                "width": width[i],
                "interval_score": interval[i],
                "crps": self.crps[mask].mean(),
            }


def _parts(found: HeldOutDistributions, outputs: Sequence[str]) -> Iterator[tuple[str, int, str, np.ndarray]]:
    """Return scheme, output, and where it was observed, shape (repeats, sites)."""
    for scheme, folds in found.folds.items():
        for k, output in enumerate(outputs):
            known = np.broadcast_to(np.isfinite(found.observed[:, k]), folds.shape)
            if known.any():
                yield scheme, k, output, known


def _groups(predicted: np.ndarray, at: AtSites, scheme: str, site: np.ndarray, known: np.ndarray) -> Iterator[_Group]:
    """Return all observations, each zone, and the fifths."""
    nowhere = (np.nan, np.nan)
    yield _Group(ALL, ALL, nowhere, np.ones(len(site), bool))
    zone = at.zone[site]
    for name in sorted(set(zone) - {""}):
        yield _Group("zone", name, nowhere, zone == name)
    for by, values in (("predicted", predicted), ("dissimilarity", at.dissimilarity[scheme][known])):
        edges = np.quantile(values, np.linspace(0, 1, PARTS + 1))
        part = np.searchsorted(edges[1:-1], values, side="left")
        for number in np.unique(part):
            mask = part == number
            yield _Group(by, f"{number + 1} of {PARTS}", (values[mask].min(), values[mask].max()), mask)


def _position(probability: float) -> int:
    return int(np.abs(PROBABILITIES - probability).argmin())
