"""Tables as they are written and read back: their columns bear the target's name, and only a density has stocks.

Within the pipeline columns are called as those of carbon (`socd…`, `stock…_pg`). Stages compute 10⁻⁶ × area × value,
which is Pg where values are in kg/m²; other units of mass per area are converted by `in_pg`. Of what has no stocks, the
mean and its range follow by division.
"""

import pandas as pd

from pipelines.runfile.target import CARBON, Target

_STOCK = {"stock_sd_pg": "sd", "stock_lower_pg": "lower", "stock_upper_pg": "upper"}
"""Column of a stock table → what it is of the mean."""


def named_columns(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Rename columns that begin with `socd` to begin with the target's name."""
    return table.rename(columns=lambda name: _swapped(str(name), CARBON, target.name))


def known_columns(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Reverse `named_columns`."""
    return table.rename(columns=lambda name: _swapped(str(name), target.name, CARBON))


def in_pg(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Convert the stocks of a stage's table to Pg."""
    pg = [column for column in ("stock_pg", "sd_pg", *_STOCK) if column in table]
    return table.assign(**{column: table[column] * (target.kg_per_m2 or 1.0) for column in pg})


def stocks_as_written(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Return a stock table as its file has it.

    Of what has no stocks: `zone, depth, area_km2, NAME_mean, NAME_spatial_sd, NAME_sd, NAME_lower, NAME_upper`, the
    last three of the mean.
    """
    if target.has_stocks:
        return named_columns(table, target)
    weight = table["area_km2"] * target.per_km2
    means = {f"{CARBON}_{kind}": table[column] / weight.where(weight > 0) for column, kind in _STOCK.items()}
    return named_columns(table.drop(columns=["stock_pg", *_STOCK]).assign(**means), target)


def stocks_as_known(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Reverse `stocks_as_written`."""
    table = known_columns(table, target)
    if target.has_stocks:
        return table
    weight = table["area_km2"] * target.per_km2
    back = {column: table[f"{CARBON}_{kind}"] * weight for column, kind in _STOCK.items()}
    stocks = table.assign(stock_pg=table[f"{CARBON}_mean"] * weight, **back)
    return stocks.drop(columns=[f"{CARBON}_{kind}" for kind in _STOCK.values()])


def per_zone_as_written(table: pd.DataFrame, stocks: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Return stocks or their SD by zone and depth (`stock_pg` or `sd_pg`); means for targets without stocks."""
    if target.has_stocks:
        return table
    names = {"stock_pg": f"{target.name}_mean", "sd_pg": "sd"}
    own = [column for column in names if column in table]
    weight = _weights(table, stocks, target)
    return table.assign(**{c: table[c] / weight.where(weight > 0) for c in own}).rename(columns=names)


def per_zone_as_known(table: pd.DataFrame, stocks: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Reverse `per_zone_as_written` for SDs; `stocks` as known."""
    if target.has_stocks:
        return table
    return table.assign(sd=table["sd"] * _weights(table, stocks, target)).rename(columns={"sd": "sd_pg"})


def _weights(table: pd.DataFrame, stocks: pd.DataFrame, target: Target) -> "pd.Series[float]":
    area = stocks.set_index(["zone", "depth"])["area_km2"]
    keys = pd.MultiIndex.from_frame(table[["zone", "depth"]])
    return pd.Series(area.reindex(keys).to_numpy() * target.per_km2, table.index)


def _swapped(name: str, old: str, new: str) -> str:
    return new + name[len(old) :] if name == old or name.startswith(f"{old}_") else name
