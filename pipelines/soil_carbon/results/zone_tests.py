"""Tests of differences in carbon density between zones. `zone_differences.csv` (the study's step 8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, kruskal

from engine.errors import Finding
from engine.mapping.map_sample import CellSample, thin
from engine.statistics.rank_tests import Dunn, compact_letters, dunn, holm, two_sided
from engine.statistics.variogram import fit_variogram

CELLS = 1_000_000
"""Cells to draw for the tests at most."""
THINNINGS = 49
CANDIDATES = 20_000
"""Cells, drawn at random, that each thinning chooses from."""
SIGNIFICANCE = 0.05
ALL, THINNED = "all", "thinned"
EVERY = "*"
"""Stands for all zones in the row of the Kruskal–Wallis test."""
_FEWEST = 2
_COLUMNS = [
    "depth", "cells", "zone_a", "zone_b", "n_a", "n_b", "statistic", "z", "p", "p_adjusted", "letters_a", "letters_b",
    "apart_km",
]  # fmt: skip


@dataclass(frozen=True)
class ZoneTests:
    """Tests between zones.

    Attributes
    ----------
    table : DataFrame
        Per depth and kind of `cells` (all, thinned) a row of Kruskal–Wallis, with zone_a and zone_b `*`, n_a cells in
        n_b zones, H as `statistic` and its p; then Dunn's test of each pair: `zone_a, zone_b, n_a, n_b, z, p,
        p_adjusted` (Holm) and the compact letters of both zones (5 %; the zone with the highest mean rank has `a`).
        `apart_km`: distance that the cells are at least apart; 0 for all.
    notes : tuple of Finding
        What the tests were made on, and zones that were left out.
    """

    table: pd.DataFrame
    notes: tuple[Finding, ...]


def zone_differences(
    cells: CellSample, zones: Sequence[str], depths: Sequence[str], rng: np.random.Generator
) -> ZoneTests:
    """Test on all cells, and on cells thinned beyond the range of spatial correlation.

    Neighbouring cells tell nearly the same, so that a map of many cells makes any difference significant. The range is
    that of the variogram of the density within zones (the cells' departures from their zone's mean), the longest among
    the depths. Cells are taken at random such that no two are nearer than it. Where few are left, chance would decide
    on the outcome: this is done 49 times, and sizes, H and z are medians over the thinnings. Their p-values are those
    of a single thinning with these statistics, which is cautious: a median varies less than a single draw.

    Parameters
    ----------
    cells : CellSample
        Densities of the depths, kg C/m².
    zones : sequence of str
        Names of the zone codes 1, 2, …
    """
    if len(zones) < 2:
        return ZoneTests(
            pd.DataFrame(columns=_COLUMNS), (Finding.note("Fewer than two zones: there is nothing to test."),)
        )
    inside = cells.zone > 0
    zone = cells.zone[inside].astype(int) - 1
    lon, lat, values = cells.lon[inside], cells.lat[inside], cells.values[:, inside].astype("float64")
    apart_km, notes = _range_within_zones(lon, lat, values, zone, depths, rng)
    if not cells.is_whole:
        drawn = f"{len(cells.lon):,} cells were drawn at random from {cells.mapped:,} mapped ones"
        notes.insert(0, Finding.note(f"Tests between zones: {drawn}."))
    everything = [np.arange(zone.size)]
    thinned = everything
    if apart_km > 0:
        among = [rng.permutation(zone.size)[:CANDIDATES] for _ in range(THINNINGS)]
        thinned = [rows[thin(lon[rows], lat[rows], apart_km, rng)] for rows in among]
        size = np.median([len(rows) for rows in thinned])
        notes.append(
            Finding.note(f"Thinned to cells at least {apart_km:.0f} km apart: {size:,.0f} cells, {THINNINGS} times.")
        )
    tables = []
    for kind, samples, apart in ((ALL, everything, 0.0), (THINNED, thinned, apart_km)):
        tested, usable, problems = _testable([zone[rows] for rows in samples], zones)
        notes += [Finding.note(f"Tests between zones, {kind} cells: {problem}") for problem in problems]
        if len(tested) < 2 or not usable.any():
            continue
        taken = [rows[np.isin(zone[rows], tested)] for rows, use in zip(samples, usable, strict=True) if use]
        names = [zones[int(z)] for z in tested]
        for depth, density in zip(depths, values, strict=True):
            groups = [(density[rows], np.searchsorted(tested, zone[rows])) for rows in taken]
            if any(np.ptp(of_group) == 0 for of_group, _ in groups):
                notes.append(
                    Finding.note(f"{depth} cm, {kind} cells: the same density in every cell; there is nothing to test.")
                )
                continue
            tables.append(pd.DataFrame(_rows(groups, names)).assign(depth=depth, cells=kind, apart_km=apart))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return ZoneTests(table.reindex(columns=_COLUMNS), tuple(notes))


def letters(table: pd.DataFrame, depth: str, cells: str) -> dict[str, str]:
    """Return compact letters of zones, from `zone_differences.csv`; empty if no two zones were tested."""
    pairs = table[(table["depth"] == depth) & (table["cells"] == cells) & (table["zone_a"] != EVERY)]
    return dict(zip(pairs["zone_a"], pairs["letters_a"], strict=True)) | dict(
        zip(pairs["zone_b"], pairs["letters_b"], strict=True)
    )


def _range_within_zones(
    lon: np.ndarray,
    lat: np.ndarray,
    values: np.ndarray,
    zone: np.ndarray,
    depths: Sequence[str],
    rng: np.random.Generator,
) -> tuple[float, list[Finding]]:
    """Return the longest range among the depths, km, and how each was found."""
    sizes = np.maximum(np.bincount(zone), 1)
    variograms = [fit_variogram(lon, lat, v - (np.bincount(zone, v) / sizes)[zone], rng) for v in values]
    notes = [Finding.note(f"{d} cm within zones: {variogram}") for d, variogram in zip(depths, variograms, strict=True)]
    return max(variogram.range_km for variogram in variograms), notes


def _testable(samples: Sequence[np.ndarray], zones: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return zones with two cells or more in the median sample, samples with a cell of each, and problems."""
    sizes = np.stack([np.bincount(sample, minlength=len(zones)) for sample in samples])
    medians = np.median(sizes, axis=0)
    tested = np.flatnonzero(medians >= _FEWEST)
    problems = [
        f"{name} has {'one cell' if medians[z] >= 1 else 'no cell'} and is left out."
        for z, name in enumerate(zones)
        if medians[z] < _FEWEST
    ]
    usable = np.asarray(sizes[:, tested].all(axis=1))
    if len(tested) < 2:
        problems.append("fewer than two zones are left; there is nothing to test.")
    elif not usable.all():
        problems.append(f"{(~usable).sum()} of {len(samples)} thinnings lack a zone and are not used.")
    return tested, usable, problems


def _rows(samples: Sequence[tuple[np.ndarray, np.ndarray]], names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield rows of the tests: medians over samples of values and their groups."""
    sizes = np.median([np.bincount(group) for _, group in samples], axis=0).astype(int)
    h = float(np.median([_kruskal(values, group) for values, group in samples]))
    p = chi2.sf(h, len(names) - 1)
    total = int(np.median([len(values) for values, _ in samples]))
    yield {"zone_a": EVERY, "zone_b": EVERY, "n_a": total, "n_b": len(names), "statistic": h, "p": p}
    tests = [dunn(values, group, len(names)) for values, group in samples]
    z = np.median([test.z for test in tests], axis=0)
    p_pairs = two_sided(z)
    adjusted = holm(p_pairs)
    shown = _letters(tests, adjusted < SIGNIFICANCE, names)
    for (a, b), *numbers in zip(tests[0].pairs, z, p_pairs, adjusted, strict=True):
        pair = {"zone_a": names[a], "zone_b": names[b], "n_a": sizes[a], "n_b": sizes[b]}
        yield pair | dict(zip(("z", "p", "p_adjusted"), numbers, strict=True)) | {
            "letters_a": shown[names[a]], "letters_b": shown[names[b]],
        }  # fmt: skip


def _kruskal(values: np.ndarray, group: np.ndarray) -> float:
    return float(kruskal(*(values[group == g] for g in range(group.max() + 1))).statistic)


def _letters(tests: Sequence[Dunn], significant: np.ndarray, names: Sequence[str]) -> dict[str, str]:
    mean_rank = np.median([test.mean_rank for test in tests], axis=0)
    ranking = [names[int(g)] for g in np.argsort(-mean_rank, kind="stable")]
    return compact_letters(ranking, [(names[a], names[b]) for a, b in tests[0].pairs[significant]])
