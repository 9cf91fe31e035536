"""Attributes of a site as a whole: place, vegetation, soil type, and covariates measured there."""

from collections.abc import Collection, Iterable

import pandas as pd

from engine.errors import Finding
from engine.formatting import doing
from pipelines.soil_carbon.profiles.layers import thickness_within

ATTRIBUTES = ("lon", "lat", "vegetation", "soil_type", "source")
POSITION_ERROR = "position_error"
"""Column of the SD of either coordinate, m; in the table of sites where the records have it."""


def site_attributes(
    records: pd.DataFrame, measured: Iterable[str], first: tuple[float, float], classes: Collection[str] = ()
) -> pd.DataFrame:
    """Return one row per site.

    Place, vegetation, soil type and source are those of the site's shallowest record that has them. A measured
    covariate is the thickness-weighted mean of the layers within the first target depth that have a value; where none
    has, the value of the shallowest layer that does. A class is that of the shallowest layer that has one. A table of
    densities has one value per site, taken as it is.

    Parameters
    ----------
    records : DataFrame
        Layers sorted by `site` and `top`, or one row per site without `top`.
    measured : iterable of str
        Columns of covariates measured at the sites.
    first : (float, float)
        The first target depth, cm.
    classes : collection of str
        Those of `measured` that hold classes rather than numbers.

    Returns
    -------
    DataFrame
        `site, lon, lat, vegetation, soil_type, <measured>, source`, sorted by site; `position_error` before `source`
        where some record has one: that of the shallowest record that does.
    """
    by_site = records.groupby("site")
    sites = by_site[list(ATTRIBUTES)].first()
    extra = [column for column in dict.fromkeys(measured) if column not in ("site", *ATTRIBUTES, POSITION_ERROR)]
    for column in extra:
        sites[column] = by_site[column].first() if column in classes else _site_value(records, column, first)
    if POSITION_ERROR in records and records[POSITION_ERROR].notna().any():
        sites[POSITION_ERROR] = by_site[POSITION_ERROR].first()
        extra.append(POSITION_ERROR)
    return sites.reset_index()[["site", "lon", "lat", "vegetation", "soil_type", *extra, "source"]]


def about_positions(sites: pd.DataFrame, drawn: bool) -> list[Finding]:
    """Note how far places are off, where the table says so, and whether places are drawn."""
    if POSITION_ERROR not in sites or not (sites[POSITION_ERROR] > 0).any():
        return []
    errors = sites[POSITION_ERROR]
    off = errors[errors > 0]
    what = "each replicate draws places about them" if drawn else "places are taken as they are"
    return [
        Finding.note(
            f"{doing(len(off), 'site', 'has')} a position error, {off.median():.3g} m (median SD), at most "
            f"{off.max():.3g} m: {what}. {int(errors.isna().sum())} of {len(errors)} sites give none."
        )
    ]


def disagreements(records: pd.DataFrame) -> list[Finding]:
    """Warn of sites whose records name more than one vegetation or soil type."""
    notes = []
    for column in ("vegetation", "soil_type"):
        several = records.groupby("site")[column].nunique() > 1
        if several.any():
            shown = ", ".join(several.index[several][:10])
            notes.append(
                Finding.warning(
                    f"{doing(several.sum(), 'site', 'names')} more than one {column}; the shallowest counts: {shown}"
                )
            )
    return notes


def _site_value(records: pd.DataFrame, column: str, first: tuple[float, float]) -> "pd.Series[float]":
    having = records[records[column].notna()]
    shallowest = having.groupby("site")[column].first()
    if "top" not in having:
        return shallowest
    thickness = thickness_within(having, *first)
    sums = having.assign(weighted=having[column] * thickness, thickness=thickness).groupby("site")
    within = sums["weighted"].sum() / sums["thickness"].sum().where(lambda total: total > 0)
    return within.fillna(shallowest)
