"""Whether the sites stand for the region, or lie on richer or poorer ground than the rest of their zones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.mapping.blockwise import MapTotals
from pipelines.runfile.schema import TOTAL


def representativeness_table(
    predicted: np.ndarray, zone: np.ndarray, totals: MapTotals, zones: Sequence[str]
) -> pd.DataFrame:
    """Compare what the map says where the sites are, by replicates that did not see them, with what it says elsewhere.

    Zones may well hold more sites than their share of the area, so that the region's row is the mean of the zones'
    shifts, weighted by their sites. Without zones it is the shift itself.

    Parameters
    ----------
    predicted : ndarray, shape (sites,)
        Mean of the replicates that did not see the site, of the modelled output; NaN where all did.
    zone : ndarray of str, shape (sites,)
        Of the sites; empty where a site is in none.
    totals : MapTotals
        Of all mapped cells.
    zones : sequence of str

    Returns
    -------
    DataFrame
        `zone, sites, at_sites, of_map, map_sd` (units of the map) and `shift`, (at_sites − of_map) / map_sd; NaN where
        a zone has no site, or does not vary. The region comes last, as zone `total`.
    """
    rows = []
    names = (*zones, TOTAL)
    for place, name in enumerate(names):
        here = predicted[np.isfinite(predicted) & ((zone == name) | (name == TOTAL))]
        area, mean, square = totals.area[place], totals.mean[0, place], totals.square[0, place]
        of_map = mean / area if area else np.nan
        sd = float(np.sqrt(max(square / area - of_map**2, 0))) if area else np.nan
        at_sites = here.mean() if len(here) else np.nan
        shift = (at_sites - of_map) / sd if sd else np.nan
        rows.append((name, len(here), at_sites, of_map, sd, shift))
    table = pd.DataFrame(rows, columns=["zone", "sites", "at_sites", "of_map", "map_sd", "shift"])
    known = table.iloc[:-1].dropna(subset="shift")
    if len(zones):
        pooled = np.average(known["shift"], weights=known["sites"]) if len(known) else np.nan
        table.loc[table.index[-1], "shift"] = pooled
    return table
