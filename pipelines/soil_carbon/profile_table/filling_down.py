"""Filling down: values on a site's first row only count for all of its rows."""

import pandas as pd

from engine.errors import Finding
from engine.formatting import counted

PLACE = ("lon", "lat")
ALSO = ("vegetation", "soil_type", "source")


def fill_down(frame: pd.DataFrame, attributes: bool = True) -> tuple[pd.DataFrame, list[Finding]]:
    """Fill empty coordinates, and empty attributes of which a site has a single one, from the site's other rows.

    Parameters
    ----------
    frame : DataFrame
        Under default names; `lon`, `lat` are numbers.
    attributes : bool
        Also `vegetation`, `soil_type` and `source`.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
        What was filled in how many rows.
    """
    if "site" not in frame:
        return frame, []
    done: list[str] = []
    filled: dict[str, pd.Series] = {}
    by_site = frame.groupby("site", sort=False)
    if set(PLACE) <= set(frame):
        empty = frame["lon"].isna() & frame["lat"].isna() & frame["site"].notna()
        given = frame[frame["lon"].notna() & frame["lat"].notna()].drop_duplicates("site").set_index("site")
        lon, lat = (frame["site"].map(given[axis]) for axis in PLACE)
        known = empty & lon.notna()
        if known.any():
            filled |= {"lon": frame["lon"].where(~known, lon), "lat": frame["lat"].where(~known, lat)}
            done.append(f"coordinates in {counted(int(known.sum()), 'row')}")
    for column in ALSO if attributes else ():
        if column not in frame or not frame[column].isna().any():
            continue
        single = by_site[column].transform("nunique") == 1
        value = by_site[column].transform("first")
        known = frame[column].isna() & single & value.notna()
        if known.any():
            filled[column] = frame[column].where(~known, value)
            done.append(f"{column} in {counted(int(known.sum()), 'row')}")
    notes = [Finding.note(f"Filled from other rows of the same site: {', '.join(done)}.")] if done else []
    return frame.assign(**filled), notes
