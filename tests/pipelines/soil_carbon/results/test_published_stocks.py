"""Published regions: the table holds what its sources say, and a run stands beside those of its depth."""

import re

import pandas as pd
import pytest

from pipelines.soil_carbon.results.published_stocks import COLUMNS, THIS_RUN, compare_regions, published_regions

TOTALS = pd.DataFrame(
    {"socd_mean": [4.0, 10.0], "stock_pg": [2.0, 5.0], "stock_lower_pg": [1.9, 4.5], "stock_upper_pg": [2.1, 5.6]},
    index=pd.Index(["0-10", "0-30"], name="depth"),
)


def test_published_numbers_are_sound():
    regions = published_regions()
    assert tuple(regions.columns[: len(COLUMNS)]) == COLUMNS
    assert regions["depth"].eq("0-30").all()
    assert regions["socd"].between(regions["socd_lower"], regions["socd_upper"]).all()
    known = regions.dropna(subset=["stock_lower_pg"])
    assert known["stock_pg"].between(known["stock_lower_pg"], known["stock_upper_pg"]).all()
    assert regions["doi"].map(lambda doi: bool(re.fullmatch(r"10\.\d{4,}/\S+", doi))).all()
    assert regions["citation"].str.contains(r"\d{4}$").all()


def test_published_numbers_are_the_studys():
    rows = published_regions().set_index(["region", "citation"])
    # Yang et al. (2025), section 2.3; the interval of the circumpolar stock is 217 ± 15 Pg.
    assert rows.loc[("Circumpolar", "Hugelius et al. 2014"), ["socd", "socd_lower", "socd_upper"]].tolist() == [
        13,
        10,
        25,
    ]
    assert rows.loc[("Circumpolar", "Hugelius et al. 2014"), ["stock_lower_pg", "stock_upper_pg"]].tolist() == [
        202,
        232,
    ]
    assert rows.loc[("Qinghai–Tibet", "Mishra et al. 2021"), ["socd", "stock_pg"]].tolist() == [3.9, 4.4]
    assert rows.loc[("Northeast China", "Yang et al. 2025"), ["socd", "stock_pg"]].tolist() == [9.8, 5.5]


def test_densities_and_stocks_imply_the_regions_areas():
    regions = published_regions()
    area = (regions["stock_pg"] * 1e6 / regions["socd"]).groupby(regions["region"]).agg(["min", "max"])
    assert 13e6 < area.loc["Circumpolar", "min"] < area.loc["Circumpolar", "max"] < 18e6
    assert area.loc["Qinghai–Tibet"].tolist() == pytest.approx([1.1e6, 1.2e6], rel=0.05)
    assert area.loc["Northeast China", "min"] == pytest.approx(5.6e5, rel=0.01)


def test_the_run_comes_first_with_the_interval_of_its_total():
    compared = compare_regions(TOTALS, "Mine")
    own = compared.iloc[0]
    assert (own["region"], own["citation"], own["depth"]) == ("Mine", THIS_RUN, "0-30")
    # 10 kg C/m² for 5 Pg: each Pg of the total is 2 kg C/m² of the mean.
    assert own[["socd", "socd_lower", "socd_upper"]].tolist() == pytest.approx([10, 9, 11.2])
    pd.testing.assert_frame_equal(
        compared.iloc[1:].reset_index(drop=True)[["region", "socd", "doi"]],
        published_regions()[["region", "socd", "doi"]],
    )


def test_nothing_is_compared_at_other_depths():
    assert compare_regions(TOTALS.loc[["0-10"]], "Mine").empty
