"""The benchmark of intervals measures what it says: on numbers whose coverage is known, and on two small regions."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm


@pytest.fixture(scope="module")
def honesty() -> ModuleType:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("honesty")
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def found(honesty: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two regions of two designs, few replicates; made by two calls of which the first was cut short."""
    folder, settings = tmp_path_factory.mktemp("honesty"), honesty.Settings(8, 40, honesty.digest_of_code())
    honesty.run(folder, [0], ["random"], settings, workers=1)
    first = honesty.file_of(folder, 0, "random", settings)
    written = first.stat().st_mtime_ns
    honesty.run(folder, range(2), ["random", "untidy"], settings, workers=1)
    assert first.stat().st_mtime_ns == written and len(list(folder.iterdir())) == 4
    return honesty.read(folder, range(2), ["random", "untidy"], settings)


def test_results_of_other_code_are_made_again(honesty: ModuleType, tmp_path):
    """The same settings and code name the same file; another draw, region or code another."""
    code = honesty.digest_of_code()
    assert len(code) == 8 and code == honesty.digest_of_code()
    names = {
        honesty.file_of(tmp_path, number, design, honesty.Settings(8, draws, made_by))
        for number, design, draws, made_by in [
            (0, "random", 40, code), (0, "random", 40, code), (1, "random", 40, code), (0, "untidy", 40, code),
            (0, "random", 50, code), (0, "random", 40, "00000000"),
        ]
    }  # fmt: skip
    assert len(names) == 5


def answer(honesty: ModuleType, sd_of_error: float, n: int = 40_000, method: str = "after", support: str = "total"):
    """Normal truths about 5, in intervals that take their SD to be 1."""
    levels = np.array(honesty.LEVELS)[:, None, None]
    centre = np.full((n, 3), 5.0)
    truth = centre + sd_of_error * np.random.default_rng(0).normal(size=(n, 3))
    half = np.broadcast_to(norm.ppf((1 + levels) / 2), (4, n, 3))
    return honesty.Answer(method, support, truth, centre, centre - half, centre + half)


def test_coverage_and_score_of_known_errors(honesty: ModuleType):
    """Of a normal error with the right SD, the expected interval score is 2 φ(z) / ((1 − level) / 2)."""
    rows = honesty.scored(answer(honesty, 1.0))
    assert [row["depth"] for row in rows] == ["0-10", "0-30", "0-50"]
    levels = np.array(honesty.LEVELS)
    z = norm.ppf((1 + levels) / 2)
    for row in rows:
        np.testing.assert_allclose(row["below"], (1 - levels) / 2, atol=0.01)
        np.testing.assert_allclose(row["above"], (1 - levels) / 2, atol=0.01)
        np.testing.assert_allclose(row["width"], 2 * z)
        np.testing.assert_allclose(row["score"], 4 * norm.pdf(z) / (1 - levels), rtol=0.05)
        assert row["bias"] == pytest.approx(0, abs=0.005) and row["square"] == pytest.approx(1, rel=0.05)


def regions_of(honesty: ModuleType, sd_after: float, shift: float = 0.0, regions: int = 40) -> pd.DataFrame:
    """Results of many regions with one total each; before, the SD of errors is 1."""
    rng = np.random.default_rng(1)
    rows = []
    for region in range(regions):
        for method, sd in (("before", 1.0), ("after", sd_after)):
            one = answer(honesty, 0.0, n=1, method=method)
            truth = one.centre + sd * rng.normal(size=3) - (shift if method == "after" else 0.0)
            for row in honesty.scored(honesty.Answer(method, "total", truth, one.centre, one.lower, one.upper)):
                parts = ("below", "above", "width", "score")
                flat = {f"{p}_{level:g}": v for p in parts for level, v in zip(honesty.LEVELS, row[p], strict=True)}
                kept = {name: row[name] for name in ("method", "support", "depth", "n", "bias", "square")}
                rows.append({"design": "random", "region": region, **kept, **flat})
    table = pd.DataFrame(rows)
    for level in honesty.LEVELS:
        table[f"coverage_{level:g}"] = 1 - table[f"below_{level:g}"] - table[f"above_{level:g}"]
    return table


def test_honest_intervals_are_not_blamed_and_others_are(honesty: ModuleType):
    assert honesty.failures(regions_of(honesty, 1.0)) == []
    narrow = honesty.failures(regions_of(honesty, 2.5))
    assert any("inside 95%" in line for line in narrow) and any("RMSE" in line for line in narrow)
    assert any("inside 80%" in line for line in honesty.failures(regions_of(honesty, 0.2)))
    assert any("bias" in line for line in honesty.failures(regions_of(honesty, 1.0, shift=1.0)))


def test_a_small_run_measures_every_support_before_and_after(found: pd.DataFrame):
    supports = {"core", "cell", "10² km²", "10³ km²", "10⁴ km²", "10⁵ km²", "forest", "grassland", "wetland", "total"}
    supports |= {"core, applicable", "cell, applicable"}
    for method, further in (("before", {"cell, Eq. 7"}), ("after", set())):
        own = found[found["method"] == method]
        assert set(own["support"]) == supports | further
        assert (own.groupby(["design", "region", "support"])["depth"].nunique() == 3).all()
    coverage = found[[name for name in found if name.startswith("coverage")]]
    assert coverage.min(axis=None) >= 0 and coverage.max(axis=None) <= 1
    assert (coverage.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None), "a higher level holds more"
    assert np.isfinite(found.select_dtypes("number")).all(axis=None)


def test_polygons_and_zones_are_means_of_cells(found: pd.DataFrame):
    """The larger the support, the less its error: what differs from place to place averages out."""
    own = found[(found["method"] == "before") & (found["depth"] == "0-10")].groupby("support")["square"].mean()
    assert own["core"] > own["cell"] > own["10⁴ km²"] > own["total"]
    count = found.groupby("support")["n"].first()
    assert count["total"] == 1 and count["core"] == 600 and 20_000 < count["cell"] < 25_000


def test_the_tables_show_before_and_after(honesty: ModuleType, found: pd.DataFrame):
    text = honesty.report(found)
    assert "Sites: random, 2 regions." in text and "Sites: untidy, 2 regions, mean over depths." in text
    (row,) = (line for line in text.splitlines() if line.startswith("| total | 0-30 |"))
    assert row.count("→") == 8 and "Not held with sites at random:" in text
