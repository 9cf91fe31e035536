"""Screening: tests against scipy and statsmodels, what is kept and why, and what is refused."""

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.outliers_influence import variance_inflation_factor

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.spec import SourceSpec
from pipelines.soil_carbon.model.collinearity import Collinearity
from pipelines.soil_carbon.model.screening import screen

NUMBER = source_spec(href="x.tif")
CATEGORY = source_spec(href="x.tif", classes={"forest": (1,), "grassland": (2,), "wetland": (3,)})


def specs_of(covariates: pd.DataFrame, *categories: str) -> dict[str, SourceSpec]:
    return {str(name): CATEGORY if name in categories else NUMBER for name in covariates}


def screened(covariates: pd.DataFrame, y: np.ndarray, *categories: str, **options: Any) -> pd.DataFrame:
    return screen(covariates, y, specs_of(covariates, *categories), **options).set_index("covariate")


def landscape(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Moisture and nitrogen drive the density; rain nearly is moisture; noise is none; classes follow moisture."""
    rng = np.random.default_rng(seed)
    moisture, nitrogen, noise = rng.normal(size=(3, n))
    rain = moisture + rng.normal(scale=0.2, size=n)
    vegetation = 1 + np.digitize(moisture + rng.normal(size=n), [-0.5, 0.7])
    y = 4 + moisture + nitrogen + rng.normal(scale=0.5, size=n)
    numbers = {"moisture": moisture, "nitrogen": nitrogen, "rain": rain, "noise": noise}
    covariates = pd.DataFrame(numbers).astype("float32").assign(vegetation=vegetation.astype("uint8"))
    return covariates, y


def test_columns_and_order() -> None:
    covariates, y = landscape()
    table = screen(covariates, y, specs_of(covariates, "vegetation"))
    assert list(table)[:7] == ["covariate", "test", "rho", "p_value", "vif", "kept", "reason"]
    assert table["covariate"].tolist() == list(covariates)
    assert table["kept"].dtype == bool
    assert (table["n"] == 120).all()


def test_spearman_against_scipy_and_ranks() -> None:
    covariates, y = landscape()
    row = screened(covariates, y, "vegetation").loc["nitrogen"]
    expected = stats.spearmanr(covariates["nitrogen"], y)
    assert (row["rho"], row["p_value"]) == (expected.statistic, expected.pvalue)
    ranks = [stats.rankdata(v) for v in (covariates["nitrogen"], y)]
    assert row["rho"] == pytest.approx(np.corrcoef(*ranks)[0, 1], rel=1e-12)
    assert row["effect"] == pytest.approx(row["rho"] ** 2)


def test_kruskal_wallis_by_hand() -> None:
    """Densities 1…6 in classes of ranks {1, 2}, {3, 4}, {5, 6}: H = 12/(6·7) · (3² + 7² + 11²)/2 − 3·7 = 32/7."""
    covariates = pd.DataFrame({"vegetation": np.array([1, 1, 2, 2, 3, 3], "uint8"), "a": [1.0, 2, 3, 4, 5, 6]})
    row = screened(covariates, np.array([1.0, 2, 3, 4, 5, 6]), "vegetation").loc["vegetation"]
    assert row["test"] == "kruskal-wallis"
    assert np.isnan(row["rho"])
    assert row["p_value"] == pytest.approx(stats.chi2.sf(32 / 7, 2))
    assert row["effect"] == pytest.approx(32 / 7 / 5)


def test_vif_of_two_by_hand() -> None:
    """Two covariates inflate each other by 1/(1 − r²)."""
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(0.8)
    table = screened(pd.DataFrame({"a": a, "b": b}), a + b, alpha=0.2)
    np.testing.assert_allclose(table["vif"], 1 / 0.36, rtol=1e-12)


def test_vif_against_statsmodels() -> None:
    covariates, y = landscape()
    table = screened(covariates, y, "vegetation", vif_max=1e6, keep=["noise"])
    assert table["kept"].all()
    numbers = ["moisture", "nitrogen", "rain", "noise"]
    design = np.column_stack([np.ones(len(y)), covariates[numbers].astype(float)])
    expected = [variance_inflation_factor(design, i) for i in range(1, 5)]
    np.testing.assert_allclose(table.loc[numbers, "vif"], expected, rtol=1e-9)


def test_vif_of_one_left_out_is_among_the_kept() -> None:
    covariates, y = landscape()
    table = screened(covariates, y, "vegetation", vif_max=1e6)
    assert not table.loc["noise", "kept"]
    design = np.column_stack([np.ones(len(y)), covariates[["moisture", "nitrogen", "rain", "noise"]].astype(float)])
    assert table.loc["noise", "vif"] == pytest.approx(variance_inflation_factor(design, 4), rel=1e-9)
    assert table.loc["rain", "vif"] == pytest.approx(variance_inflation_factor(design[:, :4], 3), rel=1e-9)


# Type of occupation (1 blue collar, 2 professional, 3 white collar), income, education of 45 occupations: Duncan, O.D.
# (1961): A socioeconomic index for all occupations. The example of R's car::vif, whose manual states the results.
DUNCAN = """
2 62 86,2 72 76,2 75 92,2 55 90,2 64 86,2 21 84,2 64 93,2 80 100,3 67 87,2 72 86,2 42 74,2 76 98,2 76 97,2 41 84,
2 48 91,3 76 34,2 53 45,2 60 56,2 42 44,2 78 82,3 29 72,3 48 55,3 55 71,3 29 50,1 21 23,1 47 39,1 81 28,1 36 32,
1 22 22,1 44 25,1 15 29,1 7 7,1 42 26,1 9 19,1 21 15,1 21 20,1 16 26,1 16 28,1 9 17,1 14 22,1 12 30,1 17 25,
1 7 20,1 34 47,1 8 32"""


def test_generalised_vif_of_published_example() -> None:
    rows = [[int(value) for value in row.split()] for row in DUNCAN.split(",")]
    table = pd.DataFrame(rows, columns=["type", "income", "education"])
    collinearity = Collinearity(table, ["type"])
    assert collinearity.vif("income", ["education"]) == pytest.approx(2.104900, abs=5e-7)
    assert collinearity.vif("type", table) ** 2 == pytest.approx(5.098592, abs=5e-7)
    assert collinearity.vif("type", table) ** 0.5 == pytest.approx(1.502666, abs=5e-7)


def test_generalised_vif_is_the_ratio_of_determinants() -> None:
    """Fox & Monette's own formula, with two categories; and of two classes it is the VIF of their dummy."""
    covariates, _ = landscape()
    covariates["relief"] = 1 + (covariates["moisture"] + covariates["noise"] > 0)
    collinearity = Collinearity(covariates, ["vegetation", "relief"])
    dummies = [covariates["vegetation"] == 2, covariates["vegetation"] == 3, covariates["relief"] == 2]
    columns = np.array([*dummies, covariates["moisture"], covariates["nitrogen"]], float)
    r = np.corrcoef(columns)
    gvif = np.linalg.det(r[:2, :2]) * np.linalg.det(r[2:, 2:]) / np.linalg.det(r)
    others = ["relief", "moisture", "nitrogen"]
    assert collinearity.vif("vegetation", others) == pytest.approx(gvif ** (1 / 2), rel=1e-9)
    design = np.column_stack([np.ones(len(covariates)), columns.T])
    expected = variance_inflation_factor(design, 3)
    assert collinearity.vif("relief", ["vegetation", "moisture", "nitrogen"]) == pytest.approx(expected, rel=1e-9)


def test_numbers_are_held_against_numbers() -> None:
    covariates, _ = landscape()
    collinearity = Collinearity(covariates, ["vegetation"])
    assert collinearity.vif("moisture", ["nitrogen", "vegetation"]) == collinearity.vif("moisture", ["nitrogen"])
    assert collinearity.vif("moisture", ["moisture", "vegetation"]) == 1


def test_copies_are_infinitely_inflated() -> None:
    covariates, _ = landscape()
    covariates["feet"] = (covariates["nitrogen"] / 0.3048 + 7).astype("float32")
    covariates["sum"] = covariates["nitrogen"] + covariates["noise"]
    collinearity = Collinearity(covariates, ["vegetation"])
    assert collinearity.vif("feet", ["nitrogen"]) == np.inf
    assert collinearity.vif("sum", ["noise", "nitrogen", "moisture"]) == np.inf


def test_what_is_kept_and_why() -> None:
    covariates, y = landscape()
    table = screened(covariates, y, "vegetation")
    # The VIF of moisture exceeds that of rain, which holds it with some noise.
    assert table.index[table["kept"]].tolist() == ["nitrogen", "rain", "vegetation"]
    assert table.loc["moisture", "reason"].startswith("Left out: collinear with others (VIF 2")
    assert table.loc["moisture", "vif"] > 10
    assert table.loc["noise", "reason"].startswith("Left out: no significant relation to the density (ρ = ")
    assert table.loc["rain", "reason"].startswith("Kept: related to the density (ρ = +0.")
    assert table.loc["vegetation", "reason"].startswith("Kept: related to the density (ε² = 0.")
    assert (table.loc[table["kept"], "vif"] < 10).all()


@pytest.mark.parametrize(("closer", "other"), [("moisture", "rain"), ("rain", "moisture")])
def test_of_two_equally_inflated_the_less_related_goes(closer: str, other: str) -> None:
    covariates, _ = landscape()
    y = covariates[closer] + 0.1 * covariates["nitrogen"]
    table = screened(covariates[["moisture", "rain"]], y.to_numpy())
    assert table.loc[closer, "vif"] == 1
    assert table["kept"].to_dict() == {closer: True, other: False}


def test_a_category_goes_that_numbers_repeat() -> None:
    covariates, y = landscape()
    covariates["vegetation"] = (1 + (covariates["moisture"] > 0)).astype("uint8")
    covariates["moisture"] = covariates["vegetation"] + 0.01 * covariates["moisture"]
    table = screened(covariates, y, "vegetation")
    assert not table.loc["vegetation", "kept"]
    assert "collinear with others" in table.loc["vegetation", "reason"]
    assert table.loc["moisture", "kept"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(list(permutations(range(7)))[::97]))
def test_order_of_columns_changes_nothing(seed: int, order: tuple[int, ...]) -> None:
    covariates, y = landscape(60, seed)
    covariates["rain_mm"] = covariates["rain"] * np.float32(25.4)
    covariates["both"] = covariates["rain"] + covariates["nitrogen"]
    plain = screened(covariates, y, "vegetation")
    shuffled = screened(covariates.iloc[:, list(order)], y, "vegetation")
    pd.testing.assert_frame_equal(plain, shuffled.loc[plain.index])


def test_forced_out_and_in() -> None:
    covariates, y = landscape()
    table = screened(covariates, y, "vegetation", keep=["noise"], drop=["nitrogen", "rain"])
    assert table["kept"].to_dict() == {
        "moisture": True, "nitrogen": False, "rain": False, "noise": True, "vegetation": True
    }  # fmt: skip
    assert table.loc["noise", "reason"].startswith("Kept as asked by selection.keep: despite no significant relation")
    assert table.loc["nitrogen", "reason"].startswith("Left out as asked by selection.drop: ρ = +0.")
    assert table["vif"].notna().all()


def test_forced_in_is_never_the_one_that_goes() -> None:
    covariates, y = landscape()
    table = screened(covariates, y, "vegetation", keep=["rain"])
    assert table["kept"][["moisture", "rain"]].tolist() == [False, True]
    both = screened(covariates, y, "vegetation", keep=["rain", "moisture"])
    assert both["kept"][["moisture", "rain"]].all()
    for name in ("moisture", "rain"):
        assert "despite collinear with others (VIF 2" in both.loc[name, "reason"]


def test_constant_covariates_go() -> None:
    covariates, y = landscape()
    covariates["flat"], covariates["vegetation"] = np.float32(2.5), np.uint8(3)
    table = screened(covariates, y, "vegetation")
    assert table.loc["flat", "reason"] == "Left out: nothing to learn from (2.5 at all 120 sites)."
    assert table.loc["vegetation", "reason"] == "Left out: nothing to learn from (wetland at all 120 sites)."
    for name in ("flat", "vegetation"):
        assert table.loc[name, ["rho", "p_value", "vif", "effect"]].isna().all()
    forced = screened(covariates, y, "vegetation", keep=["flat"])
    assert forced.loc["flat", "kept"]
    assert "despite nothing to learn from" in forced.loc["flat", "reason"]


def test_all_problems_at_once() -> None:
    covariates, y = landscape()
    covariates.loc[3, "nitrogen"] = np.nan
    covariates.loc[:1, "vegetation"] = 0
    y[5] = np.nan
    with pytest.raises(InputError) as error:
        screened(covariates, y, "vegetation", keep=["moistur", "rain"], drop=["rain", "slope"])
    assert list(map(str, error.value.problems)) == [
        "selection.keep: 'moistur' is not a covariate; did you mean `moisture`?",
        "selection.drop: 'slope' is not a covariate; valid here: moisture, nitrogen, rain, noise, vegetation",
        "selection: 'rain' is in both `keep` and `drop`; leave it in one",
        "nitrogen: missing at 1 of 120 sites; the screening needs every value",
        "vegetation: missing at 2 of 120 sites; the screening needs every value",
        "the density is missing at 1 of 120 sites; the screening needs every value",
    ]


def test_nothing_left() -> None:
    covariates, y = landscape()
    with pytest.raises(InputError, match=r"none of 1 covariates is left[^\n]*\n  noise: Left out: no significant"):
        screened(covariates[["noise"]], y)


def test_a_density_that_nothing_can_explain() -> None:
    covariates, _ = landscape()
    with pytest.raises(InputError, match="4 kg C/m² at all 120 sites"):
        screened(covariates, np.full(120, 4.0), "vegetation")
    with pytest.raises(InputError, match="at least 3 sites"):
        screened(covariates[:2], np.array([1.0, 2.0]), "vegetation")


def test_tables_that_do_not_fit() -> None:
    covariates, y = landscape()
    with pytest.raises(ValueError, match="120 sites"):
        screened(covariates, y[:-1], "vegetation")
    with pytest.raises(ValueError, match="without a source"):
        screen(covariates, y, {})
