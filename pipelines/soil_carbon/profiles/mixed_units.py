"""Tables that are in two units: by source, or site by site."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import pandas as pd
from sklearn.mixture import GaussianMixture

from engine.formatting import counted
from pipelines.soil_carbon.profile_table.table import ObservationTable
from pipelines.soil_carbon.profiles.carbon_units import FEWEST, distance_from_typical
from pipelines.soil_carbon.profiles.unit_guards import EXAMPLES, Sign

SOURCE_LAYERS = 20
"""Layers of one source from which what it says is sure."""
FEWEST_SITES = 15
"""Sites from which two groups can be told apart."""
LEAST_SHARE = 0.1
"""Of the sites, that the smaller group has; fewer are the tail that any set of soils has."""
TEN_TIMES = (0.8, 1.2)
"""Decades between the groups' means that a factor of ten leaves."""
EVIDENCE = 10.0
"""By which two groups must be better than one (Bayesian information criterion)."""
SHALLOW = 3.0
"""cm: a profile that ends above and has bounds between whole numbers is likely in m."""

_ADVICE = re.compile(r"; (?:if so, )?(?:write|correct) `observations")


def mixed_signs(
    table: ObservationTable,
    records: pd.DataFrame,
    whole: Sequence[Sign],
    judge: Callable[[pd.DataFrame], list[Sign]],
    som_to_soc: float,
) -> list[Sign]:
    """Judge parts of a table by themselves.

    A column that is suspect as a whole is passed over.

    Parameters
    ----------
    table : ObservationTable
        For messages.
    records : DataFrame
        Numbers as the pipeline takes them.
    whole : sequence of Sign
        Of the table as a whole.
    judge : callable
        Signs of some of the records.
    som_to_soc : float
        Carbon's share of organic matter.

    Returns
    -------
    list of Sign
    """
    known = {column for sign in whole for column in sign.columns}
    signs = [s for s in _by_source(records, judge, som_to_soc) if not known & set(s.columns)]
    known |= set(chain.from_iterable(sign.columns for sign in signs))
    if not {"top", "bottom"} <= set(records):
        return signs
    if not {"soc", "som", "bulk_density"} & known:
        signs += _carbon_by_site(table, records, som_to_soc)
    if not {"top", "bottom"} & known:
        signs += _shallow_sites(table, records)
    return signs


def _by_source(records: pd.DataFrame, judge: Callable[[pd.DataFrame], list[Sign]], som_to_soc: float) -> Iterator[Sign]:
    if "source" not in records or records["source"].nunique() < 2:
        return
    for source, rows in records.groupby("source"):
        if len(rows) < FEWEST:
            continue
        others = records.drop(rows.index)
        for sign in judge(rows):
            sure = sign.sure and len(rows) >= SOURCE_LAYERS
            if sure or _is_worth_a_doubt(sign, rows, others, som_to_soc):
                what = _ADVICE.split(sign.text, maxsplit=1)[0].rstrip(".")
                text = f"in source {source}, {what}. Convert these rows, since the others are in another unit."
                yield Sign(sign.columns, sure, text)


def _is_worth_a_doubt(sign: Sign, rows: pd.DataFrame, others: pd.DataFrame, som_to_soc: float) -> bool:
    """Return whether a part of the table that looks odd also differs from the rest of it."""
    if sign.columns == ("coarse_fragments",):
        part = rows["coarse_fragments"]
        broken = part[(part > 0) & (part < 1)]
        return sign.sure or (len(broken) >= FEWEST and broken.nunique() > 1 and others["coarse_fragments"].max() > 1)
    if {"soc", "som"} & set(sign.columns) and "top" in rows:
        one, other = (distance_from_typical(part, som_to_soc).median() for part in (rows, others))
        return bool(abs(one - other) >= TEN_TIMES[0]) or not np.isfinite(other)
    return True


def _carbon_by_site(table: ObservationTable, layers: pd.DataFrame, som_to_soc: float) -> Iterator[Sign]:
    """Yield two groups of sites, in one of which soils of the same bulk density hold ten times as much."""
    apart = distance_from_typical(layers[layers["bulk_density"].notna()], som_to_soc).dropna()
    by_site = apart.groupby(layers["site"].reindex(apart.index)).mean()
    if len(by_site) < FEWEST_SITES:
        return
    values = by_site.to_numpy()[:, None]
    one, two = (
        GaussianMixture(n, covariance_type="tied", n_init=3, random_state=0, reg_covar=1e-3).fit(values) for n in (1, 2)
    )
    between = float(np.ptp(two.means_))
    if not (
        TEN_TIMES[0] <= between <= TEN_TIMES[1]
        and two.weights_.min() >= LEAST_SHARE
        and one.bic(values) - two.bic(values) > EVIDENCE
    ):
        return
    low = by_site[two.predict(values) == int(np.argmin(two.means_))]
    column = "soc" if layers["soc"].notna().any() else "som"
    first = layers[layers["site"].isin(low.index) & layers[column].notna()].head(EXAMPLES)
    shown = ", ".join(f"{table.where(row).rpartition(', ')[2]}: {v:g}" for row, v in first[column].items())
    yield Sign(
        (column,),
        False,
        f"{table.column(column)} may be in two units: {counted(len(low), 'site')} of {len(by_site)} hold about a tenth "
        f"of what the others hold at the same bulk density (e.g. {shown}); if these are in %, convert them.",
    )


def _shallow_sites(table: ObservationTable, layers: pd.DataFrame) -> Iterator[Sign]:
    """Yield profiles that end within 3 cm, at broken depths, among others that go on."""
    sound = layers.dropna(subset=["site", "top", "bottom"])
    inner = pd.concat([sound.set_index("site")[c] for c in ("top", "bottom")])
    broken = (inner[inner > 0] % 1 != 0).groupby(level=0).mean()
    deepest = sound.groupby("site")["bottom"].max().reindex(broken.index)
    found = broken.index[(deepest <= SHALLOW) & (broken >= 0.5)]
    if len(found) < 3 or len(found) == len(broken):
        return
    first = sound[sound["site"].isin(found)].iloc[0]
    yield Sign(
        ("top", "bottom"),
        False,
        f"{table.column('top')} and {table.column('bottom')} may be in two units: {len(found)} of {len(broken)} sites "
        f"end within {SHALLOW:g} cm, at broken depths ({table.where(first.name)}: {first['top']:g} to "
        f"{first['bottom']:g}); if these are in m, convert them.",
    )
