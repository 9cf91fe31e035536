"""Places of the sites: coordinates in range, not swapped, one place per site, some inside the domain."""

from collections.abc import Collection

import pandas as pd

from engine.errors import Finding
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.checks import SHOWN, Problems
from pipelines.soil_carbon.profiles.misplaced import SWAPPED, Bounds, describe, find_slip, inside, minutes_as_decimals

SAME_PLACE = 1e-4
"""Degrees, some 10 m: records of one site may differ by as much."""

WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)


def check_places(
    frame: pd.DataFrame, problems: Problems, bounds: Bounds | None, sure_of: Collection[str] = ()
) -> list[Finding]:
    """Check the places of the sites.

    Parameters
    ----------
    frame : DataFrame
        Records with `site`, `lon`, `lat` (degrees).
    problems : Problems
        Takes what is wrong: out of range, swapped, one site at two places, none in the domain.
    bounds : tuple of float, optional
        West, south, east, north of the domain, degrees.
    sure_of : collection of str
        Columns that are right against all signs: no slip is looked for in `lon` or `lat` that are among them.

    Returns
    -------
    list of Finding
        Notes on sites outside the domain.
    """
    placed = frame["lon"].notna() & frame["lat"].notna()
    located = frame[placed & frame["site"].notna()]
    sites = located.drop_duplicates("site").sort_values("site")
    if sites.empty:
        return []
    within, swapped = inside(sites["lon"], sites["lat"], bounds or WORLD), _swapped(sites, bounds)
    if 2 * swapped.sum() > len(sites):
        first = sites[swapped].iloc[0]
        area = "the domain" if bounds else "the range of degrees"
        problems.report(
            f"{problems.table.path}: lon and lat look swapped: {swapped.sum()} of {len(sites)} sites lie outside "
            f"{area} but inside it the other way round, e.g. site {first['site']} at lon {first['lon']:g}, lat "
            f"{first['lat']:g}. Swap the two columns."
        )
        return []
    slip = None if bounds is None or {"lon", "lat"} & set(sure_of) else find_slip(sites, bounds)
    # One problem that explains them all is said below, rather than one for every row.
    explained = set(sites["site"][slip.found]) if slip and slip.sure and not problems.drop else set()
    on_globe = inside(frame["lon"], frame["lat"], WORLD)
    _check_range(frame[placed & ~on_globe & ~frame["site"].isin(explained)], problems)
    _check_one_place(located[on_globe[located.index]], problems)
    if bounds is None:
        return []
    hint = describe(slip, sites, lambda row: f"{problems.table.counted} {row}") if slip else ""
    if not within.any():
        problems.report(
            f"{problems.table.path}: none of the {len(sites)} sites lies in the domain, lon {bounds[0]:g} to "
            f"{bounds[2]:g}, lat {bounds[1]:g} to {bounds[3]:g}; they span lon {sites['lon'].min():g} to "
            f"{sites['lon'].max():g}, lat {sites['lat'].min():g} to {sites['lat'].max():g}."
            + (f" {hint}." if hint else "")
        )
        return []
    notes = [] if {"lon", "lat"} & set(sure_of) else _minutes_note(sites)
    if not within.all():
        lost = f"{(~within).sum()} of {len(sites)} sites lie outside the domain's bounds"
        if slip and slip.sure:
            problems.report(f"{problems.table.path}: {lost}; {hint}.")
            return []
        notes.append(Finding.note(f"{lost}."))
    if slip and slip.change != SWAPPED:
        notes.append(Finding.warning(f"{hint}."))
    elif swapped.any():
        notes.append(
            Finding.warning(
                f"{counted(swapped.sum(), 'site')} outside the domain would lie inside with lon and lat swapped: "
                f"{', '.join(sites['site'][swapped].head(SHOWN))}"
            )
        )
    return notes


def _minutes_note(sites: pd.DataFrame) -> list[Finding]:
    if not minutes_as_decimals(sites):
        return []
    first = sites.iloc[0]
    return [
        Finding.warning(
            "`lon` and `lat` may be degrees, minutes and seconds behind one point (121.3015 for 121°30'15\"): no "
            f"two decimals of any of {len(sites)} sites reach 60, e.g. site {first['site']} at lon {first['lon']:g}, "
            f"lat {first['lat']:g}. If so, write 121°30'15\" or decimal degrees; if not, `observations.sure_of: [lon, "
            "lat]`."
        )
    ]


def _swapped(sites: pd.DataFrame, bounds: Bounds | None) -> "pd.Series[bool]":
    """Return sites outside the domain (without one: the range of degrees) that lie inside with lon and lat swapped."""
    area = bounds or WORLD
    return ~inside(sites["lon"], sites["lat"], area) & inside(sites["lat"], sites["lon"], area)


def _check_range(outside: pd.DataFrame, problems: Problems) -> None:
    def describe(row: "pd.Series") -> str:
        lon, lat = row["lon"], row["lat"]
        if max(abs(lon), abs(lat)) > 360:
            hint = " Projected coordinates? Say which: `crs: EPSG:…` under `observations`."
        elif abs(lat) > 90 and abs(lon) <= 90 and abs(lat) <= 180:
            hint = " Swapped?"
        else:
            hint = " East of 180° is negative: subtract 360 from lon." if 180 < lon <= 360 else ""
        return f"lon {lon:g}, lat {lat:g}; expected degrees, lon −180 to 180 and lat −90 to 90.{hint}"

    problems.add_rows("lon or lat out of range", outside, describe, "lon")


def _check_one_place(frame: pd.DataFrame, problems: Problems) -> None:
    first = frame.groupby("site")[["lon", "lat"]].transform("first")
    apart = ((frame[["lon", "lat"]] - first).abs() > SAME_PLACE).any(axis=1)
    moved = frame.assign(first_lon=first["lon"], first_lat=first["lat"])[apart].drop_duplicates("site")
    problems.add_rows(
        "one site at two places",
        moved,
        lambda row: (
            f"at lon {row['lon']:.5f}, lat {row['lat']:.5f}, but before at lon {row['first_lon']:.5f}, lat "
            f"{row['first_lat']:.5f}; expected one place per site: correct it, or give the two sites two names"
        ),
        droppable=False,
    )
