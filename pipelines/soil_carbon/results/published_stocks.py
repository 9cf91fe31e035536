"""Published stocks of permafrost regions, for comparison with a run (the study's Figure 6)."""

from importlib import resources

import pandas as pd

from pipelines.runfile.target import CARBON_DENSITY, Target

COLUMNS = (
    "region", "depth", "socd", "socd_lower", "socd_upper", "stock_pg", "stock_lower_pg", "stock_upper_pg", "interval",
    "citation", "doi",
)  # fmt: skip
TEXT = ("region", "depth", "interval", "citation", "doi")
NUMBERS = tuple(column for column in COLUMNS if column not in TEXT)
AS_PRINTED = "_as_printed"
"""Suffix of the columns that hold a number with the digits that its source gives."""
THIS_RUN = "this run"
OWN_INTERVAL = "95 % range of the total"


def published_regions() -> pd.DataFrame:
    """Return densities and stocks of permafrost regions, as the literature states them.

    Densities with their intervals and stocks are those that Yang et al. (2025, doi 10.1360/SSV-2025-0026, section 2.3)
    give for each source; the interval of Hugelius et al.'s stock is from its abstract (217 ± 15 Pg). An interval that
    was not stated is empty.

    Returns
    -------
    DataFrame
        `region, depth` (label)`, socd, socd_lower, socd_upper` (kg C/m²)`, stock_pg, stock_lower_pg, stock_upper_pg`
        (Pg C)`, interval` (what the bounds are)`, citation, doi`; and every number once more as text with the suffix
        `_as_printed`, with the digits of its source, empty where it was not stated.
    """
    with resources.files(__package__).joinpath("published_stocks.csv").open("r", encoding="utf-8") as file:
        printed = pd.read_csv(file, dtype=str, keep_default_na=False)
    numbers = printed[list(NUMBERS)].apply(pd.to_numeric)
    return printed.assign(**numbers).join(printed[list(NUMBERS)].add_suffix(AS_PRINTED))


def compare_regions(totals: pd.DataFrame, name: str, target: Target = CARBON_DENSITY) -> pd.DataFrame:
    """Return the run above the published regions, those of one depth that both have.

    Parameters
    ----------
    totals : DataFrame
        Rows of `stocks.csv` for the whole region, indexed by depth.
    name : str
        Of the run's region.
    target : Target
        What is mapped: only carbon densities can be compared.

    Returns
    -------
    DataFrame
        As `published_regions`, the run first with the citation `this run` and nothing as printed; without rows where no
        depth of the run was published.
    """
    published = published_regions()
    shared = [depth for depth in dict.fromkeys(published["depth"]) if depth in totals.index]
    if not shared or not target.is_carbon:
        return pd.DataFrame(columns=COLUMNS)
    row = totals.loc[shared[0]]
    per_pg = row["socd_mean"] / row["stock_pg"]
    own = {
        "region": name,
        "depth": shared[0],
        "socd": row["socd_mean"],
        # The mean is the total over an area that is known, so that one interval is the other's.
        "socd_lower": row["stock_lower_pg"] * per_pg,
        "socd_upper": row["stock_upper_pg"] * per_pg,
        "stock_pg": row["stock_pg"],
        "stock_lower_pg": row["stock_lower_pg"],
        "stock_upper_pg": row["stock_upper_pg"],
        "interval": OWN_INTERVAL,
        "citation": THIS_RUN,
        "doi": "",
    }
    return pd.concat([pd.DataFrame([own]), published[published["depth"] == shared[0]]], ignore_index=True)
