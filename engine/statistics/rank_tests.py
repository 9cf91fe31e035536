"""Rank tests of differences between groups. Dunn's test after Kruskal–Wallis, and the letters that sum it up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from string import ascii_letters

import numpy as np
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class Dunn:
    """Dunn's test of every pair of groups.

    Attributes
    ----------
    mean_rank : ndarray, shape (groups,)
        Of the values of each group among all values.
    pairs : ndarray of int, shape (pairs, 2)
        Positions of the groups.
    z : ndarray, shape (pairs,)
        Difference of the mean ranks, first less second, over its standard error.
    p, p_adjusted : ndarray, shape (pairs,)
        Two-sided; adjusted by Holm (1979).
    """

    mean_rank: np.ndarray
    pairs: np.ndarray
    z: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray


def dunn(values: np.ndarray, group: np.ndarray, groups: int) -> Dunn:
    """Compute Dunn's (1964) test with his correction for ties, from one ranking and a rank sum per group.

    Parameters
    ----------
    values : ndarray, shape (n,)
    group : ndarray of int, shape (n,)
        0 … groups − 1; every group has at least one value.

    Raises
    ------
    ValueError
        If a group is empty, or all values are the same.
    """
    n = len(values)
    sizes = np.bincount(group, minlength=groups)
    ranks = rankdata(values)
    ties = np.unique(ranks, return_counts=True)[1].astype("float64")
    variance = n * (n + 1) / 12 - np.sum(ties**3 - ties) / (12 * (n - 1)) if n > 1 else 0.0
    if not sizes.all() or len(ties) < 2:
        raise ValueError(f"Dunn's test needs values in every group, not all the same; group sizes are {sizes.tolist()}")
    mean_rank = np.bincount(group, ranks, minlength=groups) / sizes
    pairs = np.array(list(combinations(range(groups), 2)), int).reshape(-1, 2)
    first, second = pairs.T
    z = (mean_rank[first] - mean_rank[second]) / np.sqrt(variance * (1 / sizes[first] + 1 / sizes[second]))
    p = two_sided(z)
    return Dunn(mean_rank, pairs, z, p, holm(p))


def two_sided(z: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of standard normal deviates."""
    return 2 * norm.sf(np.abs(z))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values, shape (n,), by Holm's (1979) step-down method: keeps the chance of any false alarm."""
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def compact_letters(groups: Sequence[str], significant: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return letters such that two groups share one exactly if they do not differ significantly.

    By insertion and absorption: Piepho (2004), Journal of Computational and Graphical Statistics 13: 456–466.

    Parameters
    ----------
    groups : sequence of str
        In the order that letters are given in, e.g. highest first.
    significant : iterable of (str, str)
        Pairs that differ.

    Returns
    -------
    dict
        Group → letters, in the order of the groups.
    """
    columns = [frozenset(groups)]
    for a, b in significant:
        together = [column for column in columns if {a, b} <= column]
        inserted = {column - {zone} for column in together for zone in (a, b)}.union(columns).difference(together)
        columns = [column for column in inserted if not any(column < other for other in inserted)]
    place = {group: position for position, group in enumerate(groups)}
    columns.sort(key=lambda column: sorted(place[group] for group in column))
    letters = dict(zip(columns, _letters(), strict=False))
    return {group: "".join(letters[column] for column in columns if group in column) for group in groups}


def _letters() -> Iterable[str]:
    """Yield small letters, capitals, then those with primes."""
    return (letter + "′" * primes for primes in count() for letter in ascii_letters)
