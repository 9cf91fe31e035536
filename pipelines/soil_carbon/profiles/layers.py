"""The depths of a profile's layers: downward from the surface, none twice, none overlapping."""

import pandas as pd

from pipelines.soil_carbon.profile_table.checks import Problems

HEIGHTS = ". Where organic layers are counted upwards from the mineral soil, set `depth_zero: mineral`"
TOLERANCE = 1e-6
"""Depths closer than this, in cm, are the same depth."""


def check_layers(layers: pd.DataFrame, problems: Problems) -> None:
    """Add layers upside down, above the surface, listed twice or overlapping another of their site.

    Parameters
    ----------
    layers : DataFrame
        One row per layer with `site`, `top`, `bottom` (cm).
    problems : Problems
        Takes what is wrong.
    """
    top, bottom = layers["top"], layers["bottom"]
    above = (top < 0) | (bottom < 0)
    problems.add_rows(
        "negative depths",
        layers[above],
        lambda row: (
            f"layer {interval(row['top'], row['bottom'])} lies above the surface; expected depths in cm, counted "
            "downward from the surface, that of an organic layer where there is one. Where organic layers lie above "
            "zero, "
            "set `depth_zero: mineral`"
        ),
        droppable=False,
    )
    upside_down = ~above & (top >= bottom)
    # Organic layers counted upwards end at 0: to leave them out would be as wrong as to turn them over.
    upward = upside_down & layers["site"].isin(layers["site"][upside_down & (top > bottom) & (bottom == 0)])
    _check_order(layers[upside_down & ~upward], "", problems)
    _check_order(layers[upward], HEIGHTS, problems)
    sound = layers[~(above | upside_down)].dropna(subset=["site", "top", "bottom"])
    twice = sound.duplicated()
    problems.add_rows(
        "layers listed twice",
        sound[twice],
        lambda row: f"layer {interval(row['top'], row['bottom'])} is an exact copy of an earlier record; delete one",
    )
    _check_overlaps(sound[~twice], problems)


def _check_order(layers: pd.DataFrame, hint: str, problems: Problems) -> None:
    problems.add_rows(
        "top not above bottom",
        layers,
        lambda row: f"top {row['top']:g} is not above bottom {row['bottom']:g}; expected top < bottom in cm{hint}",
        "top",
        droppable=not hint,
    )


def thickness_within(layers: pd.DataFrame, top: float, bottom: float) -> "pd.Series[float]":
    """Return the thickness of each layer's part between `top` and `bottom`, all in cm; 0 for a layer outside."""
    thickness = layers["bottom"].clip(upper=bottom) - layers["top"].clip(lower=top)
    return thickness.where(thickness > TOLERANCE, 0.0)


def interval(top: float, bottom: float) -> str:
    """Format an interval: `0–10 cm`."""
    return f"{top:g}–{bottom:g} cm"


def _check_overlaps(layers: pd.DataFrame, problems: Problems) -> None:
    ordered = layers.rename_axis("row").reset_index().sort_values(["site", "top", "bottom", "row"])
    # The deepest layer so far, not the one before: a thick layer may span several that follow it.
    ordered["deepest"] = ordered.groupby("site")["bottom"].cummax().groupby(ordered["site"]).shift()
    ordered["next"] = ordered.groupby("site")["top"].shift(-1)
    by_row = ordered.set_index("row")
    overlapping = by_row[by_row["top"] < by_row["deepest"] - TOLERANCE].sort_index()

    def describe(row: "pd.Series") -> str:
        others = by_row[(by_row["site"] == row["site"]) & (by_row.index != row.name)]
        crossed = others[(others["top"] < row["bottom"] - TOLERANCE) & (others["bottom"] > row["top"] + TOLERANCE)]
        other = crossed.iloc[0]
        return (
            f"layer {interval(row['top'], row['bottom'])} overlaps layer {interval(other['top'], other['bottom'])} of "
            f"{problems.table.counted} {other.name}; expected layers that follow each other (average repeated samples)"
        )

    if problems.drop:  # neither of two is to be preferred, and the order of rows must not matter
        overlaps = (by_row["top"] < by_row["deepest"] - TOLERANCE) | (by_row["next"] < by_row["bottom"] - TOLERANCE)
        overlapping = by_row[overlaps].sort_index()
    problems.add_rows("overlapping layers", overlapping, describe, "top")
