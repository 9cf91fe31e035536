"""Attributes of a site as a whole: place, vegetation, soil type, and covariates measured there."""

from collections.abc import Collection, Iterable

import pandas as pd

from engine.errors import Finding
from engine.formatting import doing
from pipelines.soil_carbon.profiles.layers import thickness_within

ATTRIBUTES = ("lon", "lat", "vegetation", "soil_type", "source")


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
        `site, lon, lat, vegetation, soil_type, <measured>, source`, sorted by site.
    """
    by_site = records.groupby("site")
    sites = by_site[list(ATTRIBUTES)].first()
    extra = [column for column in dict.fromkeys(measured) if column not in ("site", *ATTRIBUTES)]
    for column in extra:
        sites[column] = by_site[column].first() if column in classes else _site_value(records, column, first)
    return sites.reset_index()[["site", "lon", "lat", "vegetation", "soil_type", *extra, "source"]]


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
